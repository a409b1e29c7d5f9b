"""Weights inside Python packages as a model source."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from typing_extensions import override

from specsci.core.context import Facts, StepContext
from specsci.core.errors import StepFailed
from specsci.recipe.memory import Shape
from specsci.sources.package.known import PREFIX, package_of
from specsci.sources.source import BaseFacts, ModelSource, Registered


class PackagedWeights(ModelSource):
    """Models that come inside a Python package as a GGUF file."""

    prefix = PREFIX
    example = "package:NAME"
    registered = Registered()

    @override
    def facts(self, name: str, study_folder: Path) -> BaseFacts:
        package = package_of(name)
        return BaseFacts(
            base={"package": package.name, "weights_sha256": package.weights_sha256},
            tokenizer={"package": package.name, "digest": package.tokenizer_digest},
            parameters=package.parameters,
            shape=Shape(**package.shape),
        )

    def license(self, name: str) -> str:
        """That of the packaged weights."""
        return package_of(name).license.lower()

    @override
    def made(self, params: dict[str, Any]) -> bool:
        return "package" in params

    @override
    def write_base(self, context: StepContext, target: Path) -> Facts:
        from specsci.sources.package.gguf import write_model

        return write_model(package_of(context.params["package"]), target)

    @override
    def write_tokenizer(self, context: StepContext, target: Path) -> None:
        from specsci.sources.package.gguf import write_tokenizer

        package = package_of(context.params["package"])
        if write_tokenizer(package, target) != context.params["digest"]:
            raise StepFailed(
                f"the tokenizer of '{PREFIX}{package.name}' is not the registered one",
                hint="install the versions of constraints.txt (transformers, tokenizers, gguf)",
            )

    @override
    def missing(self, name: str) -> tuple[str, str] | None:
        package = package_of(name)
        if find_spec(package.module) is None or find_spec("gguf") is None:
            return package.requirement, package.install
        return None


SOURCE = PackagedWeights()
