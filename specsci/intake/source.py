"""The examination of a base by the name that a study would give it."""

from __future__ import annotations

from pathlib import Path

from specsci.core.user_files import unhidden
from specsci.sources.examination import Examination, ok, refuse
from specsci.sources.examine import Use, examine, files_of
from specsci.sources.registry import source_of


def examine_source(name: str, *, trusted: bool = False) -> Examination:
    """Examine what a study's `source:` names; a base that lies elsewhere is fetched first.

    Raises:
        UserError: the name means nothing, or a model that cannot be fetched.
    """
    source = source_of(name)
    if source.registered:
        source.facts(name, Path.cwd())
        return Examination((ok("registered", source.registered.text),))
    folder = source.local(name, trusted=trusted)
    if folder is None or not (folder / "config.json").is_file():
        return Examination(
            (refuse("config", f"there is no config.json in {folder}", "save the model with save_pretrained"),)
        )
    if not unhidden(folder, "*.safetensors"):
        hint = "save the model with save_pretrained: pickle is not read"
        return Examination((refuse("weights", f"there are no safetensors weights in {folder}", hint),))
    return examine(folder, files_of(folder), trusted=trusted, quick=False, use=Use(uses=(("user", "assistant"),)))
