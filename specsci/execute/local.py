"""The local executor: a scheduler over warm worker processes on one machine.

Several runners may share one store: each claims a step in the ledger before it runs it, renews its
leases while it lives, and waits for steps that another holds.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from specsci.core.kinds import KINDS, TORCH
from specsci.core.step import Step
from specsci.execute.devices import Layout
from specsci.execute.executor import Display, RunReport
from specsci.execute.logs import failed_log, keep_failed
from specsci.execute.pool import Worker, WorkerPool
from specsci.execute.worker import Job, Outcome, Tick
from specsci.store.artifact import Store
from specsci.store.ledger import LEASE_S, Ledger, is_dead

POLL_S = 0.5
MAX_DEATHS = 2


class LocalExecutor:
    """Runs steps in dependency order on `layout.workers` processes."""

    def __init__(self, store: Store, ledger: Ledger, layout: Layout, display: Display) -> None:
        self.store, self.ledger, self.layout, self.display = store, ledger, layout, display
        self.pool = WorkerPool(store.root, layout)
        self.report = RunReport()

    def run(self, steps: dict[str, Step]) -> RunReport:
        """Run what is missing; Ctrl-C ends the workers and keeps what is done."""
        begin = time.monotonic()
        self.steps = steps
        self.done = self.store.have(list(steps.values()))
        self.waiting = {d: s for d, s in steps.items() if d not in self.done}
        self.children: dict[str, list[str]] = {}
        self.missing = {d: {n for n in s.needs if n not in self.done} for d, s in self.waiting.items()}
        for digest, needs in self.missing.items():
            for need in needs:
                self.children.setdefault(need, []).append(digest)
        self.ready = {d: None for d, needs in self.missing.items() if not needs}
        self.deaths: dict[str, int] = {}
        self.failed: set[str] = set()
        self.report.reused = len(self.done)
        if not self.waiting:
            self.report.wall_s = time.monotonic() - begin
            return self.report
        self.ledger.free_dead_claims()
        self.store.clear_stage(is_dead)
        self.store.clear_checkpoints()
        self.ledger.start_run(len(steps))
        self.display.start(len(steps), len(self.done), self.layout.workers)
        loads = any(TORCH in KINDS[s.kind].needs for s in self.waiting.values())
        self.display.phase("starting workers" + (": loading torch" if loads else ""))
        state = "ended"
        try:
            self._loop()
        except KeyboardInterrupt:
            self.report.interrupted, state = True, "interrupted"
        finally:
            self.pool.stop()
            self.store.clear_stage(lambda owner: owner == self.ledger.runner)
            self.display.stop()
            self.ledger.end_run(state)
        self.report.wall_s = time.monotonic() - begin
        return self.report

    def _loop(self) -> None:
        renewed = time.monotonic()
        while self.waiting:
            gave = self._assign()
            if not self.pool.busy() and not gave and not self.ready:
                break
            for worker, message in self.pool.collect(POLL_S if self.pool.busy() else 0):
                if isinstance(message, Tick):
                    self.display.tick(self.steps[message.digest], message.done, message.total)
                else:
                    self._ended(worker, message)
            if time.monotonic() - renewed > LEASE_S / 6:
                self.ledger.renew(len(self.done), len(self.steps))
                renewed = time.monotonic()
            if not self.pool.busy() and self.ready and not self._assign():
                time.sleep(POLL_S)
                self.ledger.free_dead_claims()

    def _assign(self) -> bool:
        """Give ready steps to idle workers; returns whether any was given or found done elsewhere."""
        progressed = False
        while self.ready and (self.pool.idle() or self.pool.has_room()):
            step, worker = self._claim_next()
            if step is None:
                break
            progressed = True
            if worker is not None:
                self.display.started(step)
                inputs = {role: (self.steps[d].kind, d) for role, d in step.inputs.items()}
                self.pool.give(worker, Job(step, inputs, self.ledger.runner))
        return progressed

    def _claim_next(self) -> tuple[Step | None, Worker | None]:
        """A claimed step and its worker; a step without a worker was made by another runner meanwhile."""
        worker = self.pool.idle()[0] if self.pool.idle() else None
        for digest in self._by_affinity(worker):
            step = self.steps[digest]
            if not self.ledger.claim(digest, step.label):
                continue
            del self.ready[digest]
            if self.store.has(step):
                self.ledger.release(digest)
                self._complete(digest)
                self.report.reused += 1
                return step, None
            for trouble in self.store.take_checkpoints(step, self.ledger.runner):
                self.display.note(f"{step.label} [{digest}] begins without a checkpoint: {trouble}")
            return step, worker or self.pool.start_one()
        for digest in list(self.ready):
            if self.store.has(self.steps[digest]):
                del self.ready[digest]
                self._complete(digest)
                self.report.reused += 1
                return self.steps[digest], None
        return None, None

    def _by_affinity(self, worker: Worker | None) -> Iterable[str]:
        """Ready steps, those first whose inputs the worker has just had in hand."""
        recent = set(worker.last_digests[:1]) if worker else set()
        if not recent:
            return list(self.ready)
        near = [d for d in self.ready if recent & self.steps[d].needs]
        model = set(worker.last_digests) if worker else set()
        siblings = [d for d in self.ready if self.steps[d].inputs.get("model") in model]
        return dict.fromkeys([*near, *siblings, *self.ready])

    def _ended(self, worker: Worker, outcome: Outcome) -> None:
        step = self.steps[outcome.digest]
        if outcome.state == "died":
            keep_failed(self.store.root, step.digest, self.store.stage_path(step, self.ledger.runner))
        ours = self.ledger.release(outcome.digest)
        if outcome.state == "done":
            self.report.executed += 1
            self.report.step_s += outcome.seconds
            self.report.busy_s += outcome.busy_s
            by_kind = self.report.busy_by_kind_s
            by_kind[step.kind] = by_kind.get(step.kind, 0.0) + outcome.busy_s
            self._complete(outcome.digest)
        elif outcome.state == "corrupt" and outcome.corrupt is not None:
            self._rebuild(outcome.digest, *outcome.corrupt)
        elif outcome.state == "died" and self._may_retry(outcome.digest):
            self.ready[outcome.digest] = None
        elif not ours and self._may_retry(outcome.digest):
            self.ready[outcome.digest] = None
            said = (outcome.error.strip().splitlines() or [""])[-1]
            self.display.note(f"{step.label} [{step.digest}] is another runner's by now; here it ended with: {said}")
            outcome = replace(outcome, state="taken over")
        else:
            self._fail(step, outcome)
        self.display.ended(step, outcome.state, outcome.seconds, outcome.error)

    def _may_retry(self, digest: str) -> bool:
        self.deaths[digest] = self.deaths.get(digest, 0) + 1
        return self.deaths[digest] < MAX_DEATHS

    def _complete(self, digest: str) -> None:
        self.done.add(digest)
        self.waiting.pop(digest, None)
        for child in self.children.get(digest, []):
            self.missing[child].discard(digest)
            if not self.missing[child] and child in self.waiting and child not in self.failed:
                self.ready[child] = None

    def _rebuild(self, digest: str, kind: str, corrupt: str) -> None:
        """Set a corrupt input aside and make it anew before the step that found it is tried again."""
        aside = self.store.set_aside(kind, corrupt)
        self.display.note(f"{kind} {corrupt} is corrupt: set aside as {aside}, made anew")
        self.report.repaired += 1
        self.report.reused -= 1 if corrupt in self.done else 0
        step = self.steps[corrupt]
        self.done.discard(corrupt)
        self.waiting[corrupt] = step
        self.missing[corrupt] = {n for n in step.needs if n not in self.done}
        self.missing[digest].add(corrupt)
        self.children.setdefault(corrupt, []).append(digest)
        if not self.missing[corrupt]:
            self.ready[corrupt] = None

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
        stack = [step.digest]
        while stack:
            for child in self.children.get(stack.pop(), []):
                if child not in self.failed and child in self.waiting:
                    self.failed.add(child)
                    self.waiting.pop(child)
                    self.report.blocked += 1
                    stack.append(child)
        self.failed.add(step.digest)
        self.waiting.pop(step.digest, None)
