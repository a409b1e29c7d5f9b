"""Model directories as a model source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typing_extensions import override

from specsci.core.context import Facts, StepContext
from specsci.core.errors import UserError
from specsci.core.ids import digest, text_digest
from specsci.core.outside import listed
from specsci.core.user_files import lies_below, name_fault, shown_name, unhidden
from specsci.recipe.memory import shape_in
from specsci.sources.examine import HEAD
from specsci.sources.files import CARD, TEMPLATE_FILE, TOKENIZER_FILES
from specsci.sources.folder import Unreadable, examine_folder, read_mapping
from specsci.sources.opening import AS_IT_SAYS, OPENING, opening_of
from specsci.sources.source import EXAMINED, BaseFacts, ModelSource
from specsci.specs.schema import ACCESS


class Directory(ModelSource):
    """A directory with config.json, safetensors weights and a tokenizer."""

    prefix = ""
    example = "a directory with config.json, weights and tokenizer"

    @override
    def facts(self, name: str, study_folder: Path) -> BaseFacts:
        folder = _folder(name, study_folder)
        files = listed(folder, f"base model '{name}'")
        tokenizer = {file: sha for file, sha in files.items() if file in TOKENIZER_FILES}
        weights = unhidden(folder, "*.safetensors")
        if not weights or not tokenizer:
            missing = "safetensors weights" if not weights else "a tokenizer"
            raise UserError(f"model directory '{name}' has no {missing}", hint="save the model with save_pretrained")
        _check_served_template(folder)
        _check_files(folder)
        shape, opening = shape_in(folder), opening_of(folder)
        begins = {OPENING: AS_IT_SAYS} if opening else {}
        return BaseFacts(
            base={"files": files, **EXAMINED},
            tokenizer={"files": tokenizer, "digest": digest(tokenizer), **begins},
            parameters=shape.parameters if shape else sum(p.stat().st_size for p in weights) // 4,
            shape=shape,
            weights_bytes=sum((folder / file).stat().st_size for file in files),
            path=folder.resolve(),
            opening=opening,
            access=_access_of(folder),
        )

    @override
    def made(self, params: dict[str, Any]) -> bool:
        return "files" in params

    @override
    def write_base(self, context: StepContext, target: Path) -> Facts:
        context.take_externals(target)
        return {}

    @override
    def write_tokenizer(self, context: StepContext, target: Path) -> None:
        context.take_externals(target)

    @override
    def trusting(self, name: str, base: dict[str, Any]) -> dict[str, Any]:
        return {**base, "trust_remote_code": True}

    @override
    def local(self, name: str, *, trusted: bool) -> Path:
        from specsci.sources.registry import examples

        if not Path(name).is_dir():
            raise UserError(f"no model directory '{name}'", hint=f"name {examples()}")
        return Path(name)

    @override
    def tokenizer(self, name: str) -> Any:
        from transformers import AutoTokenizer

        folder = Path(name)
        if not any((folder / file).is_file() for file in ("tokenizer.json", "tokenizer_config.json")):
            raise UserError(
                f"no tokenizer in '{name}'", hint="name a model directory with a tokenizer.json, or a base of another source"
            )
        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)


def template_digest(folder: Path) -> str | None:
    """Digest of a directory's chat template; None where it has none."""
    template = folder / TEMPLATE_FILE
    return text_digest(template.read_text(encoding="utf-8")) if template.is_file() else None


def _folder(name: str, study_folder: Path) -> Path:
    """The directory that a study names: an absolute path, or one below the study's folder."""
    from specsci.sources.registry import SOURCES, examples

    fault = name_fault(name)
    if fault:
        raise UserError(f"base model '{shown_name(name)}' {fault}", hint="name a model directory")
    given = Path(name)
    folder = given if given.is_absolute() else study_folder / given
    if not given.is_absolute() and not lies_below(folder, study_folder):
        raise UserError(
            f"base model '{name}' lies outside the study's folder",
            hint="move it below the study, or give its absolute path",
        )
    if not (folder / "config.json").is_file():
        prefixes = " or ".join(s.prefix for s in SOURCES if s.prefix)
        raise UserError(
            f"base model '{name}' is not a model directory, and begins with no {prefixes}", hint=f"use {examples()}"
        )
    return folder


def _card(folder: Path) -> dict[str, Any]:
    """What `model export` wrote down of a model; empty for any other directory."""
    card = folder / CARD
    if not card.is_file():
        return {}
    try:
        return read_mapping(card)
    except Unreadable as error:
        raise UserError(str(error), hint="export the model anew, or remove the file") from error


def _access_of(folder: Path) -> str:
    """The label that an exported model carries; one that this version does not know counts as the highest."""
    label = _card(folder).get("access", "public")
    return label if label in ACCESS else ACCESS[-1]


def _check_served_template(folder: Path) -> None:
    """An exported model keeps the chat template that it was trained with."""
    trained = _card(folder).get("chat_template_digest")
    if trained and trained != template_digest(folder):
        raise UserError(
            f"the chat template of '{folder}' is not the one that the model was trained with",
            hint=f"put {TEMPLATE_FILE} back as it was exported (digest {trained}), or remove {CARD} to serve it so",
        )


def _check_files(folder: Path) -> None:
    """What a model directory's files tell without loading it, as the first thing that is wrong (see `specsci.intake`)."""
    wrong = [f for f in examine_folder(folder) if f.judgement == "refuse" and f.check != HEAD]
    if wrong:
        raise UserError(wrong[0].text, hint=wrong[0].hint)


SOURCE = Directory()
