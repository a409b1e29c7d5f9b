"""Pinning a study's hub models: the file's own text, with commits where there were branches."""

from __future__ import annotations

from dataclasses import dataclass

from specsci.core.files import write_text
from specsci.sources.registry import source_of
from specsci.study.load import LoadedStudy


@dataclass(frozen=True)
class Pin:
    """A source as it was and as it is pinned, with its line."""

    line: int
    before: str
    after: str


def pin_models(loaded: LoadedStudy) -> list[Pin]:
    """Pin every source of the profile in force whose name may mean another model tomorrow; nothing else of the file changes."""
    pins = []
    lines = loaded.file.read_text(encoding="utf-8").split("\n")
    for name, base in loaded.study.base_models.items():
        source = source_of(base.source)
        if source.pinned(base.source):
            continue
        line = loaded.line("base_models", name, "source")
        after = source.pin(base.source)
        lines[line - 1] = lines[line - 1].replace(base.source, after, 1)
        pins.append(Pin(line, base.source, after))
    if pins:
        write_text(loaded.file, "\n".join(lines))
    return pins
