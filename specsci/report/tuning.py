"""Tables of a search: trials, winners, the study under three settings, and how far more trials would go."""

from __future__ import annotations

from typing import Any

from specsci.report.table import Table


def tuning_tables(found: dict[str, Any]) -> list[Table]:
    """The tables of a search's record (`Outcome.as_json`)."""
    return [table for table in (_trials(found), _winners(found), _conclusions(found), _curves(found)) if table.rows]


def heading(found: dict[str, Any]) -> list[str]:
    """What is said above the tables."""
    tokens = ", ".join(f"{arm} {count:,}" for arm, count in found["tokens"].items())
    lines = [f"{found['study']}: {found['sampler']['sampler']}, seed {found['sampler']['seed']}", f"training tokens of all trials: {tokens}"]
    failed = sum(r["objective"] is None for r in found["results"])
    broke = sum(r["objective"] is not None and not r["feasible"] for r in found["results"])
    lines += [f"{failed} of {len(found['results'])} trials failed; they count"] if failed else []
    lines += [f"{broke} trials broke the constraint and cannot win"] if broke else []
    lines += [f"warn: {found['tuned_to_target']}"] if found["tuned_to_target"] else []
    if found["fragile"]:
        lines.append(f"fragile: tuning - {', '.join(found['fragile'])} say different things under different settings")
    elif found["conclusions"]:
        lines.append("no contrast says anything else under tuned settings")
    return lines


def _trials(found: dict[str, Any]) -> Table:
    keys, arms = list(found["space"]), list(found["own"]) or list(dict.fromkeys(r["arm"] for r in found["results"]))
    by_config: dict[tuple[int, tuple[Any, ...]], dict[str, dict[str, Any]]] = {}
    for result in found["results"]:
        by_config.setdefault((result["number"], tuple(result["config"][k] for k in keys)), {})[result["arm"]] = result
    rows = [
        [str(number + 1), *(f"{value:g}" for value in values), *(_cell(given.get(arm)) for arm in arms)]
        for (number, values), given in sorted(by_config.items())
    ]
    better = "higher is better" if found["maximise"] else "nats per token, lower is better"
    return Table(f"Trials: the objective of each arm ({better})", ["trial", *(k.rpartition(".")[2] for k in keys), *arms], rows)


def _cell(result: dict[str, Any] | None) -> str:
    if result is None:
        return ""
    if result["objective"] is None:
        return "failed"
    return f"{result['objective']:.4f}" + ("" if result["feasible"] else " (constraint)")


def _winners(found: dict[str, Any]) -> Table:
    def shown(config: dict[str, Any] | None) -> list[str]:
        return [f"{config[k]:g}" for k in found["space"]] if config else ["none"] * len(found["space"])

    rows = [["as it was", *shown(found["settings_now"])]] + [[arm, *shown(config)] for arm, config in found["own"].items()]
    rows.append(["shared by all", *shown(found["shared"])])
    return Table("Settings that won", ["for", *(k.rpartition(".")[2] for k in found["space"])], rows if found["own"] else [])


def _conclusions(found: dict[str, Any]) -> Table:
    fragile = set(found["fragile"])
    rows = [
        [
            c["contrast"],
            c["setting"],
            _number(c["estimate"]),
            f"[{_number(c['ci_low'])}, {_number(c['ci_high'])}]",
            str(c["n"] or ""),
            c["says"],
            "fragile: tuning" if c["contrast"] in fragile else "",
        ]
        for c in sorted(found["conclusions"], key=lambda c: (c["contrast"], list(found["studies"]).index(c["setting"])))
    ]
    return Table("Contrasts under three settings, on the study's own replicates", ["contrast", "settings", "estimate", "95 % interval", "n", "says", ""], rows)


def _curves(found: dict[str, Any]) -> Table:
    rows = [
        [arm, str(p["trials"]), _number(p["expected_best"]), f"[{_number(p['low'])}, {_number(p['high'])}]"]
        for arm, points in found["curves"].items()
        for p in points
        if p["trials"] & (p["trials"] - 1) == 0 or p["trials"] == len(points)
    ]
    return Table("Expected best after so many trials (band of at least 95 %; unknown where nothing bounds it)", ["arm", "trials", "expected best", "band"], rows)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"
