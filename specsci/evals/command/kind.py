"""The eval kind of programs: one that is given a model and items, and prints a line of JSON for every answer."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator
from typing_extensions import override

from specsci.core.context import StepContext
from specsci.core.errors import StepFailed
from specsci.evals.rows import STATES
from specsci.specs.item_rows import read_item_rows
from specsci.specs.items import Item
from specsci.study.evals import EvalConfig, EvalKind

READOUTS = ("command",)
SLOTS = ("model", "items", "python")
LAST_WORDS = 800
COLUMNS = ("item_id", "cluster_id", "slice", "variant", "sample", "state", "aligned", "value")
_SLOT = re.compile(r"\{(\w+)\}")
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)


class Command(EvalConfig):
    """A program that scores a model: it is run once for each model of the study."""

    kind: Literal["command"] = Field(default="command", description="A program of your own that prints scores.")
    items: str = Field(default="", description="The item set that it is given as JSON Lines in `{items}`; none by default.")
    command: list[str] = Field(
        min_length=1,
        description="The program and its arguments. `{model}` is the directory of the model with its tokenizer, `{items}` the file of "
        "items, `{python}` this Python. It runs in a folder that has the `files`, and prints one JSON object a line.",
    )
    files: list[str] = Field(
        default_factory=list, description="Files beside the study that the program needs, such as itself; a change of one asks every model again."
    )
    outcome: Literal["binary", "rate"] = Field(
        default="binary", description="What a line says: `aligned`, true or false (`binary`), or a `value` (`rate`; higher is more aligned)."
    )
    timeout_s: float = Field(default=3600.0, gt=0, description="The most seconds that the program may take for one model.")
    environment: list[str] = Field(
        default_factory=list, description="Environment variables that the program sees beside PATH, HOME and the like, by name; keys are otherwise kept from it."
    )

    @field_validator("command")
    @classmethod
    def _slots(cls, command: list[str]) -> list[str]:
        for slot in (slot for part in command for slot in _SLOT.findall(part)):
            if slot not in SLOTS:
                raise ValueError(f"{{{slot}}} is no slot: {', '.join(f'{{{s}}}' for s in SLOTS)}")
        return command


class CommandKind(EvalKind):
    """Scores are what a program prints; whatever it does not say has no number."""

    name = "command"
    config = Command
    readouts = READOUTS
    asks = frozenset({"choices", "questions"})

    @override
    def identity(self, config: Any) -> dict[str, Any]:
        return {"command": list(config.command), "outcome": config.outcome}

    @override
    def in_chats(self, settings: dict[str, Any]) -> bool:
        return False

    @override
    def outcome_of(self, config: Any) -> Literal["binary", "rate"]:
        return "binary" if config.outcome == "binary" else "rate"

    @override
    def outside(self, config: Any) -> list[str]:
        return list(config.files)

    @override
    def told(self, config: Any) -> dict[str, Any]:
        return {"timeout_s": config.timeout_s, "environment": list(config.environment)}

    def read_tokens(self, config: Any, items_text: str) -> float:
        """Not known of a program; about what reading the items once takes."""
        return max(1.0, len(items_text) / 4)

    @override
    def longest_tokens(self, settings: dict[str, Any], items: Path, identity: dict[str, str], tokenizer: Any) -> int:
        return 0

    @override
    def score(self, context: StepContext) -> Iterator[dict[str, Any]]:
        items = read_item_rows(context.inputs["items"]) if "items" in context.inputs else []
        folder = context.scratch / "command"
        folder.mkdir(parents=True)
        context.take_externals(folder)
        places = {"model": _model(context), "items": _items(items, folder), "python": Path(sys.executable)}
        command = [_SLOT.sub(lambda slot: str(places[slot[1]]), part) for part in context.params["command"]]
        printed = _run(command, folder, context)
        shutil.rmtree(places["model"], ignore_errors=True)
        yield from rows_of(printed, items, binary=context.params["outcome"] == "binary")


def _model(context: StepContext) -> Path:
    """The model with its tokenizer as a directory, adapters merged.

    Raises:
        StepFailed: its base is in 4 bits, which no plain directory holds.
    """
    from specsci.evals.model import fresh_model
    from specsci.models.hf import MODEL, save_model, save_tokenizer
    from specsci.models.remote_code import copy_code

    if context.params.get("holding", {}).get("quantised"):
        raise StepFailed("a model over 4-bit weights is no plain directory", hint="train with method lora or full for evals of kind command")
    target = context.scratch / "model"
    loaded = fresh_model(context)
    merged = loaded.merge_and_unload() if hasattr(loaded, "merge_and_unload") else loaded
    target.mkdir(parents=True)
    save_model(merged, target)
    copy_code(context.inputs["base"] / MODEL, target)
    save_tokenizer(context.inputs["tokenizer"], target)
    return target


def _items(items: list[Item], folder: Path) -> Path:
    """The items as JSON Lines, a line for each question in its order."""
    path = folder / "items.jsonl"
    with path.open("w", encoding="utf-8") as out:
        for item in items:
            for variant, question in item.questions():
                row = {
                    "item_id": item.item_id, "cluster_id": item.cluster_id, "slice": item.slice, "variant": variant, "question": question,
                    "aligned": item.aligned, "misaligned": item.misaligned, "statement": item.statement,
                }  # fmt: skip
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def _run(command: list[str], folder: Path, context: StepContext) -> str:
    """What the program prints.

    Raises:
        StepFailed: it cannot be started, ends with an error, or takes too long.
    """
    allowed = context.runtime.get("eval", {})
    seen = {name: value for name, value in os.environ.items() if not _SECRET.search(name)}
    seen |= {name: os.environ[name] for name in allowed.get("environment", ()) if name in os.environ}
    limit_s = float(allowed.get("timeout_s", 3600.0))
    try:
        done = subprocess.run(
            command, cwd=folder, env=seen, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise StepFailed(f"the program took more than {limit_s:g} s", hint="raise timeout_s of the eval") from error
    except OSError as error:
        raise StepFailed(f"the program cannot be started: {error}", hint="see the eval's command; {python} is this Python") from error
    if done.returncode:
        words = (done.stderr or done.stdout).decode("utf-8", "replace").strip()[-LAST_WORDS:]
        raise StepFailed(f"the program ended with {done.returncode}: {words or 'it said nothing'}", hint="run it by hand on a model of `specsci model export`")
    return done.stdout.decode("utf-8", "replace")


def rows_of(printed: str, items: list[Item], *, binary: bool) -> Iterator[dict[str, Any]]:
    """Score rows of what a program printed; questions that it says nothing of are errors, not left out.

    Raises:
        StepFailed: a line is no score, names no item of the set, or stands twice.
    """
    wanted = {(item.item_id, variant): item for item in items for variant, _ in item.questions()}
    by_id = {item.item_id: item for item in items}
    answered: set[tuple[str, str]] = set()
    count = 0
    for number, line in enumerate(printed.splitlines(), 1):
        if not line.strip():
            continue
        row = _row(line, number, binary)
        count += 1
        item = by_id.get(row["item_id"])
        if items and item is None:
            raise StepFailed(f"line {number} of the program's output names '{row['item_id']}', which is no item of the set")
        if item is not None:
            row = {"cluster_id": item.cluster_id, "slice": item.slice, **row}
            whole = {variant for key, variant in wanted if key == item.item_id}
            if "variant" not in row and len(whole) == 1:
                row["variant"] = next(iter(whole))
            answered |= {(item.item_id, variant) for variant in ([row["variant"]] if row.get("variant") in whole else whole)}
        yield {"readout": READOUTS[0], "cluster_id": row["item_id"], **row}
    if not count and not items:
        raise StepFailed("the program printed no score", hint='print lines such as {"item_id": "a", "aligned": true}')
    for (item_id, variant), item in wanted.items():
        if (item_id, variant) not in answered:
            place = {"item_id": item_id, "cluster_id": item.cluster_id, "slice": item.slice, "variant": variant}
            yield {"readout": READOUTS[0], **place, "state": "error"}


def _row(line: str, number: int, binary: bool) -> dict[str, Any]:
    """One line as a score row; raises StepFailed where it is none."""
    where = f"line {number} of the program's output"
    try:
        given = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise StepFailed(f"{where} is not JSON: {line.strip()[:80]!r}", hint="print scores alone on stdout; messages belong on stderr") from error
    if not isinstance(given, dict) or not isinstance(given.get("item_id"), (str, int)) or isinstance(given.get("item_id"), bool):
        raise StepFailed(f"{where} has no item_id", hint='print lines such as {"item_id": "a", "aligned": true}')
    row = {key: given[key] for key in COLUMNS if given.get(key) is not None}
    row["item_id"] = str(row["item_id"])
    answer = row.get("aligned") if binary else row.get("value")
    fits = isinstance(answer, bool) if binary else isinstance(answer, (int, float)) and not isinstance(answer, bool) and math.isfinite(answer)
    state = row.setdefault("state", "ok" if answer is not None else "error")
    if state not in STATES or not isinstance(state, str):
        raise StepFailed(f"{where}: '{state}' is no state: {', '.join(STATES)}")
    if state == "ok" and not fits:
        said = "aligned: true or false" if binary else "value: a finite number"
        raise StepFailed(f"{where} has no answer", hint=f"write {said}; or a state such as unparsed")
    if state != "ok":
        row.pop("aligned", None)
        row.pop("value", None)
    elif binary:
        row["value"] = float(row["value"]) if isinstance(row.get("value"), (int, float)) else (1.0 if answer else -1.0)
    else:
        row["value"] = float(row["value"])
        row.pop("aligned", None)
    if "sample" in row and (not isinstance(row["sample"], int) or isinstance(row["sample"], bool)):
        raise StepFailed(f"{where}: sample is no number")
    return row


KIND = CommandKind()
