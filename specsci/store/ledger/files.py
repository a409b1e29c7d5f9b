"""The ledger as small files: for network disks (NFS, Lustre, GPFS), where SQLite's locks and shared memory do not work.

    ledger/runs/RUNNER.json        one for each runner, replaced by a rename at each heartbeat
    ledger/claims/DIGEST/N.json    the claim with token N; the highest number is the one that counts
    ledger/failures/RUNNER.jsonl   appended to by its runner alone

A claim is made by a hard link to a new name, which one process alone can make on every such disk; after that the folder is looked at
again, because a client's list of it may have been old. Nobody writes a file of another runner.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from typing_extensions import override

from specsci.core.errors import StoreError
from specsci.core.files import writing
from specsci.store.ledger.ledger import FAILURES, LEASE_S, Ledger, Snapshot, seen_claims, seen_run, seen_runs

FOLDER = "ledger"
ENDED_RUNS = 50
"""Files of ended runs that are kept."""


class FilesLedger(Ledger):
    """Claims as numbered files, runs as one file each."""

    name = "files"
    lease_s = 3 * LEASE_S
    """Longer: a client of a network disk may see a file as it was a minute ago."""

    def __init__(self, root: Path, study: str = "") -> None:
        super().__init__(root, study)
        self.folder = root / FOLDER
        self.run: dict[str, Any] = {}
        with writing(self.folder, "the ledger"):
            for name in ("runs", "claims", "failures"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)

    @override
    def _claim(self, digest: str, label: str) -> int:
        folder = self.folder / "claims" / digest
        for _ in range(3):  # another runner may remove the folder between two of these lines
            last, runner = _last(folder)
            if last and self._lives(runner):
                return 0
            if self._link(folder, last + 1, label):
                if self._is_first(folder, last + 1):
                    return last + 1
                (folder / f"{last + 1}.json").unlink(missing_ok=True)
                return 0
        return 0

    def _lives(self, runner: str) -> bool:
        """Whether another runner holds a claim that may not be taken."""
        return runner not in ("", self.runner) and not self.watch.silent(runner, _beat(self.folder, runner))

    def _link(self, folder: Path, number: int, label: str) -> bool:
        """Make the claim of a number; False where another runner has."""
        part = self.folder / "claims" / f".{self.runner}.tmp"
        with writing(folder, "the ledger"):
            folder.mkdir(exist_ok=True)
            part.write_text(json.dumps({"runner": self.runner, "label": label, "at": time.time()}), encoding="utf-8")
            try:
                os.link(part, folder / f"{number}.json")
            except (FileExistsError, FileNotFoundError):
                return part.stat().st_nlink == 2  # a reply that was lost on its way: the link was made
            finally:
                part.unlink(missing_ok=True)
        return True

    def _is_first(self, folder: Path, number: int) -> bool:
        """Whether no other claim of a runner that may live is there, now that the folder's list is fresh."""
        others = [n for n in _numbers(folder) if n != number]
        return not any(n > number or self._lives(_holder(folder, n)) for n in others)

    @override
    def _release(self, digest: str, token: int) -> bool:
        folder = self.folder / "claims" / digest
        if not self.holds(digest, self.runner, token):
            return False
        with writing(folder, "the ledger"):
            for number in _numbers(folder):
                (folder / f"{number}.json").unlink(missing_ok=True)  # the highest last: until then the step is held
            with suppress(OSError):  # another runner has just claimed it
                folder.rmdir()
        return True

    @override
    def holds(self, digest: str, runner: str, token: int) -> bool:
        return holder(self.root, digest) == (runner, token)

    @override
    def start_run(self, total: int) -> None:
        now = time.time()
        self.run = {
            "runner": self.runner, "study": self.study, "host": socket.gethostname(), "pid": os.getpid(), "started_at": now, "seen_at": now,
            "state": "running", "done": 0, "total": total, "beat": 0,
        }  # fmt: skip
        self._write_run()
        self._forget_old_runs()

    @override
    def renew(self, done: int = 0, total: int = 0) -> None:
        if self.run:
            self.run |= {"beat": self.run["beat"] + 1, "seen_at": time.time(), "done": done, "total": total}
            self._write_run()

    @override
    def end_run(self, state: str) -> None:
        for digest in list(self.tokens):
            self.release(digest)
        if self.run:
            self.run |= {"state": state, "seen_at": time.time()}
            self._write_run()

    def _write_run(self) -> None:
        target = self.folder / "runs" / f"{self.runner}.json"
        part = target.with_name(f".{target.name}.tmp")
        with writing(target, "the ledger"):
            part.write_text(json.dumps(self.run), encoding="utf-8")
            part.replace(target)

    def _forget_old_runs(self) -> None:
        """Keep the folder of runs short: it is read at every claim of another runner's step."""
        ended = [r for r in _runs(self.folder) if r["state"] != "running"]
        for run in ended[ENDED_RUNS:]:
            (self.folder / "runs" / f"{run['runner']}.json").unlink(missing_ok=True)

    @override
    def failed(self, digest: str, label: str, error: str) -> None:
        path = self.folder / "failures" / f"{self.runner}.jsonl"
        with writing(path, "the ledger"), path.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"digest": digest, "label": label, "at": time.time(), "error": error}) + "\n")

    @override
    def snapshot(self) -> Snapshot:
        return _snapshot(self.folder)

    @override
    def close(self) -> None:
        """Nothing stays open."""


def read(root: Path) -> Snapshot | None:
    """What `FilesLedger.snapshot` says; None where there is no such ledger."""
    return _snapshot(root / FOLDER) if (root / FOLDER).is_dir() else None


def holder(root: Path, digest: str) -> tuple[str, int] | None:
    """Who holds a step, and under which token; None for nobody."""
    number, runner = _last(root / FOLDER / "claims" / digest)
    return (runner, number) if number else None


def _numbers(folder: Path) -> list[int]:
    """The numbers of a step's claims, the lowest first; none where nobody claims it."""
    try:
        return sorted(int(p.stem) for p in folder.glob("*.json") if p.stem.isdecimal())
    except FileNotFoundError:
        return []


def _last(folder: Path) -> tuple[int, str]:
    """The highest number and whose it is; 0 where there is none."""
    for number in reversed(_numbers(folder)):
        if runner := _holder(folder, number):
            return number, runner
    return 0, ""


def _holder(folder: Path, number: int) -> str:
    """Whose a claim is; empty where it is gone by now."""
    found = _read(folder / f"{number}.json")
    return str(found.get("runner", "")) if found else ""


def _beat(folder: Path, runner: str) -> int:
    found = _read(folder / "runs" / f"{runner}.json")
    return int(found.get("beat", 0)) if found else 0


def _read(path: Path) -> dict[str, Any] | None:
    """A JSON object that was written whole; None where it is gone, or the disk lost it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            raise StoreError(f"the ledger cannot be used: {error.strerror}", where=str(path), hint="see to the disk, and run again") from error
        return None
    return found if isinstance(found, dict) else None


def _runs(folder: Path) -> list[dict[str, Any]]:
    """All runs, the last begun first."""
    found = [_read(p) for p in folder.glob("runs/*.json")]
    return sorted((r for r in found if r and "runner" in r), key=lambda r: -float(r.get("started_at", 0)))


def _failures(folder: Path) -> Iterator[dict[str, Any]]:
    for path in folder.glob("failures/*.jsonl"):
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            with suppress(ValueError):  # the line that a killed runner was about to write
                yield json.loads(line)


def _snapshot(folder: Path) -> Snapshot:
    runs = [seen_run({k: v for k, v in run.items() if k != "beat"}) for run in _runs(folder)]
    claims = []
    for place in folder.glob("claims/*"):
        number, _ = _last(place) if place.is_dir() else (0, "")
        found = _read(place / f"{number}.json") if number else None
        if found:
            claims.append((place.name, str(found["runner"]), str(found.get("label", "")), float(found.get("at", 0))))
    failures = sorted(_failures(folder), key=lambda f: -float(f.get("at", 0)))[:FAILURES]
    return {"claims": seen_claims(claims, runs), "runs": seen_runs(runs), "failures": failures}
