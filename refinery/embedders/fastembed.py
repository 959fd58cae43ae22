"""Sentence transformers in ONNX through the library `fastembed`, from a folder on this machine.

The option names the model and the folder it lies in, `fastembed:MODEL=FOLDER`, for example
`fastembed:BAAI/bge-small-en-v1.5=/models/bge-small`. Nothing is downloaded: without a folder the
library's own cache must hold the model already.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from refinery.errors import InputError, PluginError

DEFAULT = "BAAI/bge-small-en-v1.5"


class FastEmbed:
    """Embeds texts with a model of `fastembed` (`ports.Embedder`)."""

    def __init__(self, model: str, folder: str | None) -> None:
        try:
            from fastembed import TextEmbedding
        except ImportError as error:
            raise PluginError(
                "the embedder `fastembed` needs a library that is missing",
                hint="run: pip install fastembed",
            ) from error
        try:
            self._model: Any = TextEmbedding(
                model, specific_model_path=folder, local_files_only=True
            )
            self.dimensions = len(next(iter(self._model.embed(["length"]))))
        except Exception as error:  # the library raises types of its parts
            raise InputError(
                f"fastembed cannot load {model!r} from this machine: {error}",
                hint="name its folder: `fastembed:MODEL=FOLDER`",
            ) from error
        self.name = f"fastembed-{model}"

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One unit-length vector per text, in order."""
        found = np.asarray(list(self._model.embed(list(texts))), dtype=np.float32)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        rows: list[list[float]] = (found / np.maximum(lengths, 1e-12)).tolist()
        return rows


def create(option: str = "") -> FastEmbed:
    """An embedder; the option is `MODEL`, `MODEL=FOLDER` or empty.

    Raises:
        PluginError: the library is not installed.
        InputError: the model is not on this machine.
    """
    model, _, folder = option.partition("=")
    return FastEmbed(model or DEFAULT, folder or None)
