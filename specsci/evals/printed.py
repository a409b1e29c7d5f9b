"""Scores as lines of JSON, which a program of somebody else's prints or a file holds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from specsci.core.errors import StepFailed
from specsci.evals.rows import STATES
from specsci.specs.items import Item

COLUMNS = ("item_id", "cluster_id", "slice", "variant", "sample", "state", "aligned", "value")


def rows_of(
    printed: str, items: list[Item], *, binary: bool, readout: str = "command", source: str = "the program's output"
) -> Iterator[dict[str, Any]]:
    """Score rows of lines of JSON; questions that they say nothing of are errors, not left out.

    Args:
        items: what was asked; empty where that is not known.
        binary: whether a line has `aligned`, or a `value`.
        source: what the lines are, for messages.

    Raises:
        StepFailed: a line is no score, names no item of the set, or stands twice.
    """
    wanted = {(item.item_id, variant): item for item in items for variant, _ in item.questions()}
    by_id = {item.item_id: item for item in items}
    answered: set[tuple[str, str]] = set()
    count = 0
    for number, line in enumerate(printed.split("\n"), 1):  # not splitlines: JSON may hold other line ends
        if not line.strip():
            continue
        where = f"line {number} of {source}"
        try:
            given = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise StepFailed(f"{where} is not JSON: {line.strip()[:80]!r}", hint="scores alone, an object a line; a program's messages belong on stderr") from error
        row = row_of(given, where, binary)
        count += 1
        item = by_id.get(row["item_id"])
        if items and item is None:
            raise StepFailed(f"line {number} of {source} names '{row['item_id']}', which is no item of the set")
        if item is not None:
            row = {"cluster_id": item.cluster_id, "slice": item.slice, **row}
            whole = {variant for key, variant in wanted if key == item.item_id}
            if "variant" not in row and len(whole) == 1:
                row["variant"] = next(iter(whole))
            answered |= {(item.item_id, variant) for variant in ([row["variant"]] if row.get("variant") in whole else whole)}
        yield {"readout": readout, "cluster_id": row["item_id"], **row}
    if not count and not items:
        raise StepFailed(f"there is no score in {source}", hint='a line is such as {"item_id": "a", "aligned": true}')
    for (item_id, variant), item in wanted.items():
        if (item_id, variant) not in answered:
            place = {"item_id": item_id, "cluster_id": item.cluster_id, "slice": item.slice, "variant": variant}
            yield {"readout": readout, **place, "state": "error"}


def row_of(given: Any, where: str, binary: bool) -> dict[str, Any]:
    """What a line holds as a score row; raises StepFailed, whose text begins with `where`, if it is no score."""
    if not isinstance(given, dict) or not isinstance(given.get("item_id"), (str, int)) or isinstance(given.get("item_id"), bool):
        raise StepFailed(f"{where} has no item_id", hint='a line is such as {"item_id": "a", "aligned": true}')
    row = {key: given[key] for key in COLUMNS if given.get(key) is not None}
    for key in ("item_id", "cluster_id", "slice", "variant"):
        if isinstance(row.get(key), int) and not isinstance(row[key], bool):
            row[key] = str(row[key])
        if key in row and not isinstance(row[key], str):
            raise StepFailed(f"{where}: {key} is no text")
    wanted, other = ("aligned", "value") if binary else ("value", "aligned")
    if "state" not in row and wanted not in given and other in row:
        raise StepFailed(f"{where} has '{other}', and the eval's outcome is {'binary' if binary else 'rate'}", hint=f"write `{wanted}`, or change `outcome`")
    answer = row.get("aligned") if binary else row.get("value")
    fits = isinstance(answer, bool) if binary else isinstance(answer, (int, float)) and not isinstance(answer, bool) and math.isfinite(answer)
    state = row.setdefault("state", "ok" if answer is not None else "error")
    if state not in STATES or not isinstance(state, str):
        raise StepFailed(f"{where}: '{state}' is no state: {', '.join(STATES)}")
    if state == "ok" and not fits:
        said = "aligned: true or false" if binary else "value: a finite number"
        raise StepFailed(f"{where} has no answer", hint=f"write {said}; or a state such as unparsed")
    if state != "ok":
        row.pop("aligned", None)
        row.pop("value", None)
    elif binary:
        if isinstance(row.get("value"), float) and not math.isfinite(row["value"]):
            raise StepFailed(f"{where}: value is no finite number")
        row["value"] = float(row["value"]) if isinstance(row.get("value"), (int, float)) else (1.0 if answer else -1.0)
    else:
        row["value"] = float(row["value"])
        row.pop("aligned", None)
    if "sample" in row and (not isinstance(row["sample"], int) or isinstance(row["sample"], bool)):
        raise StepFailed(f"{where}: sample is no number")
    return row
