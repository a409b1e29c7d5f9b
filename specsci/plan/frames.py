"""The frames of a plan: what stands around the questions of an arm under a harness condition, resolved to texts.

Files and specs are read here, so that a frame's identity is its texts, whatever they came from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from specsci.core.errors import UserError
from specsci.core.ids import digest
from specsci.core.step import Step
from specsci.core.user_files import read_user_text
from specsci.plan.plan import Plan
from specsci.sources.files import inside
from specsci.sources.text_files import read_passages
from specsci.specs.text import render_text
from specsci.specs.variants import prompt_text
from specsci.study.harness import AGENT, Condition, is_text_name
from specsci.study.load import LoadedStudy

MOST_TEXT_BYTES = 2_000_000


def frame_of(loaded: LoadedStudy, arm: str, condition: str, names: dict[str, str]) -> dict[str, Any]:
    """What stands around a question to an arm under a condition, as JSON; empty where nothing does.

    Args:
        condition: its name; empty for none.
        names: values of the persona placeholders.

    Raises:
        InputFileError: a file is not there, or cannot be read.
    """
    study, found = loaded.study, {}
    if prompt := study.arms[arm].prompt:
        found["prompt"] = _text(loaded, prompt, names, "arms", arm, "prompt", variant=not is_text_name(prompt))
    if condition:
        found |= _of_condition(loaded, condition, study.harness[condition], names)
    return {key: value for key, value in found.items() if value}


def _of_condition(loaded: LoadedStudy, name: str, condition: Condition, names: dict[str, str]) -> dict[str, Any]:
    at = ("harness", name)
    parts = [
        _text(loaded, condition.spec, names, *at, "spec", variant=True) if condition.spec else "",
        _text(loaded, condition.system, names, *at, "system") if condition.system else "",
        render_text(condition.monitoring_text, names) if condition.monitoring == "announced" else "",
    ]
    said = condition.model_dump(mode="json")
    return {
        "system": "\n\n".join(part for part in parts if part),
        "history": _history(loaded, condition, *at, "history"),
        "turns": [{"after": t.after, "role": t.role, "text": render_text(t.text, names)} for t in condition.turns],
        "agent": {key: said[key] for key in sorted(condition.features & AGENT)},
    }


def _text(loaded: LoadedStudy, given: str, names: dict[str, str], *at: str, variant: bool = False) -> str:
    """A variant's text, a file's, or the text itself, with the persona's names in it."""
    try:
        if variant:
            return prompt_text(loaded.family, given, names)
        if not is_text_name(given):
            return render_text(given, names).strip()
        path = inside(given, loaded.file.resolve().parent, "text file")
        text = read_user_text(path, MOST_TEXT_BYTES, "a prompt is a page or some").strip()
        if not text:
            raise UserError(f"'{given}' is empty", hint="write the text, or leave the key out")
        return render_text(text, names)
    except UserError as error:
        raise loaded.problem(error, *at) from error


def _history(loaded: LoadedStudy, condition: Condition, *at: str) -> list[dict[str, str]]:
    """The messages before the question: the first exchanges of the file's conversations, system messages left out."""
    if not condition.history:
        return []
    wanted = 2 * condition.history_turns
    try:
        path: Path = inside(condition.history, loaded.file.resolve().parent, "text file")
        said: list[dict[str, str]] = []
        for passage in read_passages(path, condition.history, "conversations"):
            turns = [m for m in passage.said if m["role"] in ("user", "assistant")]
            pairs = [turns[n : n + 2] for n in range(0, len(turns) - 1, 2)]
            said += [{"role": m["role"], "content": m["content"]} for pair in pairs for m in pair]
            if len(said) >= wanted:
                break
        if len(said) < wanted:
            what = f"'{condition.history}' holds {len(said) // 2} exchanges, and {condition.history_turns} are wanted"
            raise UserError(what, hint="lower history_turns, or bring more conversations")
    except UserError as error:
        raise loaded.problem(error, *at) from error
    return said[:wanted]


class Frames:
    """Adds a plan's frames as steps, each once."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.loaded = plan, plan.loaded
        self._steps: dict[tuple[str, str, tuple[tuple[str, str], ...]], str | None] = {}

    def step(self, arm: str, condition: str, names: dict[str, str], specs: dict[str, str], runtime: dict[str, Any]) -> str | None:
        """The step that holds a frame; None where nothing stands around the question.

        Args:
            specs: variant to its spec step, which a frame that says the variant has as an input.
        """
        prompt = self.loaded.study.arms[arm].prompt
        key = (prompt, condition, tuple(sorted(names.items())))
        if key not in self._steps:
            data = frame_of(self.loaded, arm, condition, names)
            self._steps[key] = self._add(data, prompt, condition, specs, runtime) if data else None
        return self._steps[key]

    def _add(self, data: dict[str, Any], prompt: str, condition: str, specs: dict[str, str], runtime: dict[str, Any]) -> str:
        what = " under ".join(part for part in (f"prompt {prompt}" if prompt else "", condition) if part)
        inputs = {f"spec.{variant}": digest for variant, digest in sorted(specs.items())}
        step = Step("frame", {"sha256": digest(data)}, inputs, f"harness: {what}", {**runtime, "frame": data})
        return self.plan.add(step)


def variants_in(loaded: LoadedStudy, arm: str, condition: str) -> list[str]:
    """The variants whose specs stand in a frame."""
    prompt = loaded.study.arms[arm].prompt
    found = [prompt] if prompt and not is_text_name(prompt) else []
    spec = loaded.study.harness[condition].spec if condition else ""
    return list(dict.fromkeys([*found, *([spec] if spec else [])]))
