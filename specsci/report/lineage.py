"""The chain behind a model as a page: sections of facts and tables."""

from __future__ import annotations

from typing import Any

from specsci.core.findings import sentence
from specsci.report.table import Table, rate

Section = tuple[str, list[str], list[Table]]
"""Heading, lines, tables."""


def sections(chain: dict[str, Any]) -> list[Section]:
    """What `specsci.provenance.lineage.lineage` found, in reading order."""
    return [
        _model(chain),
        (
            "Spec and approvals",
            [line for spec in chain["specs"] for line in _spec(spec)] or ["None: no spec was midtrained."],
            [],
        ),
        ("Documents per clause", [], [_documents(c) for c in chain["corpora"]]),
        ("Gates", [line for gate in chain["gates"] for line in _gate(gate)], []),
        ("Training", [_base(b) for b in chain["base"]] + [_stage(t) for t in chain["training"]], []),
        ("Scores", [], [scores_table(chain["evals"])] if chain["evals"] else []),
        (
            "Claims",
            [] if chain["claims"] else ["None: no declared contrast has an arm that this model is."],
            _claims(chain["claims"]),
        ),
    ]


def _model(chain: dict[str, Any]) -> Section:
    model = chain["model"]
    lines = [f"{model['label']} [{model['kind']} {model['digest']}]", f"Access: {chain['access']}"]
    for use in chain["studies"]:
        stale = " (superseded: made on another version of the family)" if use["superseded"] else ""
        lines.append(
            f"Study {use['study']}: arm {use['arm']} at {use['aft_tokens']:,} AFT tokens, seed {use['seed']} on {use['base_model']}, "
            f"family {use['family']} {use['family_version']}{stale}"
        )
    return "Model", lines if chain["studies"] else [*lines, "No study of this store names it."], []


def _spec(spec: dict[str, Any]) -> list[str]:
    head = f"{spec['family']} {spec['version']}, variant {spec['variant']}: {len(spec['clauses'])} clauses, {spec['words']} words"
    lines = [f"{head} [spec {spec['digest']}]"]
    lines += [f"  clause {c['id']} [{c['digest']}]" for c in spec["clauses"]]
    if spec["approvals"] is None:
        return [*lines, f"  approvals: {spec.get('note', 'unknown (the family or this version has no record)')}"]
    change = spec["change"]
    lines.append(f"  version of {change['date']} by {change['author']}: {change['reason']}")
    lines += [f"  approved by {a['by']} on {a['date']}{': ' + a['note'] if a['note'] else ''}" for a in spec["approvals"]]
    return lines if spec["approvals"] else [*lines, "  approved by nobody"]


def _documents(corpus: dict[str, Any]) -> Table:
    title = f"{corpus['label']}: {corpus['documents']:,} documents, {corpus['tokens']:,} tokens, backend {corpus['backend']}"
    table = Table(f"{title} [{corpus['digest']}]", ["clause", "documents", "tokens"])
    for clause, counts in sorted(corpus["by_clause"].items()):
        table.rows.append([clause, f"{counts['documents']:,}", f"{counts['tokens']:,}"])
    return table


def _gate(gate: dict[str, Any]) -> list[str]:
    lines = [f"{gate['label']} [{gate['digest']}]: {gate['items']} outcome items looked for"]
    for role, facts in gate["texts"].items():
        lines.append(f"  {role}: {facts['leaked_items']} leaked items, {facts['distinct_share']:.1%} of the rows distinct")
    lines += [f"  {f['severity']}: {f['code']}: {f['role']}: {f['text']}" for f in gate.get("findings", [])]
    for role, review in gate.get("reviews", {}).items():
        said = f"{review['good']} of {review['rows']} rows good [{review['low']:.2f}, {review['high']:.2f}], by {', '.join(review['reviewers'])}"
        lines.append(f"  {role} reviewed by people: {said}" if review["rows"] else f"  {role}: no row was reviewed by people")
    return [*lines, f"  accepted in writing: {gate['accepted']}"] if gate["accepted"] else lines


def _base(base: dict[str, Any]) -> str:
    return f"{base['label']} [{base['digest']}]: {base.get('source', 'a model directory')}"


def _stage(stage: dict[str, Any]) -> str:
    facts = f"{stage.get('tokens', 0):,} tokens, {stage.get('updates', 0):,} updates, {stage.get('method', '?')}"
    where = stage["provenance"]
    versions = ", ".join(f"{k} {where[k]}" for k in ("torch", "transformers", "trl") if k in where)
    return f"{stage['label']} [{stage['digest']}]: {facts}; {versions}; ended {where.get('ended_at', '?')}"


def scores_table(evals: list[dict[str, Any]]) -> Table:
    """A model's scores, each with its three counts."""
    table = Table("Scores", ["scored", "aligned", "valid", "attempted", "rate of valid answers"])
    for row in evals:
        shown = rate(row["aligned"] / row["valid"]) if row["valid"] else "–"
        table.rows.append([row["label"], str(row["aligned"]), str(row["valid"]), str(row["attempted"]), shown])
    return table


def _claims(claims: list[dict[str, Any]]) -> list[Table]:
    if not claims:
        return []
    table = Table(
        "Contrasts that the model takes part in", ["study", "contrast", "eval", "difference", "95 % interval", "flags"]
    )
    for row in claims:
        low, high = row["ci_low"], row["ci_high"]
        interval = "–" if low is None else f"[{low:+.3f}, {high:+.3f}]"
        estimate = "–" if row["estimate"] is None else f"{row['estimate']:+.3f}"
        table.rows.append([row["study"], row["contrast"], row["eval"], estimate, interval, sentence(row["flags"]) or "–"])
    return [table]
