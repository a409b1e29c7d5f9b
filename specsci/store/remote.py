"""A store whose artefacts lie elsewhere (`s3://...`, by fsspec): a directory here is its cache, and each artefact's record goes up last.

The cache is an ordinary store, so that nothing else of specsci knows of it. Records and small files come down when the store is opened;
large files, such as weights, when a step needs them. The ledger, the request ledger and results.duckdb stay here: they need a disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from specsci.core.errors import StoreError, UserError
from specsci.core.extras import need
from specsci.core.files import remove, temporary_beside, write_json
from specsci.core.ids import file_sha256
from specsci.core.shipped import cache_folder
from specsci.store.absent import FILE as ABSENT
from specsci.store.absent import REMOTE, REMOVED, absent, mark
from specsci.store.record import RECORD
from specsci.store.written import THEIRS, WRITTEN, written

PLACE = "remote.json"
"""File of a cache that says what it is a cache of."""
URL = re.compile(r"([a-z][a-z0-9+]*):/+(.+)")
NO_BUCKET = re.compile(r"[a-z][a-z0-9+]+:/*")
SMALL_BYTES = 2**20
DEPTH = 3
"""Parts of an artefact's place: `steps/KIND/DIGEST`."""
_KEEP = ("log.txt",)


def url_of(given: str | os.PathLike[str]) -> str | None:
    """The address that a store's name is; None for a directory. A path that lost one of its slashes is an address too.

    Raises:
        UserError: it names no bucket.
    """
    if NO_BUCKET.fullmatch(str(given)):
        raise UserError(f"the store's address '{given}' names no bucket", hint="write s3://BUCKET/PREFIX")
    found = URL.fullmatch(str(given))
    return f"{found[1]}://{found[2].rstrip('/')}" if found and len(found[1]) > 1 else None


def cache_of(url: str) -> Path:
    """The directory that is a store's cache: below `$SPECSCI_CACHE`, else the user's cache."""
    name = re.sub(r"[^\w.-]+", "_", url.partition("://")[2])[-60:]
    return cache_folder("stores") / f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def remote_of(root: Path) -> Remote | None:
    """What a store's directory is a cache of; None for a store that lies there itself."""
    try:
        return Remote(root, str(json.loads((root / PLACE).read_text(encoding="utf-8"))["url"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError("what this cache is of cannot be read", where=str(root / PLACE), hint="remove the directory: it is a cache") from error


class Remote:
    """Artefacts below an address, and their cache."""

    def __init__(self, root: Path, url: str) -> None:
        self.root, self.url = root, url

    @cached_property
    def _fs(self) -> Any:
        protocol = self.url.partition("://")[0]
        need("fsspec", f"a store at {protocol}://")
        if protocol == "s3":
            need("s3fs", "a store at s3://")
        import fsspec

        try:
            return fsspec.filesystem(protocol)
        except (ImportError, ValueError) as error:
            raise UserError(f"no file system for {protocol}://: {error}", hint="name a directory, or s3://BUCKET/PREFIX") from error

    @property
    def _base(self) -> str:
        return self.url.partition("://")[2] if self.url.partition("://")[0] != "file" else "/" + self.url.partition("://")[2].lstrip("/")

    def _there(self, place: str) -> str:
        return f"{self._base}/{place}"

    def open(self) -> None:
        """Say what the cache is of, bring records and small files down, and take up what an interrupted run left here.

        Raises:
            StoreError: the address cannot be reached.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        if not (self.root / PLACE).is_file():
            write_json(self.root / PLACE, {"url": self.url})
        listed = self._listing("steps")
        self._bring_small(listed)
        for record in sorted((self.root / "steps").glob(f"*/*/{RECORD}")):
            place = record.parent.relative_to(self.root).as_posix()
            if RECORD not in listed.get(place, {}) and not absent(record.parent).files:
                self.push(record.parent)
        self.sync_written()

    def _listing(self, below: str) -> dict[str, dict[str, int]]:
        """Artefact folders to the files and sizes below them."""
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for path, facts in self._do("listed", lambda: self._fs.find(self._there(below), detail=True, withdirs=False)).items():
            parts = path.removeprefix(self._base).strip("/").split("/")
            if len(parts) > DEPTH:
                found["/".join(parts[:DEPTH])]["/".join(parts[DEPTH:])] = int(facts.get("size") or 0)
        return found

    def _bring_small(self, listed: dict[str, dict[str, int]]) -> None:
        """Records and small files of artefacts that are not here, each artefact put in place in one rename."""
        wanted = {p: files for p, files in listed.items() if RECORD in files and not (self.root / p / RECORD).is_file()}
        parts = {place: temporary_beside(self.root / place) for place in wanted}
        sources, targets = [], []
        for place, files in wanted.items():
            for name in (n for n, size in files.items() if size <= SMALL_BYTES):
                (parts[place] / name).parent.mkdir(parents=True, exist_ok=True)
                sources.append(self._there(f"{place}/{name}"))
                targets.append(str(parts[place] / name))
        try:
            if sources:
                self._do("read", lambda: self._fs.get(sources, targets))
            for place, part in parts.items():
                self._put_in_place(part, self.root / place, wanted[place])
        finally:
            for part in parts.values():
                remove(part)

    def _put_in_place(self, part: Path, target: Path, files: dict[str, int]) -> None:
        try:
            named = set(json.loads((part / RECORD).read_text(encoding="utf-8"))["files"])
        except (OSError, ValueError, KeyError, TypeError):
            return  # not whole there: it is made anew
        gone = named - files.keys()
        away = {n for n in named if not (part / n).is_file()}
        if away:
            mark(part, REMOVED if gone and gone == away else REMOTE, away)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            remove(target)  # without a record: a stray
        part.rename(target)

    def bring(self, kind: str, digest: str) -> bool:
        """Bring one artefact's record and small files down, where another machine has made it meanwhile."""
        place = f"steps/{kind}/{digest}"
        if not self._do("read", lambda: self._fs.exists(self._there(f"{place}/{RECORD}"))):
            return False
        self._fs.invalidate_cache()
        listed = self._listing(place)
        self._bring_small(listed)
        return (self.root / place / RECORD).is_file()

    def fetch(self, folder: Path, names: Iterable[str]) -> None:
        """Bring files of an artefact down that were left there."""
        place = folder.relative_to(self.root).as_posix()
        for name in names:
            part = temporary_beside(folder / name)
            part.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._do("read", lambda name=name, part=part: self._fs.get_file(self._there(f"{place}/{name}"), str(part)))
                part.replace(folder / name)
            finally:
                part.unlink(missing_ok=True)

    def push(self, folder: Path) -> None:
        """Take an artefact up, its record last; one that is there stays as it is."""
        place = folder.relative_to(self.root).as_posix()
        if self._do("read", lambda: self._fs.exists(self._there(f"{place}/{RECORD}"))):
            return
        files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in (RECORD, ABSENT) and p.name not in _KEEP]
        names = [p.relative_to(folder).as_posix() for p in files]
        if files:
            self._do("written", lambda: self._fs.put([str(p) for p in files], [self._there(f"{place}/{n}") for n in names]))
        self._do("written", lambda: self._fs.put_file(str(folder / RECORD), self._there(f"{place}/{RECORD}")))

    def drop(self, place: Path, files: Iterable[str] = ()) -> None:
        """Remove an artefact (its record first) or files of it, or a file that was written."""
        name = place.relative_to(self.root).as_posix()
        if files:
            self._do("removed", lambda: self._fs.rm([self._there(f"{name}/{f}") for f in files]))
            return
        for path in (f"{name}/{RECORD}", name):
            if self._do("read", lambda path=path: self._fs.exists(self._there(path))):
                self._do("removed", lambda path=path: self._fs.rm(self._there(path), recursive=True))

    def sync_written(self) -> None:
        """What studies declare and people wrote: what is new there comes down, what is new here goes up.

        Of a file that changed in both places the one here goes up; what was there is kept beside it as `NAME.theirs`.
        """
        state_file = self.root / "remote_written.json"
        try:
            known: dict[str, list[str]] = json.loads(state_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        there = self._versions()
        here = {place.as_posix(): file_sha256(self.root / place) for place in written(self.root)}
        for name in sorted({*there, *here}):
            mine, theirs = known.get(name, ["", ""])
            changed_here, changed_there = here.get(name, mine) != mine, there.get(name, theirs) != theirs
            if changed_there:
                self._take_down(name, beside=changed_here and name in here)
            if name in here and (changed_here or name not in there):
                self._do("written", lambda name=name: self._fs.put_file(str(self.root / name), self._there(name)))
                there[name] = self._version(name)
            if (self.root / name).is_file():
                known[name] = [file_sha256(self.root / name), there[name]]
        write_json(state_file, known)

    def _take_down(self, name: str, *, beside: bool) -> None:
        target = self.root / (f"{name}{THEIRS}" if beside else name)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = temporary_beside(target)
        try:
            self._do("read", lambda: self._fs.get_file(self._there(name), str(part)))
            if beside and file_sha256(part) == file_sha256(self.root / name):
                return
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def _versions(self) -> dict[str, str]:
        """The files there that studies declare and people wrote, with what changes with their content."""
        self._fs.invalidate_cache()
        found: dict[str, str] = {}
        for folder in WRITTEN:
            listed = self._do("listed", lambda folder=folder: self._fs.find(self._there(folder), detail=True))
            found |= {path.removeprefix(self._base).strip("/"): _tag(facts) for path, facts in listed.items()}
        return found

    def _version(self, name: str) -> str:
        self._fs.invalidate_cache()
        return _tag(self._do("read", lambda: self._fs.info(self._there(name))))

    def _do(self, what: str, work: Any) -> Any:
        """Do something there; whatever a file system raises is one sentence."""
        try:
            return work()
        except FileNotFoundError:
            if what == "listed":
                return {}
            raise StoreError(f"the store cannot be {what}: a file is gone", where=self.url, hint="see whether the bucket is there; the same command goes on") from None
        except StoreError:
            raise
        except Exception as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise StoreError(f"the store cannot be {what}: {said}", where=self.url, hint="see to the network and the keys; the same command goes on") from error


def _tag(facts: dict[str, Any]) -> str:
    """What changes with a file's content: its tag, else its time and size."""
    return str(facts.get("ETag") or (facts.get("mtime") or facts.get("created"), facts.get("size")))
