"""What may leave a store under which access label: a label is lowered with a reason in writing, or not at all."""

from __future__ import annotations

import getpass
import json
import os
import time
from pathlib import Path
from typing import Any

from specsci.core.errors import GateRefused, StoreError
from specsci.specs.schema import ACCESS

DECLASSIFIED = "declassified.jsonl"
"""The store's list of labels that were lowered."""


def check_release(what: str, label: str, wanted: str, declassify: str | None) -> None:
    """Refuse to give data a lower label than its own without a reason in writing.

    Args:
        what: what would leave, such as `the results`.

    Raises:
        GateRefused: the wanted label is lower and there is no reason.
    """
    if is_lower(wanted, label) and not (declassify or "").strip():
        raise GateRefused(
            f"{what} are {label} and would be exported as {wanted}",
            hint=f"export them as {label}, or give --declassify REASON, which is recorded",
        )


def is_lower(wanted: str, label: str) -> bool:
    """Whether a label is lower than another."""
    return ACCESS.index(wanted) < ACCESS.index(label)


def lowering(label: str, wanted: str, declassify: str | None) -> dict[str, Any] | None:
    """From which label, why and by whom a label is lowered; None where it is not."""
    return {"from": label, "reason": declassify, "by": _user()} if is_lower(wanted, label) else None


def record_lowering(root: Path, facts: dict[str, Any]) -> None:
    """Append a lowering of a label to the store's own list, before anything leaves.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        with (root / DECLASSIFIED).open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(facts) + "\n")
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        raise StoreError(
            f"the declassification cannot be recorded: {error}", where=str(root), hint="free space"
        ) from error


def now() -> str:
    """The time in UTC, as records have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
