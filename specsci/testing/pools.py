"""The conformance suite of pools.

class TestMine(PoolSuite):
    kind = KIND
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from specsci.core.shipped import find_family
from specsci.core.step import Step
from specsci.execute.devices import Layout
from specsci.execute.pools.pool import Pool, PoolKind
from specsci.execute.worker import Job, Outcome
from specsci.specs.load import load_family
from specsci.store.artifact import Store

WAIT_S = 120.0


class PoolSuite:
    """What the runner rests on, wherever steps run.

    Attributes:
        kind: the pool under test.
        workers: how many jobs it may run at once.
    """

    kind: ClassVar[PoolKind]
    workers: ClassVar[int] = 2

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        """An empty store."""
        return Store(tmp_path / "store").open()

    @pytest.fixture
    def pool(self, store: Store) -> Iterator[Pool]:
        """The pool on that store."""
        made = self.kind.open(store.root, Layout(self.workers, 1))
        try:
            yield made
        finally:
            made.stop()

    def test_an_idle_pool_has_a_seat_and_nothing_to_say(self, pool: Pool) -> None:
        assert pool.running == 0 and pool.seat() is not None
        assert pool.poll(0) == []

    def test_a_job_has_one_outcome_and_its_artefact_is_in_the_store(self, pool: Pool, store: Store) -> None:
        step = _spec("rules")
        _submit(pool, step)
        assert pool.running == 1
        (outcome,) = _outcomes(pool, 1)
        assert (outcome.digest, outcome.state) == (step.digest, "done"), outcome.error
        assert store.has(step) and store.verify(step.kind, step.digest).label == step.label
        assert pool.running == 0 and pool.seat() is not None
        assert pool.poll(0) == [], "an outcome is told once"

    def test_no_more_jobs_run_than_there_are_seats(self, pool: Pool) -> None:
        given = 0
        for variant in ("rules", "value_augmented", "philosophy", "general"):
            if pool.seat() is None:
                break
            _submit(pool, _spec(variant))
            given += 1
        assert 1 <= given <= self.workers
        assert {o.state for o in _outcomes(pool, given)} == {"done"}

    def test_a_step_that_fails_says_why_and_the_pool_goes_on(self, pool: Pool, store: Store) -> None:
        good = _spec("rules")
        bad = Step(good.kind, {**good.params, "clauses": {"not": "these"}}, label="a changed spec", runtime=good.runtime)
        _submit(pool, bad)
        (outcome,) = _outcomes(pool, 1)
        assert outcome.state == "failed" and "changed after the plan was made" in outcome.error
        assert not store.has(bad) and not list((store.root / "stage").iterdir())
        _submit(pool, good)
        assert [o.state for o in _outcomes(pool, 1)] == ["done"]

    def test_a_stopped_pool_leaves_no_job(self, pool: Pool, store: Store) -> None:
        _submit(pool, _spec("rules"))
        pool.stop()
        assert pool.running == 0


def _spec(variant: str) -> Step:
    """A step that takes a moment and needs no input."""
    family = load_family(find_family("microlab_conduct"))
    runtime = {"family_folder": str(family.folder.resolve()), "access": "public"}
    return Step("spec", family.variant_identity(variant), label=f"spec {variant}", runtime=runtime)


def _submit(pool: Pool, step: Step) -> None:
    seat = pool.seat()
    assert seat is not None
    pool.submit(Job(step, {}, "conformance-1-x"), seat)


def _outcomes(pool: Pool, count: int) -> list[Outcome]:
    until, found = time.monotonic() + WAIT_S, list[Outcome]()
    while len(found) < count and time.monotonic() < until:
        found += [message for message in pool.poll(0.2) if isinstance(message, Outcome)]
    assert len(found) == count, f"{len(found)} of {count} outcomes in {WAIT_S:.0f} s"
    return found
