"""A batch script for Slurm: an array of runners on one store.

Nothing is pickled and no job waits for another: a task's runner claims steps in the store's ledger, as any runner does, so that tasks
may begin late, be preempted, or be too many.
"""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from specsci.core.errors import UserError

TEMPLATE = Path(__file__).with_suffix(".sh")
GRACE_S = 300
"""How long before the limit a task is asked to stop: a training stage ends its update and saves."""


@dataclass(frozen=True)
class Batch:
    """What the script asks Slurm for.

    Attributes:
        runners: tasks of the array.
        grace_s: seconds before the limit at which a task is asked to stop.
        options: further options of `sbatch`, such as `--partition=gpu`.
    """

    runners: int = 1
    grace_s: int = GRACE_S
    options: tuple[str, ...] = ()


def slurm_script(study: str, arguments: list[str], store: Path, batch: Batch, command: tuple[str, ...] = ()) -> str:
    """The script that runs `specsci study run ARGUMENTS` as an array.

    Args:
        study: the study's name, for the queue.
        arguments: study, profile and overrides, as they were given.
        store: the store, which every node sees under this path.
        command: how specsci is called; by default with this Python, which every node sees too.

    Raises:
        UserError: an option that the script itself sets, or one that is none.
    """
    _check(batch.options)
    store = store.resolve()
    run = [*(command or (sys.executable, "-m", "specsci")), "study", "run", *arguments, "--store", str(store), "--plain"]
    slots = {
        "STUDY": study.replace("\n", " "),
        "NAME": "specsci-" + re.sub(r"[^\w.-]", "_", study),
        "LAST": str(batch.runners - 1),
        "GRACE": str(batch.grace_s),
        "LOGS": str(store / "slurm" / "%A_%a.log").replace(" ", "\\ "),
        "DIRECTIVES": "\n".join(f"#SBATCH {option}" for option in batch.options),
        "FOLDER": shlex.quote(str(Path.cwd())),
        "COMMAND": " ".join(map(shlex.quote, run)),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    return re.sub(r"@([A-Z]+)@", lambda slot: slots[slot[1]], text).replace("\n\nset -u", "\nset -u")


_OURS = ("array", "requeue", "no-requeue", "open-mode", "signal", "output", "error", "job-name", "wrap")


def _check(options: tuple[str, ...]) -> None:
    for option in options:
        found = re.fullmatch(r"--([a-z][a-z-]*)(=[^\n]*)?", option)
        if found is None:
            raise UserError(f"'{option}' is no option of sbatch", hint="write it as --partition=gpu, a long name with its value")
        if found[1] in _OURS:
            raise UserError(f"the script sets --{found[1]} itself", hint="leave it out; --runners and --grace-s say what may be chosen")
