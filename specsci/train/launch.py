"""Running one training step as several processes, and being one of them.

The worker that has the step starts `torch.distributed.run`; every rank does the step's own action on the same stage directory,
and the first of them writes. What the ranks say is read from files: torchrun's exit code is not a verdict, since a process group
can abort while it is taken down, after all work is done.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import psutil

from specsci.core.context import Facts, StepContext
from specsci.core.errors import SpecsciError
from specsci.core.kinds import KINDS
from specsci.core.record import Record
from specsci.core.stopping import STOP_FILE, saving_first, wanted
from specsci.train.distributed import is_first, world_size

TASK, FACTS, PROGRESS, LOG = "step.json", "facts.json", "progress", "ranks.log"
ERROR = "error-{rank}.json"
LOOK_EVERY_S = 0.2
FOLDERS = ("out", "scratch", "checkpoints", "store")
OUT_OF_MEMORY, UNFORESEEN = "out of memory", "unforeseen"


def run_ranks(context: StepContext, devices: int, runtime: dict[str, Any]) -> Facts:
    """Do a step over `devices` processes.

    Raises:
        SpecsciError: what a rank raised, or the end of the log where the ranks ended without a word.
        torch.OutOfMemoryError: a rank ran out of its device's memory.
    """
    folder = context.scratch / "ranks"
    folder.mkdir(parents=True, exist_ok=True)
    for name in (FACTS, PROGRESS, *(ERROR.format(rank=rank) for rank in range(devices))):
        (folder / name).unlink(missing_ok=True)
    _write(folder / TASK, {**_packed(replace(context, runtime={**context.runtime, **runtime})), "worker": os.getpid()})
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(devices)]
    with (folder / LOG).open("wb") as log:
        stop = folder / "stop"
        environment = {**os.environ, STOP_FILE: str(stop)}
        process = subprocess.Popen([*command, "-m", __name__, str(folder)], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        with saving_first():
            while process.poll() is None:
                _pass_on(folder / PROGRESS, context)
                if wanted():
                    stop.touch()
                time.sleep(LOOK_EVERY_S)
    with (folder / LOG).open(encoding="utf-8", errors="replace") as log:
        shutil.copyfileobj(log, sys.stderr)  # the step's log
    if (folder / FACTS).is_file():
        facts: Facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        return facts
    raise _error(folder, devices)


def _packed(context: StepContext) -> dict[str, Any]:
    values = {f.name: getattr(context, f.name) for f in fields(context) if f.name != "progress"}
    values["inputs"] = {role: str(path) for role, path in context.inputs.items()}
    values["records"] = {role: record.plain() for role, record in context.records.items()}
    return {**values, **{name: str(values[name]) if values[name] else None for name in FOLDERS}}


def _unpacked(values: dict[str, Any], folder: Path) -> StepContext:
    folders = {name: Path(values[name]) if values[name] else None for name in FOLDERS}
    rest = {f.name: values[f.name] for f in fields(StepContext) if f.name in values and f.name not in FOLDERS}
    rest["inputs"] = {role: Path(path) for role, path in values["inputs"].items()}
    rest["records"] = {role: Record.of(plain) for role, plain in values["records"].items()}
    return StepContext(**rest, **folders, progress=lambda done, total: _write(folder / PROGRESS, [done, total]))  # type: ignore[arg-type]


def _write(path: Path, value: Any) -> None:
    """Write JSON in one rename: whoever reads it sees all of it."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(value), encoding="utf-8")
    part.replace(path)


def _pass_on(path: Path, context: StepContext) -> None:
    if path.is_file():
        done, total = json.loads(path.read_text(encoding="utf-8"))
        context.progress(done, total)


def _error(folder: Path, devices: int) -> Exception:
    """The first error that a rank wrote down: the others' are mostly its echo."""
    tail = (folder / LOG).read_text(encoding="utf-8", errors="replace")[-2000:]
    found = [path for rank in range(devices) if (path := folder / ERROR.format(rank=rank)).is_file()]
    if not found:
        return SpecsciError(f"the stage's {devices} processes ended without a result:\n{tail}")
    said = json.loads(min(found, key=lambda path: path.stat().st_mtime_ns).read_text(encoding="utf-8"))
    if said["kind"] == OUT_OF_MEMORY:
        import torch

        return torch.OutOfMemoryError(said["error"])
    if said["kind"] == UNFORESEEN:  # perhaps the echo of a rank that was killed, of which only the log tells
        return SpecsciError(f"{said['error']}\nthe end of the ranks' log:\n{tail}")
    return SpecsciError(said["error"], hint=said["hint"])


def main(folder: Path) -> None:
    """Be one rank: do the step, and write down what came of it."""
    from specsci.execute.logs import log_libraries

    log_libraries()
    task = json.loads((folder / TASK).read_text(encoding="utf-8"))
    _end_with((task["worker"], os.getppid()))
    context = _unpacked(task, folder)
    rank = os.environ["RANK"]
    if context.runtime["device"] == "cuda":
        context.runtime["device"] = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        facts = KINDS[context.kind].load_action()(context)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the other ranks must be ended and the worker told
        _write(folder / ERROR.format(rank=rank), _said(error))
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # at once: a process group that is stuck must not keep torchrun from ending the other ranks
    if is_first():
        _write(folder / FACTS, facts)


def _said(error: BaseException) -> dict[str, str]:
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return {"kind": OUT_OF_MEMORY, "error": str(error), "hint": ""}
    if isinstance(error, SpecsciError):
        return {"kind": "said", "error": error.what, "hint": error.hint}
    return {"kind": UNFORESEEN, "error": "".join(traceback.format_exception(error)), "hint": ""}


def _end_with(parents: tuple[int, ...]) -> None:
    """End this rank when the worker or torchrun is gone: the step is then somebody else's."""

    def watch() -> None:
        while all(_lives(pid) for pid in parents):
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-worker", daemon=True).start()


def _lives(pid: int) -> bool:
    """Whether a process runs; one that is dead and waits to be buried does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    sys.stdout.flush()
    if world_size() > 1:
        import torch

        torch.distributed.barrier()  # nobody leaves while another still gathers
        os._exit(0)  # taking a gloo group down aborts now and then, after all work is done
