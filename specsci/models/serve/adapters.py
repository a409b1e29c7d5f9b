"""An adapter on an engine: loaded under its digest, and probed before its first question on each run of the engine.

Processes of one machine agree by a lock for each engine. Whoever asks an adapter shares it. Whoever probes, which lets an adapter go for a
moment, has it alone; so has whoever asks the base: vLLM's build for CPUs gives requests without an adapter the answers of one, where
requests with adapters share their batch.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from specsci.core.errors import StepFailed
from specsci.core.ids import digest
from specsci.core.shipped import cache_folder
from specsci.models.hf import ADAPTER
from specsci.models.serve.probe import check_keys, probe
from specsci.models.serve.reference import Reference
from specsci.models.serve.server import START, Server

FOLDER = "engines"
LOG = logging.getLogger(__name__)


@contextmanager
def served(server: Server, base: tuple[str, Path], adapter: tuple[str, Path] | None, reference: Callable[[], Reference]) -> Iterator[str]:
    """The name that a model is served under, for as long as the block runs; probed before the first question of this run of the engine.

    Args:
        base: the base's digest, by which the server names it, and its artefact.
        adapter: the digest and the artefact of a model with an adapter; None for the base itself.
        reference: what the trainer computes, asked for where a probe is due.

    Raises:
        StepFailed: the server does not serve that base, or a probe fails.
    """
    name = adapter[0] if adapter else base[0]
    folder = cache_folder(FOLDER)
    mark = folder / f"{digest({'engine': server.url, 'model': name})}.probed"
    with (folder / f"{digest({'engine': server.url})}.lock").open("a") as lock:
        probed = False
        while True:
            fcntl.flock(lock, fcntl.LOCK_SH if adapter else fcntl.LOCK_EX)
            if (probed or _passed(mark) == _state(server)) and name in _served(server, base[0]):
                break  # nobody lets it go while the lock is shared
            fcntl.flock(lock, fcntl.LOCK_UN)
            fcntl.flock(lock, fcntl.LOCK_EX)
            _prepare(server, base, adapter, reference, mark)
            probed = True
        yield name


def _prepare(server: Server, base: tuple[str, Path], adapter: tuple[str, Path] | None, reference: Callable[[], Reference], mark: Path) -> None:
    """Load and probe, unless another process did meanwhile."""
    name, weights = (adapter[0], adapter[1] / ADAPTER) if adapter else (base[0], None)
    if adapter and weights and name not in _served(server, base[0]):
        check_keys(base[1], adapter[1])
        server.load(name, weights)
        if name not in server.models():
            raise StepFailed(f"the engine at {server.url} does not list the adapter {name} after loading it", hint=START)
    state = _state(server)
    if _passed(mark) != state:
        told = probe(server, base[0], name, weights, reference())
        LOG.info("the engine at %s serves %s: %s", server.url, name, ", ".join(f"{k} {v:.6f}" for k, v in told.items()))
    mark.write_text(state, encoding="utf-8")


def _served(server: Server, base: str) -> dict[str, dict[str, object]]:
    """What is served; raises StepFailed where the base is not among it."""
    found = server.models()
    if base not in found:
        named = ", ".join(list(found)[:4]) or "nothing"
        raise StepFailed(f"the engine at {server.url} serves {named}, and not the base {base}", hint=START)
    return found


def _state(server: Server) -> str:
    """What tells this run of the engine; one that does not say when it began is probed for every step."""
    started = server.started()
    return f"{server.version()} {started}" if started else "unknown"


def _passed(mark: Path) -> str:
    """The run of the engine on which the probe passed; empty where none did, or where a run cannot be told from another."""
    said = mark.read_text(encoding="utf-8") if mark.is_file() else ""
    return "" if said == "unknown" else said
