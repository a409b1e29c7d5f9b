"""A worker process: imports torch once, then runs one step after another."""

from __future__ import annotations

import errno
import multiprocessing
import os
import platform
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from specsci.core.context import StepContext
from specsci.core.errors import CorruptArtifact, GateRefused, NotFinished, SpecsciError, UserError
from specsci.core.kinds import KINDS, TORCH
from specsci.core.record import Record
from specsci.core.step import OUTSIDE, Step
from specsci.core.stopping import heed_sigterm, wanted
from specsci.core.version import __version__
from specsci.execute.logs import add, drop_failed, keep_failed, log_libraries, logged
from specsci.store.artifact import LOG, Store
from specsci.store.ledger import taken_over

PROGRESS_EVERY_S = 0.2
LEASE_LOST = "lease lost"
NO_GPU = "there is an NVIDIA GPU, and this torch cannot use it"


@dataclass(frozen=True)
class Job:
    """A step for a worker: the step, and kind and digest of each input by role."""

    step: Step
    inputs: dict[str, tuple[str, str]]
    owner: str
    token: int = 0
    """The fencing token of its claim; 0 where no ledger is asked."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job: `done`, `failed`, `refused` (a gate), `waiting` (for others), `corrupt` (an input).

    `died` is said by its pool; `lease lost` where another runner has the step by now.
    """

    digest: str
    state: str
    seconds: float = 0.0
    busy_s: float = 0.0
    error: str = ""
    corrupt: tuple[str, str] | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tick:
    """Progress inside a step."""

    digest: str
    done: int
    total: int


def main(connection: Connection, root: str, threads: int) -> None:
    """Serve jobs until the connection closes; Ctrl-C is the runner's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    heed_sigterm()
    _end_with_parent()
    log_libraries()
    store = Store(Path(root))
    verified: set[str] = set()
    load = _Torch(threads)
    while True:
        try:
            job = connection.recv()
        except (EOFError, OSError):
            return
        if job is None:
            return
        outcome = run_job(store, job, connection, verified, load)
        try:
            connection.send(outcome)
        except (BrokenPipeError, OSError):
            return
        if wanted():
            return


class _Torch:
    """Loads torch before the first step that needs it, so that what it says is in that step's log."""

    def __init__(self, threads: int) -> None:
        self.threads, self.loaded = threads, False

    def __call__(self, step: Step) -> None:
        """Be ready for a step; raises UserError where there is a GPU that torch cannot use."""
        if TORCH not in KINDS[step.kind].needs:
            return
        import torch

        if not self.loaded:
            torch.set_num_threads(self.threads)
            self.loaded = True
        if os.environ.get("CUDA_VISIBLE_DEVICES") and not torch.cuda.is_available():
            hint = (
                "install a CUDA build of torch, or set runtime.device: cpu in the study; `specsci doctor` says what is wrong"
            )
            raise UserError(NO_GPU, hint=hint)


def _end_with_parent() -> None:
    """End this process when its runner is gone, even inside a long step: the next runner takes that step anew."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


Prepare = Callable[[Step], None]


def run_job(
    store: Store, job: Job, connection: Connection | None, verified: set[str], prepare: Prepare = lambda step: None
) -> Outcome:
    """Run one job and publish its artefact; whatever goes wrong is an outcome, not an exception.

    Args:
        verified: digests of inputs that this worker has checked; more are added.
        prepare: called with the step before it runs, its words in the step's log.
    """
    start, stage = time.perf_counter(), store.stage_path(job.step, job.owner)
    try:
        outcome = _outcome(store, job, connection, verified, prepare, start)
        if outcome.state in ("failed", "refused"):
            _keep_log(store, job.step.digest, stage, outcome.error)
        return outcome
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _keep_log(store: Store, digest: str, stage: Path, error: str) -> None:
    """Keep a failed step's log with its error; where the disk is full there is none to keep."""
    try:
        if (stage / LOG).is_file():
            add(stage / LOG, error)
        keep_failed(store.root, digest, stage)
    except OSError as trouble:
        sys.stderr.write(f"the log of {digest} could not be kept: {trouble}\n")


def _outcome(
    store: Store, job: Job, connection: Connection | None, verified: set[str], prepare: Prepare, start: float
) -> Outcome:
    step = job.step
    try:
        records = {role: _verified(store, kind, digest, verified) for role, (kind, digest) in job.inputs.items()}
        stage = store.stage(step, job.owner)
        scratch = store.root / "stage" / f"{step.digest}.{job.owner}.scratch"
        scratch.mkdir(exist_ok=True)
        context = StepContext(
            kind=step.kind,
            digest=step.digest,
            params=step.params,
            inputs={role: store.path(kind, digest) for role, (kind, digest) in job.inputs.items()},
            records=records,
            input_digests=dict(step.inputs),
            out=stage,
            scratch=scratch,
            checkpoints=store.checkpoints(step, job.owner),
            runtime={
                **{k: v for k, v in step.runtime.items() if k != OUTSIDE},
                "device": "cuda" if os.environ.get("CUDA_VISIBLE_DEVICES") else "cpu",
            },
            progress=_reporter(connection, step.digest),
            outside=step.runtime.get(OUTSIDE, ""),
            store=store.root,
        )
        try:
            with logged(stage / LOG, f"{step.label} [{step.kind} {step.digest}]"):
                prepare(step)
                facts = KINDS[step.kind].load_action()(context)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        busy = time.perf_counter() - start
        more = {"access": step.runtime["access"]} if "access" in step.runtime else {}
        if price := step.runtime.get("usd_per_h"):
            more["cost_usd"] = round(busy / 3600 * price, 6)
        if job.token and taken_over(store.root, step.digest, job.owner, job.token):
            return Outcome(step.digest, LEASE_LOST, error="another runner took the step over, and what was made here is dropped")
        store.publish(step, stage, {**facts, **more, "busy_s": round(busy, 4), "provenance": provenance()})
        store.drop_checkpoints(step.digest)
        drop_failed(store.root, step.digest)
        return Outcome(step.digest, "done", time.perf_counter() - start, busy, facts=facts)
    except CorruptArtifact as error:
        kind = next((k for k, d in job.inputs.values() if d == error.digest), "")
        found = (kind, error.digest) if kind else None
        return Outcome(step.digest, "corrupt" if kind else "failed", error=str(error), corrupt=found)
    except GateRefused as error:
        return Outcome(step.digest, "refused", error=str(error))
    except NotFinished as error:
        return Outcome(step.digest, "waiting", error=str(error))
    except (SpecsciError, UserError) as error:
        return Outcome(step.digest, "failed", error=str(error))
    except Exception as error:  # noqa: BLE001 - a step's failure is reported with its traceback, and stops only its dependents
        return Outcome(step.digest, "failed", error=_explained(error, store.root))


def _verified(store: Store, kind: str, digest: str, verified: set[str]) -> Record:
    """An input's record; its digests are checked the first time this worker meets it."""
    folder = store.path(kind, digest)
    if digest in verified:
        from specsci.store.artifact import read_record

        record = read_record(folder)
        if record is not None:
            return record
    record = store.verify(kind, digest)
    verified.add(digest)
    return record


def _reporter(connection: Connection | None, digest: str) -> Any:
    last = [0.0]

    def report(done: int, total: int) -> None:
        now = time.monotonic()
        if connection is not None and now - last[0] >= PROGRESS_EVERY_S:
            last[0] = now
            connection.send(Tick(digest, done, total))

    return report


def _explained(error: Exception, root: Path) -> str:
    """A full disk in one sentence (safetensors and Arrow wrap its error number in a text), all else as a traceback."""
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error)
    if full:
        return f"{root}: the disk is full\n  hint: free space or choose another place with --store; finished steps are kept"
    return traceback.format_exc()


def _device() -> str:
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return str(cuda.get_device_name(0)) if cuda is not None and cuda.is_initialized() else "cpu"


def provenance() -> dict[str, Any]:
    """Where and with what a step ran: recorded and compared, never part of an identity."""
    modules = ("torch", "transformers", "trl", "peft", "numpy")
    versions = {m: getattr(sys.modules[m], "__version__", "?") for m in modules if m in sys.modules}
    return {
        "specsci": __version__,
        "python": platform.python_version(),
        "host": platform.node(),
        "machine": platform.machine(),
        "device": _device(),
        "ended_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **{m: str(v) for m, v in versions.items()},
    }
