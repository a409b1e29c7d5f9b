"""Stores that were copied badly, edited by hand, laid under strange names or onto full disks: named, repaired, and never silently wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import harness
import pytest

from specsci.cli.main import main
from specsci.core.errors import StoreError
from specsci.core.files import TEMPORARY
from specsci.core.liveness import process_name
from specsci.database.stamp import is_current
from specsci.report.html import write_page
from specsci.results.build import build, left_out
from specsci.store.artifact import Store

TABLES = ("scores", "rates", "documents", "training", "probe_rows", "absorption", "contrasts", "studies", "arms")
DEAD = "-4194303-abcdef_"
"""In a process's name: above the largest pid that Linux gives out."""


@pytest.fixture
def store(finished_toy, tmp_path: Path) -> Path:
    """A copy of the finished store."""
    shutil.copytree(finished_toy.store, tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def cli(monkeypatch, capfd) -> Callable[..., tuple[int, str, str]]:
    """The command line in this process, as its entry point runs it; a traceback fails the test."""

    def call(*args: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["specsci", *map(str, args)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return call


def tables(store: Path) -> dict[str, list[tuple[Any, ...]]]:
    with duckdb.connect(str(store / "results.duckdb"), read_only=True) as db:
        return {name: db.execute(f"SELECT * FROM {name} ORDER BY ALL").fetchall() for name in TABLES}


def import_one(cli, store: Path, name: str, folder: Path) -> None:
    file = folder / f"{name}.csv"
    file.write_text("arm,seed,eval,aligned,valid,attempted\na,1,e,3,4,5\nb,1,e,1,4,5\n")
    assert cli("results", "import", file, "--study", name, "--store", store)[0] == 0


# names of folders

NAMES = (
    "tokens=30000", "seed=7", "aligned=true", "state=refused", "variant=x", "item_id=i", "value=1", "loss=9", "nll=9",
    "backend=b", "filename=f", "number=9", "step_digest=d", "run[1]", "run*", "**", "[a-z]", "{a,b}", "a b", "q'uo\"te", "100%", "a%20b",
    "ünï-日本", "-lead", "#h", "a;b", "s3:x", "~", "$HOME", "new\nline", "x" * 250,
)  # fmt: skip
SHORT = ("seed=7", "run[1]")


def some(values, short=()):
    """All values as parameters, those that are not of the short run marked slow."""
    return [v if v in (short or values[:1]) else pytest.param(v, marks=pytest.mark.slow) for v in values]


@pytest.mark.parametrize("name", some(NAMES, SHORT))
def test_no_name_above_a_store_changes_what_is_read(name, finished_toy, store, tmp_path, cli) -> None:
    """Beside it lie stores that the name would match as a pattern."""
    for beside in ("run1", "runs", "a", "b"):
        shutil.copytree(finished_toy.store, tmp_path / "w" / beside / "store")
    place = tmp_path / "w" / name / "store"
    shutil.move(store, place)
    straight = tables(finished_toy.store)
    assert cli("results", "rebuild", "--store", place)[0] == 0
    assert tables(place) == straight
    assert cli("doctor", "--verify", "--store", place)[0] == 0
    assert cli("results", "export", tmp_path / "w" / name / "out", "--study", "tiny", "--store", place)[0] == 0
    import_one(cli, place, "mine", tmp_path)
    with duckdb.connect(str(place / "results.duckdb"), read_only=True) as db:
        assert db.execute("SELECT sum(aligned), sum(attempted) FROM rates WHERE study = 'mine'").fetchall() == [(4, 10)]


@pytest.mark.parametrize("name", ["a?b", "a\\b"])
def test_a_name_that_no_database_can_be_opened_under_is_refused(name, store, tmp_path, cli, finished_toy) -> None:
    place = tmp_path / name / "store"
    shutil.move(store, place)
    for command in (
        ("results", "rebuild"), ("results", "sql", "SELECT 1"), ("study", "run", finished_toy.study), ("report", "table", "ablation"),
        ("study", "status", finished_toy.study),
    ):  # fmt: skip
        code, _, err = cli(*command, "--store", place)
        assert code == 2, command
        assert "the store's path" in err
        assert "rename the folder" in err


# what earlier writers left


def test_an_export_removes_what_a_killed_one_left(store, tmp_path, cli) -> None:
    dead = process_name().replace(f"-{os.getpid()}-", "-4194303-")
    left = tmp_path / f".out~{dead}{TEMPORARY}"
    (left / "half").mkdir(parents=True)
    assert cli("results", "export", tmp_path / "out", "--study", "tiny", "--store", store)[0] == 0
    assert not left.exists() and (tmp_path / "out" / "export.json").is_file()


def test_the_stamp_of_earlier_versions_is_read_by_nobody_and_removed(store, cli) -> None:
    (store / "results.stamp").write_bytes(b"\xff\xfe")
    before = tables(store)
    assert cli("results", "sql", "SELECT count(*) FROM scores", "--store", store)[0] == 0
    assert cli("results", "rebuild", "--store", store)[0] == 0
    assert tables(store) == before and not (store / "results.stamp").exists()


# full disks


@pytest.mark.parametrize("free_kib", some((0, 64, 400, 1024, 2048, 3000), (64, 1024)))
def test_a_rebuild_on_a_nearly_full_disk_leaves_the_good_database(free_kib, finished_toy, tmp_path, cli) -> None:
    with harness.small_disk(tmp_path / "disk", 256) as disk:
        shutil.copytree(finished_toy.store, disk / "store")
        (disk / "page.html").write_text("old")
        before = tables(disk / "store")
        import_one(cli, disk / "store", "mine", tmp_path)
        used_kib = int(subprocess.run(["df", "-k", disk], capture_output=True, text=True).stdout.split()[-4])
        subprocess.run(["mount", "-o", f"remount,size={used_kib + free_kib}k", str(disk)], check=True)
        (disk / "store" / "claims").mkdir(exist_ok=True)
        code, _, err = cli("results", "rebuild", "--store", disk / "store")
        if free_kib < 3000:
            assert code == 2, err
            assert "cannot be written" in err
            assert "free space" in err
        assert tables(disk / "store")["scores"] == before["scores"]
        assert [p.name for p in (disk / "store").glob(".results*")] == [".results.lock"], "nothing is left"
        if free_kib < 3000:
            with pytest.raises(StoreError, match="the disk is full"):
                write_page(disk / "page.html", "new" * 2_000_000)
            assert (disk / "page.html").read_text() == "old"
            assert [p.name for p in disk.iterdir() if p.name.startswith(".")] == []
        harness.grow(disk, 256)
        assert cli("results", "rebuild", "--store", disk / "store")[0] == 0


def test_what_fails_at_the_checkpoint_never_takes_the_old_files_place(store, monkeypatch) -> None:
    """The rows would be in a log that is then thrown away."""
    import resource

    before = (store / "results.duckdb").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for limit in range(300_000, len(before), 500_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(StoreError, match="cannot be written"):
                build(Store(store))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (store / "results.duckdb").read_bytes() == before


# artefacts that are not what they were


def swap(store: Path, kind: str, *labels: str) -> tuple[str, str]:
    one, two = (harness.artifact(store, kind, label) for label in labels)
    one.rename(store / "aside")
    two.rename(one)
    (store / "aside").rename(two)
    return one.name, two.name


ARMS = ("score rules at 300 tokens on held_out, replicate 1", "score aft at 300 tokens on held_out, replicate 1")


def test_exchanged_artefacts_are_found_left_out_and_made_anew(store, finished_toy, toy_run, cli) -> None:
    with duckdb.connect(str(store / "results.duckdb"), read_only=True) as db:
        (scored,) = db.execute("SELECT count(DISTINCT step_digest) FROM scores").fetchall()[0]
    pair = swap(store, "score", *ARMS)
    code, out, err = cli("doctor", "--verify", "--store", store)
    assert code == 1
    assert "2 corrupt artefacts" in out
    assert f"the folder of score {pair[0]} holds score {pair[1]}" in err
    code, out, err = cli("results", "rebuild", "--store", store, "--json")
    assert code == 1
    assert {p["name"] for p in json.loads(out)["left_out"]} == set(pair)
    assert all(digest in err for digest in pair)
    with duckdb.connect(str(store / "results.duckdb"), read_only=True) as db:
        assert db.execute("SELECT complete FROM studies").fetchall() == [(False,)]
        assert db.execute("SELECT count(DISTINCT step_digest) FROM scores").fetchall() == [(scored - 2,)]
    code, out, err = toy_run("study", "run", finished_toy.study, "--store", store, "--json")
    assert (code, json.loads(out)["executed"]) == (0, 2), err
    assert harness.score_rows(store) == harness.score_rows(finished_toy.store)
    assert tables(store) == tables(finished_toy.store)


EDITS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "digest": lambda r: {**r, "digest": "0" * 24},
    "kind": lambda r: {**r, "kind": "probe"},
    "identity": lambda r: {**r, "identity": {**r["identity"], "params": {**r["identity"]["params"], "seed": 99}}},
    "label": lambda r: {**r, "label": "score of another"},
    "tokens": lambda r: {**r, "tokens": 10**9},
    "no files": lambda r: {**r, "files": {}},
    "another file": lambda r: {**r, "files": {"model/0.bin": r["files"]["model/0.bin"]}},
    "a file outside": lambda r: {**r, "files": {**r["files"], "../../x": {"bytes": 1, "sha256": "0" * 64}}},
    "files of no mapping": lambda r: {**r, "files": {"a": 3}},
    "files a list": lambda r: {**r, "files": []},
    "inputs a list": lambda r: {**r, "identity": {**r["identity"], "inputs": []}},
}


@pytest.mark.parametrize("edit", some(tuple(EDITS), ("digest", "identity", "a file outside")))
@pytest.mark.parametrize("kind", ["score", *(pytest.param(k, marks=pytest.mark.slow) for k in ("align", "corpus"))])
def test_an_edited_record_is_found(edit, kind, store, cli, finished_toy) -> None:
    folder = sorted((store / "steps" / kind).iterdir())[0]
    record = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps(EDITS[edit](record)))
    code, _, err = cli("doctor", "--verify", "--store", store)
    assert code == 1
    assert folder.name in err
    code, out, err = cli("results", "rebuild", "--store", store, "--json")
    assert code == 1
    assert [p["name"] for p in json.loads(out)["left_out"]] == [folder.name]
    assert cli("doctor", "--repair", "--store", store)[0] == 1
    assert cli("doctor", "--verify", "--store", store)[0] == 0


def test_a_file_that_no_record_knows_is_found(store, cli) -> None:
    folder = sorted((store / "steps" / "align").iterdir())[0]
    (folder / "model" / "pytorch_model.bin").write_bytes(b"x")
    code, _, err = cli("doctor", "--verify", "--store", store)
    assert code == 1
    assert "does not know 'model/pytorch_model.bin'" in err


# damaged JSON

DAMAGES = {
    "empty": b"", "cut": b'{"study": "ti', "list": b"[]", "number": b"3", "null": b"null", "latin-1": b'{"title": "\xe9"}',
    "nul": b"\x00" * 50, "deep": b"[" * 100_000, "other keys": b'{"a": 1}', "wrong types": None, "later version": None,
}  # fmt: skip
READERS = (
    ("study", "plan"), ("study", "status"), ("study", "explain"), ("report", "table", "ablation"), ("results", "sql", "SELECT count(*) FROM scores"),
    ("results", "claim"), ("doctor", "--verify"), ("results", "rebuild"), ("corpus", "audit"),
)  # fmt: skip


def spoil(path: Path, damage: str) -> None:
    data = DAMAGES[damage]
    if damage == "wrong types":
        data = json.dumps({k: [v] for k, v in json.loads(path.read_bytes()).items()}).encode()
    if damage == "later version":
        now = json.loads(path.read_bytes())
        data = json.dumps({**now, "manifest": 99} if "manifest" in now else {**now, "format": 99}).encode()
    assert data is not None
    path.write_bytes(data)


@pytest.fixture
def written(store: Path, finished_toy, cli, tmp_path) -> Path:
    """The store with a lock, a claim, a retirement and an import."""
    import_one(cli, store, "mine", tmp_path)
    assert cli("study", "lock", finished_toy.study, "--store", store)[0] == 0
    claim = ("--study", "tiny", "--contrast", "rules_over_aft", "--text", "Rules help.")
    assert cli("results", "claim", "one", *claim, "--store", store)[0] == 0
    assert cli("results", "claim", "two", *claim, "--store", store)[0] == 0
    step = harness.artifact(store, "score", ARMS[0]).name
    assert cli("results", "retire", step, "--reason", "leaked", "--store", store)[0] == 0
    return store


@pytest.mark.parametrize("damage", some(tuple(DAMAGES)))
@pytest.mark.parametrize(
    "place",
    some(
        ("studies/mine.json", "locks/tiny.json", "claims/one.json", "retired/*.json", "steps/base/*/record.json"),
        ("studies/mine.json", "locks/tiny.json"),
    ),
)
def test_one_damaged_file_is_named_and_the_rest_is_served(place, damage, written, finished_toy, cli) -> None:
    (path, *_) = sorted(written.glob(place))
    with duckdb.connect(str(written / "results.duckdb"), read_only=True) as db:
        (answers,) = db.execute("SELECT count(*) FROM scores WHERE study = 'tiny'").fetchall()[0]
    spoil(path, damage)
    named = path.parent.name if place.startswith("steps") else path.name
    for command in READERS:
        study = (finished_toy.study,) if command[0] == "study" else ("--study", "tiny") if command[0] == "report" else ()
        code, out, err = cli(*command, *study, "--store", written)
        later = "later version" in err or "a later version" in err
        assert code in (0, 1) or later, (command, err)
        if command in (("results", "rebuild"), ("doctor", "--verify")) and not later:
            assert code == 1, (command, out, err)
            assert named in err
    if damage == "later version" and place.startswith("steps"):
        return
    with duckdb.connect(str(written / "results.duckdb"), read_only=True) as db:
        assert db.execute("SELECT count(*) FROM scores WHERE study = 'tiny'").fetchall() == [(answers,)]
        found = db.execute("SELECT kind, name FROM left_out").fetchall()
        assert len(found) == 1
        assert named in found[0][1]
        stamps = db.execute("SELECT DISTINCT registration FROM contrasts WHERE study = 'tiny'").fetchall()
        assert stamps == [("unregistered" if place.startswith("locks") else "late",)], (
            "a lock that cannot be read registers nothing"
        )
        assert db.execute("SELECT count(*) FROM voided").fetchall() == [(1,)], "what was invalidated stays so"
        assert db.execute("SELECT count(*) FROM claims").fetchall() == [(1 if place.startswith("claims") else 2,)]
    assert not is_current(Store(written))
    assert cli("doctor", "--repair", "--store", written)[0] == 1
    code, out, err = cli("doctor", "--verify", "--store", written)
    assert code == 0, out + err


def test_a_run_of_another_study_names_the_damage_and_gives_its_results(written, finished_toy, toy_run) -> None:
    rows = next((written / "imports" / "mine").iterdir())
    rows.write_bytes(rows.read_bytes()[:-20])
    (written / "results.duckdb").unlink()
    code, out, err = toy_run("study", "run", finished_toy.study, "--store", written)
    assert code == 0, out + err
    assert "left out of the results: study mine" in err
    assert "with --replace" in err
    code, out, _ = toy_run("study", "run", finished_toy.study, "--store", written, "--json")
    assert (code, [p["name"] for p in json.loads(out)["left_out"]]) == (0, ["mine"])
    code, _, err = toy_run("results", "rebuild", "--store", written)
    assert code == 1


def test_score_files_without_a_row_or_without_a_value_break_nothing(store, cli) -> None:
    """Of all first-read answers none was valid, or the item set was empty: a column has no type then."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from specsci.core.ids import file_sha256

    folders = sorted((store / "steps" / "score").iterdir())
    whole = pq.read_table(folders[0] / "scores.parquet")
    none = [{**row, "aligned": None, "value": None, "state": "error"} for row in whole.to_pylist()]
    for folder, table in ((folders[0], pa.Table.from_pylist(none)), (folders[1], pa.Table.from_pylist([]))):
        pq.write_table(table, folder / "scores.parquet")
        record = json.loads((folder / "record.json").read_text())
        facts = {"bytes": (folder / "scores.parquet").stat().st_size, "sha256": file_sha256(folder / "scores.parquet")}
        record["files"]["scores.parquet"] = facts
        (folder / "record.json").write_text(json.dumps(record))
    code, out, err = cli("results", "rebuild", "--store", store)
    assert code == 0, out + err
    with duckdb.connect(str(store / "results.duckdb"), read_only=True) as db:
        assert db.execute("SELECT count(*), count(aligned) FROM scores WHERE state <> 'x'").fetchone()[0] == 23 * 40


# databases


def test_a_log_that_a_killed_program_left_is_named_and_removed_by_a_rebuild(store, cli) -> None:
    program = f"import duckdb, os; db = duckdb.connect({str(store / 'results.duckdb')!r}); db.execute('CREATE TABLE mine(x INT)'); os._exit(9)"
    subprocess.run([sys.executable, "-c", program], check=False)
    assert (store / "results.duckdb.wal").exists()
    log = (store / "results.duckdb.wal").read_bytes()
    assert cli("results", "rebuild", "--store", store)[0] == 0
    assert cli("results", "sql", "SELECT 1", "--store", store)[0] == 0
    (store / "results.duckdb.wal").write_bytes(log)  # as an earlier version left it
    code, _, err = cli("results", "sql", "SELECT 1", "--store", store)
    assert code == 2
    assert "results.duckdb.wal" in err
    assert "specsci results rebuild" in err
    assert cli("doctor", "--verify", "--store", store)[0] == 1
    assert cli("doctor", "--repair", "--store", store)[0] == 1
    assert cli("doctor", "--verify", "--store", store)[0] == 0


def other_format(path: Path) -> None:
    with duckdb.connect(str(path)) as db:
        db.execute("UPDATE built_from SET format = 11")


def foreign(path: Path) -> None:
    path.unlink()
    with duckdb.connect(str(path)) as db:
        db.execute("CREATE TABLE scores (x INTEGER)")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300_000])


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for at in range(300_000, len(data), 50_000):
        data[at] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize(
    "harm", [other_format, foreign, cut, flipped, lambda p: p.write_bytes(b""), lambda p: p.write_bytes(b"rubbish" * 999)]
)
def test_a_database_of_another_version_cut_short_or_foreign_says_rebuild(harm, store, cli, finished_toy) -> None:
    harm(store / "results.duckdb")
    commands = (
        ("report", "table", "ablation"), ("results", "grid", "--study", "tiny"), ("results", "sql", "SELECT count(x.*) FROM score_rows x"),
        ("study", "plan", finished_toy.study, "--power"), ("results", "export", store / "out", "--study", "tiny"),
        ("study", "diff", finished_toy.study, finished_toy.study),
    )  # fmt: skip
    said = 0
    for command in commands:
        code, _, err = cli(*command, "--store", store)
        assert code in (0, 2), (command, err)
        said += "specsci results rebuild" in err
    assert said >= 4 or harm is flipped
    assert cli("doctor", "--verify", "--store", store)[0] == 1
    assert cli("results", "claim", "--store", store)[0] == 0, "claims are judged anew, on a database built anew"
    assert cli("doctor", "--verify", "--store", store)[0] == 0
    assert tables(store) == tables(finished_toy.store)


def test_two_runners_that_end_together_leave_no_older_database_as_current(store) -> None:
    """The one that looked at the store first puts its file in place last."""
    score = harness.artifact(store, "score", ARMS[0])
    score.rename(store / "not_yet")
    slow = (
        "import sys, time; from pathlib import Path; import specsci.results.build as b; from specsci.store.artifact import Store\n"
        "put = b._put_in_place\n"
        "def late(*a):\n    print('built', flush=True); time.sleep(2); put(*a)\n"
        "b._put_in_place = late; b.build(Store(Path(sys.argv[1])))"
    )
    first = subprocess.Popen([sys.executable, "-c", slow, str(store)], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "built\n"
    (store / "not_yet").rename(score)
    build(Store(store))
    assert first.wait(60) == 0
    with duckdb.connect(str(store / "results.duckdb"), read_only=True) as db:
        assert db.execute("SELECT complete FROM studies").fetchall() == [(True,)]
    assert is_current(Store(store))


def test_a_builder_that_is_stopped_holds_nobody_up_and_its_old_database_is_not_current(store, monkeypatch) -> None:
    import specsci.results.build as module

    monkeypatch.setattr(module, "LOCK_WAIT_S", 0.2)
    score = harness.artifact(store, "score", ARMS[0])
    score.rename(store / "not_yet")
    written = module._put_in_place
    aside: list[Path] = []

    def keep(made: Path, target: Path) -> None:
        shutil.copy(made, store / "older.duckdb")
        aside.append(store / "older.duckdb")
        written(made, target)

    monkeypatch.setattr(module, "_put_in_place", keep)
    build(Store(store))
    (store / "not_yet").rename(score)
    holder = os.open(store / module.LOCK, os.O_RDWR)
    import fcntl

    fcntl.flock(holder, fcntl.LOCK_EX)
    monkeypatch.setattr(module, "_put_in_place", written)
    build(Store(store))
    assert is_current(Store(store))
    os.replace(store / "older.duckdb", store / "results.duckdb")  # the stopped one goes on
    assert not is_current(Store(store)), "so that the next run builds it anew"
    os.close(holder)


def test_a_build_that_is_killed_leaves_the_old_database_and_is_cleared_up(store) -> None:
    before = tables(store)
    program = "import sys; from pathlib import Path; from specsci.results.build import build; from specsci.store.artifact import Store; build(Store(Path(sys.argv[1])))"
    left = 0
    for number in range(8):
        process = subprocess.Popen([sys.executable, "-c", program, str(store)])
        until = time.monotonic() + 60
        while not list(store.glob(".results~*")) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(0.03 * number)
        process.kill()
        process.wait()
        left += bool(list(store.glob(".results~*")))
        assert tables(store) == before
    assert left, "some were killed inside"
    build(Store(store))
    assert not list(store.glob(".results~*"))
    assert tables(store) == before


# what file browsers leave


def test_a_hidden_twin_beside_every_file_changes_nothing(store, written, finished_toy, cli) -> None:
    """As macOS writes them onto disks of other systems."""
    before = tables(written)
    for path in [p for p in written.rglob("*") if p.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\x00\x05\x16\x07")
    (written / "steps" / "score" / ".DS_Store").write_bytes(b"\x00\x00\x00\x01Bud1")
    code, _, err = cli("doctor", "--verify", "--store", written)
    assert code == 0, err
    assert cli("results", "rebuild", "--store", written)[0] == 0
    assert tables(written) == before
    code, out, err = cli("study", "plan", finished_toy.study, "--store", written)
    assert code == 0 and "to run: 0 of" in out, out + err


# leftovers, rights


def test_what_killed_processes_left_is_found_and_removed_and_the_livings_is_not(store, cli) -> None:
    from specsci.core.liveness import process_name

    mine = process_name()
    dead = mine.replace(f"-{os.getpid()}-", "-4194303-")
    gone = [
        store / f".results~{dead}.tmp", store / f"studies/.tiny~{dead}.tmp", store / f".results.duckdb.{4194303}.tmp.wal",
        store / f"claims/.x~{dead}.tmp.json", store / "studies/tiny.json.4194303.tmp", store / f"stage/abc.{dead}",
    ]  # fmt: skip
    living = [store / f"studies/.tiny~{mine}.tmp.json", store / f"stage/abc.{mine}"]
    for path in gone + living:
        path.parent.mkdir(exist_ok=True)
        path.mkdir() if path.parent.name == "stage" else path.write_text("x")
    code, _, err = cli("doctor", "--verify", "--store", store)
    assert code == 0
    assert "6 files or folders that killed processes left" in err
    assert all(p.exists() for p in gone)
    cli("doctor", "--repair", "--store", store)
    assert not any(p.exists() for p in gone)
    assert all(p.exists() for p in living)


@pytest.mark.parametrize("mask", ["0022", *(pytest.param(m, marks=pytest.mark.slow) for m in ("0002", "0027"))])
def test_every_file_of_a_finished_artefact_has_the_rights_that_the_umask_gives(mask, tmp_path) -> None:
    program = """
import os, sys, tempfile
from pathlib import Path
os.umask(int(sys.argv[2], 8))
from specsci.core.step import Step
from specsci.store.artifact import Store
store, step = Store(Path(sys.argv[1])).open(), Step("spec", {"a": 1})
stage = store.stage(step, "me")
os.mkdir(stage / "model", 0o700)
import torch, safetensors.torch
safetensors.torch.save_file({"a": torch.zeros(3)}, stage / "model" / "model.safetensors")
handle, _ = tempfile.mkstemp(dir=stage)
os.close(handle)
store.publish(step, stage, {})
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "store"), mask], check=True)
    (folder,) = (tmp_path / "store" / "steps" / "spec").iterdir()
    wanted = 0o666 & ~int(mask, 8)
    found = {str(p.relative_to(folder)): p.stat().st_mode & 0o777 for p in folder.rglob("*") if p.is_file()}
    assert set(found.values()) == {wanted}, found
    assert (folder / "model").stat().st_mode & 0o777 == 0o777 & ~int(mask, 8)
    assert folder.stat().st_mode & 0o777 == 0o777 & ~int(mask, 8)


# stores that one may only read


def test_a_store_on_a_disk_that_may_only_be_read_is_read(finished_toy, tmp_path, cli) -> None:
    with harness.small_disk(tmp_path / "disk", 64) as disk:
        shutil.copytree(finished_toy.store, disk / "store")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        for command in (
            ("study", "status", finished_toy.study), ("study", "plan", finished_toy.study), ("study", "explain", finished_toy.study),
            ("results", "sql", "SELECT 1"), ("report", "table", "ablation"), ("doctor", "--verify"), ("study", "run", finished_toy.study),
        ):  # fmt: skip
            code, out, err = cli(*command, "--store", disk / "store")
            refused = command[1] == "run"
            assert code == (2 if refused else 0) or command[0] == "doctor", (command, out, err)
        for command in (
            ("results", "rebuild"), ("results", "retire", "eval:tiny/held_out", "--reason", "x"), ("study", "lock", finished_toy.study),
            ("results", "claim", "c", "--study", "tiny", "--contrast", "rules_over_aft", "--text", "t"),
            ("results", "import", _csv(tmp_path), "--study", "mine"), ("doctor", "--repair"),
        ):  # fmt: skip
            code, _, err = cli(*command, "--store", disk / "store")
            assert code == 2 or command[0] == "doctor", (command, err)
            assert "cannot be written" in err or command[0] == "doctor", (command, err)


def _csv(folder: Path) -> Path:
    (folder / "one.csv").write_text("arm,seed,eval,aligned,valid,attempted\na,1,e,3,4,5\n")
    return folder / "one.csv"


def test_left_out_is_empty_for_a_whole_store(store) -> None:
    build(Store(store))
    assert left_out(store) == []
