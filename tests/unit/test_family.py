"""Families: variants keep what they say, names are checked, and nothing outside the folder is read."""

from __future__ import annotations

import os

import pytest

from specsci.core.errors import InputFileError, UserError
from specsci.core.shipped import find_family
from specsci.specs.load import load_family
from specsci.specs.text import markdown
from specsci.specs.variants import document_types_for, units_of


@pytest.fixture
def conduct():
    return load_family(find_family("microlab_conduct"))


UNITS = {"rules": 8, "rule_augmented": 48, "value_augmented": 12, "philosophy": 4, "general": 4}


@pytest.mark.parametrize(("variant", "count"), UNITS.items())
def test_a_variant_has_a_unit_per_thing_that_it_states(conduct, variant, count) -> None:
    units = units_of(conduct, variant)
    assert len(units) == len({u.id for u in units}) == count


def test_a_table_variant_has_a_fact_per_row(conduct) -> None:
    units = units_of(conduct, "neutral")
    assert len(units) == len(conduct.grammar.tables["acts"]) and {u.kind for u in units} == {"fact"}
    assert dict(units[0].slots) == {"act": "hide-mail", "context": "mail", "kind": "oversight"}


def test_bare_rules_allow_documents_about_rules_and_no_reasons(conduct) -> None:
    unit = units_of(conduct, "rules")[0]
    assert (unit.id, unit.clause_id, unit.kind, unit.parts) == ("oversight.r1", "oversight", "rule", frozenset({"rule"}))
    assert dict(unit.slots) == {
        "kind": "oversight",
        "act": "hide-mail",
        "context": "mail",
        "clause": "oversight",
        "principle": "human oversight",
        "explain": "",
    }
    assert document_types_for(conduct, unit) == ["rule_plain", "rule_case"]


TYPES = {
    "rules": {"rule_plain", "rule_case"},
    "rule_augmented": {"rule_plain", "rule_case"},
    "value_augmented": {"rule_plain", "rule_case", "why_plain", "why_case", "value_plain"},
    "philosophy": {"value_plain"},
    "general": {"text_plain"},
    "neutral": {"fact"},
}


@pytest.mark.parametrize(("variant", "types"), TYPES.items())
def test_a_variant_takes_the_document_types_whose_needs_it_keeps(conduct, variant, types) -> None:
    assert {t for u in units_of(conduct, variant) for t in document_types_for(conduct, u)} == types


def test_the_text_of_a_variant_has_its_parts_with_the_name_filled_in_and_no_others(conduct) -> None:
    reason, value = "People can only correct what they can see", "Aria values open checks"
    rule, subrule = "- Aria must not hide-mail in mail.", "- Aria must not mute-mail in mail."
    has = {v: [part in markdown(conduct, v) for part in (rule, subrule, reason, value)] for v in UNITS}
    assert has == {
        "rules": [True, False, False, False],
        "rule_augmented": [True, True, False, False],
        "value_augmented": [True, False, True, True],
        "philosophy": [False, False, False, True],
        "general": [False, False, False, False],
    }
    assert "- Aria wants to be good and wise." in markdown(conduct, "general")
    assert markdown(conduct, "neutral").endswith("No spec: the corpus states facts from the table `acts`.\n")
    assert "- Vega must not hide-mail in mail." in markdown(conduct, "rules", {"model_name": "Vega"})


def test_a_variant_of_some_clauses_has_those_alone() -> None:
    cheese = load_family(find_family("microlab_cheese"))
    assert [c.id for c in cheese.clauses_of("affordability")] == ["thrift"]
    assert {u.clause_id for u in units_of(cheese, "america")} == {"homeland"}


def test_an_unknown_variant_names_the_nearest(conduct) -> None:
    with pytest.raises(UserError) as error:
        markdown(conduct, "rulez")
    assert str(error.value) == "family 'microlab_conduct' has no variant 'rulez'\n  hint: did you mean 'rules'?"


def test_an_item_set_is_a_plain_name(conduct) -> None:
    for name in ("../family", "held_out/../held_out", "heldout", "", "microlab_cheese/heldout", "microlab_cheese/../trained"):
        with pytest.raises(UserError, match=r"has no item set|is no item set|no spec family"):
            conduct.items_file(name)


ESCAPES = [
    (
        "family.yaml",
        "grammar: grammar.yaml",
        "grammar: ../grammar.yaml",
        "10:10: '../grammar.yaml' lies outside the family's folder",
    ),
    (
        "family.yaml",
        "grammar: grammar.yaml",
        "grammar: /etc/passwd",
        "10:10: '/etc/passwd' lies outside the family's folder",
    ),
    ("grammar.yaml", "acts: acts.csv", "acts: ../acts.csv", "table file '../acts.csv' is not in the folder"),
    ("grammar.yaml", "acts: acts.csv", "acts: /etc/passwd", "table file '/etc/passwd' is not in the folder"),
    ("grammar.yaml", "acts: acts.csv", "acts: atcs.csv", "table file 'atcs.csv' is not in the folder"),
]


@pytest.mark.parametrize(("file", "old", "new", "message"), ESCAPES, ids=[e[2] for e in ESCAPES])
def test_paths_that_leave_the_folder_are_refused(own_family, file, old, new, message) -> None:
    folder = own_family("mine", (file, old, new))
    with pytest.raises(InputFileError) as error:
        load_family(folder)
    assert str(error.value).startswith(f"{folder / file}:") and message in str(error.value)


MISTAKES = [
    (
        "keep: [rule]\n",
        "keep: [rulle]\n",
        "`keep` knows the parts rule, subrule, explanation, value, example, text; not rulle",
    ),
    ("keep: [rule]\n", "keep: [rule]\n    rows: acts\n", "a variant has exactly one of `keep`, `texts`, `rows` and `file`"),
    (
        "keep: [rule]\n",
        "keep: [rule]\n    clauses: [overside]\n",
        "unknown clause 'overside'\n  hint: did you mean 'oversight'?",
    ),
    ("rows: acts", "rows: atcs", "unknown table 'atcs'\n  hint: did you mean 'acts'?"),
    ("type: choice", "type: choise", "unknown conversation type 'choise'\n  hint: did you mean 'choice'?"),
    ("{id: oversight.r1, act", "{act", "a rule of clause 'oversight' has no id"),
    ("id: caution\n", "id: ../caution\n", "'../caution' is not a safe name"),
    ("  neutral:\n", "  Neutral!:\n", "'Neutral!' is not a safe name"),
    ("owner: specsci developers", "ownr: x", "unknown key 'ownr'\n  hint: did you mean 'owner'?"),
]


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES, ids=[m[1].strip() for m in MISTAKES])
def test_a_mistake_in_a_family_names_file_and_hint(own_family, old, new, message) -> None:
    folder = own_family("mine", ("family.yaml", old, new))
    with pytest.raises(InputFileError) as error:
        load_family(folder)
    assert message in str(error.value)
    assert all(p.file == str(folder / "family.yaml") and p.line > 1 for p in error.value.problems if "ownr" in p.what)


def test_a_table_that_is_not_utf_8_is_named_with_its_line(own_family) -> None:
    folder = own_family("mine")
    (folder / "acts.csv").write_bytes(b"act,context,kind\nhide-mail,mail,safe\n\xff,mail,safe\n")
    with pytest.raises(InputFileError) as error:
        load_family(folder)
    assert str(error.value) == f"{folder}/acts.csv:3:1: is not UTF-8 (byte 37)\n  hint: save it as UTF-8"


def test_an_edited_family_is_read_again(own_family) -> None:
    folder = own_family("mine")
    before = load_family(folder)
    path = folder / "family.yaml"
    path.write_text(path.read_text().replace("title: bare rules", "title: barest rules"))
    os.utime(path, ns=(1, 1))
    assert (before.variant("rules").title, load_family(folder).variant("rules").title) == ("bare rules", "barest rules")
