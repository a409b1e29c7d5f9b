"""Scores that something else gives to a study's models: models written with a list, scores joined by digest, contrasts and locks on them."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import harness
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from specsci.database.manifest import read_manifest
from specsci.governance.registration import plan_of

STUDY = harness.SMALL.replace(
    "  held_out: {items: held_out}\n", "  held_out: {items: held_out}\n  harm: {kind: imported, scores: harm.jsonl}\n"
).replace(
    "base_models:", "contrasts:\n  - {name: less_harm, eval: harm, weights: {rules: 1, base: -1}, budget_tokens: 300, factor: align}\nbase_models:"
).replace('  dev: {source: "microlab:conduct/100"}\n', '  dev: {source: "microlab:conduct/100"}\n  two: {source: "microlab:conduct/1"}\n').replace(
    "  - {seed: 1, base_model: dev}\n", "  - {seed: 1, base_model: dev}\n  - {seed: 2, base_model: two}\n"
)  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that is locked, run and exported before any score is there."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "s.yaml").write_text(STUDY)
    for command in (["study", "lock", "s.yaml"], ["study", "run", "s.yaml"], ["model", "export", "--study", "small", "--all", "out"]):
        code, out, err = harness.run(*command, "--store", folder / "store", cwd=folder)
        assert code == 0, out + err
        if command[1] == "run":
            assert "waits for scores of" in " ".join((out + err).split())
    return folder


def listed(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "out" / "models.jsonl").read_text().splitlines()]


def scored(folder: Path, *, aligned_of: str = "rules") -> list[dict]:
    """Four answers of each model: an arm's are all aligned but one."""
    return [
        {"model": row["model"], "item_id": f"i{n}", "aligned": (row["cells"][0]["arm"] == aligned_of) == (n > 0)}
        for row in listed(folder) for n in range(4)
    ]  # fmt: skip


def sql(folder: Path, query: str) -> list[tuple]:
    with duckdb.connect(str(folder / "store" / "results.duckdb"), read_only=True) as db:
        return db.execute(query).fetchall()


def join(folder: Path, file: Path, *more: str) -> tuple[int, str]:
    code, out, err = harness.run("results", "import", file, "--into", folder / "s.yaml", "--eval", "harm", *more, cwd=folder)
    return code, out + err


def test_every_model_is_written_under_its_digest_and_loads(ran: Path) -> None:
    rows = listed(ran)
    cells = {(c["arm"], c["seed"], c["aft_tokens"]) for row in rows for c in row["cells"]}
    assert cells == set(sql(ran, "SELECT DISTINCT arm, seed, aft_tokens FROM cells"))
    for row in rows[:2]:
        AutoModelForCausalLM.from_pretrained(ran / "out" / row["directory"])
        AutoTokenizer.from_pretrained(ran / "out" / row["directory"])
    code, out, _ = harness.run("model", "export", "--study", "small", "--all", "out", "--store", ran / "store", cwd=ran)
    assert code == 0 and f"wrote 0 models into out, {len(rows)} were there" in out


def test_scores_come_after_the_lock_and_the_contrast_is_registered(ran: Path) -> None:
    rows = scored(ran)
    assert sql(ran, "SELECT count(*) FROM rates WHERE eval = 'harm'") == [(0,)]
    first = rows[: len(rows) // 2]
    (ran / "half.jsonl").write_text("".join(json.dumps(row) + "\n" for row in first))
    code, said = join(ran, ran / "half.jsonl")
    assert code == 0 and "models have scores now" in said, said
    table = ran / "rest[1].csv"
    table.write_text("model,item_id,aligned\n" + "".join(f"{r['model'][:16]},{r['item_id']},{int(r['aligned'])}\n" for r in rows[len(first) :]))
    code, said = join(ran, table)
    assert code == 0 and f"{len(rows) // 4} of {len(rows) // 4} models have scores now" in said, said
    report = harness.run_study(ran / "s.yaml", ran / "store")
    assert report["executed"] == len(rows) // 4 and not report["failed"]
    assert sql(ran, "SELECT arm, sum(aligned), sum(valid) FROM rates WHERE eval = 'harm' AND aft_tokens IN (0, 300) GROUP BY 1 ORDER BY 1") == [
        ("base", 2, 8), ("rules", 6, 8),
    ]  # fmt: skip
    found = sql(ran, "SELECT estimate, registered FROM contrasts WHERE contrast = 'less_harm'")
    assert found[0][0] == pytest.approx(0.5) and found[0][1].startswith("registered")
    again = harness.run_study(ran / "s.yaml", ran / "store")
    assert again["executed"] == 0


def test_a_lock_after_the_scores_are_there_comes_late(ran: Path, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(STUDY)
    (tmp_path / "harm.jsonl").write_text("".join(json.dumps(row) + "\n" for row in scored(ran)))
    code, out, err = harness.run("study", "lock", "s.yaml", "--store", tmp_path / "store", cwd=tmp_path)
    assert code == 0, out + err
    assert json.loads((tmp_path / "store" / "locks" / "small.json").read_text())["scored_cells"] == len(listed(ran))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"model": "0123456789abcdef", "item_id": "a", "aligned": true}\n', "names no model of the study"),
        ('{"item_id": "a", "aligned": true}\n', "the row names no model"),
        ('{"model": "MODEL", "item_id": "a", "aligned": "maybe"}\n', "has no answer"),
        ('{"model": "MODEL", "item_id": "a", "state": "lost"}\n', "is no state"),
        ('{"model": "MODEL", "item_id": "a", "aligned": true}\n' * 2, "given twice"),
        ('{"model": "MODEL", "item_id": "a", "aligned": true, "aligned": false}\n', "twice"),
        ("", "no scores"),
        ("not json\n", "JSON"),
    ],
)  # fmt: skip
def test_what_is_no_score_is_refused_with_its_line_and_nothing_is_written(ran: Path, tmp_path: Path, content: str, said: str) -> None:
    before = (ran / "harm.jsonl").read_bytes() if (ran / "harm.jsonl").exists() else None
    (tmp_path / "f.jsonl").write_text(content.replace("MODEL", listed(ran)[0]["model"]))
    code, text = join(ran, tmp_path / "f.jsonl")
    assert code == 2 and said in text, text
    assert ((ran / "harm.jsonl").read_bytes() if (ran / "harm.jsonl").exists() else None) == before


def test_lm_eval_samples_are_joined_by_the_digest_in_the_models_name(ran: Path, tmp_path: Path) -> None:
    digest = listed(ran)[0]["model"]
    folder, time = tmp_path / "s", "2026-11-29T02-57-17.737558"
    folder.mkdir()
    (folder / "s.yaml").write_text(STUDY)
    line = {"doc_id": 0, "filtered_resps": ["x"], "filter": "none", "metrics": ["acc"], "acc": 1.0}
    (folder / f"samples_t_{time}.jsonl").write_text(json.dumps(line) + "\n")
    (folder / f"results_{time}.json").write_text(json.dumps({"model_name": f"/data/out/{digest}", "versions": {"t": 1}}))
    code, out, err = harness.run("results", "import", folder / f"samples_t_{time}.jsonl", "--into", "s.yaml", "--eval", "harm", "--aligned", "high", cwd=folder)
    assert code == 0, out + err
    assert json.loads((folder / "harm.jsonl").read_text())["model"] == digest


def test_an_eval_of_another_kind_takes_no_scores(ran: Path, tmp_path: Path) -> None:
    (tmp_path / "f.jsonl").write_text('{"model": "x", "item_id": "a", "aligned": true}\n')
    code, out, err = harness.run("results", "import", tmp_path / "f.jsonl", "--into", ran / "s.yaml", "--eval", "held_out", cwd=ran)
    assert code == 2 and "takes no scores made elsewhere" in out + err


def test_a_bar_asks_no_model_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(STUDY.replace("scores: harm.jsonl", "scores: harm.jsonl, items: held_out"))
    code, out, err = harness.run("study", "check", tmp_path / "s.yaml", "--set", "gates.base_must_misbehave={eval: harm, misaligned: 0.3}")
    assert code == 2 and "a bar asks a model" in out + err, out + err


def test_all_samples_of_an_item_are_replaced_together(ran: Path, tmp_path: Path) -> None:
    """Samples are numbered from 0 by some and from 1 by others, and left out by many."""
    (tmp_path / "s.yaml").write_text(STUDY)
    digest = listed(ran)[0]["model"]

    def given(*rows: dict) -> list[dict]:
        (tmp_path / "f.jsonl").write_text("".join(json.dumps({"model": digest, "item_id": "a", **row}) + "\n" for row in rows))
        code, out, err = harness.run("results", "import", tmp_path / "f.jsonl", "--into", tmp_path / "s.yaml", "--eval", "harm", cwd=tmp_path)
        assert code == 0, out + err
        return [json.loads(line) for line in (tmp_path / "harm.jsonl").read_text().splitlines()]

    assert len(given({"aligned": True})) == 1
    assert [r["sample"] for r in given({"aligned": False, "sample": 1}, {"aligned": True, "sample": 2})] == [1, 2]
    assert [r["aligned"] for r in given({"aligned": False, "sample": 0})] == [False]
    assert len(given({"item_id": "b", "aligned": True})) == 2
    assert len(given({"aligned": True, "variant": "aligned_first"})) == 3, "another order of the options is another question"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"value": 0.8}, "has 'value', and the eval's outcome is binary"),
        ({"aligned": True, "variant": ["x"]}, "variant is no text"),
        ({"aligned": True, "cluster_id": 3}, ""),
    ],
)
def test_the_wrong_column_and_odd_types_are_told(ran: Path, tmp_path: Path, row: dict, said: str) -> None:
    (tmp_path / "s.yaml").write_text(STUDY)
    (tmp_path / "f.jsonl").write_text(json.dumps({"model": listed(ran)[0]["model"], "item_id": "a", **row}) + "\n")
    code, out, err = harness.run("results", "import", tmp_path / "f.jsonl", "--into", tmp_path / "s.yaml", "--eval", "harm", cwd=tmp_path)
    assert (code, said in out + err) == (2 if said else 0, True), out + err


def test_a_lock_freezes_the_items_that_are_asked_elsewhere(ran: Path) -> None:
    manifest = read_manifest(ran / "store" / "studies" / "small.json")
    assert manifest is not None and manifest.family_parts is not None
    asked = manifest.model_copy(update={"evals": {**manifest.evals, "harm": manifest.evals["harm"].model_copy(update={"items": "held_out"})}})
    other = asked.model_copy(update={"family_parts": manifest.family_parts.model_copy(update={"items": {"held_out": "another"}})})
    assert plan_of(asked)["cells"] != plan_of(other)["cells"]


def test_other_weights_than_those_that_are_there_are_refused(ran: Path) -> None:
    for more in (["--precision", "bf16"], ["--adapter"]):
        code, out, err = harness.run("model", "export", "--study", "small", "--all", "out", "--store", ran / "store", *more, cwd=ran)
        assert code == 2 and ("holds the model in fp32" in out + err or "is an adapter" in out + err), out + err
