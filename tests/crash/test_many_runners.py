"""Eight runners on one store, each as on a machine of its own, with kills and wrong clocks, on either ledger."""

from __future__ import annotations

import json
import random
import time

import pytest
from watching import assert_same, done_steps, wait_for

from specsci.store.ledger import LEDGERS

RUNNERS, KILLS, LEASE_S = 8, 4, 3


@pytest.mark.slow
@pytest.mark.parametrize("ledger", sorted(LEDGERS))
def test_eight_machines_with_kills_and_wrong_clocks_make_what_one_runner_makes(ledger, toy_start, finished_toy, tmp_path):
    """Nobody sees another's processes, so that leases alone free what a killed runner held."""
    store, log = tmp_path / "store", tmp_path / "log"
    draws = random.Random(ledger)
    number = iter(range(1000))

    def begin():
        n = next(number)
        clock = draws.choice((-600, 600)) if n % 2 else 0
        return toy_start(
            "study", "run", finished_toy.study, "--store", store, "--json", "--workers", "1", pause_s=0.15, TOY_LOG=str(log), TOY_HOST=f"node{n}",
            TOY_CLOCK_S=str(clock), TOY_LEASE_S=str(LEASE_S), SPECSCI_LEDGER=ledger,
        )  # fmt: skip

    running = [begin() for _ in range(RUNNERS)]
    for kill in range(KILLS):
        wait_for(lambda kill=kill: done_steps(store) >= 4 + 8 * kill, timeout_s=120)
        time.sleep(draws.random() * 0.3)
        gone = running.pop(draws.randrange(len(running)))
        gone.process.kill()
        gone.wait()
        running.append(begin())
    for one in running:
        code, out, err = one.wait()
        assert code == 0, err
        report = json.loads(out)
        assert report["executed"] + report["reused"] == 59 and not report["failed"]
    tries = log.read_text().split()
    assert set(tries) == {s for s in (p.parent.name for p in store.glob("steps/*/*/record.json"))}, "no loss"
    assert len(tries) <= len(set(tries)) + KILLS, "a step is begun again only where its runner was killed"
    assert_same(store, finished_toy.store)
