"""Every backend passes one suite: two against a real server, one with a real model; vLLM where it is installed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from generation import settings
from model_server import ModelServer

from specsci.generate.settings import GeneratorSettings
from specsci.testing.backends import BackendSuite


@pytest.fixture(scope="module")
def server():
    """A server whose replies depend on the request's key, as a sampled reply does."""
    with ModelServer(answer=lambda messages: "") as found:
        reply = found._reply

        def keyed(path: str, body: dict[str, Any], fault: str) -> dict[str, Any]:
            key = found.headers[-1].get("idempotency-key", "")
            found.answer = lambda messages: " ".join([hashlib.sha256(key.encode()).hexdigest()[:6]] * 4)
            return reply(path, body, "truncate" if body.get("max_tokens") == 1 else fault)

        found._reply = keyed
        yield found


class _OfServer(BackendSuite):
    backend = ""

    @pytest.fixture(autouse=True)
    def _at(self, server):
        self.server = server

    def settings(self, **more: Any) -> GeneratorSettings:
        return settings(self.server.url, self.backend, **{"connections": 1, **more})


class TestOpenAI(_OfServer):
    backend = "openai"


class TestAnthropic(_OfServer):
    backend = "anthropic"

    def test_where_it_computes_is_told_or_declared(self, tmp_path: Path) -> None:
        with self._client(tmp_path, residency="us") as client:
            assert {r.residency for r in client.ask(self._requests(client)).values()} == {"us"}


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory) -> Path:
    """A tiny model with random weights and a chat template."""
    from tiny import save_tiny_chat

    return save_tiny_chat(tmp_path_factory.mktemp("model") / "tiny")


class TestHF(BackendSuite):
    @pytest.fixture(autouse=True)
    def _model(self, chat_model):
        self.model = chat_model

    def settings(self, **more: Any) -> GeneratorSettings:
        return GeneratorSettings(backend="hf", model=str(self.model), engine={"batch_sequences": 4, "device": "cpu"}, **more)


@pytest.mark.slow
@pytest.mark.skipif("SPECSCI_VLLM_PYTHON" not in os.environ, reason="set SPECSCI_VLLM_PYTHON to a Python that has vLLM")
class TestVLLM(BackendSuite):
    """With a CPU build: see CONTRIBUTING.md."""

    repeats = False

    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {"VLLM_CPU_KVCACHE_SPACE": "1", "TORCHDYNAMO_DISABLE": "1", "VLLM_NO_USAGE_STATS": "1"}.items():
            monkeypatch.setenv(name, value)

    def settings(self, **more: Any) -> GeneratorSettings:
        engine = {"python": os.environ["SPECSCI_VLLM_PYTHON"], "max_model_len": 512, "enforce_eager": True, "dtype": "float32"}
        return GeneratorSettings(backend="vllm", model=os.environ["SPECSCI_VLLM_MODEL"], engine=engine, **more)
