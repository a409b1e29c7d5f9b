"""Figures, the page, cards, claims, locks and study differences, on a study that was run."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from contextlib import suppress
from pathlib import Path

import duckdb
import harness
import pytest

from specsci.core.errors import UserError
from specsci.database.connection import connect
from specsci.report.ablation import ablation
from specsci.report.plots import PLOTS, draw, save
from specsci.results.build import build
from specsci.store.artifact import Store


def test_a_figure_is_drawn_in_every_format(finished_tiny: harness.Finished, tmp_path: Path) -> None:
    begins = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}
    with connect(finished_tiny.store) as db:
        content = ablation(db)
    with pytest.raises(UserError, match="no corpus of this study was examined"):
        draw("texts", content)
    with pytest.raises(UserError, match="is not asked under several harness conditions"):
        draw("harness", content)
    for name in (name for name in PLOTS if name not in ("texts", "harness")):
        figure = draw(name, content)
        for kind, magic in begins.items():
            save(figure, tmp_path / f"{name}.{kind}")
            assert (tmp_path / f"{name}.{kind}").read_bytes().startswith(magic)
        text = (tmp_path / f"{name}.svg").read_text()
        assert ElementTree.fromstring(text.encode()) is not None and "rules" in text, "words stay words"
    code, said, err = harness.run(
        "report", "plot", "forest", "--store", finished_tiny.store, "--out", tmp_path / "by_command.pdf"
    )
    assert code == 0 and "wrote " in said and (tmp_path / "by_command.pdf").read_bytes().startswith(b"%PDF"), err


def test_the_same_figure_has_the_same_bytes(finished_tiny: harness.Finished, tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        assert harness.run("report", "plot", "forest", "--store", finished_tiny.store, "--out", tmp_path / name)[0] == 0
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("forest", "--out", "figure.jpg"), "has no ending of svg, png, pdf"),
        (("curves", "--eval", "held"), "no outcome eval 'held'"),
        (("reasons",), "'reasons' is not one of"),
        (("forest", "--out", "/proc/nowhere/figure.svg"), "cannot be written"),
    ],
)
def test_a_figure_that_cannot_be_is_a_message(finished_tiny: harness.Finished, more, said, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = harness.run("report", "plot", *more, "--store", finished_tiny.store)
    assert code == 2 and said in err and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_figure_of_an_account_without_a_home_is_drawn_without_a_word(finished_tiny: harness.Finished, tmp_path) -> None:
    out = tmp_path / "forest.svg"
    command = ("report", "plot", "forest", "--store", finished_tiny.store, "--out", out)
    code, _, err = harness.run(*command, apart=True, env={"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "", "MPLCONFIGDIR": ""})
    assert (code, err) == (0, "") and out.read_bytes().startswith(b"<?xml")


def test_no_figure_and_no_card_takes_a_good_ones_place_on_a_full_disk(finished_tiny: harness.Finished, tmp_path) -> None:
    model = next((finished_tiny.store / "steps" / "align").iterdir()).name
    with harness.small_disk(tmp_path / "disk", 1) as disk:
        makes = {
            disk / "forest.svg": ("report", "plot", "forest"),
            disk / "page.html": ("report", "html"),
            disk / "card.md": ("report", "card", model),
        }
        for path in makes:
            path.write_text("the good one")
        (disk / "ballast").write_bytes(b"x" * (2**20 - 5 * 4096))
        with suppress(OSError), (disk / "ballast").open("ab") as file:
            file.write(b"x" * 2**20)
        for path, make in makes.items():
            code, _, err = harness.run(*make, "--store", finished_tiny.store, "--out", path)
            assert code == 2 and "the disk is full" in err and "hint: free space" in err, err
            assert path.read_text() == "the good one"
        assert {p.name for p in disk.iterdir()} == {"ballast", *(p.name for p in makes)}, "nothing half-written stays"


def test_names_in_a_card_are_text(tiny_copy: harness.Finished) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    text = tiny_copy.study.read_text().replace("title: A tiny study", f"title: '{hostile}'")
    tiny_copy.study.write_text(text.replace("  dev: {", f"  '{hostile}': {{").replace("base_model: dev", f"base_model: '{hostile}'"))
    code, out, err = harness.run("study", "run", tiny_copy.study, "--store", tiny_copy.store, "--json")
    assert code == 0 and json.loads(out)["executed"] == 0, err
    model = harness.artifact(tiny_copy.store, "align", "align rules at 300 tokens, replicate 1").name
    corpus = harness.artifact(tiny_copy.store, "corpus", "replicate 1").name
    for digest in (model, corpus):
        code, out, err = harness.run("report", "card", digest, "--store", tiny_copy.store)
        assert code == 0 and "<img" not in out, err
        assert ("&lt;img src=x" in out) == (digest == model), "the name of the base model stands in a model's card alone"


def test_the_page_has_every_part_and_asks_the_network_for_nothing(finished_tiny: harness.Finished, tmp_path: Path) -> None:
    code, _, err = harness.run("report", "html", "--store", finished_tiny.store, "--out", tmp_path / "page.html")
    assert code == 0, err
    text = (tmp_path / "page.html").read_text()
    assert "default-src 'none'" in text and "<script" not in text
    links = [u for u in re.findall(r'(?:src|href)="([^"]+)"', text) if not u.startswith("#")]
    assert links == []
    for heading in (
        "Answers",
        "Rates",
        "Denominators",
        "Variance components",
        "Instruments",
        "Costs",
        "Environment",
        "Lineage",
    ):
        assert f">{heading}</h2>" in text, heading
    assert text.count("<svg role=") >= 4 and "⟦" in text, "figures, and training rows with their supervised parts"
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids)), "no two figures share a name"
    assert re.search(r"of 2</li>|of 2 valid", text), "arms side by side, over two replicates"


def test_hostile_text_of_a_study_stays_text(tiny_copy: harness.Finished) -> None:
    manifest = next((tiny_copy.store / "studies").glob("*.json"))
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    data = json.loads(manifest.read_text())
    data["title"], data["hypothesis"], data["contrasts"][0]["question"] = evil, evil + "&amp;", evil
    manifest.write_text(json.dumps(data))
    build(Store(tiny_copy.store))
    out = tiny_copy.store / "page.html"
    assert harness.run("report", "html", "--store", tiny_copy.store, "--out", out)[0] == 0
    text = out.read_text()
    assert "<script" not in text and "<img" not in text and "&lt;script&gt;" in text


def test_a_model_and_a_corpus_have_cards(finished_tiny: harness.Finished) -> None:
    model = next((finished_tiny.store / "steps" / "align").iterdir()).name
    code, out, err = harness.run("report", "card", model, "--store", finished_tiny.store)
    assert code == 0 and out.startswith("---\n") and "library_name: transformers" in out, err
    assert (
        f"`align {model}`" in out
        and "says nothing about large models" in out
        and "| scored | aligned | valid | attempted |" in out
    )
    corpus = next((finished_tiny.store / "steps" / "corpus").iterdir()).name
    code, out, err = harness.run("report", "card", corpus, "--store", finished_tiny.store)
    assert code == 0 and "**Documents by clause**" in out and "synthetic" in out, err
    code, _, err = harness.run("report", "card", "zz", "--store", finished_tiny.store)
    assert code == 2 and "no model 'zz'" in err


def test_a_claim_lives_and_dies_with_its_evidence(tiny_copy: harness.Finished) -> None:
    at = ("--store", tiny_copy.store)
    make = ("results", "claim", "rules-help", "--study", "tiny", "--contrast", "rules_over_aft", "--text", "Rules help.")
    code, out, err = harness.run(*make, *at, "--by", "me", "--json")
    assert code == 0, err
    (claim,) = json.loads(out)
    assert claim["status"] == "fragile" and claim["by"] == "me", "two replicates of one base: the interval covers 0"
    model = next((tiny_copy.store / "steps" / "midtrain").iterdir()).name
    code, out, err = harness.run("results", "retire", model[:12], "--reason", "wrong corpus", *at, "--json")
    assert code == 0, err
    assert json.loads(out)["claims_withdrawn"] == ["rules-help"] and json.loads(out)["what"] == model
    code, out, _ = harness.run("results", "claim", *at)
    assert code == 0 and f"rules-help: withdrawn ({model} was invalidated: wrong corpus)" in out
    with duckdb.connect(str(tiny_copy.store / "results.duckdb"), read_only=True) as db:
        assert "withdrawn" in [f["code"] for f in db.execute("SELECT flags FROM contrasts").fetchone()[0]]
    page = tiny_copy.store / "page.html"
    assert harness.run("report", "html", *at, "--out", page)[0] == 0
    assert "wrong corpus" in page.read_text() and "nothing may rest on these" in page.read_text()


def test_a_claim_about_nothing_and_a_retired_nothing_are_mistakes(tiny_copy: harness.Finished) -> None:
    at = ("--store", tiny_copy.store)
    code, _, err = harness.run(
        "results", "claim", "x", "--study", "tiny", "--contrast", "rules_over_aff", "--text", "t", *at
    )
    assert code == 2 and "did you mean 'rules_over_aft'?" in err
    code, _, err = harness.run(
        "results", "claim", "../x", "--study", "tiny", "--contrast", "rules_over_aft", "--text", "t", *at
    )
    assert code == 2 and "cannot name a claim" in err
    code, _, err = harness.run("results", "retire", "eval:tiny/held", "--reason", "r", *at)
    assert code == 2 and "did you mean 'held_out'?" in err
    code, _, err = harness.run("results", "retire", "ffffffffffff", "--reason", "r", *at)
    assert code == 2 and "no step 'ffffffffffff'" in err
    assert not (tiny_copy.store / "retired").exists()


def test_a_lock_stamps_what_is_changed_after_it(tiny: Path, tiny_copy: harness.Finished, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    code, out, err = harness.run("study", "lock", tiny, "--store", fresh)
    assert code == 0 and "tiny locked on" in out and "before the first score" in out, err
    shutil.copytree(fresh / "locks", tiny_copy.store / "locks")
    build(Store(tiny_copy.store))
    assert registered(tiny_copy.store).startswith("registered ")
    other, changed = tmp_path / "other.yaml", tmp_path / "changed"
    other.write_text(tiny.read_text().replace("{rules: 1, aft: -1}", "{rules: -1, aft: 1}"))
    assert harness.run("study", "lock", other, "--store", changed)[0] == 0
    shutil.rmtree(tiny_copy.store / "locks")
    shutil.copytree(changed / "locks", tiny_copy.store / "locks")
    code, out, _ = harness.run("study", "run", tiny_copy.study, "--store", tiny_copy.store, "--json")
    assert code == 0 and json.loads(out)["executed"] == 0
    said = registered(tiny_copy.store)
    assert said.startswith("exploratory: changed after the lock") and "weights" in said
    code, _, err = harness.run("study", "lock", tiny_copy.study, "--store", tiny_copy.store)
    assert code == 3 and "is locked since" in err
    lock = next((tiny_copy.store / "locks").iterdir())
    lock.write_text(lock.read_text().replace("2026", "2025", 1))
    build(Store(tiny_copy.store))
    assert registered(tiny_copy.store).startswith("unregistered"), "an edited lock counts for nothing"


def registered(store: Path) -> str:
    with duckdb.connect(str(store / "results.duckdb"), read_only=True) as db:
        return str(db.execute("SELECT registered FROM contrasts").fetchone()[0])


def test_two_studies_are_compared_field_by_field(finished_tiny: harness.Finished, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(
        finished_tiny.study.read_text().replace("study: tiny", "study: other").replace("tokens: 2000", "tokens: 2500")
    )
    code, out, err = harness.run("study", "diff", finished_tiny.study, other, "--store", finished_tiny.store, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert {"field": "midtrain.tokens", "a": 2000, "b": 2500} in found["recipe"]
    by_kind = {row["kind"]: row for row in found["steps"]}
    assert by_kind["base"]["shared"] == 1 and by_kind["midtrain"]["shared"] == 0 and by_kind["corpus"]["changed"]
    assert "no results of other" in found["summary"]
    code, out, err = harness.run("study", "diff", finished_tiny.study, finished_tiny.study, "--store", finished_tiny.store)
    assert code == 0 and "0 fields differ" in out and "Contrasts" in out, err
