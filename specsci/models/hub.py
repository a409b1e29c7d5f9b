"""Fetching base models from a hub, and resolving their revisions to commits."""

from __future__ import annotations

import shutil
from pathlib import Path

from specsci.errors import StepFailed, UserError
from specsci.plan.hub import FILES, HubModel


def fetch(model: HubModel, target: Path) -> None:
    """Copy a model's files at its revision into the new directory `target`; from the local cache where they are there.

    Raises:
        StepFailed: they cannot be had, or there are no safetensors weights.
    """
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(model.name, revision=model.revision or None, allow_patterns=list(FILES))
    except Exception as error:
        raise StepFailed(
            f"hub:{model.name}@{model.revision} cannot be fetched: {str(error).splitlines()[0]}",
            mend=f"allow the network with SPECSCI_ONLINE=1, or fetch it before: hf download {model.name} "
            f"--revision {model.revision or 'main'}",
        ) from error
    shutil.copytree(found, target, symlinks=False)
    if not list(target.glob("*.safetensors")):
        raise StepFailed(
            f"hub:{model.name} has no safetensors weights", mend="choose a revision that has them: pickle is not read"
        )


def resolve(model: HubModel) -> str:
    """The commit that a model's revision is now.

    Raises:
        UserError: the hub does not know it, or is not reachable.
    """
    from huggingface_hub import HfApi

    try:
        commit = HfApi().model_info(model.name, revision=model.revision or None).sha
    except Exception as error:
        raise UserError(
            f"hub:{model.name} cannot be resolved: {str(error).splitlines()[0]}",
            mend="check the name, the network and HF_HUB_OFFLINE; a private model needs `hf auth login`",
        ) from error
    return str(commit)
