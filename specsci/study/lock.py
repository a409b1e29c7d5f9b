"""Pinning a study's hub models: the file's own text, with commits where there were branches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from specsci.plan.hub import PREFIX, HubModel, hub_model
from specsci.store.artifact import write_text
from specsci.study.load import LoadedStudy


@dataclass(frozen=True)
class Pin:
    """A source as it was and as it is pinned, with its line."""

    line: int
    before: str
    after: str


def pin_models(loaded: LoadedStudy, resolve: Callable[[HubModel], str]) -> list[Pin]:
    """Write a commit behind every hub source of the profile in force that has none; nothing else of the file changes."""
    pins = []
    lines = loaded.file.read_text(encoding="utf-8").split("\n")
    for name, base in loaded.study.base_models.items():
        if not base.source.startswith(PREFIX):
            continue
        model = hub_model(base.source)
        if model.pinned:
            continue
        line = loaded.line("base_models", name, "source")
        after = f"{PREFIX}{model.name}@{resolve(model)}"
        lines[line - 1] = lines[line - 1].replace(base.source, after, 1)
        pins.append(Pin(line, base.source, after))
    if pins:
        write_text(loaded.file, "\n".join(lines))
    return pins
