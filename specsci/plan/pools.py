"""Steps that hold text which no spec made: replayed text, the instruction-tuning mix, control text."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from specsci.core.errors import InputFileError, UserError
from specsci.core.ids import derive_seed
from specsci.core.remembered import remembered_sha256
from specsci.core.step import OUTSIDE, Step
from specsci.sources.files import inside
from specsci.sources.identity import is_text_file, text_identity
from specsci.sources.registry import source_of
from specsci.sources.text_files import read_passages
from specsci.study.load import LoadedStudy
from specsci.study.parts import Replicate
from specsci.study.schema import BASE_PRETRAINING


@dataclass(frozen=True)
class Pool:
    """A use of text that no spec made: the step's kind, what its rows are, its seed's name, and its key in the study."""

    kind: str
    what: str
    draw: str
    place: tuple[str, str]
    title: str


POOLS = {
    "replay": Pool("pool", "documents", "documents", ("midtrain", "replay"), "replayed text"),
    "it": Pool("pool", "conversations", "conversations", ("align", "it_mix"), "instruction-tuning mix"),
    "control": Pool("control", "documents", "control", ("probe", "control"), "control text"),
}


def pool_step(
    loaded: LoadedStudy, role: str, source: str, base_source: str, tokens: int, replicate: Replicate, tokenizer: str
) -> Step:
    """The step of one role of POOLS.

    Args:
        source: `pretraining`, a recipe of the study's `mixes`, a model source's text, or a file.
        tokenizer: the digest of the tokenizer's step.

    Raises:
        InputFileError: a file's row is neither text nor a conversation, or there is no such source.
    """
    pool = POOLS[role]
    params = {
        **_origin(loaded, pool, source, base_source),
        "what": pool.what,
        "tokens": tokens,
        "seed": derive_seed("pool", pool.draw, replicate.seed),
    }
    mix = loaded.study.mixes.get(source)
    runtime = {OUTSIDE: str(loaded.file.resolve().parent), **({"access": mix.access} if mix else {})}
    return Step(pool.kind, params, {"tokenizer": tokenizer}, f"{pool.title}, replicate {replicate.seed}", runtime)


def _origin(loaded: LoadedStudy, pool: Pool, source: str, base_source: str) -> dict[str, Any]:
    """What identifies a pool's source, a file read once; few bases come with their own pretraining text."""
    if source in loaded.study.mixes:
        return {"mix": _mix(loaded, source, pool.what)}
    section, key = pool.place
    folder = loaded.file.resolve().parent
    try:
        if source != BASE_PRETRAINING:
            if is_text_file(source):
                read_passages(inside(source, folder, "text file"), source, pool.what)
            return text_identity(source, folder)
        if own := source_of(base_source).text_identity(base_source):
            return own
        raise UserError(
            f"the base '{base_source}' does not come with its pretraining text",
            hint=f"set {section}.{key}: FILE.jsonl beside the study, or {section}.{key}_share: 0",
        )
    except InputFileError:
        raise  # it names the file and the line
    except UserError as error:
        if mistyped := get_close_matches(source, loaded.study.mixes, 1):
            error = UserError(error.what, hint=f"did you mean '{mistyped[0]}'? or {error.hint}")
        raise loaded.problem(error, section, key) from error


def _mix(loaded: LoadedStudy, name: str, what: str) -> dict[str, dict[str, Any]]:
    """The files of a recipe, checked, each with its SHA-256 and its share of the tokens."""
    folder, found = loaded.file.resolve().parent, {}
    for file, share in loaded.study.mixes[name].shares().items():
        try:
            path = inside(file, folder, "text file")
            read_passages(path, file, what)
            found[file] = {"sha256": remembered_sha256(path), "share": share}
        except InputFileError:
            raise  # it names the file and the line
        except UserError as error:
            raise loaded.problem(error, "mixes", name, "files", file) from error
    return found
