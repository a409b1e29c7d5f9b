"""The examination of a base by the name that a study would give it."""

from __future__ import annotations

from pathlib import Path

from specsci.errors import StepFailed, UserError
from specsci.intake.examination import Examination, ok, refuse
from specsci.intake.examine import Use, examine, files_of
from specsci.plan.hub import PREFIX, HubModel, hub_model
from specsci.plan.sources import base_identity
from specsci.user_files import unhidden


def examine_source(source: str, *, trusted: bool = False) -> Examination:
    """Examine what a source names; one of the hub is fetched first.

    Raises:
        UserError: the source names nothing, or a hub model that cannot be fetched.
    """
    if source.startswith(("microlab:", "package:")):
        base_identity(source, Path.cwd())
        return Examination(
            (ok("registered", "its weights are those of the registry, which were proved when they were entered"),)
        )
    if source.startswith(PREFIX):
        folder = _fetched(hub_model(source), trusted=trusted)
    else:
        folder = Path(source)
        if not folder.is_dir():
            raise UserError(
                f"no model directory '{source}'", mend="name a directory, hub:ORG/NAME, package:NAME or microlab:WORLD/SEED"
            )
    if not (folder / "config.json").is_file():
        return Examination(
            (refuse("config", f"there is no config.json in {folder}", "save the model with save_pretrained"),)
        )
    if not unhidden(folder, "*.safetensors"):
        hint = "save the model with save_pretrained: pickle is not read"
        return Examination((refuse("weights", f"there are no safetensors weights in {folder}", hint),))
    return examine(folder, files_of(folder), trusted=trusted, quick=False, use=Use(uses=(("user", "assistant"),)))


def _fetched(model: HubModel, *, trusted: bool) -> Path:
    from specsci.models.hub import fetch
    from specsci.plan.hub import MODEL_FILES

    try:
        return fetch(model, (*MODEL_FILES, "*.py") if trusted else MODEL_FILES)
    except StepFailed as error:
        raise UserError(error.what, mend=error.mend) from error
