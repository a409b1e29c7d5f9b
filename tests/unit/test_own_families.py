"""A family of one's own: what its grammar, links and names may be, how it is listed, forked and recorded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import small_family as small

from specsci.cli.main import main
from specsci.core.errors import InputFileError, UserError
from specsci.specs.check import check_family
from specsci.specs.load import load_family


@pytest.fixture
def family(tmp_path: Path, monkeypatch) -> Path:
    """The fuzzers' small family, below the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPECSCI_CACHE", str(tmp_path / "cache"))
    return small.write(tmp_path)


@pytest.fixture
def cli(monkeypatch, capsys):
    def run(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["specsci", *args])
        with pytest.raises(SystemExit) as end:
            main()
        return (int(end.value.code or 0), *capsys.readouterr())

    return run


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_small_family_is_sound(family: Path) -> None:
    assert [f for f in check_family(load_family(family)) if f.level == "error"] == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('mark: {plain: ["one", "two"]}', "mark: {plain: []}", "at least 1 item"),
        ("slots: [first_thing, second_thing]", "slots: [first_thing]", "as many slots as values"),
        ("tables: {facts: facts.csv}", "tables: {facts: " + "y" * 300 + ".csv}", "is not in the folder"),
        ("tables: {facts: facts.csv}", "tables: {facts: ../own/facts.csv}", "is not in the folder"),
        ("tables: {facts: facts.csv}", 'tables: {facts: "a\\0b"}', "NUL"),
    ],
)
def test_a_grammar_that_cannot_be_is_refused_with_its_place(family: Path, old: str, new: str, said: str) -> None:
    edit(family / "grammar.yaml", old, new)
    with pytest.raises(InputFileError, match=r"grammar.yaml:\d+:\d+: ") as error:
        load_family(family)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: phrase, of: mark, key: plain}", "kind: phrase, of: mark, key: $mark}", "needs itself (mark -> mark)"),
        ("slots: {other_rule: sentence}", "slots: {other_rule: sentense}", "has no column 'sentense'"),
        ("where: {clause: $clause}", "where: {claus: $clause}", "has no column 'claus'"),
        ("where: {clause: $clause}}", "where: {clause: $clause}, unless: {idd: x}}", "has no column 'idd'"),
    ],
)
def test_draws_that_raise_are_errors_of_the_check(family: Path, old: str, new: str, said: str) -> None:
    edit(family / "grammar.yaml", old, new)
    found = [f for f in check_family(load_family(family)) if f.level == "error"]
    assert any(said in f.text for f in found), found


def test_phrases_that_double_are_bounded(family: Path) -> None:
    letters = "abcdefg"
    phrases = "".join(
        f'  {x}: {{plain: ["{("{" + y + "}") * 30}"]}}\n' for x, y in zip(letters, letters[1:] + "h", strict=True)
    )
    draws = "".join(f"  {x}: {{kind: phrase, of: {x}, key: plain}}\n" for x in letters + "h")
    edit(family / "grammar.yaml", "phrases:\n", f'phrases:\n{phrases}  h: {{plain: ["hello"]}}\n')
    edit(family / "grammar.yaml", "draws:\n", f"draws:\n{draws}")
    edit(family / "grammar.yaml", '"{opening}: {^sentence}."', '"{a}: {^sentence}."')
    found = [f.text for f in check_family(load_family(family)) if f.level == "error"]
    assert any("grows to more than 200,000 characters" in text for text in found)


@pytest.mark.parametrize("file", ["texts/p.md", "facts.csv", "grammar.yaml", "items/goods.jsonl"])
def test_links_out_of_the_folder_are_refused(family: Path, file: str, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes((family / file).read_bytes())
    (family / file).unlink()
    (family / file).symlink_to(tmp_path / "outside")
    with pytest.raises(InputFileError, match=r"outside the family's folder|is not in the folder"):
        load_family(family)


def test_a_text_with_windows_lines_has_the_same_paragraphs(family: Path) -> None:
    before = load_family(family)
    said, digest = before.paragraphs("text"), before.grammar_digest
    for name in ("texts/p.md", "facts.csv", "grammar.yaml"):
        (family / name).write_bytes((family / name).read_bytes().replace(b"\n", b"\r\n"))
    after = load_family(family)
    assert after.paragraphs("text") == said and len(said) == 2 and after.grammar_digest == digest


def test_a_column_given_twice_is_refused(family: Path) -> None:
    edit(family / "facts.csv", "name,colour_name,colour", "name,name,colour")
    with pytest.raises(UserError, match=r"facts.csv:1:1: the column 'name' is there twice"):
        load_family(family)


@pytest.mark.parametrize("head", ['"family": own', "'family': \"own\"", "family:   own   # mine"])
def test_a_fork_is_named_anew_however_its_name_is_written(family: Path, cli, head: str) -> None:
    edit(family / "family.yaml", "family: own", head)
    code, _, err = cli("spec", "fork", "own", "mine")
    assert code == 0, err
    assert load_family(Path("spec_variants/mine")).name == "mine"
    assert cli("spec", "bump", "mine", "1.0.0", "--reason", "r", "--author", "a")[0] == 0
    assert cli("spec", "log", "mine")[0] == 0 and cli("spec", "check", "mine")[0] == 0


@pytest.mark.parametrize(
    "args",
    [
        ("bump", "microlab_conduct", "99.0.0", "--reason", "r", "--author", "a"),
        ("approve", "microlab_conduct@1.1.0", "--by", "b"),
        ("acknowledge", "microlab_conduct", "s", "--reason", "r", "--by", "b"),
        ("restore", "microlab_conduct"),
    ],
)
def test_the_families_that_come_with_specsci_are_not_written_to(family: Path, cli, args: tuple[str, ...]) -> None:
    from specsci.core.shipped import shipped
    from specsci.specs.changes import read_changes

    home = shipped("spec_variants") / "microlab_conduct"
    version = read_changes(home).latest.version  # type: ignore[union-attr]
    before = {p: p.read_bytes() for p in home.rglob("*") if p.is_file()}
    code, _, err = cli("spec", *(a.replace("1.1.0", version) for a in args))
    assert code == 2 and "comes with specsci" in err and "spec fork" in err
    assert {p: p.read_bytes() for p in home.rglob("*") if p.is_file()} == before


def test_the_list_has_own_families_and_says_what_is_broken(family: Path, cli, monkeypatch) -> None:
    import specsci.core.shipped

    monkeypatch.setattr(specsci.core.shipped, "family_folders", lambda here: sorted((here / "spec_variants").iterdir()))
    (family.parent / "broken").mkdir()
    (family.parent / "broken" / "family.yaml").write_text("family: [")
    code, out, err = cli("spec", "list")
    assert code == 0 and "own 1.0.0: A small family" in out and "broken cannot be read:" in err and "family.yaml:1:" in err
    assert cli("spec", "check")[0] == 2


def test_own_folders_come_before_the_shipped_ones(family: Path) -> None:
    from specsci.core.shipped import family_folders

    found = {p.name: p for p in family_folders(Path.cwd())}
    assert found["own"] == family and "microlab_conduct" in found and "safety" in found


@pytest.mark.parametrize("way", ["encrypted", "bomb", "cut", "loop"])
def test_a_snapshot_or_link_that_cannot_be_read_is_a_message(family: Path, cli, way: str) -> None:
    import zipfile

    assert cli("spec", "bump", "own", "1.0.0", "--reason", "r", "--author", "a")[0] == 0
    edit(family / "family.yaml", "title: A small", "title: The small")
    assert cli("spec", "bump", "own", "1.1.0", "--reason", "r", "--author", "a")[0] == 0
    snapshot = family / "versions" / "1.0.0.zip"
    if way == "encrypted":
        raw = bytearray(snapshot.read_bytes())
        for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            place = raw.find(mark)
            while place >= 0:
                raw[place + at] |= 1
                place = raw.find(mark, place + 4)
        snapshot.write_bytes(raw)
    elif way == "bomb":
        with zipfile.ZipFile(snapshot, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("family.yaml", b"0" * 150_000_000)
    elif way == "cut":
        snapshot.write_bytes(snapshot.read_bytes()[:100])
    else:
        (family / "facts.csv").unlink()
        (family / "facts.csv").symlink_to("facts.csv")
    code, _, err = cli("spec", "show", "own" if way == "loop" else "own@1.0.0", "rules")
    assert code == 2 and "Traceback" not in err and ("snapshot" in err or "facts.csv" in err), err
