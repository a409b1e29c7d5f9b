"""Which ledger a store has: the one that it was begun with, else the one that is asked for, else what its disk wants."""

from __future__ import annotations

import os
from pathlib import Path

from specsci.core.errors import UserError
from specsci.store.disk import file_system, is_network
from specsci.store.ledger import files, sqlite
from specsci.store.ledger.files import FilesLedger
from specsci.store.ledger.ledger import Ledger, Snapshot
from specsci.store.ledger.sqlite import SqliteLedger

SQLITE, FILES = SqliteLedger.name, FilesLedger.name
LEDGERS: dict[str, type[Ledger]] = {SQLITE: SqliteLedger, FILES: FilesLedger}
VARIABLE = "SPECSCI_LEDGER"


def open_ledger(root: Path, study: str = "") -> Ledger:
    """The ledger of a store, made where there is none.

    Raises:
        UserError: `SPECSCI_LEDGER` names no ledger, or another one than the store has.
        StoreError: it cannot be used.
    """
    return LEDGERS[ledger_of(root)](root, study)


def ledger_of(root: Path) -> str:
    """The name of the ledger that a store has or is to have; raises UserError as `open_ledger` does."""
    asked, there = os.environ.get(VARIABLE, ""), _there(root)
    if asked and asked not in LEDGERS:
        raise UserError(f"{VARIABLE} is '{asked}', which is no ledger", hint=f"it may be {' or '.join(LEDGERS)}")
    if there and asked and asked != there:
        hint = f"unset {VARIABLE}; or, when nothing runs there, delete {root / _PLACES[there]} (no result is lost)"
        raise UserError(f"the store {root} was begun with the ledger '{there}', and {VARIABLE} asks for '{asked}'", hint=hint)
    return there or asked or wanted(root)


def wanted(root: Path) -> str:
    """The ledger that a store's disk wants."""
    return FILES if is_network(root) else SQLITE


def why(root: Path) -> str:
    """Why that one."""
    kind = file_system(root) or "unknown"
    return f"{kind}, which other machines may see" if is_network(root) else f"{kind}, a disk of this machine"


def read_snapshot(root: Path) -> Snapshot:
    """What the ledger's snapshot says, without writing anything: of a store that one may only read, or that never ran.

    Raises:
        StoreError: the ledger cannot be read.
    """
    found = files.read(root) if _there(root) == FILES else sqlite.read(root)
    return found or {"claims": [], "runs": [], "failures": []}


def taken_over(root: Path, digest: str, runner: str, token: int) -> bool:
    """Whether a step that a runner claimed under a token has another holder by now, asked by a worker before it publishes.

    What nobody else holds may be published, also where the lease ran out or the ledger was deleted.
    """
    found = (files.holder if _there(root) == FILES else sqlite.holder)(root, digest)
    return found is not None and found != (runner, token)


_PLACES = {SQLITE: sqlite.FILE, FILES: files.FOLDER}


def _there(root: Path) -> str:
    """The ledger that a store has; empty where it has none yet."""
    return next((name for name, place in _PLACES.items() if (root / place).exists()), "")
