"""What tests of requests to language models share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from specsci.generate.client import Client
from specsci.generate.request import Message, ModelRequest
from specsci.generate.settings import GeneratorSettings

SUFFIX = {"openai": "/v1", "anthropic": ""}
PRICE = {"input": 1.0, "output": 2.0}


def settings(url: str, backend: str = "openai", **more: Any) -> GeneratorSettings:
    given = {"model": "m", "base_url": url + SUFFIX[backend], "max_usd": 50, "price": PRICE, "max_tokens": 200, **more}
    return GeneratorSettings(backend=backend, **given)


def client(root: Path, url: str, backend: str = "openai", **more: Any) -> Client:
    return Client(root, "study", "writer", settings(url, backend, **more))


def questions(asker: Client, count: int, spec: str = "The spec.") -> list[ModelRequest]:
    return [asker.request([Message("system", spec), Message("user", f"question {i}")], variant="v") for i in range(count)]


def build(root: str, url: str, backend: str, mode: str, count: int) -> None:
    """A whole build in a process of its own, which a test may kill."""
    with client(Path(root), url, backend, mode=mode, connections=4, batch_requests=20, wait_min=2) as asker:
        asker.ask(questions(asker, count))


def corpus_of(root: Path, url: str, backend: str, mode: str, count: int) -> dict[str, str]:
    """What a build left, read from the ledger alone."""
    with client(root, url, backend, mode=mode, connections=4, batch_requests=20) as asker:
        found = asker.ledger.replies([r.digest for r in questions(asker, count)])
        return {digest: reply.text for digest, reply in found.items()}
