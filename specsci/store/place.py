"""Which store is meant, and opening it."""

from __future__ import annotations

import os
from pathlib import Path

from specsci.core.errors import UserError
from specsci.store.artifact import Store, check_place


def store_path(given: str | os.PathLike[str] | None) -> Path:
    """The store's directory: the one given, else `$SPECSCI_STORE`, else `.specsci` here."""
    return Path(given) if given is not None else Path(os.environ.get("SPECSCI_STORE") or ".specsci")


def open_store(given: str | os.PathLike[str] | None, *, create: bool = True) -> Store:
    """The store, made if need be.

    Raises:
        UserError: there is none and `create` is false, or the place cannot hold one.
    """
    store = Store(store_path(given))
    check_place(store.root)
    if create:
        return store.open()
    if not (store.root / "steps").is_dir():
        raise UserError(f"no store in {store.root}", hint="run a study first, or name the store with --store DIR")
    return store
