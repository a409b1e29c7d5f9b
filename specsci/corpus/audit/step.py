"""The audit step: leaks in every training text, and the whole examination of texts that were written or brought."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from specsci.core.context import Facts, StepContext
from specsci.core.errors import GateRefused, StepFailed
from specsci.core.rows import read_once, read_texts
from specsci.corpus.audit.content import shared_runs
from specsci.corpus.audit.duplicates import duplicates
from specsci.corpus.audit.examine import Examined, TextSet, compare, examine
from specsci.corpus.audit.findings import SHOWN, Found
from specsci.corpus.audit.leaks import leaks, normalised
from specsci.corpus.audit.policies import CLAIM_FACTS, policies
from specsci.corpus.audit.semantic import Semantic
from specsci.corpus.audit.words import WordRows
from specsci.corpus.review import lacking, reviewed
from specsci.plan.embeddings import EMBEDDING_FILES
from specsci.plan.texts import JUDGED
from specsci.sources.hub.fetch import fetch
from specsci.sources.hub.names import HubModel
from specsci.specs.item_rows import read_item_rows
from specsci.specs.items import Item
from specsci.specs.leaks import stem
from specsci.store.artifact import Store, write_json
from specsci.study.audit import AuditSettings


def run_audit(context: StepContext) -> Facts:
    """Look for eval items in every training text; refuse unless the study accepted leaks in writing.

    Raises:
        GateRefused: an outcome item occurs in a training text, or corpora differ too much in tokens.
    """
    asked = {role: folder for role, folder in context.inputs.items() if role.startswith("items.")}
    inputs = {role: folder for role, folder in context.inputs.items() if role not in asked and not role.startswith(JUDGED)}
    items = [item for folder in asked.values() for item in read_item_rows(folder)]
    report: dict[str, Any] = {"items": len(items), "texts": {}}
    leaked: dict[str, list[str]] = {}
    planted = 0
    for role, folder in inputs.items():
        texts = read_texts(folder)
        hits = leaks(texts, items)
        if items:
            planted += len(leaks([*texts[:50], "x " + next(iter(items[0].questions()))[1] + " y"], items[:1]))
        record = context.records[role]
        report["texts"][role] = {
            "rows": len(texts),
            "tokens": record.facts.get("tokens", 0),
            "distinct_share": round(len(set(texts)) / max(1, len(texts)), 4),
            "leaked_items": len(hits),
        }
        if hits:
            leaked[role] = hits[:SHOWN]
    if items and planted != len(inputs):
        raise StepFailed("the leak check missed a planted item; its verdict cannot be trusted")
    report["leaked"] = leaked
    wanted = {r: record.identity.params["tokens"] for r, record in context.records.items() if r.startswith("corpus.")}
    found = _examined(context, inputs, items, report) if "texts" in context.params else []
    report["findings"] = [f.as_dict() for f in found]
    _check_tokens(report, wanted, context.params["max_token_mismatch"])
    write_json(context.out / "audit.json", report)
    _refuse(found, AuditSettings.model_validate(context.params.get("audit", {})).accept, context.params["accepted"])
    if leaked and not context.params["accepted"]:
        shown = "; ".join(f"{role}: {', '.join(ids)}" for role, ids in leaked.items())
        raise GateRefused(
            f"eval items occur in training texts ({shown})",
            hint="remove the texts or the items, or write gates.accept_leaks: REASON",
        )
    counts = {severity: sum(f.severity == severity for f in found) for severity in ("block", "warn")}
    leaked_items = sum(t["leaked_items"] for t in report["texts"].values())
    more = {"findings": counts, "examined": _measured(report)} if "texts" in context.params else {}
    return {"leaked_items": leaked_items, "items": len(items), **more}


MEASURED = ("near_distinct_share", "patterns", "clauses", "semantic_duplicates", "semantic_diversity")


def _measured(report: dict[str, Any]) -> dict[str, Any]:
    """What figures show of every text set that was examined."""
    return {
        role: {"rows": facts["rows"], **{name: facts[name] for name in MEASURED if name in facts}}
        for role, facts in report["texts"].items()
        if "patterns" in facts
    }


def _examined(context: StepContext, inputs: dict[str, Path], items: list[Item], report: dict[str, Any]) -> list[Found]:
    """Examine the texts that a language model wrote or that the study brings, each set and then all against each other."""
    params = context.params
    settings = AuditSettings.model_validate(params["audit"])
    probes = {name: [[stem(w) for w in normalised(t).split()] for t in terms] for name, terms in params["probes"].items()}
    _planted(items, settings)
    semantic = _semantic(context, settings, items)
    examined: dict[str, Examined] = {}
    for role in params["texts"]:
        rows = read_once(inputs[role])
        texts = TextSet(role, rows.texts, rows.labels, params["clauses"].get(role, {}))
        found = examine(texts, settings, params["identity"], items, probes, semantic)
        placed = [replace(f, rows=tuple(rows.places[n] for n in f.rows)) for f in found.found]
        examined[role] = replace(found, found=placed)
        whole = report["texts"][role]["rows"]
        report["texts"][role] |= {**examined[role].facts, "repetitions": round(whole / max(1, rows.count * examined[role].distinct_share), 4)}
    report["reviews"] = _reviews(context)
    judged = {role.removeprefix(JUDGED): record.facts for role, record in context.records.items() if role.startswith(JUDGED)}
    report["claims"] = {role: {k: v for k, v in facts.items() if k in CLAIM_FACTS} for role, facts in judged.items()}
    return [f for e in examined.values() for f in e.found] + compare(examined, settings) + policies(judged, settings.policy_judge)


def _semantic(context: StepContext, settings: AuditSettings, items: list[Item]) -> Semantic | None:
    """The study's embedding model, copied and held to its digest before it is loaded; None where it names none."""
    if settings.embeddings is None:
        return None
    if hub := context.params.get("embeddings"):
        return Semantic.of(fetch(HubModel(hub["hub"], hub["revision"]), EMBEDDING_FILES), settings.embeddings, items)
    folder = context.scratch / "embeddings"
    context.take_externals(folder)
    return Semantic.of(folder, settings.embeddings, items)


def _reviews(context: StepContext) -> dict[str, Any]:
    """What people said of the texts, by role; of a sample of what was written, what they said of the whole."""
    if context.store is None:
        return {}
    store, out = Store(context.store), {}
    for role in context.params["texts"]:
        whole = context.records[role].identity.inputs
        out[role] = reviewed(store, whole.get("written") or whole.get("answers") or context.input_digests[role])
    if wanted := context.params.get("review"):
        missing = lacking(out.items(), wanted["rows"], wanted["good_share"])
        if missing:
            raise GateRefused(
                f"the study requires reviews by people: {'; '.join(missing)}",
                hint="`specsci corpus review MATCH`, then the same command; or change gates.require_review",
            )
    return {role: review.as_dict() for role, review in out.items()}


def _planted(items: list[Item], settings: AuditSettings) -> None:
    """See that what is planted is found; raises StepFailed where a check is blind."""
    text = "the quick brown fox jumps over a lazy dog near the bank of a river and sleeps until the morning comes again"
    twins = duplicates(WordRows.of([text, "something else entirely", text + " today"]))
    if twins.near != 1:
        raise StepFailed("the duplicate check missed a planted duplicate; its verdict cannot be trusted")
    long = [i for i in items if len(next(iter(i.questions()))[1].split()) > 2 * settings.leak_words][:1]
    for item in long:
        question = next(iter(item.questions()))[1]
        if not shared_runs(WordRows.of(["x", f"so {question} then"]), long, settings.leak_words):
            raise StepFailed("the leak check missed a planted item; its verdict cannot be trusted")


def _refuse(found: list[Found], accepted: dict[str, str], leaks_accepted: str) -> None:
    """Refuse what blocks and is not accepted in writing; raises GateRefused with all of it."""
    kept = {**accepted, **({"leaks": leaks_accepted} if leaks_accepted else {})}
    blocking = [f for f in found if f.severity == "block" and f.code not in kept]
    if not blocking:
        return
    shown = "; ".join(f"{f.code}: {f.role}: {f.text}" for f in blocking[:8])
    more = f" (and {len(blocking) - 8} more)" if len(blocking) > 8 else ""
    codes = ", ".join(dict.fromkeys(f.code for f in blocking))
    raise GateRefused(
        f"the audit of the training texts found: {shown}{more}",
        hint=f"mend the texts, or write the reason why it does not matter: audit.accept: {{CODE: REASON}} ({codes})",
    )


def _check_tokens(report: dict[str, Any], asked: dict[str, int], limit: float) -> None:
    """Corpora must hold the same tokens, as far as they were asked for: what the last document adds is not trained on."""
    counts = {role: t["tokens"] for role, t in report["texts"].items() if role.startswith("corpus.")}
    counts = {role: min(count, asked.get(role, count)) for role, count in counts.items()}
    if not counts:
        return
    mismatch = max(counts.values()) / min(counts.values()) - 1
    report["token_mismatch"] = round(mismatch, 6)
    if mismatch > limit:
        raise GateRefused(f"corpora differ by {mismatch:.2%} in tokens: {counts}", hint="generate equal corpora")
