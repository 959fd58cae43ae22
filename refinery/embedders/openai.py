"""Embeddings from OpenAI, or any server that speaks its API (`OPENAI_BASE_URL`).

The option is the model, `openai:text-embedding-3-small`. Texts leave this machine: as `embedder`
guides and what is searched for, as `search_embedder` also what recorded conversations asked and
answered, without the secrets that `safety.redact` knows. The key is read from `OPENAI_API_KEY`.
"""

import os
from collections.abc import Sequence

import numpy as np

from refinery.errors import CredentialsError, ModelError

DEFAULT = "text-embedding-3-small"
DIMENSIONS = 512
"""Length asked for; the models of this family can be cut (OpenAI, "Vector embeddings")."""
BATCH = 256
MAX_CHARACTERS = 8_000
"""Longest text that is sent, below the models' 8,191 tokens in any script."""


class OpenAiEmbedder:
    """Embeds texts over HTTP (`ports.Embedder`)."""

    dimensions = DIMENSIONS
    is_remote = True
    """Texts leave this machine."""

    def __init__(self, model: str) -> None:
        if not os.environ.get("OPENAI_API_KEY"):
            raise CredentialsError(
                "the embedder `openai` needs a key", hint="set OPENAI_API_KEY, or use `hash`"
            )
        self._model = model
        self.name = f"openai-{model}-{DIMENSIONS}"

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One unit-length vector per text, in order.

        Raises:
            ModelError: the server cannot be reached or refuses.
        """
        from openai import OpenAI, OpenAIError

        rows: list[list[float]] = []
        try:
            with OpenAI() as client:
                for start in range(0, len(texts), BATCH):
                    batch = [text[:MAX_CHARACTERS] or " " for text in texts[start : start + BATCH]]
                    answer = client.embeddings.create(
                        model=self._model, input=batch, dimensions=DIMENSIONS
                    )
                    rows += [item.embedding for item in answer.data]
        except OpenAIError as error:
            raise ModelError(
                f"embeddings of {self._model} failed: {error}",
                hint="check the key, the address and the model, or use the embedder `hash`",
            ) from error
        found = np.asarray(rows, dtype=np.float32).reshape(len(texts), -1)
        unit: list[list[float]] = (
            found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        ).tolist()
        return unit


def create(option: str = "") -> OpenAiEmbedder:
    """An embedder; the option is the model's name.

    Raises:
        CredentialsError: there is no key.
    """
    return OpenAiEmbedder(option or DEFAULT)
