"""The eval kind of programs: one that is given a model and items, and prints a line of JSON for every answer."""

from __future__ import annotations

import json
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
from specsci.evals.printed import rows_of
from specsci.specs.item_rows import read_item_rows
from specsci.specs.items import Item
from specsci.study.evals import EvalConfig, EvalKind

READOUTS = ("command",)
SLOTS = ("model", "items", "python")
LAST_WORDS = 800
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


KIND = CommandKind()
