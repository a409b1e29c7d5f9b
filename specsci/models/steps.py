"""The steps that bring models in: tokenizers and bases, from wherever a study names them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from specsci.core.context import Facts, StepContext
from specsci.core.errors import GateRefused, StepFailed
from specsci.core.user_files import unhidden
from specsci.models.chat import declare_template
from specsci.models.hf import MODEL, TOKENIZER, load_tokenizer
from specsci.models.remote_code import check_code, mark_trusted
from specsci.models.tokens import opening_text
from specsci.sources.examination import ok
from specsci.sources.examine import examine, files_of
from specsci.sources.opening import OPENING
from specsci.sources.registry import maker_of
from specsci.sources.source import Registered


def run_tokenizer(context: StepContext) -> Facts:
    """The tokenizer of a base model, with its chat template."""
    source, target = maker_of(context.params), context.out / TOKENIZER
    source.write_tokenizer(context, target)
    if template := context.params.get("chat_template"):
        declare_template(target, template)
    return {} if source.registered else {OPENING: _opening(context)}


def _opening(context: StepContext) -> str:
    """What the tokenizer puts before every text.

    Raises:
        StepFailed: it puts something there of which its files say nothing, so that no digest knows of it.
    """
    found = opening_text(load_tokenizer(context.out))
    if found and OPENING not in context.params:
        raise StepFailed(
            f"the tokenizer begins texts with {found}, and its files do not say so",
            hint="save it anew with save_pretrained, so that tokenizer.json has its post_processor",
        )
    return found


def run_base(context: StepContext) -> Facts:
    """A base model in the Hugging Face layout, examined where no registry vouches for it."""
    source, target = maker_of(context.params), context.out / MODEL
    facts = source.write_base(context, target)
    if source.registered:
        return {**facts, **_vouched(source.registered)}
    trusted = bool(context.params.get("trust_remote_code"))
    if trusted:
        check_code(target, context.params.get("files"))
        mark_trusted(context.out, context.params.get("hub", "a model directory"))
    if not unhidden(target, "*.safetensors"):
        raise StepFailed("the model has no safetensors weights", hint="choose a revision that has them: pickle is not read")
    return {**facts, **_examined(target, trusted=trusted)}


def _vouched(by: Registered) -> Facts:
    """Facts of a base whose every byte is registered; tests prove what they say of each registered base."""
    return {"examination": [asdict(ok("registered", by.text))], "packs": by.packs, "on": by.on}


def _examined(model: Path, *, trusted: bool) -> Facts:
    """The examination of a base as its step's facts, made on the model itself where memory allows.

    Raises:
        GateRefused: the base is refused.
    """
    found = examine(model, files_of(model), trusted=trusted, quick=False, here=True)
    if found.refused:
        raise GateRefused(f"the base is refused: {'; '.join(f.text for f in found.refusals)}", hint=found.refusals[-1].hint)
    return {"examination": [asdict(f) for f in found.findings], **found.facts}
