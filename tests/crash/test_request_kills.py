"""kill -9 at any point of a build, also between a batch's creation and the saving of its id: each request is paid once."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
from generation import build, corpus_of
from model_server import ModelServer, words

ROUTES = [(backend, mode) for backend in ("openai", "anthropic") for mode in ("online", "batch")]
COUNT = 60


@pytest.fixture(scope="module")
def processes() -> multiprocessing.context.BaseContext:
    """Processes that begin with everything imported, so that a kill hits the build and not its imports."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["generation", "openai", "anthropic", "specsci.generate.batches", "specsci.generate.online"])
    first = found.Process(target=int)
    first.start()
    first.join()
    return found


def _start(processes, root: Path, server: ModelServer, backend: str, mode: str):
    process = processes.Process(target=build, args=(str(root), server.url, backend, mode, COUNT))
    process.start()
    return process


def _kill(process) -> None:
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join()


def _whole(root: Path, server: ModelServer, backend: str, mode: str) -> None:
    found = corpus_of(root, server.url, backend, mode, COUNT)
    assert len(found) == COUNT
    assert set(found.values()) == {words([{"role": "system", "content": "The spec."}, {"role": "user", "content": f"question {i}"}])
                                   for i in range(COUNT)}  # fmt: skip
    assert set(server.paid) == set(found)
    assert set(server.paid.values()) == {1}


def _killed_at(processes, root: Path, backend: str, mode: str, points: int, seed: int) -> None:
    """Builds that are killed at random points, each gone on with until it is whole; `points` kills in all."""
    draws, kills, builds = random.Random(seed), 0, 0
    while kills < points:
        place = root / str(builds)
        with ModelServer(delay_s=0.02, polls=2) as server:
            start = time.monotonic()
            first = _start(processes, root / f"whole-{builds}", server, backend, mode) if builds == 0 else None
            if first is not None:
                first.join()
                _killed_at.length = max(0.3, time.monotonic() - start)
                server.paid.clear()
                server.kept.clear()
                server.batches.clear()
            for _ in range(5):
                process = _start(processes, place, server, backend, mode)
                process.join(draws.uniform(0.02, _killed_at.length))
                kills += process.is_alive()
                _kill(process)
            process = _start(processes, place, server, backend, mode)
            process.join(60)
            assert process.exitcode == 0
            _whole(place, server, backend, mode)
        builds += 1


@pytest.mark.parametrize(("backend", "mode"), ROUTES)
def test_a_build_killed_at_random_points_pays_once(tmp_path, processes, backend, mode):
    _killed_at(processes, tmp_path, backend, mode, points=4, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["online", "batch"])
@pytest.mark.parametrize("backend", ["openai", "anthropic"])
def test_a_build_killed_at_a_hundred_random_points_pays_once(tmp_path, processes, backend, mode):
    _killed_at(processes, tmp_path, backend, mode, points=100, seed=2)


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
def test_a_batch_whose_id_was_never_saved_is_adopted(tmp_path, processes, backend):
    running = []
    with ModelServer(polls=2) as server:

        def kill_the_first() -> None:
            if len(server.batches) == 2 and running:
                os.kill(running.pop().pid, signal.SIGKILL)  # the batch is there; its id is on its way back

        server.after_create = kill_the_first
        process = _start(processes, tmp_path, server, backend, "batch")
        running.append(process)
        process.join(30)
        assert process.exitcode == -signal.SIGKILL
        assert len(server.batches) == 2
        assert server.requests_paid == 40
        process = _start(processes, tmp_path, server, backend, "batch")
        process.join(60)
        assert process.exitcode == 0
        _whole(tmp_path, server, backend, "batch")
        assert len(server.batches) == 3


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
def test_a_batch_that_was_never_created_is_created(tmp_path, processes, backend):
    with ModelServer(polls=1) as server:
        from generation import client, questions

        with client(tmp_path, server.url, backend, mode="batch", connections=4, batch_requests=20) as asker:
            wanted = questions(asker, COUNT)
            asker.ledger.plan(wanted)
            asker.ledger.reserve([(r, 0.001) for r in wanted[:20]], "specsci-lost")
            asker.ledger.db.execute("UPDATE batches SET created_at = created_at - 4000, owner = 'gone'")
        process = _start(processes, tmp_path, server, backend, "batch")
        process.join(60)
        assert process.exitcode == 0
        _whole(tmp_path, server, backend, "batch")


def test_without_idempotency_no_more_is_paid_twice_than_was_in_flight_and_the_cap_counts_it(tmp_path, processes):
    with ModelServer(delay_s=0.2, idempotent=False) as server:
        process = _start(processes, tmp_path, server, "openai", "online")
        while server.most_in_flight < 4:
            time.sleep(0.01)
        _kill(process)
        process = _start(processes, tmp_path, server, "openai", "online")
        process.join(60)
        assert process.exitcode == 0
        assert sum(v - 1 for v in server.paid.values()) <= 4
        assert set(server.paid.values()) <= {1, 2}
        from generation import client

        with client(tmp_path, server.url) as asker:
            assert asker.ledger.spent().unknown_usd > 0
            assert asker.ledger.counts()["requests that may have been charged without a reply"] <= 4
