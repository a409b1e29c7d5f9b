"""A trained model as a directory that serves elsewhere, published only if it answers as the trained one does."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from specsci.core.errors import SpecsciError, StoreError, UserError
from specsci.core.files import leftovers, obey_umask, remove, temporary_beside
from specsci.core.record import Record
from specsci.models.hf import ADAPTER, FP32, MODEL, WeightFormat, load_model, load_weights, save_model, save_tokenizer
from specsci.models.remote_code import copy_code, is_trusted
from specsci.recipe.recipe import Recipe
from specsci.sources.directory.source import template_digest
from specsci.sources.files import CARD
from specsci.store.artifact import Store, write_json

MAX_KL_NATS = {"fp32": 1e-6, "bf16": 1e-2}
"""The most that the exported model's next-token distributions may differ by, in the mean, by the precision it is written in."""
SAMPLE_TOKENS = 512
READERS = ("midtrain", "align", "sample", "score")
"""Kinds of steps that read a base with its tokenizer."""


@dataclass(frozen=True)
class RoundTrip:
    """How the exported model compares with the trained one on sample tokens."""

    tokens: int
    mean_kl_nats: float
    max_logit_difference: float


def export_model(
    store: Store, record: Record, target: Path, *, precision: str = "fp32", merge: bool = True
) -> RoundTrip | None:
    """Write a model of the store into the new directory `target`.

    Args:
        record: the record of a `base`, `midtrain` or `align` artefact.
        precision: of the weights written, `fp32` or `bf16`.
        merge: whether an adapter is merged into its base; else the adapter alone is copied.

    Returns:
        The round trip's figures; None where an adapter is copied as it is.

    Raises:
        UserError: the target is there, or there is no adapter to copy.
        SpecsciError: the exported model answers otherwise than the trained one; nothing is published.
    """
    if target.exists():
        raise UserError(f"{target} is there already", hint="name a new directory")
    for left in leftovers(target.absolute().parent, target.name):
        remove(left)
    temporary = temporary_beside(target)
    own = store.path(record.kind, record.digest)
    served = tokenizer_of(store, record)
    tokenizer = _whole(store, "tokenizer", served) if served else None
    try:
        found = None
        if merge:
            found = _merged(store, record, own, temporary, precision)
        else:
            _copy_adapter(own, temporary, record.identity.params.get("chain", "continue"))
        if tokenizer is not None:
            save_tokenizer(tokenizer, temporary)
        write_json(temporary / CARD, _card(record, temporary, precision if merge else "", found))
        obey_umask(temporary)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.rename(target)
    except OSError as error:
        if isinstance(error, SpecsciError):
            raise
        raise StoreError(f"the model cannot be written: {error}", where=str(target), hint="free space") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return found


def tokenizer_of(store: Store, record: Record) -> str | None:
    """The digest of a model's tokenizer; of a base that of the models and scores made with it, None where these have several or there are none."""
    inputs = record.identity.inputs
    if "tokenizer" in inputs or record.kind != "base":
        return inputs.get("tokenizer")
    with_it = {r.identity.inputs.get("tokenizer") for kind in READERS for r in store.records(kind) if r.identity.inputs.get("base") == record.digest}
    found = {tokenizer for tokenizer in with_it if tokenizer}
    return found.pop() if len(found) == 1 else None


def _copy_adapter(own: Path, folder: Path, chain: str) -> None:
    if not (own / ADAPTER).is_dir():
        raise UserError("this model has no adapter", hint="export it without --adapter")
    if chain != "continue":
        raise UserError(
            f"this adapter stands on another one (align.chain: {chain})", hint="export the model without --adapter"
        )
    shutil.copytree(own / ADAPTER, folder)


def _merged(store: Store, record: Record, own: Path, folder: Path, precision: str) -> RoundTrip:
    import torch

    recipe = Recipe.model_validate(record.identity.params.get("recipe", {"method": "full"}))
    model = _load(store, record, own, WeightFormat(**recipe.weight_format))
    rows = _sample(record, model)
    with torch.no_grad():
        want = [model(input_ids=ids).logits.float() for ids in rows]
    if hasattr(model, "merge_and_unload"):
        model = _load(store, record, own, FP32).merge_and_unload()
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    save_model(model.to(dtype), folder)
    start = _places(store, record, own)[0] / MODEL
    copy_code(start, folder)
    served = load_weights(folder, trusted=is_trusted(start)).eval()
    with torch.no_grad():
        got = [served(input_ids=ids).logits.float() for ids in rows]
    found = _compare(want, got)
    limit = max(MAX_KL_NATS[precision], MAX_KL_NATS[recipe.weights])
    if not found.mean_kl_nats <= limit:
        raise SpecsciError(
            f"the exported model differs from the trained one by {found.mean_kl_nats:.2g} nats a token "
            f"(at most {limit:g}): it is not published",
            hint="an adapter that was trained over 4-bit weights belongs on them: export it with --adapter"
            if recipe.method == "qlora"
            else "the written files are not what was trained: check the disk, and the versions in constraints.txt",
        )
    return found


def _load(store: Store, record: Record, own: Path, weight_format: WeightFormat) -> Any:
    return load_model(*_places(store, record, own), **_below(store, record), weight_format=weight_format).eval()


def _places(store: Store, record: Record, own: Path) -> tuple[Path, Path | None]:
    base = record.identity.inputs.get("base")
    return (_whole(store, "base", base), own) if base else (own, None)


def _below(store: Store, record: Record) -> dict[str, Any]:
    chain = record.identity.params.get("chain", "continue")
    if chain == "continue":
        return {}
    return {"below": _whole(store, "midtrain", record.identity.inputs["model"]), "merge": chain == "merge"}


def _whole(store: Store, kind: str, digest: str) -> Path:
    """An artefact's folder, its files verified; raises CorruptArtifact where they are not what was written."""
    store.verify(kind, digest)
    return store.path(kind, digest)


def _sample(record: Record, model: Any) -> list[Any]:
    """Token rows to compare on: random ones, which no training has made easy."""
    import torch

    generator = torch.Generator().manual_seed(int(record.digest[:8], 16))
    shape = (4, SAMPLE_TOKENS // 16)
    return [torch.randint(0, int(model.config.get_text_config().vocab_size), shape, generator=generator) for _ in range(4)]


def _compare(want: list[Any], got: list[Any]) -> RoundTrip:
    import torch

    ours, theirs = torch.cat(want).log_softmax(-1), torch.cat(got).log_softmax(-1)
    kl = (ours.exp() * (ours - theirs)).sum(-1)
    difference = max(float((a - b).abs().max()) for a, b in zip(want, got, strict=True))
    return RoundTrip(kl.numel(), float(kl.mean()), difference)


def _card(record: Record, folder: Path, precision: str, found: RoundTrip | None) -> dict[str, Any]:
    return {
        "model": record.digest,
        "label": record.label,
        "access": record.access,
        "base": record.identity.inputs.get("base"),
        "precision": precision,
        "round_trip": asdict(found) if found else None,
        "chat_template_digest": template_digest(folder),
    }
