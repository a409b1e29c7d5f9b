"""The request ledger: every request to a language model, what became of it, and what it cost.

It is one SQLite file of a store. A request is written down before it is sent, and its reply as it arrives, so that a run that was
killed goes on where it stopped and pays for nothing twice. Replies are the truth that corpora are made of: unlike the ledger of
steps, this file is not to be deleted.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specsci.core.errors import GateRefused, StoreError
from specsci.core.liveness import is_dead, process_name
from specsci.generate.ledger_file import FILE, FORMAT, SCHEMA, unusable
from specsci.generate.request import PAID, ModelRequest, Reply, Usage

OPEN = ("reserved", "submitted")
"""A request that may be on its way: what became of it is not known yet."""
FAILED = ("error", "expired", "cancelled")
"""A request that ended without a reply, and is wanted again when somebody asks for it."""
PART = 500
LONGEST_REQUEST_S = 2 * 3600.0
"""A request that another machine sent longer ago is given up: whether that machine lives cannot be seen from here."""
ALL = "*"
"""The part of a scope that stands for all generators of a study."""


class CapReached(GateRefused):
    """The next request could cost more than the cap leaves."""


@dataclass(frozen=True)
class Caps:
    """The most US dollars for one generator in a study, and for the study; None where there is no cap."""

    generator_usd: float | None
    study_usd: float | None


@dataclass(frozen=True)
class Spent:
    """US dollars: settled on real usage, reserved for requests on their way, and of requests whose end is not known."""

    settled_usd: float
    reserved_usd: float
    unknown_usd: float

    @property
    def usd(self) -> float:
        """The most that can have been spent."""
        return self.settled_usd + self.reserved_usd + self.unknown_usd


@dataclass(frozen=True)
class BatchRow:
    """A batch as the ledger knows it; `id` is empty where its creation was not confirmed."""

    mark: str
    id: str
    requests: int
    created_at: float
    owner: str


class RequestLedger:
    """The requests of one study's generator, in a store's file."""

    def __init__(self, root: Path, study: str, generator: str, caps: Caps, provider: str = "") -> None:
        """Open the file, made where there is none.

        Args:
            provider: whose batches this generator's are; several generators may share one.

        Raises:
            StoreError: it cannot be used.
        """
        self.path, self.study, self.generator, self.caps = root / FILE, study, generator, caps
        self.provider, self.owner = provider, process_name()
        root.mkdir(parents=True, exist_ok=True)
        try:
            self.db = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=NORMAL")
            if self.db.execute("PRAGMA user_version").fetchone()[0] > FORMAT:
                raise StoreError("the request ledger is of a newer specsci", where=str(self.path), hint="update specsci")
            self.db.executescript(SCHEMA)
            self.path.chmod(0o600)
        except sqlite3.DatabaseError as error:
            raise unusable(self.path, error) from error

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it or nothing, whatever other processes do."""
        try:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
            except BaseException:
                self.db.execute("ROLLBACK")
                raise
            self.db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            raise unusable(self.path, error) from error

    def plan(self, requests: Iterable[ModelRequest]) -> None:
        """Write down requests that are not there yet; those whose last try failed are wanted again."""
        now = time.time()
        rows = [
            (r.digest, self.study, self.generator, json.dumps(dict(r.about), ensure_ascii=False), _packed(r), now)
            for r in requests
        ]
        with self._change() as db:
            db.executemany(
                "INSERT INTO requests (digest, study, generator, state, about, request, created_at) "
                "VALUES (?, ?, ?, 'planned', ?, ?, ?) ON CONFLICT (digest) DO UPDATE SET state = 'planned', batch = NULL "
                f"WHERE state IN {FAILED}",
                rows,
            )

    def replies(self, digests: Iterable[str]) -> dict[str, Reply]:
        """The replies of the requests that were answered."""
        return {row["digest"]: _reply(row) for row in self._of(digests, "*", PAID)}

    def states(self, digests: Iterable[str]) -> dict[str, str]:
        """The state of every request that is known."""
        return {row["digest"]: row["state"] for row in self._of(digests, "digest, state")}

    def failures(self, digests: Iterable[str]) -> dict[str, int]:
        """What was said of requests that got no reply, with how many were told so."""
        counts: dict[str, int] = {}
        for row in self._of(digests, "state, error", FAILED):
            counts[row["error"] or row["state"]] = counts.get(row["error"] or row["state"], 0) + 1
        return counts

    def _of(self, digests: Iterable[str], columns: str, states: Sequence[str] = ()) -> Iterator[sqlite3.Row]:
        """Rows of requests by their digests, in parts that SQLite takes; those in one of the states, where some are given."""
        wanted = list(digests)
        held = f" AND state IN ({_marks(states)})" if states else ""
        for start in range(0, len(wanted), PART):
            part = wanted[start : start + PART]
            yield from self._rows(f"SELECT {columns} FROM requests WHERE digest IN ({_marks(part)}){held}", [*part, *states])

    def reserve(self, worst: Sequence[tuple[ModelRequest, float]], mark: str | None = None) -> set[str]:
        """Set the worst case of requests aside: they are sent next, alone, or with `mark` as one batch that is about to be created.

        Returns:
            the digests that are now this process's to send; another process may have taken some since they were looked at.

        Raises:
            CapReached: a cap would be passed; nothing is set aside then.
        """
        now, sent = time.time(), "submitted" if mark is None else "reserved"
        with self._change() as db:
            states = self.states([r.digest for r, _ in worst])
            worst = [(r, w) for r, w in worst if states.get(r.digest) == "planned"]
            usd = sum(w for _, w in worst)
            if not worst:
                return set()
            for scope, cap in self._scopes():
                spent = self._spent(scope)
                if cap is not None and spent.usd + usd > cap + 1e-9:
                    raise self._reached(scope, cap, spent, usd)
                db.execute(
                    "INSERT INTO spent (scope, reserved_usd) VALUES (?, ?) "
                    "ON CONFLICT (scope) DO UPDATE SET reserved_usd = reserved_usd + excluded.reserved_usd",
                    (scope, usd),
                )
            db.executemany(
                "UPDATE requests SET state = ?, reserved_usd = ?, batch = ?, owner = ?, sent_at = ?, study = ?, generator = ?, "
                "attempts = attempts + 1 WHERE digest = ?",
                [(sent, w, mark, self.owner, now, self.study, self.generator, r.digest) for r, w in worst],
            )
            if mark is not None:
                db.execute(
                    "INSERT INTO batches (mark, provider, study, generator, owner, state, requests, created_at) "
                    "VALUES (?, ?, ?, ?, ?, 'intent', ?, ?)",
                    (mark, self.provider, self.study, self.generator, self.owner, len(worst), now),
                )
        return {r.digest for r, _ in worst}

    def created(self, mark: str, batch_id: str) -> None:
        """A batch was created, or found again."""
        with self._change() as db:
            db.execute("UPDATE batches SET id = ?, state = 'submitted' WHERE mark = ?", (batch_id, mark))
            db.execute("UPDATE requests SET state = 'submitted' WHERE batch = ? AND state = 'reserved'", (mark,))

    def settle(self, replies: Iterable[tuple[str, Reply]]) -> int:
        """Write replies down and settle what they cost; replies to requests that have one, or that nobody sent, are not used.

        Returns:
            how many were used.
        """
        used = 0
        with self._change() as db:
            for digest, reply in replies:
                used += self._settle(db, digest, reply)
        return used

    def _settle(self, db: sqlite3.Connection, digest: str, reply: Reply) -> int:
        row = self._rows("SELECT * FROM requests WHERE digest = ?", [digest])
        if not row:
            self._count(db, "replies that nobody asked for")
            return 0
        before = row[0]
        if before["state"] in PAID:
            self._count(db, "replies that came twice")
            return 0
        usd = reply.usd or 0.0
        if usd > before["reserved_usd"] + 1e-9:
            self._count(db, "replies that cost more than was reserved")
        if reply.state not in PAID:
            self._count(db, reply.error.partition(":")[0][:80] or reply.state)
        db.execute(
            "UPDATE requests SET state = ?, text = ?, stop = ?, usage = ?, model = ?, residency = ?, error = ?, latency_s = ?, "
            "usd = coalesce(usd, 0) + ?, reserved_usd = 0, ended_at = ? WHERE digest = ?",
            (
                reply.state,
                reply.text,
                reply.stop,
                json.dumps(reply.usage.as_dict()),
                reply.model,
                reply.residency,
                reply.error,
                reply.latency_s,
                usd,
                time.time(),
                digest,
            ),
        )
        for scope in (f"{before['study']}/{before['generator']}", f"{before['study']}/{ALL}"):
            db.execute(
                "UPDATE spent SET reserved_usd = max(0, reserved_usd - ?), settled_usd = settled_usd + ? WHERE scope = ?",
                (before["reserved_usd"], usd, scope),
            )
        return 1

    def mark(self, digest: str, why: str) -> None:
        """A reply that is whole is not of the form that was asked for."""
        with self._change() as db:
            db.execute("UPDATE requests SET state = 'unparsed', error = ? WHERE digest = ? AND state = 'ok'", (why, digest))

    def fail(self, digest: str, why: str) -> None:
        """A request that was given up ends without a reply."""
        with self._change() as db:
            db.execute("UPDATE requests SET state = 'error', error = ?, ended_at = ? WHERE digest = ?", (why, time.time(), digest))

    def count(self, what: str, count: int = 1) -> None:
        """Count something that went wrong beside a single request."""
        with self._change() as db:
            self._count(db, what, count)

    def _count(self, db: sqlite3.Connection, what: str, count: int = 1) -> None:
        db.execute(
            "INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT (scope, what) DO UPDATE SET count = count + excluded.count",
            (f"{self.study}/{self.generator}", what, count),
        )

    def counts(self) -> dict[str, int]:
        """What went wrong so far with this generator, by what it was."""
        found = self._rows("SELECT what, count FROM counts WHERE scope = ? ORDER BY what", [f"{self.study}/{self.generator}"])
        return {row["what"]: row["count"] for row in found}

    def give_up(self, digests: Iterable[str], *, unknown: bool) -> None:
        """Requests without a reply are wanted again: their reservation is freed, or counted as spent where it may have been.

        Args:
            unknown: whether the provider may have answered, and charged, although no reply was stored.
        """
        with self._change() as db:
            for digest in digests:
                row = self._rows("SELECT * FROM requests WHERE digest = ?", [digest])[0]
                db.execute("UPDATE requests SET state = 'planned', reserved_usd = 0, batch = NULL WHERE digest = ?", (digest,))
                lost = row["reserved_usd"] if unknown else 0.0
                for scope in (f"{row['study']}/{row['generator']}", f"{row['study']}/{ALL}"):
                    db.execute(
                        "UPDATE spent SET reserved_usd = max(0, reserved_usd - ?), unknown_usd = unknown_usd + ? WHERE scope = ?",
                        (row["reserved_usd"], lost, scope),
                    )
                if unknown:
                    self._count(db, "requests that may have been charged without a reply")

    def in_flight(self, digests: Iterable[str]) -> tuple[list[str], list[str]]:
        """Those of the requests that are on their way alone: sent by processes that are gone, and by others that live."""
        gone: list[str] = []
        alive: list[str] = []
        for row in self._of(digests, "digest, owner, sent_at, batch", OPEN):
            if row["batch"] is None:
                ended = self.is_gone(row["owner"], row["sent_at"], LONGEST_REQUEST_S)
                (gone if ended else alive).append(row["digest"])
        return gone, alive

    def is_gone(self, owner: str, since: float, longest_s: float) -> bool:
        """Whether a process surely does no more with what it began: it is this one, it is dead, or it began too long ago."""
        return owner == self.owner or is_dead(owner) or time.time() - since > longest_s

    def batches(self, state: str) -> list[BatchRow]:
        """This provider's batches of a state: `intent`, `submitted`, `done` or `deleted`."""
        query = "SELECT * FROM batches WHERE state = ? AND provider = ? ORDER BY created_at"
        rows = self._rows(query, [state, self.provider])
        return [BatchRow(r["mark"], r["id"] or "", r["requests"], r["created_at"], r["owner"]) for r in rows]

    def members(self, mark: str) -> list[str]:
        """The requests of a batch that have no reply yet."""
        rows = self._rows("SELECT digest FROM requests WHERE batch = ? AND state IN (?, ?)", [mark, *OPEN])
        return [row["digest"] for row in rows]

    def finished(self, mark: str, state: str = "done") -> None:
        """All results of a batch are stored (`done`), or the provider has deleted it as well (`deleted`)."""
        with self._change() as db:
            db.execute("UPDATE batches SET state = ?, ended_at = ? WHERE mark = ?", (state, time.time(), mark))

    def never_created(self, mark: str) -> None:
        """A batch that was about to be created is not there: its requests are wanted again, and cost nothing."""
        self.give_up(self.members(mark), unknown=False)
        with self._change() as db:
            db.execute("DELETE FROM batches WHERE mark = ?", (mark,))

    def known_batch_ids(self) -> set[str]:
        """Batches that need not be looked at: this ledger's own, and those found to be somebody else's."""
        rows = self._rows("SELECT id FROM batches WHERE id IS NOT NULL UNION SELECT id FROM foreign_batches", [])
        return {row["id"] for row in rows}

    def not_ours(self, batch_id: str) -> None:
        """A batch of the account holds no request of this ledger."""
        with self._change() as db:
            db.execute("INSERT OR IGNORE INTO foreign_batches VALUES (?)", (batch_id,))

    def spent(self) -> Spent:
        """What this generator has cost in this study."""
        return self._spent(f"{self.study}/{self.generator}")

    def _scopes(self) -> tuple[tuple[str, float | None], ...]:
        return (f"{self.study}/{self.generator}", self.caps.generator_usd), (f"{self.study}/{ALL}", self.caps.study_usd)

    def _spent(self, scope: str) -> Spent:
        rows = self._rows("SELECT * FROM spent WHERE scope = ?", [scope])
        if not rows:
            return Spent(0.0, 0.0, 0.0)
        return Spent(rows[0]["settled_usd"], rows[0]["reserved_usd"], rows[0]["unknown_usd"])

    def _reached(self, scope: str, cap: float, spent: Spent, usd: float) -> CapReached:
        whose = f"the study '{self.study}'" if scope.endswith(f"/{ALL}") else f"the generator '{self.generator}'"
        what = f"{whose} may cost ${cap:,.2f}: ${spent.usd:,.4f} of it are spent or reserved, and the next requests could cost ${usd:,.4f}"
        where = "gates.max_usd" if scope.endswith(f"/{ALL}") else f"generators.{self.generator}.max_usd"
        return CapReached(what, hint=f"nothing was sent; raise {where}, or ask for less; what was paid is kept")

    def _rows(self, query: str, values: Sequence[Any]) -> list[sqlite3.Row]:
        cursor = self.db.cursor()
        cursor.row_factory = sqlite3.Row
        try:
            return cursor.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise unusable(self.path, error) from error


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


def _packed(request: ModelRequest) -> str:
    return json.dumps(request.identity, ensure_ascii=False)


def _reply(row: sqlite3.Row) -> Reply:
    return Reply(
        state=row["state"],
        text=row["text"] or "",
        stop=row["stop"] or "",
        usage=Usage(**json.loads(row["usage"] or "{}")),
        model=row["model"] or "",
        residency=row["residency"] or "",
        error=row["error"] or "",
        latency_s=row["latency_s"] or 0.0,
        usd=row["usd"],
    )
