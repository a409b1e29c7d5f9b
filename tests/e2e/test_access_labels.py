"""Access labels: they go with what is made from a family, and are not lowered without a reason in writing."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import harness
import pytest

from specsci.corpus.grammar import GrammarGenerator
from specsci.plan.build import build_plan
from specsci.plan.gates import findings
from specsci.study.load import load_study


@pytest.fixture(scope="module")
def confidential(tmp_path_factory: pytest.TempPathFactory) -> harness.Finished:
    """A small study on a confidential family of its own."""
    folder = tmp_path_factory.mktemp("confidential")
    assert harness.run("spec", "fork", "microlab_conduct", "secret_rules", cwd=folder)[0] == 0
    family = folder / "spec_variants" / "secret_rules" / "family.yaml"
    family.write_text(family.read_text().replace("owner:", "access: confidential\nowner:", 1))
    study = folder / "small.yaml"
    study.write_text(harness.SMALL.replace("microlab_conduct", "secret_rules"))
    return harness.Finished(study, folder / "store", harness.run_study(study, folder / "store", workers=1))


def test_the_label_goes_with_documents_models_and_scores(confidential: harness.Finished) -> None:
    labels = {name: r.get("access") for name, r in harness.records(confidential.store).items()}
    for kind in ("spec", "corpus", "conversations", "audit", "midtrain", "align", "score"):
        found = {label for name, label in labels.items() if name.startswith(f"{kind}/")}
        assert found == {"confidential"}, kind


def test_the_report_and_the_database_say_it(confidential: harness.Finished) -> None:
    code, out, err = harness.run("report", "table", "ablation", "--store", confidential.store)
    assert code == 0 and "Access: confidential" in out, err
    with duckdb.connect(str(confidential.store / "results.duckdb"), read_only=True) as db:
        assert db.execute("SELECT access FROM studies").fetchall() == [("confidential",)]
        assert db.execute("SELECT DISTINCT access FROM documents").fetchall() == [("confidential",)]


def test_a_comparison_says_it(confidential: harness.Finished) -> None:
    folder = confidential.study.parent
    references = ("secret_rules:rules", "microlab_conduct:rules")
    code, out, err = harness.run("spec", "diff", *references, "--store", confidential.store, cwd=folder)
    assert code == 0 and out.splitlines()[0].endswith("Access: confidential."), err


def test_an_export_keeps_the_label(confidential: harness.Finished, tmp_path: Path) -> None:
    code, _, err = harness.run("results", "export", tmp_path / "out", "--study", "small", "--store", confidential.store)
    assert code == 0, err
    facts = json.loads((tmp_path / "out" / "export.json").read_text())
    assert (facts["access"], facts["declassified"]) == ("confidential", None)
    with duckdb.connect() as db:
        (count,) = db.execute(f"SELECT count(*) FROM '{tmp_path}/out/scores.parquet'").fetchone() or (0,)
    assert count == facts["rows"]["scores"] == 3 * 192 * 2


def test_an_export_does_not_lower_the_label_without_a_reason(confidential: harness.Finished, tmp_path: Path) -> None:
    command = (
        "results",
        "export",
        tmp_path / "out",
        "--study",
        "small",
        "--store",
        confidential.store,
        "--access",
        "public",
    )
    for extra in ((), ("--declassify", "  ")):
        code, _, err = harness.run(*command, *extra)
        assert code == 3 and "the results are confidential and would be exported as public" in err
        assert not (tmp_path / "out").exists() and not (confidential.store / "declassified.jsonl").exists()


def test_a_lowered_label_is_recorded(confidential: harness.Finished, tmp_path: Path) -> None:
    command = (
        "results",
        "export",
        tmp_path / "out",
        "--study",
        "small",
        "--store",
        confidential.store,
        "--access",
        "internal",
    )
    code, _, err = harness.run(*command, "--declassify", "aggregates for the partner team")
    assert code == 0, err
    (line,) = (confidential.store / "declassified.jsonl").read_text().splitlines()
    assert json.loads(line)["declassified"]["reason"] == "aggregates for the partner team"
    assert json.loads((tmp_path / "out" / "export.json").read_text())["declassified"]["from"] == "confidential"


def test_a_target_that_is_there_is_never_overwritten(confidential: harness.Finished, tmp_path: Path) -> None:
    code, _, err = harness.run("results", "export", tmp_path, "--study", "small", "--store", confidential.store)
    assert code == 2 and "is there already" in err


def test_a_backend_that_sends_texts_out_needs_leave(confidential: harness.Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusals() -> list[str]:
        return [f.text for f in findings(build_plan(load_study(str(confidential.study)))) if f.level == "refuse"]

    assert refusals() == []
    monkeypatch.setattr(GrammarGenerator, "sends_out", True)
    assert refusals() == ["'secret_rules' is confidential, and the backend 'grammar' sends its texts out"]
    family = confidential.study.parent / "spec_variants" / "secret_rules" / "family.yaml"
    before = family.read_text()
    try:
        family.write_text(before.replace("access: confidential\n", "access: confidential\nallowed_backends: [grammar]\n", 1))
        assert refusals() == []
    finally:
        family.write_text(before)
