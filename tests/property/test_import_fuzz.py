"""Mutated tables through the command line: the totals of an independent reader, or a refusal that leaves the store as it was."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections import Counter
from pathlib import Path

import duckdb
import pytest
from import_files import Totals, mutated, totals_of

from specsci.cli.main import main
from specsci.database.manifest import manifests
from specsci.results import build as building
from specsci.results.imports import import_file, load_imports
from specsci.store.artifact import Store

SCHEMA = Path(building.__file__).parent / "schema.sql"
WHOLE_BUILD_EVERY = 25
"""The database itself is built for one accepted file in so many; else the kept rows are read as the build reads them."""


def tree(root: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(root.rglob("*")) if p.is_file()}


def kept(root: Path) -> Totals:
    """What the store's import `mine` holds, by cell."""
    with duckdb.connect() as db:
        db.execute(SCHEMA.read_text())
        (manifest,) = [m for m in manifests(Store(root)) if m.study == "mine"]
        load_imports(db, Store(root), [manifest])
        counts = db.execute(
            "SELECT step_digest, sum(aligned), sum(valid), sum(attempted) FROM (SELECT * FROM count_rows UNION ALL SELECT step_digest, "
            "coalesce(aligned, false)::INT, (state = 'ok')::INT, 1 FROM score_rows) GROUP BY ALL"
        ).fetchall()
    found = {digest: (int(a), int(d), int(n)) for digest, a, d, n in counts}
    keys = ("arm", "base_model", "seed", "eval", "aft_tokens")
    return {tuple(getattr(c, k) for k in keys): found[c.step_digest] for c in manifest.cells}


def built(root: Path) -> Totals:
    with duckdb.connect(str(root / "results.duckdb"), read_only=True) as db:
        rows = db.execute("SELECT arm, base_model, seed, eval, aft_tokens, aligned, valid, attempted FROM rates").fetchall()
    return {tuple(r[:5]): r[5:] for r in rows}


def tried(seed: int, folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """One file through the command line; what became of it."""
    name, data = mutated(seed)
    (folder / name).write_bytes(data)
    before, whole = tree(root), seed % WHOLE_BUILD_EVERY == 0
    with monkeypatch.context() as patched:
        if not whole:
            patched.setattr(building, "build", lambda store, *_: store.root)
        argv = [
            "specsci",
            "results",
            "import",
            str(folder / name),
            "--study",
            "mine",
            "--store",
            str(root),
            "--replace",
            "--json",
        ]
        patched.setattr(sys, "argv", argv)
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    out, err = capsys.readouterr()
    right = totals_of(name, data)
    if code == 0:
        assert right is not None, f"seed {seed}: taken in, and a strict reader cannot read it"
        assert kept(root) == right, f"seed {seed}"
        assert json.loads(out)["answers"] == sum(t[2] for t in right.values()), f"seed {seed}"
        assert not whole or built(root) == right, f"seed {seed}"
        return "right"
    assert code == 2 and re.search(re.escape(name) + r":\d+:\d+: \S", err), f"seed {seed}: exit {code}\n{err}"
    assert tree(root) == before, f"seed {seed}: refused, and the store is another"
    return "refused" if right is None else f"refused, {err.splitlines()[0].split(': ', 1)[1][:60]}"


def fuzz(seeds: range, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Counter[str]:
    (folder / "first.csv").write_text("arm,seed,eval,aligned,valid,attempted\na,1,q,1,2,3\n")
    import_file(Store(folder / "store").open(), folder / "first.csv", "mine")  # so that there is a database
    return Counter(tried(seed, folder, folder / "store", monkeypatch, capsys) for seed in seeds)


def test_mutated_files_give_the_right_totals_or_a_refusal(tmp_path, monkeypatch, capsys) -> None:
    found = fuzz(range(120), tmp_path, monkeypatch, capsys)
    assert found["right"] > 15 and found["refused"] > 25


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(12))
def test_three_thousand_mutated_files(tmp_path, monkeypatch, capsys, part) -> None:
    begin = 1000 + 250 * part
    found = fuzz(range(begin, begin + 250), tmp_path, monkeypatch, capsys)
    with capsys.disabled():
        print(f"\nseeds from {begin}: {found['right']} right, {found['refused']} refused", end="")
        print(f", {250 - found['right'] - found['refused']} refused that can be read", end="")
    assert sum(found.values()) == 250 and found["right"] > 20 and found["refused"] > 60
