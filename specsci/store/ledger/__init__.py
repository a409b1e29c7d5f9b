"""The ledger: who works on which step now. It can be deleted and loses nothing.

Two files hold it: one SQLite database (`sqlite`), or small files that are linked and renamed (`files`), for network disks, where
SQLite's locks and shared memory do not work. All runners of a store use the one that the store was begun with.
"""

from specsci.store.ledger.choice import FILES, LEDGERS, SQLITE, open_ledger, read_snapshot, taken_over
from specsci.store.ledger.ledger import BEATS, LEASE_S, Ledger

__all__ = ["BEATS", "FILES", "LEASE_S", "LEDGERS", "SQLITE", "Ledger", "open_ledger", "read_snapshot", "taken_over"]
