"""Keeps answers of a service in private files for a while."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from refinery import clock
from refinery.model.trace import Json


class FileCache:
    """JSON answers by question, each in a file of its own; never the reason for an error."""

    def __init__(self, folder: Path, ttl_s: float) -> None:
        self.folder = folder
        self.ttl_ns = int(ttl_s * 1e9)

    def get(self, question: str) -> Json:
        """The answer kept for a question; None when there is none, or it is too old."""
        try:
            kept = json.loads(self._path(question).read_text(encoding="utf-8"))
            age_ns = clock.now_ns() - kept["created_ns"]
            fits = kept["question"] == question and 0 <= age_ns < self.ttl_ns
            return kept["answer"] if fits else None
        except (OSError, ValueError, RecursionError, KeyError, TypeError):
            return None

    def put(self, question: str, answer: Json) -> None:
        """Keep an answer and forget those that are too old."""
        kept = {"question": question, "created_ns": clock.now_ns(), "answer": answer}
        path = self._path(question)
        scratch = path.with_suffix(f".{os.getpid()}.new")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._forget_old()
            handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(kept, file)
            scratch.replace(path)
        except (OSError, ValueError, RecursionError):
            with suppress(OSError):
                scratch.unlink()

    def _path(self, question: str) -> Path:
        return self.folder / f"{hashlib.sha256(question.encode()).hexdigest()[:32]}.json"

    def _forget_old(self) -> None:
        for file in self.folder.glob("*.json"):
            if clock.now_ns() - file.stat().st_mtime_ns > self.ttl_ns:
                file.unlink(missing_ok=True)
