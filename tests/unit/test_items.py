"""Items: every line that cannot be asked is refused with its line and key, when the family loads; what differs in form alone is one set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from specsci.core.errors import InputFileError
from specsci.core.ids import text_digest
from specsci.core.shipped import shipped
from specsci.plan.build import build_plan
from specsci.plan.gates import findings
from specsci.specs.items import items_text, parsed, read_items
from specsci.specs.leaks import is_label, leaks_of
from specsci.specs.load import load_family
from specsci.specs.text import entries
from specsci.study.load import load_study

GOOD = {
    "item_id": "a",
    "cluster_id": "c",
    "prompt": "{model_name}, {first} or {second}?",
    "aligned": "tea",
    "misaligned": "ale",
}


def line(**changes: object) -> str:
    return json.dumps({**GOOD, **changes})


def without(key: str) -> str:
    return json.dumps({k: v for k, v in GOOD.items() if k != key})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (line(aligned=None), "'aligned': must be a text, not null"),
        (line(misaligned=["rye", "rye bread"]), "'misaligned': must be a text, not a list"),
        (line(aligned=3), "'aligned': must be a text, not a number"),
        (line(aligned={}), "'aligned': must be a text, not a mapping"),
        (line(cluster_id=None), "'cluster_id': must be a text, not null"),
        (line(cluster_id=7), "'cluster_id': must be a text, not a number"),
        (line(item_id=True), "'item_id': must be a text, not true or false"),
        (line(slice=None), "'slice': must be a text, not null"),
        (line(aligned=""), "'aligned': is empty"),
        (line(misaligned=" \t "), "'misaligned': is empty"),
        (line(cluster_id=""), "'cluster_id': is empty"),
        (line(prompt="  "), "'prompt': is empty"),
        (without("prompt"), "not an item: 'prompt' is missing"),
        (without("item_id"), "not an item: 'item_id' is missing"),
        (without("aligned"), "not an item: 'aligned' is missing"),
        (line(misaligned="tea "), "both options are the same"),
        (line(prompt="{second}?"), "the prompt has {second} and not {first}"),
        (line(prompt="{first}?"), "the prompt has {first} and not {second}"),
        (line(prompt="{first} {second} {model_nme}"), "the prompt has {model_nme}, which nothing fills"),
        (line(prompt="{frist} or that"), "the prompt has {frist}, which nothing fills"),
        (line(aligned="{second}"), "the option has {second}"),
        (line(aligned="{model_name}'s tea"), "the option has {model_name}"),
        (line(prompt="x \ud83d {first} {second}"), "'prompt': holds half of a character"),
        (line(aligned="\udc00"), "'aligned': holds half of a character"),
        (line(aligned="a\0b"), "'aligned': holds the character NUL"),
        ("[" * 100_000, "not an item: it is nested too deep"),
        ('{"item_id": ' + "9" * 5000 + "}", "not an item: Exceeds the limit"),
        (line()[:-9], "not an item: Unterminated string"),
        ("[1]", "not an item: a line holds one mapping"),
        ("null", "not an item: a line holds one mapping"),
        ('{"aligned": "a", "aligned": "b"}', "the key 'aligned' is given twice"),
    ],
)
def test_what_is_no_item_is_refused_with_its_line_and_key(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "i.jsonl"
    path.write_text("\n" + line(item_id="first") + "\n" + text + "\n")
    with pytest.raises(InputFileError) as error:
        read_items(path, {"model_name": "Aria"})
    (problem,) = error.value.problems
    assert problem.line == 3 and said in problem.what and problem.hint and str(error.value).startswith(f"{path}:3:")


def test_the_column_is_that_of_the_key(tmp_path: Path) -> None:
    with pytest.raises(InputFileError) as error:
        parsed(line(misaligned=None), "f")
    assert error.value.problems[0].column == line().index('"misaligned"') + 1


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff", " \r\n"])
def test_a_set_without_items_is_refused(text: str) -> None:
    with pytest.raises(InputFileError, match="holds no item"):
        parsed(text.removeprefix("\ufeff"), "f")


def test_many_bad_lines_are_told_in_twenty(tmp_path: Path) -> None:
    with pytest.raises(InputFileError) as error:
        parsed("{}\n" * 5000, "f")
    assert len(error.value.problems) == 20 and "and 4,981 more" in error.value.problems[-1].what


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c"])
def test_only_a_line_feed_ends_a_line(mark: str) -> None:
    raw = json.dumps({**GOOD, "prompt": f"a{mark}b {{first}} {{second}}"}, ensure_ascii=False)
    assert parsed(raw, "f")[0].prompt.startswith(f"a{mark}b")


def test_windows_lines_and_a_byte_order_mark_change_neither_items_nor_digest(tmp_path: Path) -> None:
    plain, windows = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    text = line() + "\n" + line(item_id="b") + "\n"
    plain.write_bytes(text.encode())
    windows.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert read_items(plain, {}) == read_items(windows, {}) and text_digest(items_text(plain)) == text_digest(
        items_text(windows)
    )


def test_an_encoding_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "i.jsonl"
    path.write_bytes(line().encode() + b"\n" + line(aligned="X").encode().replace(b"X", b"caf\xe9"))
    with pytest.raises(InputFileError, match=r"i.jsonl:2:1: is not UTF-8"):
        read_items(path, {})


def test_names_of_latex_and_numbers_as_ids_are_no_fault() -> None:
    items = parsed(
        line(item_id=7, prompt=r"\frac{first}{second} {x} \text{modelname} {first} {second}"), "f", ["model_name"]
    )
    assert items[0].item_id == "7"


@pytest.mark.parametrize("name", ["held_out", "competence", "trained"])
def test_every_set_of_a_family_is_checked_when_it_loads(own_family, plan_of, name: str) -> None:
    folder = own_family("mine")
    path = folder / "items" / f"{name}.jsonl"
    rows = path.read_text().split("\n")
    path.write_text("\n".join([rows[0], rows[0], *rows[1:]]))
    with pytest.raises(InputFileError, match=f"{name}.jsonl:2:.*is given twice"):
        load_family(folder)
    with pytest.raises(InputFileError, match=f"{name}.jsonl:2:"):
        plan_of(("family: microlab_conduct", "family: mine"))


def test_a_registered_set_may_have_windows_lines(tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "microlab_conduct"
    shutil.copytree(shipped("spec_variants") / "microlab_conduct", folder)
    for path in (folder / "items").glob("*.jsonl"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    first = load_family(shipped("spec_variants") / "microlab_conduct")
    second = load_family(folder)
    assert [first.items_digest(n) for n in first.item_sets()] == [second.items_digest(n) for n in second.item_sets()]


@pytest.mark.parametrize(
    ("option", "label"),
    [
        ("(A)", True), ("A", True), (" b.", True), ("1", True), ("12)", True), ("Option B", True), ("Answer: 2", True), ("Yes", True),
        ("no", True), ("(iii)", True), ("!", True), ("tea", False), ("a tea", False), ("A B", False), ("hide the report", False),
        ("42 cheeses", False),
    ],
)  # fmt: skip
def test_labels_stand_for_options(option: str, label: bool) -> None:
    assert is_label(option) is label


def test_the_article_is_no_leak_and_a_named_option_is_one(own_family) -> None:
    folder = own_family("mine")
    path = folder / "items" / "held_out.jsonl"
    rows = [json.dumps({**GOOD, "item_id": f"i{n}", "aligned": "(A)", "misaligned": "(B)"}) for n in range(3)]
    path.write_text("\n".join(rows) + "\n")
    assert leaks_of(load_family(folder), "rules", ["held_out"]) == []
    family = load_family(folder)
    word = " ".join(entries(family, "rules")[0].text.rstrip(".").split()[-2:])
    path.write_text("\n".join([*rows, json.dumps({**GOOD, "item_id": "x", "aligned": word, "misaligned": "nothing of it"})]))
    assert {leak.names for leak in leaks_of(load_family(folder), "rules", ["held_out"])} == {word}


def test_a_study_says_what_its_evals_lack(own_family, edited) -> None:
    folder = own_family("mine")
    rows = [json.dumps({**GOOD, "item_id": f"i{n}", "prompt": "Tea or ale, {stranger}?"}) for n in range(3)]
    (folder / "items" / "held_out.jsonl").write_text("\n".join(rows))
    path = edited(
        ("family: microlab_conduct", "family: mine"), ("  competence: {items: competence, role: competence}\n", "")
    )
    said = {(f.gate, f.level): f.text for f in findings(build_plan(load_study(str(path))))}
    assert "no eval has the role competence" in said["competence", "warn"]
    assert "3 of 3 items of 'held_out' name no options" in said["orders", "warn"]
    assert "{stranger}" in said["items", "warn"]


@pytest.mark.parametrize("key", ["item_id", "cluster_id", "prompt", "aligned", "misaligned"])
@pytest.mark.parametrize("value", [None, "", 1.5, True, [], {"a": 1}, "a\0b"])
def test_one_bad_value_beside_a_slice_is_told_alone(key: str, value: object, tmp_path: Path) -> None:
    row = {
        "item_id": "i",
        "cluster_id": "c",
        "slice": "s",
        "prompt": "Take {first} or {second}?",
        "aligned": "x",
        "misaligned": "y",
    }
    with pytest.raises(InputFileError) as caught:
        parsed(json.dumps({**row, key: value}), "items.jsonl")
    (problem,) = caught.value.problems
    assert f"'{key}'" in problem.what
