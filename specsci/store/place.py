"""Which store is meant, and opening it."""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path

from specsci.core.errors import StoreError, UserError
from specsci.store.artifact import Store, check_place
from specsci.store.remote import Remote, cache_of, url_of


def store_path(given: str | os.PathLike[str] | None) -> Path:
    """The store's directory: the one given, else `$SPECSCI_STORE`, else `.specsci` here; of an address (`s3://...`) its cache."""
    named = given if given is not None else os.environ.get("SPECSCI_STORE") or ".specsci"
    url = url_of(named)
    return cache_of(url) if url else Path(named)


def open_store(given: str | os.PathLike[str] | None, *, create: bool = True) -> Store:
    """The store, made if need be.

    Raises:
        UserError: there is none and `create` is false, or the place cannot hold one.
    """
    store = Store(store_path(given))
    check_place(store.root)
    if url := url_of(given if given is not None else os.environ.get("SPECSCI_STORE", "")):
        return _cached(store, url)
    if create:
        return store.open()
    if not (store.root / "steps").is_dir():
        raise UserError(f"no store in {store.root}", hint="run a study first, or name the store with --store DIR")
    return store


def _cached(store: Store, url: str) -> Store:
    """The cache of a store that lies elsewhere, brought up to date; what people write there goes up when this process ends."""
    remote = Remote(store.root, url)
    store.open()
    remote.open()
    atexit.register(_take_up, remote)
    return store


def _take_up(remote: Remote) -> None:
    try:
        remote.sync_written()
    except StoreError as error:
        sys.stderr.write(f"what was written here is not in the store yet: {error}\n")
