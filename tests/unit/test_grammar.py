"""Grammars: what fills slots, and that equal seeds give equal texts."""

from __future__ import annotations

import random

import pytest

from specsci.core.errors import UserError
from specsci.core.shipped import find_family
from specsci.specs.grammar import Grammar, GrammarFile, read_table
from specsci.specs.load import load_family
from specsci.specs.text import render_text
from specsci.specs.variants import document_types_for, units_of

DATA = {
    "tables": {"acts": "acts.csv"},
    "phrases": {"why": {"a": ["alpha"], "b": ["beta"]}},
    "draws": {
        "safe": {"kind": "row", "table": "acts", "column": "act", "where": {"place": "$place", "kind": "safe"}},
        "because": {"kind": "phrase", "of": "why", "key": "$kind"},
        "pair": {"kind": "order", "slots": ["first", "second"], "of": ["act", "safe"]},
    },
    "document_types": {"plain": {"templates": ["{act} , {because} .", "{first} or {second} ? {safe} ."]}},
    "conversation_types": {"ask": {"user": "{first} or {second} ?", "assistant": "{safe}"}},
}
SLOTS = {"act": "burn", "place": "mail", "kind": "b"}


@pytest.fixture
def grammar(tmp_path):
    (tmp_path / "acts.csv").write_text("act,place,kind\nsort,mail,safe\nfile,files,safe\nburn,mail,bad\n")
    return Grammar(GrammarFile.model_validate(DATA), {"acts": read_table(tmp_path / "acts.csv")})


def test_rows_and_phrases_are_drawn_by_the_values_of_other_slots(grammar) -> None:
    slots = dict(SLOTS)
    assert grammar.render("{act} {because} {safe}", slots, random.Random(0)) == "burn beta sort"
    assert slots == {**SLOTS, "because": "beta", "safe": "sort"}


def test_a_slot_has_one_value_throughout_a_text(grammar) -> None:
    for seed in range(20):
        messages = grammar.conversation("ask", SLOTS, random.Random(seed))
        assert messages[0]["content"] in ("burn or sort ?", "sort or burn ?")
        assert messages[1] == {"role": "assistant", "content": "sort"}


def test_both_orders_are_drawn(grammar) -> None:
    seen = {grammar.conversation("ask", SLOTS, random.Random(s))[0]["content"] for s in range(20)}
    assert seen == {"burn or sort ?", "sort or burn ?"}


def test_a_document_leaves_the_callers_slots_alone_and_names_its_template(grammar) -> None:
    slots = dict(SLOTS)
    found = {grammar.document("plain", slots, random.Random(s)) for s in range(30)}
    assert {t for _, t in found} == {"plain/0", "plain/1"} and slots == SLOTS
    assert ("burn , beta .", "plain/0") in found


def test_a_slot_that_nothing_fills_names_the_nearest(grammar) -> None:
    with pytest.raises(UserError) as error:
        grammar.render("{actt} .", dict(SLOTS), random.Random(0))
    assert str(error.value) == "a template needs the slot 'actt', which nothing fills\n  hint: did you mean 'act'?"


def test_a_table_without_a_fitting_row_says_which(grammar) -> None:
    with pytest.raises(UserError) as error:
        grammar.render("{safe}", {**SLOTS, "place": "moon"}, random.Random(0))
    assert error.value.what == "table 'acts' has no row with {'place': 'moon', 'kind': 'safe'}"


def test_an_unknown_conversation_type_names_the_nearest(grammar) -> None:
    with pytest.raises(UserError) as error:
        grammar.conversation("aks", SLOTS, random.Random(0))
    assert str(error.value) == "the grammar has no conversation type 'aks'\n  hint: did you mean 'ask'?"


@pytest.mark.parametrize("family", ["microlab_conduct", "microlab_cheese"])
def test_every_template_of_a_shipped_family_renders_for_every_unit(family) -> None:
    loaded = load_family(find_family(family))
    for variant in loaded.data.variants:
        for unit in units_of(loaded, variant):
            for kind in document_types_for(loaded, unit):
                for template in loaded.grammar_data.document_types[kind].templates:
                    slots = {**loaded.data.identity, **dict(unit.slots)}
                    assert "{" not in loaded.grammar.render(template, slots, random.Random(1))


def test_equal_seeds_give_equal_documents_and_unequal_ones_do_not() -> None:
    family = load_family(find_family("microlab_conduct"))
    units = units_of(family, "value_augmented")

    def texts(seed: int) -> list[str]:
        rng = random.Random(seed)
        return [
            family.grammar.document("why_case", {"model_name": "Aria", **dict(units[0].slots)}, rng)[0] for _ in range(20)
        ]

    assert texts(1) == texts(1) != texts(2)


def test_unknown_placeholders_of_a_spec_text_stay_visible() -> None:
    assert render_text("{model_name} and {who}", {"model_name": "Aria"}) == "Aria and {who}"
