"""The runner: takes what may run from the scheduler, claims it in the ledger, and has it done by a pool.

Several runners may share one store: each claims a step in the ledger before it runs it, renews its
leases while it lives, and waits for steps that another holds.
"""

from __future__ import annotations

import time
from dataclasses import replace

from specsci.core.kinds import KINDS, TORCH
from specsci.core.liveness import is_dead
from specsci.core.step import Step
from specsci.execute.logs import failed_log, keep_failed
from specsci.execute.pools.pool import Pool, Seat
from specsci.execute.report import Display, RunReport
from specsci.execute.scheduler import Scheduler
from specsci.execute.worker import LEASE_LOST, Job, Outcome, Tick
from specsci.store.artifact import Store
from specsci.store.ledger import BEATS, Ledger

POLL_S = 0.5
MAX_DEATHS = 2
MAX_ANEW = 2
"""How often one artefact is made anew in a run: what is corrupt again each time is not an accident."""


class Runner:
    """Runs what is missing of a set of steps; `workers` is how many the display shows."""

    def __init__(
        self, store: Store, ledger: Ledger, pool: Pool, display: Display, steps: dict[str, Step], workers: int
    ) -> None:
        self.store, self.ledger, self.pool, self.display, self.workers = store, ledger, pool, display, workers
        self.steps = steps
        self.scheduler = Scheduler(steps, store.have(list(steps.values())))
        self.reused = frozenset(self.scheduler.done)
        self.report = RunReport(reused=len(self.reused))
        self.deaths: dict[str, int] = {}
        self.anew: dict[str, int] = {}

    def run(self) -> RunReport:
        """Run what is missing; Ctrl-C ends the workers and keeps what is done."""
        begin = time.monotonic()
        if self.scheduler.waiting:
            self._run()
        self.report.wall_s = time.monotonic() - begin
        return self.report

    def _run(self) -> None:
        self.store.clear_stage(is_dead)
        self.store.clear_checkpoints()
        self.ledger.start_run(len(self.steps))
        self.display.start(len(self.steps), len(self.scheduler.done), self.workers)
        loads = any(TORCH in KINDS[s.kind].needs for s in self.scheduler.waiting.values())
        self.display.phase("starting workers" + (": loading torch" if loads else ""))
        state = "ended"
        try:
            self._loop()
        except KeyboardInterrupt:
            self.report.interrupted, state = True, "interrupted"
            self.display.phase("stopping: a training stage saves a checkpoint first (Ctrl-C again does not wait)")
        finally:
            self.pool.stop()
            self.store.clear_stage(lambda owner: owner == self.ledger.runner)
            self.display.stop()
            self.ledger.end_run(state)

    def _loop(self) -> None:
        renewed = time.monotonic()
        while self.scheduler.waiting:
            gave = self._assign()
            if not self.pool.running and not gave and not self.scheduler.ready:
                break
            for message in self.pool.poll(POLL_S if self.pool.running else 0):
                if isinstance(message, Tick):
                    self.display.tick(self.steps[message.digest], message.done, message.total)
                else:
                    self._ended(message)
            if time.monotonic() - renewed > self.ledger.watch.lease_s / BEATS:
                self.ledger.renew(len(self.scheduler.done), len(self.steps))
                renewed = time.monotonic()
            if not self.pool.running and self.scheduler.ready and not self._assign():
                time.sleep(POLL_S)

    def _assign(self) -> bool:
        """Give steps to free seats; returns whether any was given or found done elsewhere."""
        progressed = False
        while self.scheduler.ready and (seat := self.pool.seat()) is not None:
            if not self._give_one(seat):
                break
            progressed = True
        return progressed

    def _give_one(self, seat: Seat) -> bool:
        """Claim a step and run it at a seat, or see that another runner has made it; False where all are leased by others."""
        for step in self.scheduler.offers(seat.recent):
            if not self.ledger.claim(step.digest, step.label):
                continue
            if self.store.has(step):
                self.ledger.release(step.digest)
                self._found(step)
                return True
            self.scheduler.take(step.digest)
            for trouble in self.store.take_checkpoints(step, self.ledger.runner):
                self.display.note(f"{step.label} [{step.digest}] begins without a checkpoint: {trouble}")
            self.display.started(step)
            inputs = {role: (self.steps[d].kind, d) for role, d in step.inputs.items()}
            self.pool.submit(Job(step, inputs, self.ledger.runner, self.ledger.token(step.digest)), seat)
            return True
        for step in self.scheduler.offers():
            if self.store.has(step):
                self._found(step)
                return True
        return False

    def _found(self, step: Step) -> None:
        """A step that another runner made meanwhile."""
        self.scheduler.complete(step.digest)
        self.report.reused += 1

    def _ended(self, outcome: Outcome) -> None:
        step = self.steps[outcome.digest]
        if outcome.state == "died":
            keep_failed(self.store.root, step.digest, self.store.stage_path(step, self.ledger.runner))
        ours = self.ledger.release(outcome.digest)
        if outcome.state == "done":
            self._count(step, outcome)
            self.scheduler.complete(outcome.digest)
        elif outcome.state == "waiting":
            self.report.waiting.append({"digest": step.digest, "kind": step.kind, "label": step.label, "error": outcome.error})
            self.report.blocked += len(self.scheduler.fail(outcome.digest))
        elif outcome.state == "corrupt" and outcome.corrupt is not None:
            if not self._make_anew(outcome.digest, *outcome.corrupt):
                self._fail(step, outcome)
        elif outcome.state == "died" and self._may_retry(outcome.digest):
            self.scheduler.give_back(outcome.digest)
        elif outcome.state == LEASE_LOST or (not ours and self._may_retry(outcome.digest)):
            self.scheduler.give_back(outcome.digest)
            said = (outcome.error.strip().splitlines() or [""])[-1]
            self.display.note(f"{step.label} [{step.digest}] is another runner's by now; here it ended with: {said}")
            outcome = replace(outcome, state=LEASE_LOST)
        else:
            self._fail(step, outcome)
        self.display.ended(step, outcome.state, outcome.seconds, outcome.error)

    def _count(self, step: Step, outcome: Outcome) -> None:
        self.report.executed += 1
        self.report.step_s += outcome.seconds
        self.report.busy_s += outcome.busy_s
        by_kind = self.report.busy_by_kind_s
        by_kind[step.kind] = by_kind.get(step.kind, 0.0) + outcome.busy_s

    def _may_retry(self, digest: str) -> bool:
        self.deaths[digest] = self.deaths.get(digest, 0) + 1
        return self.deaths[digest] < MAX_DEATHS

    def _make_anew(self, digest: str, kind: str, corrupt: str) -> bool:
        """Quarantine a corrupt input and make it anew before the step that found it is tried again; False where it was tried."""
        if self.anew.get(corrupt, 0) >= MAX_ANEW:
            return False
        if not self.scheduler.make_anew(corrupt, digest):
            return True  # another step found it before, and it is being made
        self.anew[corrupt] = self.anew.get(corrupt, 0) + 1
        place = self.store.quarantine(kind, corrupt)
        self.display.note(f"{kind} {corrupt} is corrupt: quarantined as {place}, made anew")
        self.report.repaired += 1
        self.report.reused -= int(corrupt in self.reused and self.anew[corrupt] == 1)
        return True

    def _fail(self, step: Step, outcome: Outcome) -> None:
        """Record a failure; steps that need this one are blocked, the rest go on."""
        refused = outcome.state == "refused"
        self.report.refused += int(refused)
        self.report.failed += int(not refused)
        error = {"digest": step.digest, "kind": step.kind, "label": step.label, "error": outcome.error}
        if (log := failed_log(self.store.root, step.digest)).is_file():
            error["log"] = str(log)
        self.report.errors.append(error)
        self.ledger.failed(step.digest, step.label, outcome.error)
        self.report.blocked += len(self.scheduler.fail(step.digest))
