"""An import that is killed, or fails, at any moment: the store holds the old import or the new one, whole."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import duckdb
import pytest

from specsci.core.errors import StoreError
from specsci.database.manifest import manifests
from specsci.results import build as building
from specsci.results.build import build
from specsci.results.imports import import_file, load_imports
from specsci.store.artifact import Store

HEADER = "arm,seed,eval,aligned,valid,attempted"
OLD, NEW = (f"{HEADER}\na,1,q,{n},100,100\nb,1,q,{n + 1},100,100\n" for n in (10, 20))
STEPS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "open")
"""Audit events of the system calls that change or open files."""


def tree(root: Path, *, but: tuple[str, ...] = ()) -> dict[str, str]:
    """Every file with its SHA-256, and every folder."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if name not in but:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
    return found


def aligned(store: Store) -> list[int]:
    with duckdb.connect(str(build(store)), read_only=True) as db:
        return [n for (n,) in db.execute("SELECT aligned FROM rates ORDER BY arm").fetchall()]


def kept(store: Store) -> list[int]:
    """What a build would find: the rows of every import that a manifest names, checked against it."""
    with duckdb.connect() as db:
        db.execute((Path(building.__file__).parent / "schema.sql").read_text())
        load_imports(db, store, manifests(store))
        return [n for (n,) in db.execute("SELECT aligned FROM count_rows ORDER BY 1").fetchall()]


def killed_at(store: Store, file: Path, step: int) -> bool:
    """Import in a process that ends at its n-th step as by kill -9; whether it ended so."""
    child = os.fork()
    if child == 0:
        seen = 0

        def count(event: str, args: tuple[object, ...]) -> None:
            nonlocal seen
            if event in STEPS and str(store.root) in str(args):
                seen += 1
                if seen == step:
                    os._exit(9)

        sys.addaudithook(count)
        try:
            import_file(store, file, "mine", replace=True)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.parametrize("first", [False, True], ids=["over another import", "the first import"])
def test_a_kill_between_any_two_steps_leaves_the_old_import_or_the_new_one(tmp_path: Path, monkeypatch, first: bool) -> None:
    monkeypatch.setattr(building, "build", lambda store, *_: store.root)  # its own kills are tested elsewhere
    (tmp_path / "old.csv").write_text(OLD)
    (tmp_path / "new.csv").write_text(NEW)
    outcomes, step, died = [], 0, True
    while died:
        step += 1
        store = Store(tmp_path / f"store{step}").open()
        if not first:
            import_file(store, tmp_path / "old.csv", "mine")
        died = killed_at(store, tmp_path / "new.csv", step)
        assert kept(store) in ([] if first else [10, 11], [20, 21]), step
        outcomes.append(kept(store) == [20, 21])
        import_file(store, tmp_path / "new.csv", "mine", replace=True)
        rows = [p for p in (store.root / "imports").rglob("*") if p.is_file()]
        assert (
            kept(store) == [20, 21]
            and len(rows) == 1
            and [p.name for p in (store.root / "studies").iterdir()] == ["mine.json"]
        )
    assert step > 8 and outcomes == sorted(outcomes), "once the new import counts it stays"
    assert not outcomes[0] and outcomes[-1]
    monkeypatch.undo()
    assert aligned(store) == [20, 21]


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), duckdb.ConversionException("x"), KeyboardInterrupt()]
)
@pytest.mark.parametrize("first", [False, True], ids=["over another import", "the first import"])
def test_an_import_that_the_database_does_not_take_is_taken_back(tmp_path: Path, monkeypatch, error, first) -> None:
    (tmp_path / "old.csv").write_text(OLD)
    (tmp_path / "new.csv").write_text(NEW)
    store = Store(tmp_path / "store").open()
    import_file(store, tmp_path / "old.csv", "other" if first else "mine")
    before = tree(store.root)

    def fails(*_: object) -> Path:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(building, "build", fails)
        with pytest.raises(StoreError if isinstance(error, OSError) else type(error)):
            import_file(store, tmp_path / "new.csv", "mine", replace=True)
    assert tree(store.root) == before
    import_file(store, tmp_path / "new.csv", "mine", replace=True)
    assert kept(store) == ([10, 11, 20, 21] if first else [20, 21])


def test_two_imports_of_one_name_at_one_moment_leave_one_of_them_whole(tmp_path: Path) -> None:
    store = Store(tmp_path / "store").open()
    children = []
    for number in range(6):
        (tmp_path / f"{number}.csv").write_text(f"{HEADER}\na,1,q,{number},100,100\n")
        if (child := os.fork()) == 0:
            try:
                import_file(store, tmp_path / f"{number}.csv", "mine", replace=True)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children] == [0] * 6
    assert aligned(store)[0] in range(6)


def test_rows_of_an_import_whose_manifest_is_damaged_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text(OLD)
    store = Store(tmp_path / "store").open()
    import_file(store, tmp_path / "old.csv", "mine")
    place = store.root / "studies" / "mine.json"
    text = place.read_text()
    place.write_text(text[:50])
    with pytest.raises(StoreError, match="cannot be read"):
        import_file(store, tmp_path / "old.csv", "mine")
    import_file(store, tmp_path / "old.csv", "other")
    place.write_text(text)
    assert kept(store) == [10, 10, 11, 11]
