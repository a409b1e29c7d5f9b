"""The steps that bring models in: tokenizers and bases, from wherever a study names them."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

from specsci.errors import GateRefused, StepFailed
from specsci.execute.context import Facts, StepContext
from specsci.intake.examination import ok
from specsci.intake.examine import examine, files_of
from specsci.models.chat import declare_template
from specsci.models.hf import MODEL, TOKENIZER
from specsci.models.hub import fetch
from specsci.models.remote_code import check_code, mark_trusted
from specsci.plan.hub import MODEL_FILES, HubModel
from specsci.plan.sources import TOKENIZER_FILES, package_of

REGISTERED: Facts = {
    "examination": [asdict(ok("registered", "its weights are those of the registry, which were proved when they were entered"))],
    "packs": True,
    "on": "its registry",
}
"""Facts of a base whose every byte is registered; tests prove what they say of each registered base."""


def run_tokenizer(context: StepContext) -> Facts:
    """The tokenizer of a base model, with its chat template."""
    target = context.out / TOKENIZER
    if "microlab" in context.params:
        from specsci.microlab.base import write_tokenizer

        written = write_tokenizer(context.params["microlab"], target)
        if written != context.params["digest"]:
            raise StepFailed(
                "the microlab's tokenizer is not the one its bases were trained with",
                mend="restore spec_variants/microlab_*, or rebuild the bases with `specsci microlab pretrain`",
            )
        return {}
    if "package" in context.params:
        from specsci.models.gguf import write_tokenizer as write_packaged

        if write_packaged(package_of(context.params["package"]), target) != context.params["digest"]:
            raise StepFailed(
                f"the tokenizer of 'package:{context.params['package']}' is not the registered one",
                mend="install the versions of constraints.txt (transformers, tokenizers, gguf)",
            )
    else:
        target.mkdir()
        for path in _folder(context, TOKENIZER_FILES).iterdir():
            if path.name in TOKENIZER_FILES:
                shutil.copy2(path, target / path.name)
    if template := context.params.get("chat_template"):
        declare_template(target, template)
    return {}


def run_base(context: StepContext) -> Facts:
    """A base model in the Hugging Face layout."""
    target = context.out / MODEL
    if "source" in context.params:
        from specsci.microlab.base import write_base

        return {**write_base(context.params["source"], context.params["weights_sha256"], target), **REGISTERED}
    if "package" in context.params:
        from specsci.models.gguf import write_model

        return {**write_model(package_of(context.params["package"]), target), **REGISTERED}
    trusted = bool(context.params.get("trust_remote_code"))
    shutil.copytree(_folder(context, (*MODEL_FILES, "*.py") if trusted else MODEL_FILES), target)
    if trusted:
        check_code(target, context.params.get("files"))
        mark_trusted(context.out, context.params.get("hub", "a model directory"))
    if not list(target.glob("*.safetensors")):
        raise StepFailed("the model has no safetensors weights", mend="choose a revision that has them: pickle is not read")
    return _examined(target, trusted=trusted)


def _examined(model: Path, *, trusted: bool) -> Facts:
    """The examination of a base as its step's facts, made on the model itself where memory allows.

    Raises:
        GateRefused: the base is refused.
    """
    found = examine(model, files_of(model), trusted=trusted, quick=False, here=True)
    if found.refused:
        raise GateRefused(
            f"the base is refused: {'; '.join(f.text for f in found.refusals)}", mend=found.refusals[-1].hint
        )
    return {"examination": [asdict(f) for f in found.findings], **found.facts}


def _folder(context: StepContext, wanted: tuple[str, ...]) -> Path:
    """The directory that a base or its tokenizer is copied from: a model's own, or the hub's cache with what is wanted."""
    if "hub" not in context.params:
        return Path(context.runtime["path"])
    return fetch(HubModel(context.params["hub"], context.params["revision"]), wanted)
