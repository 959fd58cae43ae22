"""Vectors of passages in a Chroma folder that is built once and then only read.

We always pass vectors and ids, never texts: `query_texts` or `documents` alone would make Chroma
reach for its default embedder, which downloads a model. Only the process that holds the library's
lock may call anything here, because two writers damage Chroma's files.
"""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import chromadb
import numpy as np
from chromadb.config import Settings
from chromadb.errors import ChromaError

_NAME = "passages"
_DONE = "complete"


class DamagedIndexError(Exception):
    """The folder is no readable index; build it again. Never leaves the knowledge room."""


class VectorIndex:
    """An open index; use as a context manager or call `close`."""

    def __init__(self, folder: Path, *, new: bool = False) -> None:
        if not new and not (folder / _DONE).is_file():
            raise DamagedIndexError(f"{folder} was never completed")
        self._folder = folder
        try:
            self._client: Any = chromadb.PersistentClient(
                str(folder), settings=Settings(anonymized_telemetry=False)
            )
            self._passages = self._client.get_or_create_collection(
                _NAME, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
            )
        except (ChromaError, OSError, ValueError, RuntimeError) as error:
            raise DamagedIndexError(str(error)) from error

    def __enter__(self) -> "VectorIndex":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        self.close()

    def fill(self, ids: Sequence[str], vectors: Sequence[Sequence[float]]) -> None:
        """Write all vectors and mark the index complete.

        Raises:
            DamagedIndexError: Chroma could not write.
        """
        step = 1_000  # well under the 5,461 rows Chroma takes at once
        try:
            for start in range(0, len(ids), step):
                chosen = slice(start, start + step)
                self._passages.upsert(
                    ids=list(ids[chosen]),
                    embeddings=np.asarray(vectors[chosen], dtype=np.float32),
                )
        except (ChromaError, OSError, ValueError, RuntimeError) as error:
            raise DamagedIndexError(str(error)) from error
        (self._folder / _DONE).write_text(str(len(ids)), encoding="utf-8")

    def rank(self, vector: Sequence[float], limit: int) -> list[str]:
        """Ids of the nearest passages, best first.

        Raises:
            DamagedIndexError: Chroma could not read, or has lost rows.
        """
        try:
            expected = int((self._folder / _DONE).read_text(encoding="utf-8"))
            if self._passages.count() != expected:
                raise DamagedIndexError(f"{self._folder} has lost rows")
            found = self._passages.query(
                query_embeddings=np.asarray([vector], dtype=np.float32),
                n_results=limit,
                include=["distances"],
            )
        except (ChromaError, OSError, ValueError, RuntimeError) as error:
            raise DamagedIndexError(str(error)) from error
        return list(found["ids"][0])

    def close(self) -> None:
        """Release files and threads."""
        self._client.close()
