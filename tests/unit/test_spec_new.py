"""A family to begin with: it checks clean, says what its documentation says, and runs."""

from __future__ import annotations

from pathlib import Path

import harness
import pytest

from specsci.specs import grammar, schema

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    code, out, err = harness.run("spec", "new", "mine", cwd=tmp_path)
    assert code == 0 and "study run mine.yaml" in out, err
    return tmp_path


def test_it_checks_clean_and_is_small(made: Path) -> None:
    family = made / "spec_variants" / "mine"
    assert {p.relative_to(family).as_posix() for p in family.rglob("*") if p.is_file()} == {"family.yaml", "grammar.yaml", "items/held_out.jsonl"}
    assert len((family / "items" / "held_out.jsonl").read_text().splitlines()) == 8
    assert sum(bool(line.strip()) for line in (family / "grammar.yaml").read_text().splitlines()) <= 26
    code, out, err = harness.run("spec", "check", "mine", cwd=made)
    assert code == 0 and "mine 1.0.0: 0 errors, 0 leaks" in out and "warn" not in out + err, out + err
    assert "starter" not in "".join(p.read_text() for p in [*family.rglob("*.yaml"), made / "mine.yaml"])
    for variant, reasons in (("rules", False), ("reasons", True)):
        code, out, _ = harness.run("spec", "show", "mine", variant, cwd=made)
        assert code == 0 and ("costs trust" in out) == reasons and "Juno" in out


def test_its_study_runs(made: Path) -> None:
    report = harness.run_study(made / "mine.yaml", made / "store", cwd=made)
    assert report["failed"] == 0 and report["executed"] > 20
    code, out, _ = harness.run("report", "table", "ablation", "--store", made / "store", cwd=made)
    assert code == 0 and "reasons_over_rules" in out


@pytest.mark.parametrize("name", ["Mine", "../mine", "a b", "", "x@1.0.0"])
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    code, _, err = harness.run("spec", "new", name, cwd=tmp_path)
    assert code == 2 and "not a valid family name" in err and list(tmp_path.iterdir()) == []


def test_nothing_that_is_there_is_overwritten(made: Path) -> None:
    before = {p: p.read_bytes() for p in made.rglob("*") if p.is_file()}
    code, _, err = harness.run("spec", "new", "mine", cwd=made)
    assert code == 2 and "is there already" in err
    (made / "other.yaml").write_text("study: other\n")
    assert harness.run("spec", "new", "other", cwd=made)[0] == 2 and not (made / "spec_variants" / "other").exists()
    assert {p: p.read_bytes() for p in made.rglob("*") if p.is_file() and p.name != "other.yaml"} == before


def test_every_key_of_a_family_a_grammar_and_an_item_is_documented() -> None:
    text = (DOCS / "your_own_spec.md").read_text()
    models = [schema.FamilyFile, schema.Clause, schema.Variant, schema.Probe, schema.ItemSet, schema.Checks, schema.Register]
    models += [grammar.GrammarFile, grammar.DocumentType, grammar.ConversationType, grammar.RecordDraw, grammar.SampleDraw]
    keys = {field.alias or name for model in models for name, field in model.model_fields.items()} - {"kind", "sha256"}
    keys |= {"item_id", "cluster_id", "prompt", "aligned", "misaligned", "slice"}
    assert [key for key in sorted(keys) if f"`{key}`" not in text and f"`{key}:" not in text] == []
