"""Fetching base models from a hub, and resolving their revisions to commits."""

from __future__ import annotations

from pathlib import Path

from specsci.core.errors import StepFailed, UserError
from specsci.sources.hub.names import HubModel


def fetch(model: HubModel, wanted: tuple[str, ...]) -> Path:
    """The local cache's directory with the wanted files (patterns) of a model at its revision, fetched where they are missing.

    Raises:
        StepFailed: they cannot be had.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model.name, revision=model.revision or None, allow_patterns=list(wanted)))
    except Exception as error:
        raise StepFailed(
            f"hub:{model.name}@{model.revision} cannot be fetched: {str(error).splitlines()[0]}",
            hint=f"allow the network with SPECSCI_ONLINE=1, or fetch it before: hf download {model.name} "
            f"--revision {model.revision or 'main'}",
        ) from error


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
            hint="check the name, the network and HF_HUB_OFFLINE; a private model needs `hf auth login`",
        ) from error
    return str(commit)
