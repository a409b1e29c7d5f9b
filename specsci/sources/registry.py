"""The model sources by the names that studies write."""

from __future__ import annotations

from typing import Any

from specsci.core.errors import UserError
from specsci.core.registry import Registry
from specsci.sources.source import ModelSource

BUILT_IN = (
    "specsci.sources.hub.source:SOURCE",
    "specsci.sources.package.source:SOURCE",
    "specsci.sources.directory.source:SOURCE",
    "specsci.microlab.source:SOURCE",
)
SOURCES: Registry[ModelSource] = Registry("specsci.sources", "model source", BUILT_IN, lambda s: s.prefix, ModelSource)


def source_of(name: str) -> ModelSource:
    """The source of a name: the one with the longest prefix that fits; a plain path is a directory's."""
    return max((s for s in SOURCES if name.startswith(s.prefix)), key=lambda s: len(s.prefix))


def maker_of(params: dict[str, Any]) -> ModelSource:
    """The source whose values the params of a `base` or `tokenizer` step are.

    Raises:
        UserError: none knows them: the package that brought it is not installed here.
    """
    for source in SOURCES:
        if source.made(params):
            return source
    raise UserError(f"no model source knows a base of {sorted(params)}", hint="install the package that brings the source")


def examples() -> str:
    """How names look, for hints: `hub:..., package:... or a model directory`."""
    shown = sorted((s.example for s in SOURCES), key=lambda e: (" " in e, e))
    return f"{', '.join(shown[:-1])} or {shown[-1]}"
