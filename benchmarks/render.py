"""RESULTS.md from results.json."""

from __future__ import annotations

from typing import Any

HEAD = """# Benchmarks

Written by `make bench` (`python -m benchmarks`; `--only NAME` measures one anew) from `results.json`.
"""
COLUMNS = ("benchmark", "what", "ours", "peer", "ratio", "goal", "kept", "load at start")


def render(found: dict[str, Any]) -> str:
    """The page: the machine, one table, and notes."""
    machines: dict[str, list[str]] = {}
    for name, result in found.items():
        facts = "\n".join(f"- {key}: {value}" for key, value in result["machine"].items())
        machines.setdefault(facts, []).append(name)
    parts = [HEAD]
    for facts, names in machines.items():
        of = "" if len(machines) == 1 else f"Machine of {', '.join(names)}:\n"
        dates = sorted(found[n]["at"] for n in names)
        measured = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
        parts.append(f"{of}{facts}\n- measured: {measured}\n")
    parts.append(_line(COLUMNS) + "\n" + _line(["---"] * len(COLUMNS)))
    for name, result in found.items():
        for row in result["rows"]:
            kept = {True: "yes", False: "**no**", None: ""}[row["kept"]]
            shown = [name, *(row[k] for k in ("what", "ours", "peer", "ratio", "goal")), kept, str(result["load"])]
            parts.append(_line(shown))
    parts.append("\nA load above half a core at the start means that other work ran beside, and the times are too long.\n")
    for name, result in found.items():
        if result["notes"]:
            parts.append(f"**{name}** ({result['at']}, took {result['took_s']:.0f} s): {' '.join(result['notes'])}\n")
        if result.get("body"):
            parts.append(result["body"])
    return "\n".join(parts)


def _line(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"
