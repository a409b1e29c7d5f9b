"""What is wrong with a store beside its artefacts: manifests, what people wrote, imports, the database, and leftovers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from specsci.core.errors import SpecsciError, UserError
from specsci.database.connection import REBUILD, connect, first_line
from specsci.database.manifest import manifests
from specsci.database.stamp import DATABASE, is_current
from specsci.governance.json_records import write_one
from specsci.governance.retired import RETIRED, Retired, read_retired, retired_name
from specsci.results.build import build
from specsci.results.fill import damaged_files
from specsci.results.imports import load_imports
from specsci.results.requests_health import ledger_troubles
from specsci.store.artifact import Store
from specsci.store.fsck import clear, left_behind, open_up, readable_by_group

SCHEMA = Path(__file__).parent / "schema.sql"


@dataclass(frozen=True)
class Trouble:
    """One thing that is wrong: `manifest`, `claim`, `lock`, `retirement`, `import`, `requests`, `database`, `left behind` or `rights`."""

    kind: str
    place: str
    what: str
    hint: str
    repaired: str = ""
    """What was done about it."""

    def as_dict(self) -> dict[str, Any]:
        """The fields as a dictionary, for JSON."""
        return asdict(self)


def examine(store: Store, *, repair: bool = False) -> Iterator[Trouble]:
    """Everything that is wrong beside artefacts; with `repair` it is repaired where it can be."""
    for kind, place, _, what, hint in damaged_files(store):
        yield Trouble(kind, place, what, hint, _quarantine(store, kind, Path(place)) if repair else "")
    yield from _imports(store)
    for place, what, hint in ledger_troubles(store):
        yield Trouble("requests", place, what, hint)
    left = left_behind(store)
    if left:
        what = f"{len(left)} files or folders that killed processes left: {', '.join(p.name for p in left[:3])}"
        yield Trouble(
            "left behind", str(left[0]), what, "`specsci doctor --repair` removes them", "removed" if repair else ""
        )
    closed = readable_by_group(store)
    if closed:
        what = f"{len(closed)} files are less open to others than their artefacts' folders"
        yield Trouble("rights", str(closed[0]), what, "`specsci doctor --repair` opens them", "opened" if repair else "")
    if repair:
        clear(left)
        open_up(store, closed)
    trouble = _database(store)
    if trouble is not None:
        yield _rebuilt(store, trouble) if repair else trouble


def _quarantine(store: Store, kind: str, path: Path) -> str:
    """Move a damaged file to the quarantine; what a damaged retirement invalidated stays invalidated."""
    gone = next((r for r in read_retired(store) if kind == "retirement" and retired_name(r.what) == path.stem), None)
    folder = store.root / "quarantine"
    folder.mkdir(exist_ok=True)
    number = 0
    while (target := folder / f"{path.parent.name}-{path.name}.{number}").exists():
        number += 1
    path.rename(target)
    said = f"quarantined as {target}"
    if gone is not None:
        write_one(store.root / RETIRED / path.name, Retired(gone.what, f"(the reason is lost; see {target.name})", "", ""))
        return f"{said}; {gone.what} stays invalidated"
    if kind == "lock":
        return f"{said}; without it the study's contrasts count as unregistered"
    return said


def _imports(store: Store) -> Iterator[Trouble]:
    """Imports whose rows are not what was kept."""
    for manifest in manifests(store):
        if manifest.imported is None:
            continue
        try:
            with duckdb.connect() as db:
                db.execute(SCHEMA.read_text(encoding="utf-8"))
                load_imports(db, store, [manifest])
        except SpecsciError as error:
            yield Trouble("import", error.where or manifest.study, error.what, error.hint)
        except (duckdb.Error, ValueError, LookupError) as error:
            hint = f"import {manifest.imported.source.get('file', 'it')} again with --replace"
            yield Trouble("import", manifest.study, first_line(error), hint)


def _database(store: Store) -> Trouble | None:
    """Whether the database can be read to its last block, and reflects the store; None where all is well or nothing ran yet."""
    path = store.root / DATABASE
    if not path.is_file():
        return Trouble("database", str(path), "there is none", REBUILD) if manifests(store) else None
    try:
        with connect(store.root) as db:
            names = [n for (n,) in db.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
            for name in names:
                db.execute(f'SELECT bit_xor(hash(t)) FROM "{name}" t').fetchall()
    except UserError as error:
        return Trouble("database", str(path), error.what, error.hint)
    if Path(f"{path}.wal").exists():
        what = "another program's log lies beside it: it wrote in it and was killed, or still has it open"
        return Trouble("database", f"{path}.wal", what, REBUILD)
    if not is_current(store):
        return Trouble("database", str(path), "it does not reflect the store as it is", REBUILD)
    return None


def _rebuilt(store: Store, trouble: Trouble) -> Trouble:
    try:
        build(store)
    except SpecsciError as error:
        return Trouble(trouble.kind, trouble.place, trouble.what, f"it could not be built anew: {error}")
    return Trouble(trouble.kind, trouble.place, trouble.what, trouble.hint, "built anew")
