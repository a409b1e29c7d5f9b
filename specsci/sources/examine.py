"""Asking for examinations without importing torch: a process of its own proves, and what it found is kept by the files' digests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from specsci.core.extras import need
from specsci.core.ids import digest, file_sha256, text_digest
from specsci.core.outside import listed
from specsci.core.shipped import PACKAGE, cache_folder
from specsci.sources.examination import ITSELF, Examination, refuse
from specsci.sources.folder import code_elsewhere, examine_folder

HEAD = "head"
"""The check of an architecture's name: of a head for another task the weights have more to say."""
PACKAGES = ("torch", "transformers", "tokenizers", "safetensors")
CODE = (
    "intake/*.py",
    "models/*.py",
    "sources/*.py",
    "core/jsonl.py",
    "evals/forward.py",
    "evals/harness.py",
    "study/frame.py",
    "evals/forced_choice/*.py",
    "specs/items.py",
)
"""Sources whose change makes earlier examinations invalid."""


@dataclass(frozen=True)
class AskedItems:
    """One eval's items, as its questions are made of them."""

    name: str
    file: str
    sha256: str
    identity: dict[str, str]
    kind: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Use:
    """What a study does with a base's tokenizer: its declared template, the conversations it renders, the items it asks.

    Attributes:
        chat: `text` of a declared template and `variables`; empty where the base's own serves.
        uses: the sequences of roles that conversations of the study have, such as `("user", "assistant")`.
        scored: whether the study asks in chats.
        chats: its files of conversations: path, SHA-256, and what the study calls each.
    """

    chat: dict[str, Any] = field(default_factory=dict)
    uses: tuple[tuple[str, ...], ...] = ()
    items: tuple[AskedItems, ...] = ()
    scored: bool = True
    chats: tuple[tuple[str, str, str], ...] = ()


def files_of(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of a model directory, as a plan lists them."""
    return listed(folder, f"base model '{folder}'")


def examine(
    folder: Path,
    files: dict[str, str],
    *,
    trusted: bool = False,
    quick: bool = True,
    use: Use | None = None,
    here: bool = False,
) -> Examination:
    """The examination of a model directory: its files first, then the model itself, in a process of its own.

    Args:
        files: file to SHA-256, by which an earlier examination is found.
        quick: prove large models on a small twin.
        use: what a study does with its tokenizer; tried where the model is not refused.
        here: examine in this process, which has torch already.
    """
    static = examine_folder(folder)
    if any(f.judgement == "refuse" and f.check != HEAD for f in static):
        return Examination(tuple(static))
    if trusted and (elsewhere := code_elsewhere(folder)):
        text = f"the model takes its code from another repository ({elsewhere}), which nothing pins"
        return Examination((*static, refuse("code", text, "copy that code beside the weights, and point auto_map at it")))
    deep: dict[str, Any] = {"what": "model", "trusted": trusted, "quick": quick}
    asked = [deep, {"what": "use", "use": asdict(use)}] if use else [deep]
    found = Examination(tuple(static))
    for part in _answers(folder, files, asked, here=here):
        found = Examination((*found.findings, *part.findings), {**found.facts, **part.facts})
        if found.refused:
            break
    found.facts.pop("unfinished", None)
    return found


def _answers(folder: Path, files: dict[str, str], asked: list[dict[str, Any]], *, here: bool) -> list[Examination]:
    """Examinations that were made before of the same files by the same code; the others anew, in one process, and kept."""
    common = {"files": files, "versions": {name: _version(name) for name in PACKAGES}, "code": code_digest()}
    kept = cache_folder("intake")
    places = [kept / f"{digest({**common, **request})}.json" for request in asked]
    known = {n: found for n, place in enumerate(places) if (found := _read(place)) is not None}
    for n, request in enumerate(asked):  # a quick examination of a small model was a whole one
        quick = _read(kept / f"{digest({**common, **request, 'quick': True})}.json") if "quick" in request else None
        if n not in known and quick is not None and quick.facts.get("on") == ITSELF:
            known[n] = quick
    wanted = [n for n in range(len(asked)) if n not in known]
    if wanted:
        request = {"folder": str(folder), "asked": [asked[n] for n in wanted]}
        answers = import_module("specsci.intake.prove").answers(request) if here else _in_a_process(request)
        for n, found in zip(wanted, answers, strict=False):  # the last ones are left out where an earlier one is refused
            known[n] = found
            if not found.facts.get("unfinished"):
                keep(places[n], found)
    return [known[n] for n in sorted(known)]


def _read(place: Path) -> Examination | None:
    """A kept examination; None where there is none, or a damaged one: it is then made anew."""
    try:
        return Examination.of(json.loads(place.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(place: Path, found: Examination) -> None:
    """Write an examination down in one rename; where nothing can be written, the next one takes as long."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f".{place.name}.{os.getpid()}")
        part.write_text(json.dumps(found.as_dict()), encoding="utf-8")
        part.replace(place)
    except OSError:
        return


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def code_digest() -> str:
    """Digest of the sources that examine."""
    files = sorted(p for pattern in CODE for p in PACKAGE.glob(pattern))
    return text_digest("".join(file_sha256(p) for p in files))


def _in_a_process(request: dict[str, Any]) -> list[Examination]:
    """Examinations by `specsci.intake.prove`: torch stays out of this process, and what kills that one is told."""
    need("torch", "the examination of a base model")
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch) / "answer.json"
        (Path(scratch) / "request.json").write_text(json.dumps(request), encoding="utf-8")
        places = os.pathsep.join(p for p in (str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")) if p)
        quiet = {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": places}
        done = subprocess.run(
            [sys.executable, "-P", "-m", "specsci.intake.prove", scratch],
            env={**os.environ, **quiet},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        try:
            return [Examination.of(found) for found in json.loads(answer.read_text(encoding="utf-8"))]
        except (OSError, ValueError, KeyError, TypeError):
            said = done.stdout.decode("utf-8", "replace").strip().splitlines()
    last = said[-1][:200] if said else f"exit {done.returncode}"
    text = f"the examination ended without a result ({last})"
    hint = "signal 9 is a lack of memory; see whether `python -c 'import torch, transformers'` works here"
    return [Examination((refuse("examination", text, hint),), {"unfinished": True})]
