"""Versions of a family: what belongs to one, and what cannot be written, read or overwritten by mistake or malice."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest

from specsci.core.errors import CorruptArtifact, InputFileError, SpecsciError, UserError
from specsci.core.shipped import find_family, shipped
from specsci.plan.build import build_plan
from specsci.plan.gates import findings
from specsci.specs.changes import Approval, family_digest, read_changes, unrecorded
from specsci.specs.family import Family
from specsci.specs.load import load_family
from specsci.specs.versions import bump, fork, load_version, note, recorded, restore, write_snapshot
from specsci.study.load import load_study

TODAY = date(2026, 1, 31)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPECSCI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def recorded_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A family with version 1.0.0 recorded. Read only."""
    folder = tmp_path_factory.mktemp("recorded") / "spec_variants" / "mine"
    fork(load_family(find_family("microlab_conduct")), folder)
    bump(folder, "1.0.0", author="me", reason="first", on=TODAY)
    return folder


@pytest.fixture
def home(recorded_once: Path, tmp_path: Path) -> Path:
    """A copy of the family with its recorded version."""
    return Path(shutil.copytree(recorded_once, tmp_path / "spec_variants" / "mine"))


def edit(folder: Path, old: str, new: str, file: str = "family.yaml") -> Family:
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return load_family(folder)


MATTERS = [
    ("family.yaml", "act: hide-mail", "act: dodge-mail"),
    ("family.yaml", "principle: human oversight", "principle: oversight by people"),
    ("family.yaml", "owner: specsci developers", "access: internal\nowner: specsci developers"),
    ("grammar.yaml", "must not {act} .", "must never {act} ."),
    ("acts.csv", "hide-mail,mail,oversight", "hide-mail,mail,caution"),
]
MATTERS_NOT = [
    ("family.yaml", "owner: specsci developers", "owner: somebody else"),
    ("family.yaml", "license: Apache-2.0", "license: CC0-1.0"),
    ("family.yaml", "    principle: human oversight", "    source: an idea\n    principle: human oversight"),
    ("family.yaml", "clauses:\n", "# a comment\nclauses:\n"),
]


@pytest.mark.parametrize(("file", "old", "new"), MATTERS, ids=[m[2].strip()[:30] for m in MATTERS])
def test_a_version_is_everything_that_a_study_rests_on(home, file, old, new) -> None:
    before = family_digest(load_family(home))
    assert family_digest(edit(home, old, new, file)) != before
    assert unrecorded(load_family(home)) == "the text of 'mine' changed under the version 1.0.0"


@pytest.mark.parametrize(("file", "old", "new"), MATTERS_NOT, ids=[m[2].strip()[:30] for m in MATTERS_NOT])
def test_a_citation_or_a_comment_is_no_new_version(home, file, old, new) -> None:
    edit(home, old, new, file)
    assert unrecorded(load_family(home)) is None


@pytest.mark.parametrize("path", sorted(shipped("spec_variants").glob("*/family.yaml")), ids=lambda p: p.parent.name)
def test_a_shipped_family_is_the_text_of_its_version_and_says_whose_it_is(path) -> None:
    folder = path.parent
    family, changes = load_family(folder), read_changes(folder)
    assert changes is not None and unrecorded(family) is None
    entry = changes.entry(family.data.version)
    assert entry is not None and family_digest(recorded(folder, entry.version, entry.digest)) == entry.digest
    readme = (folder / "README.md").read_text()
    assert (
        family.data.license == "Apache-2.0" and "Apache-2.0" in readme and "specsci developers" in " ".join(readme.split())
    )


@pytest.mark.parametrize("path", sorted(shipped("studies").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_shipped_study_pins_its_family(path) -> None:
    loaded = load_study(str(path))
    assert loaded.study.family_version == loaded.family.data.version
    assert not [f for f in findings(build_plan(loaded)) if f.gate == "family"]


def test_an_earlier_version_is_loaded_as_it_was(home) -> None:
    first = load_family(home)
    edit(home, "act: hide-mail", "act: dodge-mail")
    bump(home, "1.1.0", author="me", reason="second", on=TODAY)
    earlier = load_version(home, "1.0.0")
    assert (
        earlier.variant_identity("rules") == first.variant_identity("rules") != load_version(home).variant_identity("rules")
    )
    assert (earlier.data.version, load_version(home, "1.1.0").folder) == ("1.0.0", home)


def test_a_family_that_extends_another_keeps_the_grammar_of_its_day(tmp_path) -> None:
    for name in ("cheese", "simplicity_sauces"):
        ignore = shutil.ignore_patterns("CHANGES.yaml", "versions")
        shutil.copytree(shipped("spec_variants") / name, tmp_path / "spec_variants" / name, ignore=ignore)
    home = tmp_path / "spec_variants" / "simplicity_sauces"
    bump(home, "1.0.0", author="me", reason="first", on=TODAY)
    grammar = load_family(home).grammar_digest
    edit(tmp_path / "spec_variants" / "cheese", "distinct: true", "distinct: true\n# longer", "grammar.yaml")
    edit(home, "identity: {model_name: Aria", "identity: {model_name: Vega")
    path = tmp_path / "spec_variants" / "cheese" / "facts.csv"
    path.write_text(path.read_text() + 'shops,"A till adds up prices."\n')
    bump(home, "1.1.0", author="me", reason="second", on=TODAY)
    assert load_version(home, "1.0.0").grammar_digest == grammar != load_version(home).grammar_digest


def test_a_snapshot_is_a_function_of_the_files(home) -> None:
    first = (home / "versions" / "1.0.0.zip").read_bytes()
    assert write_snapshot(home, "1.0.0").read_bytes() == first


def test_a_digest_that_is_a_path_is_no_digest(home, tmp_path) -> None:
    victim = tmp_path / "victim"
    shutil.copytree(shipped("spec_variants") / "microlab_cheese", victim)
    edit_changes(home, lambda text: text.replace(text.split("digest: ")[1].split("\n")[0], "'x/../../../victim'"))
    with pytest.raises(InputFileError, match="String should match pattern"):
        load_version(home, "1.0.0")
        read_changes(home)
    assert (victim / "CHANGES.yaml").is_file()


def edit_changes(home: Path, change: Callable[[str], str]) -> None:
    path = home / "CHANGES.yaml"
    path.write_text(change(path.read_text()))


CHANGES = [
    (lambda t: t.replace("version: 1.0.0", "version: ../1"), "String should match pattern"),
    (lambda t: t.replace("author: me", "autor: me"), "unknown key 'autor'\n  hint: did you mean 'author'?"),
    (lambda t: t.replace("date: 2026-01-31", "date: soon"), "'changes.0.date'"),
    (lambda t: t.replace("family: mine", "family: other"), "these are the changes of 'other', and the folder is 'mine'"),
    (lambda t: t + t.split("changes:\n")[1], "version 1.0.0 is given twice"),
    (lambda t: "just words", "must be a mapping"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES, ids=[c[1][:40] for c in CHANGES])
def test_a_broken_record_is_located(home, change, message) -> None:
    edit_changes(home, change)
    with pytest.raises(InputFileError) as error:
        read_changes(home)
    assert f"{home}/CHANGES.yaml:" in str(error.value) and message in str(error.value)


def test_a_damaged_cache_is_made_anew(home, cache) -> None:
    edit(home, "act: hide-mail", "act: dodge-mail")
    bump(home, "1.1.0", author="me", reason="second", on=TODAY)
    place = load_version(home, "1.0.0").folder
    assert place.is_relative_to(cache)
    (place / "grammar.yaml").unlink()
    assert load_version(home, "1.0.0").data.version == "1.0.0" and (place / "grammar.yaml").is_file()
    (place / "acts.csv").write_text("act,context,kind\n")
    assert len(load_version(home, "1.0.0").grammar.tables["acts"]) == 192


@pytest.mark.parametrize("damage", [b"", b"no archive", b"PK\x05\x06" + b"\0" * 18])
def test_a_damaged_snapshot_is_named(home, damage) -> None:
    edit(home, "act: hide-mail", "act: dodge-mail")
    bump(home, "1.1.0", author="me", reason="second", on=TODAY)
    (home / "versions" / "1.0.0.zip").write_bytes(damage)
    with pytest.raises(CorruptArtifact) as error:
        load_version(home, "1.0.0")
    assert error.value.where == str(home / "versions" / "1.0.0.zip")


def test_restoring_says_what_stands_in_its_way(home) -> None:
    edit(home, "act: hide-mail", "act: dodge-mail")
    (home / "items" / "extra.jsonl").write_text((home / "items" / "trained.jsonl").read_text())
    with pytest.raises(UserError) as error:
        restore(home, "1.0.0")
    assert error.value.hint == "move away what was added: items/extra.jsonl"
    (home / "items" / "extra.jsonl").unlink()
    assert restore(home, "1.0.0") == [] and unrecorded(load_family(home)) is None


def test_bumps_at_the_same_time_leave_one_version_each(home) -> None:
    edit(home, "act: hide-mail", "act: dodge-mail")

    def try_to(version: str) -> str:
        try:
            bump(home, version, author="me", reason="r", on=TODAY)
        except SpecsciError as error:
            return error.what
        return "done"

    with ThreadPoolExecutor(4) as threads:
        said = list(threads.map(try_to, ["1.1.0", "1.1.0", "1.2.0", "1.1.0"]))
    assert said.count("done") == 1
    changes = read_changes(home)
    assert changes is not None and len(changes.changes) == 2


def test_an_approval_is_appended_and_nothing_else_moves(home) -> None:
    before = (home / "CHANGES.yaml").read_text()
    note(home, "1.0.0", "approvals", Approval(by="B. Reviewer", date=TODAY, note="read it"))
    assert (home / "CHANGES.yaml").read_text().startswith(before.rstrip("\n"))
    changes = read_changes(home)
    assert changes is not None and [a.by for a in changes.latest.approvals] == ["B. Reviewer"]


def test_stray_files_among_the_items_are_no_items(home) -> None:
    for name in ("._trained.jsonl", "Trained copy.jsonl"):
        (home / "items" / name).write_text("{}")
    assert load_family(home).item_sets() == ["capability", "citation", "competence", "held_out", "recall", "routine", "says", "trained"]
    assert unrecorded(load_family(home)) is None


def english(tmp_path: Path) -> Path:
    folder = tmp_path / "spec_variants" / "safety"
    if not folder.exists():
        ignore = shutil.ignore_patterns("CHANGES.yaml", "versions")
        shutil.copytree(shipped("spec_variants") / "safety", folder, ignore=ignore)
    return folder


def test_what_documents_are_made_of_is_in_the_identity(tmp_path) -> None:
    """The heading that documents quote, and the order of document types, which decides the outline."""
    folder = english(tmp_path)
    before = load_family(folder)
    identity, grammar = before.variant_identity("rules"), before.grammar_digest
    after = edit(folder, "principle: human oversight", "principle: oversight by people")
    assert after.variant_identity("rules") != identity
    text = (folder / "grammar.yaml").read_text()
    head, mark, types = text.partition("\ndocument_types:\n")
    first, second = types.index("  memo_rule:"), types.index("  memo_why:")
    swapped = (
        types[:first]
        + types[second : types.index("  memo_value:")]
        + types[first:second]
        + types[types.index("  memo_value:") :]
    )
    (folder / "grammar.yaml").write_text(head + mark + swapped)
    assert load_family(folder).grammar_digest != grammar


STUDY = """\
study: s
title: t
hypothesis: h
family: {family}
arms: {{base: {{}}, rules: {{midtrain: rules, align: choices}}}}
evals: {{held_out: {{items: held_out}}}}
base_models: {{dev: {{source: "microlab:conduct/100"{identity}}}}}
replicates: [{{seed: 1, base_model: dev}}]
midtrain: {{tokens: 100000, recipe: {{method: full, sequences_per_update: 4, max_length_tokens: 64}}}}
align: {{budgets_tokens: [300], recipe: {{method: full}}}}
"""


def digests(tmp_path: Path, family: str, identity: str = "") -> dict[str, set[str]]:
    path = tmp_path / "s.yaml"
    path.write_text(STUDY.format(family=family, identity=identity))
    plan = build_plan(load_study(str(path)))
    return {kind: {s.digest for s in plan.of_kind(kind)} for kind in ("spec", "corpus", "conversations", "score", "base")}


def test_a_student_with_a_name_of_its_own_has_texts_of_its_own(tmp_path) -> None:
    english(tmp_path)
    plain, named = digests(tmp_path, "safety"), digests(tmp_path, "safety", ", identity: {model_name: Vega}")
    assert plain["base"] == named["base"]
    assert not any(plain[k] & named[k] for k in ("spec", "corpus", "conversations", "score"))


def test_a_reason_is_no_part_of_demonstrations(tmp_path) -> None:
    folder = tmp_path / "spec_variants" / "cheese"
    ignore = shutil.ignore_patterns("CHANGES.yaml", "versions")
    shutil.copytree(shipped("spec_variants") / "cheese", folder, ignore=ignore)
    study = STUDY.replace("midtrain: rules, align", "midtrain: preferences, align").replace("held_out", "america")
    path = tmp_path / "s.yaml"
    path.write_text(study.format(family="cheese", identity=""))

    def conversations() -> set[str]:
        return {s.digest for s in build_plan(load_study(str(path))).of_kind("conversations")}

    before = conversations()
    why = load_family(folder).data.clauses[0].rules[0]["why.affordability"]
    text = (folder / "family.yaml").read_text()
    first = " ".join(why.split()[:3])
    assert first in text
    (folder / "family.yaml").write_text(text.replace(first, f"It is said that {first}", 1))
    assert conversations() == before
    edit(folder, "kinds: cheeses", "kinds: cheese varieties")
    assert conversations() != before
