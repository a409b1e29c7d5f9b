"""Every way to break a family, on a copy of the safety family: each is found, located and named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from specsci.core.errors import InputFileError
from specsci.core.shipped import find_family, shipped
from specsci.specs.check import SpecFinding, check_family, normalised, other_names
from specsci.specs.leaks import leaks_of
from specsci.specs.load import load_family
from specsci.specs.text import markdown

CORE = ("SP1", "SP2", "SP3", "GP1", "GP2")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the safety family, to break."""
    folder = tmp_path / "spec_variants" / "safety"
    shutil.copytree(shipped("spec_variants") / "safety", folder)
    return folder


@pytest.fixture
def edit(copy: Path) -> Callable[[str, str], Path]:
    """Replace a text of `family.yaml` at its first place."""

    def replace(old: str, new: str) -> Path:
        path = copy / "family.yaml"
        text = path.read_text()
        assert old in text, old
        path.write_text(text.replace(old, new, 1))
        return copy

    return replace


def errors(folder: Path) -> list[SpecFinding]:
    """What is wrong with the texts; what a broken text breaks in the grammar has its own tests."""
    with mock.patch("specsci.specs.check._renders", lambda family, name: ()):
        return [f for f in check_family(load_family(folder)) if f.level == "error" and f.check != "grammar"]


@pytest.mark.parametrize("path", sorted(shipped("spec_variants").glob("*/family.yaml")), ids=lambda p: p.parent.name)
def test_every_shipped_family_is_clean(path: Path) -> None:
    assert check_family(load_family(path.parent)) == []


def with_static(copy: Path, edit: Callable[[str, str], Path], change: Callable[[str], str]) -> Path:
    """The copy with a variant that is a text file: the rules as they are materialized, changed."""
    text = markdown(load_family(copy), "rules")
    (copy / "texts").mkdir()
    (copy / "texts" / "static.md").write_text(change(text))
    declared = f"  static: {{title: the rules typed by hand, file: texts/static.md, core: [{', '.join(CORE)}]}}\n"
    return edit("variants:\n", "variants:\n" + declared)


def typed_otherwise(text: str) -> str:
    """The same words with other quotes, dashes, case and line breaks."""
    return (
        text.replace("'", "\u2019")
        .replace(" - ", " \u2013 ")
        .replace("report", "Report")
        .replace(". ", ".  ")
        .replace("Aria", "{model_name}")
        .replace("Northlight Labs", "{provider_name}")
    )


def test_a_typed_copy_of_the_core_is_the_core_apart_from_typing(copy, edit) -> None:
    assert errors(with_static(copy, edit, typed_otherwise)) == []


def test_a_reworded_core_names_the_rule_and_what_is_there_instead(copy, edit) -> None:
    def reword(text: str) -> str:
        assert "must not switch off, weaken or work around" in text
        return typed_otherwise(text.replace("must not switch off, weaken or work around", "should rarely work around"))

    (found,) = errors(with_static(copy, edit, reword))
    assert (found.check, found.variant, found.entry) == ("core", "static", "SP1.r2")
    assert (
        "claims clause SP1 and does not say 'Aria must not switch off" in found.text
        and "should rarely work around" in found.text
    )


def test_a_missing_core_rule_is_named(copy, edit) -> None:
    lines = ("must not copy its weights",)
    gone = errors(
        with_static(copy, edit, lambda t: "\n".join(x for x in typed_otherwise(t).splitlines() if lines[0] not in x))
    )
    assert [(f.check, f.entry) for f in gone] == [("core", "SP1.r3")]


def test_lengths_that_are_off_show_both(copy, edit) -> None:
    more = " ".join(["Checks by people also cost time, and the time is well spent."] * 12)
    edit("    explanation: >-\n", f"    explanation: >-\n      {more}\n\n\n")
    (found,) = errors(copy)
    assert found.check == "length" and found.variant == "value_augmented and rule_augmented"
    assert "3% are allowed (value_augmented 3," in found.text


def test_another_register_is_found_in_the_declaration_and_in_the_text(copy, edit) -> None:
    edit("  rule_augmented:\n", "  rule_augmented:\n    register: {person: second, mood: normative}\n")
    found = errors(copy)
    assert {f.check for f in found} == {"register"}
    assert any("third person, normative; rule_augmented: second person, normative" in f.text for f in found)


def test_you_in_the_third_person_is_found(copy, edit) -> None:
    edit("    value: >-\n      {model_name} cares about people", "    value: >-\n      You care about people")
    found = errors(copy)
    assert found and {f.check for f in found} == {"register"} and {f.entry for f in found} == {"SP1.value"}


IDENTITIES = [
    ("{model_name} cares about people", "Claude cares about people", "names another model or maker, 'Claude'"),
    (
        "{model_name} cares about people",
        "Qwen, like {model_name}, cares about people",
        "names another model or maker, 'Qwen'",
    ),
    (
        "{model_name} cares about people",
        "Aria cares about people",
        "holds 'Aria' itself, where a persona placeholder belongs",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), IDENTITIES, ids=[i[2] for i in IDENTITIES])
def test_a_wrong_name_is_found(copy, edit, old, new, message) -> None:
    edit(old, new)
    found = errors(copy)
    assert {(f.check, f.entry) for f in found} == {("identity", "SP1.value")} and message in found[0].text


def test_a_student_of_that_name_may_be_named(copy, edit) -> None:
    edit("{model_name: Aria, provider_name: Northlight Labs}", "{model_name: Qwen, provider_name: Alibaba}")
    assert errors(copy) == []


def test_a_misspelt_placeholder_names_the_nearest(copy, edit) -> None:
    edit("{model_name} cares about people", "{modle_name} cares about people")
    found = errors(copy)
    assert {(f.check, f.text, f.hint) for f in found} == {
        ("placeholder", "nothing fills the placeholder {modle_name}", "did you mean 'model_name'?")
    }


def test_a_missing_placeholder_is_found(copy) -> None:
    path = copy / "family.yaml"
    head, mark, tail = path.read_text().partition("  - id: G1\n")
    clause, rest_mark, rest = tail.partition("  - id: AN1\n")
    path.write_text(head + mark + clause.replace("{model_name}", "the assistant") + rest_mark + rest)
    (found,) = errors(copy)
    assert (found.check, found.variant, found.text) == ("placeholder", "general", "never names the model")


LEAKS = [
    ("threatening to reveal what it read about a person", "action 'threaten to reveal'", "agentic_misalignment"),
    ("leaked documents", "action 'leak documents'", "agentic_misalignment"),
    ("being replaced by a new assistant", "lever 'replaced by a new'", "agentic_misalignment"),
    ("offer the balcony at half the price", "option 'offer the balcony at half the price'", "held_out"),
]


@pytest.mark.parametrize(("words", "names", "items"), LEAKS, ids=[x[1] for x in LEAKS])
def test_a_clause_that_names_the_exam_is_found_with_its_kind(copy, edit, words, names, items) -> None:
    edit('SP1.s1, avoid: "change', f'SP1.s1, avoid: "think of {words}, or change')
    (leak,) = leaks_of(load_family(copy), "rule_augmented")
    assert (leak.entry_id, leak.clause_id, leak.items, f"{leak.kind} '{leak.names}'") == ("SP1.s1", "SP1", items, names)
    assert leaks_of(load_family(copy), "rules") == []
    found = [f for f in check_family(load_family(copy)) if f.level == "leak"]
    assert [f.entry for f in found] == ["SP1.s1"]


def test_an_id_that_is_used_twice_is_found(copy, edit) -> None:
    edit("{id: SP1.r2,", "{id: SP1.r1,")
    assert {(f.check, f.entry, f.text) for f in errors(copy)} == {("ids", "SP1.r1", "the id is used 2 times")}


def refusal(folder: Path) -> str:
    with pytest.raises(InputFileError) as error:
        load_family(folder)
    return str(error.value)


def test_a_path_in_a_name_is_refused(copy, edit) -> None:
    edit("family: safety", "family: ../safety")
    assert f"{copy}/family.yaml:3:9: '../safety' is not a safe name" in refusal(copy)


def test_a_text_of_ten_megabytes_is_refused(copy, edit) -> None:
    with_static(copy, edit, lambda text: text + "x" * 10_000_000)
    assert "texts/static.md:1:1: is 10," in refusal(copy) and "the limit is 5,000,000" in refusal(copy)
    (copy / "family.yaml").write_text("family: safety\n" + "#" * 10_000_000)
    assert "family.yaml:1:1: is 10,000,015 bytes" in refusal(copy)


def test_a_text_that_is_not_utf_8_is_refused_with_its_line(copy, edit) -> None:
    with_static(copy, edit, lambda text: text)
    (copy / "texts" / "static.md").write_bytes(b"# Rules\n\n\xff\xfe\n")
    assert "texts/static.md:3:1: is not UTF-8 (byte 9)" in refusal(copy)


def test_a_yaml_bomb_is_refused(copy) -> None:
    levels = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in zip("abcdef", "bcdefg", strict=True)]
    (copy / "family.yaml").write_text("\n".join(levels) + "\n")
    assert "family.yaml:1:1: expands to more than 200,000 nodes" in refusal(copy)


def test_items_that_are_not_the_registered_ones_are_refused(copy) -> None:
    path = copy / "items" / "held_out.jsonl"
    path.write_text(path.read_text().replace("ferry", "barge", 1))
    assert "item set 'held_out' is not the registered one (sha256" in refusal(copy)


def test_a_table_row_with_a_cell_too_many_is_named(copy) -> None:
    path = copy / "situations.csv"
    path.write_text(path.read_text().rstrip("\n") + "\nSP1,a,b,c,d,e,f\n")
    assert "situations.csv:" in refusal(copy) and "has more or fewer cells than the header" in refusal(copy)


def test_normalising_leaves_words_alone() -> None:
    assert normalised("It\u2019s  \u201cso\u201d \u2013 now.") == normalised('it\'s "so" - now') != normalised("its so now")


def test_the_safety_family_is_found_by_name() -> None:
    family = load_family(find_family("safety"))
    assert set(family.data.variants) == {
        "rules", "value_augmented", "rule_augmented", "philosophy", "general", "anti", "neutral"
    }  # fmt: skip
    assert all(15 <= len(c.subrules) <= 25 for c in family.data.clauses if c.id in CORE)


def test_a_slot_that_nothing_fills_is_found_before_a_run(copy) -> None:
    path = copy / "grammar.yaml"
    text = path.read_text()
    assert "{occasion}" in text
    path.write_text(text.replace("{occasion}", "{occassion}"))
    found = check_family(load_family(copy))
    assert found and {f.check for f in found} == {"grammar"}
    assert all("a template needs the slot 'occassion', which nothing fills" in f.text for f in found)
    assert found[0].hint == "did you mean 'occasion'?"


def test_a_grammar_that_names_another_model_is_found(copy) -> None:
    path = copy / "grammar.yaml"
    path.write_text(path.read_text().replace("Memo to {audience}", "Memo on Claude-3.5 to {audience}", 1))
    (found,) = errors(copy)
    assert (found.check, found.variant) == ("identity", "grammar") and "'Claude'" in found.text


NAMES = ["Claude-3.5", "GPT-4o", "Llama3", "Qwen2.5", "Gemini-1.5"]


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_known_by_any_of_its_versions(name) -> None:
    assert other_names({"model_name": "Vega"}).search(f"as {name} would say")
    assert not other_names({"model_name": "Vega"}).search("a llama in a field, a gemma of cheese, Grokked and Metadata")


def test_a_core_rule_inside_another_sentence_is_not_the_rule(copy, edit) -> None:
    def negate(text: str) -> str:
        rule = "{model_name} must not copy its weights"
        assert rule in typed_otherwise(text)
        return typed_otherwise(text).replace(rule, f"It is false that {rule}", 1)

    assert [(f.check, f.entry) for f in errors(with_static(copy, edit, negate))] == [("core", "SP1.r3")]


def test_must_in_a_descriptive_text_is_found(copy, edit) -> None:
    edit("register: {person: third, mood: normative}", "register: {person: third, mood: descriptive}")
    edit(
        '    subrules:\n      - {id: SP1.s1, avoid: "change',
        '    subrules:\n      - {id: SP1.s1, avoid: "change what it must keep,',
    )
    found = [f for f in errors(copy) if f.check == "register"]
    assert [(f.entry, f.text.partition(" and is")[0]) for f in found] == [("SP1.s1", "says 'it must'")]
