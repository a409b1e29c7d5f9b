"""The chain behind a model: study, spec and its approvals, documents, gates, training, scores, claims."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from specsci.core.errors import SpecsciError, UserError
from specsci.core.former import today
from specsci.core.kinds import names
from specsci.core.levels import arm_of
from specsci.core.record import Record
from specsci.database.connection import connect, rows
from specsci.database.manifest import manifests
from specsci.database.parquet import read_columns
from specsci.specs.changes import read_changes
from specsci.specs.versions import recorded
from specsci.store.artifact import Store, read_record

ROWS = "rows.parquet"


def models() -> tuple[str, ...]:
    """The kinds of steps whose artefacts are models."""
    return names(lambda kind: kind.holds_model)


def find_model(store: Store, text: str) -> Record:
    """The record of the one model whose digest begins with `text`.

    Raises:
        UserError: none, or several.
    """
    records = [r for kind in models() for r in store.records(kind)]
    found = [r for r in records if text and r.digest.startswith(text)]
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(r.digest for r in found[:4])
        raise UserError(f"{len(found)} models begin with '{text}'", hint=f"give more digits: {shown}")
    hint = '`specsci results sql "SELECT DISTINCT arm, seed, aft_tokens, model_digest FROM arms"` lists them'
    raise UserError(f"no model '{text}' in {store.root}", hint=hint)


def ancestors(store: Store, digest: str) -> list[Record]:
    """The records of everything that a step was made from, itself last, inputs first; empty for one that is gone."""
    order: dict[str, Record] = {}

    def visit(current: Record) -> None:
        if current.digest in order:
            return
        for record in map(lambda d: _record(store, d), current.identity.inputs.values()):
            if record:
                visit(record)
        order[current.digest] = current

    start = _record(store, digest)
    if start:
        visit(start)
    return list(order.values())


def _record(store: Store, digest: str) -> Record | None:
    for folder in (store.root / "steps").glob(f"*/{digest}"):
        return read_record(folder)
    return None


def lineage(store: Store, model: str, family_folder: Any = None) -> dict[str, Any]:
    """Everything that is known of a model, as plain values.

    Args:
        family_folder: a function from a family's name to its folder, for its approvals; None where it is gone.
    """
    record = find_model(store, model)
    chain = ancestors(store, record.digest)
    uses = list(_uses(store, record.digest))
    specs = [_spec(store, r, family_folder) for r in chain if r.kind == "spec"]
    return {
        "model": {"digest": record.digest, "kind": record.kind, "label": record.label},
        "access": record.access,
        "studies": uses,
        "specs": specs,
        "corpora": [corpus_facts(store, r) for r in chain if r.kind == "corpus"],
        "gates": list(_gates(store, chain)),
        "training": [_training(r) for r in chain if r.kind in ("midtrain", "align")],
        "base": [
            {"label": r.label, "digest": r.digest, **r.identity.params} for r in chain if r.kind == "base"
        ],
        "evals": list(_evals(store, record.digest)),
        "claims": list(_claims(store, uses)),
        "steps": [{"kind": r.kind, "digest": r.digest, "label": r.label} for r in chain],
    }


def _uses(store: Store, digest: str) -> Iterator[dict[str, Any]]:
    """The arms of studies that the model is, one row per arm and budget."""
    current = {m.study for m in manifests(store)}
    seen = set()
    for number, manifest in enumerate(manifests(store, superseded=True)):
        for cell in manifest.cells:
            row = {
                "study": manifest.study,
                "arm": cell.arm,
                "aft_tokens": cell.aft_tokens,
                "seed": cell.seed,
                "base_model": cell.base_model,
                "family": manifest.family,
                "family_version": manifest.family_version,
                "superseded": number >= len(current),
            }
            if cell.model_digest == digest and tuple(row.values()) not in seen:
                seen.add(tuple(row.values()))
                yield row


def _spec(store: Store, record: Record, family_folder: Any) -> dict[str, Any]:
    spec = store.read_json("spec", record.digest, "spec.json")
    out = {**spec, "digest": record.digest, "words": record.facts.get("words"), "approvals": None}
    folder: Path | None = family_folder(spec["family"]) if family_folder else None
    changes = read_changes(folder) if folder else None
    entry = changes.entry(spec["version"]) if changes else None
    if entry and folder and not _same_text(folder, spec, entry.digest):
        out["note"] = f"version {entry.version} was recorded with another text: its approvals are not of this one"
    elif entry:
        out["change"] = {"date": str(entry.date), "author": entry.author, "reason": entry.reason}
        out["approvals"] = [{"by": a.by, "date": str(a.date), "note": a.note} for a in entry.approvals]
    return out


def _same_text(folder: Path, spec: dict[str, Any], wanted: str) -> bool:
    """Whether a version's snapshot says what the spec said, clause by clause."""
    try:
        return bool(recorded(folder, spec["version"], wanted).clause_digests(spec["variant"]) == spec["clauses"])
    except SpecsciError:
        return False


def corpus_facts(store: Store, record: Record) -> dict[str, Any]:
    """A corpus: how it was made, and its documents and tokens by clause."""
    store.verify("corpus", record.digest, ROWS)
    table = read_columns(store.path("corpus", record.digest) / ROWS, ["clause_id", "tokens"])
    counts: dict[str, dict[str, int]] = {}
    for clause, tokens in zip(table["clause_id"].to_pylist(), table["tokens"].to_pylist(), strict=True):
        row = counts.setdefault(clause, {"documents": 0, "tokens": 0})
        row["documents"] += 1
        row["tokens"] += tokens
    params = record.identity.params
    return {
        "label": record.label,
        "digest": record.digest,
        "backend": params["backend"],
        "grammar": params.get("grammar"),
        "seed": params["seed"],
        "documents": record.facts["documents"],
        "tokens": record.facts["tokens"],
        "by_clause": counts,
    }


def _gates(store: Store, chain: list[Record]) -> Iterator[dict[str, Any]]:
    """The audits that looked at one of the chain's texts."""
    digests = {r.digest for r in chain}
    for record in store.records("audit"):
        roles = [role for role, d in record.identity.inputs.items() if d in digests]
        if roles:
            report = store.read_json("audit", record.digest, "audit.json")
            yield {
                "label": record.label,
                "digest": record.digest,
                "items": report["items"],
                "accepted": record.identity.params["accepted"],
                "texts": {role: report["texts"][role] for role in roles},
                "findings": [f for f in report.get("findings", []) if set(f["role"].split(",")) & set(roles)],
                "reviews": {role: review for role, review in report.get("reviews", {}).items() if role in roles},
            }


def _training(record: Record) -> dict[str, Any]:
    params = record.identity.params
    facts = ("tokens", "updates", "supervised_tokens", "fill", "train_s", "method")
    return {
        "label": record.label,
        "digest": record.digest,
        "declared_tokens": params["tokens"],
        "recipe": params["recipe"],
        "seed": params["seed"],
        **{k: record.facts[k] for k in facts if k in record.facts},
        "provenance": record.facts.get("provenance", {}),
    }


def _evals(store: Store, digest: str) -> Iterator[dict[str, Any]]:
    """Scores of the model, once per item set, with their three counts."""
    for record in store.records("score"):
        inputs = record.identity.inputs
        if inputs.get("model", inputs["base"]) == digest:
            facts = {today(name): count for name, count in record.facts.items()}
            counts = {name: facts.get(name) for name in ("aligned", "valid", "attempted")}
            yield {"label": record.label, "digest": record.digest, **counts}


def _claims(store: Store, uses: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The declared contrasts that the model takes part in, as the results have them."""
    mine = {(u["study"], u["arm"]) for u in uses if not u["superseded"]}
    if not mine or not (store.root / "results.duckdb").is_file():
        return
    with connect(store.root) as db:
        query = (
            "SELECT study, contrast, eval, budget_tokens, weights, estimate, ci_low, ci_high, p_adj, flags FROM contrasts"
        )
        for found in rows(db, query):
            if any((found["study"], arm_of(name)) in mine for name in json.loads(found["weights"])):
                yield found
