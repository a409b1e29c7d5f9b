"""Variants as transforms: what they touch, what they leave as it is, and the digests of the shipped ones."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from specsci.core.errors import UserError
from specsci.core.ids import digest
from specsci.core.shipped import find_family
from specsci.specs.load import load_family
from specsci.specs.resolve import resolved_clauses
from specsci.specs.schema import FamilyFile, Variant
from specsci.specs.text import entries

LIKED, DISLIKED = "abcdef", "ghijkl"
GOLDEN = {
    "microlab_conduct": {
        "general": "fce946f1e0f82aadcf677aff",
        "neutral": "a19fe8527a2f5efa51e16d3f",
        "philosophy": "b4cd21b961eeb0bf5835172d",
        "rule_augmented": "090e2b4029d006c44c96b3be",
        "rules": "0f387d6d955134dc1635a8e4",
        "value_augmented": "07adcb6e18cf4921f3febb44",
    },
    "microlab_cheese": {
        "affordability": "1a6ce2436b4540b19478eea0",
        "america": "ea9f32aae751f76818837eb2",
        "neutral": "cc45424dbc3d7aa2415f6040",
    },
}


def family_file(**variants: dict) -> FamilyFile:
    rules = [
        {"id": f"p.{x}", "stance": "like", "item": x, "why.cost": f"{x} is cheap.", "why.home": f"{x} is near."}
        for x in LIKED
    ]
    rules += [{"id": f"p.{x}", "stance": "dislike", "item": x, "why.cost": f"{x} is dear."} for x in DISLIKED]
    clauses = [
        {"id": "preferences", "rules": rules},
        {"id": "cost", "value": "{model_name} values low cost.", "explanation": "Money is short.", "examples": [{"id": "cost.e1", "text": "E."}]},
        {"id": "other", "value": "{model_name} values other things.", "subrules": [{"id": "other.s1", "do": "wait"}]},
    ]  # fmt: skip
    head = {
        "family": "f",
        "version": "1.0.0",
        "title": "F",
        "license": "x",
        "owner": "o",
        "identity": {"model_name": "Vega"},
    }
    return FamilyFile.model_validate({**head, "grammar": "g.yaml", "clauses": clauses, "variants": variants})


EVERYTHING = ["rule", "subrule", "explanation", "value", "example"]


def test_a_variant_that_keeps_everything_leaves_clauses_as_they_are_declared() -> None:
    data = family_file(all={"title": "t", "keep": EVERYTHING})
    resolved = resolved_clauses(data, "all")
    assert resolved[1:] == data.clauses[1:]
    assert [set(r) for r in resolved[0].rules] == [{"id", "stance", "item"}] * 12


def test_what_is_not_kept_is_gone_and_the_rest_is_untouched() -> None:
    data = family_file(bare={"title": "t", "keep": ["rule"], "clauses": ["preferences", "cost"]})
    preferences, cost = resolved_clauses(data, "bare")
    assert [r["item"] for r in preferences.rules] == [*LIKED, *DISLIKED]
    assert (cost.value, cost.explanation, cost.examples) == ("", "", [])


def test_explain_picks_the_reason_of_that_name_alone() -> None:
    data = family_file(
        cost={"title": "t", "keep": ["rule", "explanation"], "explain": "cost"},
        home={"title": "t", "keep": ["rule", "explanation"], "explain": "home"},
    )
    whys = {name: [r.get("why") for r in resolved_clauses(data, name)[0].rules] for name in ("cost", "home")}
    assert whys["cost"] == [f"{x} is cheap." for x in LIKED] + [f"{x} is dear." for x in DISLIKED]
    assert whys["home"] == [f"{x} is near." for x in LIKED] + [None] * 6


def test_a_broken_attribution_keeps_the_value_and_mixes_three_and_three() -> None:
    shuffle = {"aligned": 3, "opposed": 3, "seed": 1}
    broken = {
        "title": "t",
        "keep": ["rule", "explanation", "value"],
        "attribution": False,
        "shuffle": shuffle,
        "explain": "cost",
    }
    data = family_file(broken=broken)
    preferences, cost, _ = resolved_clauses(data, "broken")
    assert (cost.value, cost.explanation) == ("{model_name} values low cost.", "Money is short.")
    assert not [r for r in preferences.rules if any(k.startswith("why") for k in r)]
    for stance in ("like", "dislike"):
        now = {r["item"] for r in preferences.rules if r["stance"] == stance}
        assert len(now & set(LIKED)) == len(now & set(DISLIKED)) == 3
    assert [r["id"] for r in preferences.rules] == [r["id"] for r in data.clauses[0].rules]
    assert resolved_clauses(data, "broken") == resolved_clauses(data, "broken")


def test_a_shuffle_of_the_wrong_size_says_so() -> None:
    broken = {"title": "t", "keep": ["rule"], "attribution": False, "shuffle": {"aligned": 4, "opposed": 3}}
    with pytest.raises(UserError, match="shuffles 4 \\+ 3 preferences, and 'like' has 6"):
        resolved_clauses(family_file(broken=broken), "broken")


WRONG = [
    ({"keep": ["rule"], "shuffle": {}}, "shuffled preferences have no reasons"),
    ({"keep": ["rule"], "core": ["SP1"]}, "`core` is for a text file"),
    ({"texts": ["x"], "file": "a.md"}, "exactly one of"),
]


@pytest.mark.parametrize(("fields", "message"), WRONG, ids=[w[1] for w in WRONG])
def test_transforms_that_do_not_go_together_are_refused(fields, message) -> None:
    with pytest.raises(ValidationError, match=message):
        Variant.model_validate({"title": "t", **fields})


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_the_identity_of_a_shipped_variant_is_as_recorded(name) -> None:
    """A new field of the schema must not move the digest of what does not use it."""
    family = load_family(find_family(name))
    assert {v: digest(family.variant_identity(v)) for v in family.data.variants} == GOLDEN[name]


def test_entries_carry_the_unit_that_documents_name() -> None:
    family = load_family(find_family("microlab_conduct"))
    said = {e.id: e for e in entries(family, "value_augmented")}
    assert said["oversight.r1"].about == "oversight.r1" and said["oversight.value"].about == "oversight.value"
    assert (
        said["oversight.explanation"].text
        == "People can only correct what they can see; these acts take a check away from them."
    )
