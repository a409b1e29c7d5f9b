"""How far a study is: from the artefacts that are there and the ledger's live claims."""

from __future__ import annotations

import time
from typing import Any

from specsci.execute.logs import failed_log
from specsci.generate.ledger_summary import read_summary
from specsci.plan.plan import Plan
from specsci.store.artifact import Store
from specsci.store.ledger import read_snapshot

TRACEBACK = "Traceback (most recent call last):"


def status_of(plan: Plan, store: Store) -> dict[str, Any]:
    """Counts by kind, running steps, runs and recent failures."""
    have = store.have(list(plan.steps.values()))
    kinds: dict[str, dict[str, int]] = {}
    for step in plan.steps.values():
        counts = kinds.setdefault(step.kind, {"done": 0, "total": 0})
        counts["total"] += 1
        counts["done"] += step.digest in have
    snapshot = read_snapshot(store.root)
    failures = [f for f in snapshot["failures"] if f["digest"] in plan.steps and f["digest"] not in have]
    for failure in failures:
        log = failed_log(store.root, failure["digest"])
        failure |= {"cause": cause_of(failure["error"]), "log": str(log) if log.is_file() else None}
    return {
        "study": plan.loaded.name,
        "done": len(have),
        "total": len(plan.steps),
        "kinds": kinds,
        "running": [c for c in snapshot["claims"] if c["digest"] in plan.steps],
        "runs": [r for r in snapshot["runs"] if r["study"] == plan.loaded.name],
        "failures": failures,
        "generators": read_summary(store.root, plan.loaded.study.study),
    }


def cause_of(error: str) -> str:
    """The one line of an error that says what happened: the last of a traceback, else the first, without its hint."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    if not lines:
        return "no cause was written down"
    if TRACEBACK not in error:
        return lines[0]
    *_, last = error.rpartition(TRACEBACK)
    return next((line for line in last.splitlines() if line.strip() and not line.startswith((" ", "\t"))), lines[-1])


def _failure_lines(failure: dict[str, Any]) -> list[str]:
    lines = [f"failed: {failure['label']} [{failure['digest']}]: {cause_of(failure['error'])}"]
    hint = next((t.strip() for t in failure["error"].splitlines() if t.startswith("  hint: ")), "")
    if hint:
        lines.append(f"  {hint}")
    if failure.get("log"):
        lines.append(f"  log: {failure['log']}")
    return lines


def _runner_line(run: dict[str, Any]) -> str:
    """One runner of the study: where it is, how far, and when it was last heard of (by the clocks of both machines)."""
    ago = max(0.0, time.time() - float(run["seen_at"]))
    return f"runner on {run['host']} (process {run['pid']}): {run['done']:,} of {run['total']:,} steps done when last heard of, {ago:.0f} s ago"


def _generator_line(row: dict[str, Any]) -> str:
    """One generator's requests and dollars."""
    parts = [f"{row['ok']:,} answered"]
    parts += [f"{row['unusable']:,} not usable"] if row["unusable"] else []
    parts += [f"{row['failed']:,} failed"] if row["failed"] else []
    parts += [f"{row['in_flight']:,} under way"] if row["in_flight"] else []
    batches = f" in {row['open_batches']} batches: the same command collects them" if row["open_batches"] else ""
    may = f", and at most ${row['may_cost_usd']:,.4f} more" if row["may_cost_usd"] and row["may_cost_usd"] > 5e-5 else ""
    return f"generator {row['generator']}: {', '.join(parts)} of {row['requests']:,} requests{batches}; ${row['usd'] or 0:,.4f} spent{may}"


def status_lines(found: dict[str, Any]) -> list[str]:
    """The status as a person reads it."""
    lines = [f"{found['study']}: {found['done']:,} of {found['total']:,} steps done"]
    lines += [f"  {kind}: {c['done']}/{c['total']}" for kind, c in found["kinds"].items()]
    for claim in found["running"]:
        lines.append(f"running {claim['running_s']:.0f} s: {claim['label']} (runner {claim['runner']})")
    lines += [_runner_line(run) for run in found.get("runs", []) if run["state"] == "running"]
    lines += [_generator_line(row) for row in found.get("generators", [])]
    for failure in found["failures"]:
        lines += _failure_lines(failure)
    if not found["running"] and found["done"] < found["total"]:
        lines.append("nothing runs now; `specsci study run` goes on from here")
    return lines
