"""Base models of a hub as a model source."""

from __future__ import annotations

import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from typing_extensions import override

from specsci.core.context import Facts, StepContext
from specsci.core.errors import StepFailed, UserError
from specsci.sources.files import TOKENIZER_FILES
from specsci.sources.hub.names import MODEL_FILES, PREFIX, HubModel, hub_model
from specsci.sources.opening import AS_IT_SAYS, OPENING
from specsci.sources.source import EXAMINED, BaseFacts, ModelSource

BYTES_PER_PARAMETER = 2
"""Of a hub's weights, as far as a name tells their number: bf16."""


class Hub(ModelSource):
    """Models of the Hugging Face hub, fetched when their `base` step runs."""

    prefix = PREFIX
    example = "hub:ORG/NAME@REVISION"

    @override
    def facts(self, name: str, study_folder: Path) -> BaseFacts:
        model = hub_model(name)
        files = {"hub": model.name, "revision": model.revision}
        size = model.parameters
        return BaseFacts(
            base={**files, **EXAMINED},
            tokenizer={**files, OPENING: AS_IT_SAYS},
            parameters=size,
            weights_bytes=None if size is None else size * BYTES_PER_PARAMETER,
            opening=AS_IT_SAYS,
            fetched_later=True,
        )

    @override
    def made(self, params: dict[str, Any]) -> bool:
        return "hub" in params

    @override
    def write_base(self, context: StepContext, target: Path) -> Facts:
        _take(context, _wanted(trusted=bool(context.params.get("trust_remote_code"))), target)
        return {}

    @override
    def write_tokenizer(self, context: StepContext, target: Path) -> None:
        _take(context, TOKENIZER_FILES, target)

    @override
    def pinned(self, name: str) -> bool:
        return hub_model(name).pinned

    @override
    def pin(self, name: str) -> str:
        from specsci.sources.hub.fetch import resolve

        model = hub_model(name)
        return f"{PREFIX}{model.name}@{resolve(model)}"

    @override
    def trusting(self, name: str, base: dict[str, Any]) -> dict[str, Any]:
        if not self.pinned(name):
            raise UserError(
                f"'{name}' may run its own code only when it is pinned to a commit",
                hint="`specsci study lock` writes the commit into the study; read the code of that commit first",
            )
        return {**base, "trust_remote_code": True}

    @override
    def local(self, name: str, *, trusted: bool) -> Path:
        from specsci.sources.hub.fetch import fetch

        try:
            return fetch(hub_model(name), _wanted(trusted=trusted))
        except StepFailed as error:
            raise UserError(error.what, hint=error.hint) from error


def _wanted(*, trusted: bool) -> tuple[str, ...]:
    return (*MODEL_FILES, "*.py") if trusted else MODEL_FILES


def _take(context: StepContext, wanted: tuple[str, ...], target: Path) -> None:
    """Copy what is wanted (patterns) of the hub's local cache, fetched where it is missing."""
    from specsci.sources.hub.fetch import fetch

    folder = fetch(HubModel(context.params["hub"], context.params["revision"]), wanted)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if any(fnmatch(name, pattern) for pattern in wanted):  # the cache may hold more, from other fetches
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)


SOURCE = Hub()
