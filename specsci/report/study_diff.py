"""What two studies do otherwise: recipe, specs, corpora, and what the results say of both."""

from __future__ import annotations

from typing import Any

import duckdb

from specsci.core.kinds import names
from specsci.plan.plan import Plan
from specsci.report.ablation import Ablation, RateCell, ablation, study_names
from specsci.report.table import NOTHING, Table, rate, tokens


def study_diff(first: Plan, second: Plan, db: duckdb.DuckDBPyConnection | None) -> dict[str, Any]:
    """The differences as plain values: `recipe`, `steps`, `rates`, `contrasts`, and a `summary`.

    Args:
        db: results in which either study is looked for; None where there are none.
    """
    names = first.loaded.name, second.loaded.name
    recipe = list(_fields(first.loaded.study.model_dump(mode="json"), second.loaded.study.model_dump(mode="json")))
    shared = set(first.steps) & set(second.steps)
    steps = [_kind(first, second, kind) for kind in dict.fromkeys(s.kind for p in (first, second) for s in p.steps.values())]
    known = study_names(db) if db is not None else []
    both = [
        ablation(db, n) if db is not None and n in known and _is_of(db, p) else None
        for n, p in zip(names, (first, second), strict=True)
    ]
    missing = [n for n, found in zip(names, both, strict=True) if found is None]
    summary = f"{names[0]} against {names[1]}: {len(recipe)} fields differ, {len(shared):,} steps are the same"
    if missing:
        summary += f"; no results of {' and '.join(missing)} as it is in this store"
    return {
        "a": names[0],
        "b": names[1],
        "summary": summary,
        "recipe": [{"field": f, "a": a, "b": b} for f, a, b in recipe],
        "steps": steps,
        "rates": _rates(both[0], both[1]) if both[0] and both[1] else [],
        "contrasts": _contrasts(both[0], both[1]) if both[0] and both[1] else [],
    }


def _is_of(db: duckdb.DuckDBPyConnection, plan: Plan) -> bool:
    """Whether the results under a study's name are those of this plan, and not of another version of its file."""
    cells = {d for (d,) in db.execute("SELECT step_digest FROM cells WHERE study = ?", [plan.loaded.name]).fetchall()}
    return cells == {s.digest for s in plan.scored}


def _fields(first: Any, second: Any, path: str = "") -> Any:
    """(dotted field, value in A, value in B) wherever two resolved studies differ."""
    if isinstance(first, dict) and isinstance(second, dict):
        for key in dict.fromkeys([*first, *second]):
            yield from _fields(first.get(key), second.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(first, list) and isinstance(second, list) and all(isinstance(x, dict) for x in [*first, *second]):
        yield from _fields(_named(first), _named(second), path)
    elif first != second:
        yield path, first, second


def _named(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A list of mappings by name (contrasts), or else by place."""
    return {str(row.get("name", number)): row for number, row in enumerate(rows)}


def _kind(first: Plan, second: Plan, kind: str) -> dict[str, Any]:
    """How many steps of a kind are shared; for texts and models, which labels are of one digest and which are not."""
    labels = [{s.label: s.digest for s in plan.of_kind(kind)} for plan in (first, second)]
    digests = [set(found.values()) for found in labels]
    row: dict[str, Any] = {
        "kind": kind, "shared": len(digests[0] & digests[1]), "only_a": len(digests[0] - digests[1]),
        "only_b": len(digests[1] - digests[0]),
    }  # fmt: skip
    if kind in names(lambda kind: kind.compared):
        row["changed"] = sorted(name for name in labels[0].keys() & labels[1].keys() if labels[0][name] != labels[1][name])
    return row


def _rates(first: Ablation, second: Ablation) -> list[dict[str, Any]]:
    keys = [(e, *k) for e, cells in first.cells.items() for k in cells if k in second.cells.get(e, {})]

    def values(cell: RateCell) -> dict[str, float]:
        return {"rate": cell.interval.estimate, "low": cell.interval.low, "high": cell.interval.high, "attempted": cell.attempted}

    return [
        {"eval": e, "arm": arm, "aft_tokens": b, "a": values(first.cells[e][arm, b]), "b": values(second.cells[e][arm, b])}
        for e, arm, b in keys
    ]


def _contrasts(first: Ablation, second: Ablation) -> list[dict[str, Any]]:
    keys = ("estimate", "ci_low", "ci_high", "p", "p_adj", "flags")
    by_name = [{c["contrast"]: {k: c[k] for k in keys} for c in found.contrasts} for found in (first, second)]
    return [
        {"contrast": name, "a": by_name[0].get(name), "b": by_name[1].get(name)}
        for name in dict.fromkeys([*by_name[0], *by_name[1]])
    ]


def diff_tables(found: dict[str, Any]) -> list[Table]:
    """The differences as tables."""
    a, b = found["a"], found["b"]
    tables = [
        Table("Recipe: fields that differ", ["field", a, b], [[r["field"], _short(r["a"]), _short(r["b"])] for r in found["recipe"]]),
        Table("Steps", ["kind", "shared", f"only {a}", f"only {b}", "same label, other content"], [
            [r["kind"], str(r["shared"]), str(r["only_a"]), str(r["only_b"]), ", ".join(r.get("changed", [])[:6]) or NOTHING]
            for r in found["steps"]
        ]),
    ]  # fmt: skip
    if found["rates"]:
        rows = [
            [
                r["eval"],
                r["arm"],
                tokens(r["aft_tokens"]),
                _rate(r["a"]),
                _rate(r["b"]),
                f"{r['b']['rate'] - r['a']['rate']:+.3f}",
            ]
            for r in found["rates"]
        ]
        note = "Difference: B minus A, of means; it has no interval, since the studies' replicates are not paired."
        tables.append(Table("Misaligned rates", ["eval", "arm", "AFT tokens", a, b, "difference"], rows, note))
    if found["contrasts"]:
        rows = [[r["contrast"], _contrast(r["a"]), _contrast(r["b"])] for r in found["contrasts"]]
        tables.append(Table("Contrasts", ["contrast", a, b], rows))
    return tables


def _short(value: Any) -> str:
    text = NOTHING if value is None else " ".join(str(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def _rate(cell: dict[str, float]) -> str:
    return f"{rate(cell['rate'])} [{rate(cell['low'])}, {rate(cell['high'])}]"


def _contrast(row: dict[str, Any] | None) -> str:
    if row is None or row["estimate"] is None:
        return NOTHING
    ends = NOTHING if row["ci_low"] is None else f"[{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
    return f"{row['estimate']:+.3f} {ends}"
