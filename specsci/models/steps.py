"""The steps that bring models in: tokenizers and bases, from wherever a study names them."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from fnmatch import fnmatch
from pathlib import Path

from specsci.errors import GateRefused, StepFailed
from specsci.execute.context import Facts, StepContext
from specsci.intake.examination import ok
from specsci.intake.examine import examine, files_of
from specsci.models.chat import declare_template
from specsci.models.hf import MODEL, TOKENIZER, load_tokenizer
from specsci.models.hub import fetch
from specsci.models.remote_code import check_code, mark_trusted
from specsci.models.tokens import opening_text
from specsci.plan.hub import MODEL_FILES, HubModel
from specsci.plan.opening import OPENING
from specsci.plan.sources import TOKENIZER_FILES, package_of
from specsci.user_files import unhidden

REGISTERED: Facts = {
    "examination": [
        asdict(ok("registered", "its weights are those of the registry, which were proved when they were entered"))
    ],
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
        _take(context, TOKENIZER_FILES, target)
    if template := context.params.get("chat_template"):
        declare_template(target, template)
    return {} if "package" in context.params else {OPENING: _opening(context)}


def _opening(context: StepContext) -> str:
    """What the tokenizer puts before every text.

    Raises:
        StepFailed: it puts something there of which its files say nothing, so that no digest knows of it.
    """
    found = opening_text(load_tokenizer(context.out))
    if found and OPENING not in context.params:
        raise StepFailed(
            f"the tokenizer begins texts with {found}, and its files do not say so",
            mend="save it anew with save_pretrained, so that tokenizer.json has its post_processor",
        )
    return found


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
    _take(context, (*MODEL_FILES, "*.py") if trusted else MODEL_FILES, target)
    if trusted:
        check_code(target, context.params.get("files"))
        mark_trusted(context.out, context.params.get("hub", "a model directory"))
    if not unhidden(target, "*.safetensors"):
        raise StepFailed("the model has no safetensors weights", mend="choose a revision that has them: pickle is not read")
    return _examined(target, trusted=trusted)


def _examined(model: Path, *, trusted: bool) -> Facts:
    """The examination of a base as its step's facts, made on the model itself where memory allows.

    Raises:
        GateRefused: the base is refused.
    """
    found = examine(model, files_of(model), trusted=trusted, quick=False, here=True)
    if found.refused:
        raise GateRefused(f"the base is refused: {'; '.join(f.text for f in found.refusals)}", mend=found.refusals[-1].hint)
    return {"examination": [asdict(f) for f in found.findings], **found.facts}


def _take(context: StepContext, wanted: tuple[str, ...], target: Path) -> None:
    """Copy a base or its tokenizer: a directory's declared files, each verified, or what is wanted (patterns) of a hub's."""
    if "hub" not in context.params:
        context.take_externals(target)
        return
    folder = fetch(HubModel(context.params["hub"], context.params["revision"]), wanted)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if any(fnmatch(name, pattern) for pattern in wanted):  # the cache may hold more, from other fetches
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)
