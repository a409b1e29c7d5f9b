"""Values set beside the study file, and smoke runs."""

from __future__ import annotations

import pytest

from specsci.core.errors import InputFileError, UserError
from specsci.plan.build import build_plan
from specsci.study.load import load_study
from specsci.study.overrides import apply_overrides, parse_overrides


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=3", 3),
        ("a.b=0.5", 0.5),
        ("a.b=true", True),
        ("a.b=text", "text"),
        ("a.b=[1, 2]", [1, 2]),
        ("a.b={x: 1}", {"x": 1}),
        ("a.b='3'", "3"),
        ("a.b=null", None),
        ("a.b=", None),
        ("a.b=x=y", "x=y"),
        ("a.b=microlab:conduct/1", "microlab:conduct/1"),
    ],
)
def test_a_value_is_what_a_study_file_would_have(text: str, value: object) -> None:
    assert parse_overrides([text]) == {"a.b": value}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["midtrain.tokens"], "is not KEY=VALUE"),
        (["=3"], "is not KEY=VALUE"),
        (["a..b=3"], "is not KEY=VALUE"),
        (["a=1", "a=2"], "is given twice"),
        (["a=[1, 2"], "--set a="),
        (["a={x: 1, x: 2}"], "--set a="),
        (["a=\x00"], "--set a="),
        (["a=1\nb: 2"], "--set a="),
        (["a=!!python/object:os.system x"], "--set a="),
    ],
)
def test_what_is_no_value_is_refused_with_the_option(given: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_overrides(given)
    assert said in str(caught.value)


def test_keys_lead_through_mappings_and_lists() -> None:
    data = {"a": {"b": 1}, "list": [{"x": 1}, {"x": 2}]}
    found = apply_overrides(data, {"a.c": 2, "list.1.x": 3, "new.key": 4})
    assert found == {"a": {"b": 1, "c": 2}, "list": [{"x": 1}, {"x": 3}], "new": {"key": 4}}
    assert data == {"a": {"b": 1}, "list": [{"x": 1}, {"x": 2}]}, "the file's own data stay"


@pytest.mark.parametrize("key", ["list.2.x", "list.one", "list.-1.x", "a.b.c"])
def test_a_key_that_leads_nowhere_is_refused(key: str) -> None:
    with pytest.raises(UserError, match=f"--set {key}"):
        apply_overrides({"a": {"b": 1}, "list": [{}, {}]}, {key: 1})


def test_an_override_changes_the_plan_and_the_name_of_the_results(edited) -> None:
    file = str(edited())
    plain, changed = load_study(file), load_study(file, None, {"midtrain.tokens": 2100})
    assert changed.study.midtrain.tokens == 2100 and plain.name == "tiny"
    assert changed.name.startswith("tiny+set-"), "its results never take the place of the study's own"
    assert load_study(file, None, {"midtrain.tokens": 2200}).name != changed.name
    assert load_study(file, None, {"midtrain.tokens": 2100, "study": "mine"}).name == "mine"
    assert set(build_plan(changed).steps) != set(build_plan(plain).steps)


def test_a_wrong_override_is_told_at_the_option_not_in_the_file(edited) -> None:
    file = str(edited())
    with pytest.raises(InputFileError) as caught:
        load_study(file, None, {"midtrain.tokens": "many", "evals.held_out.itemz": 1})
    places = {p.file for p in caught.value.problems}
    assert places == {"--set midtrain.tokens", "--set evals.held_out.itemz"}
    with pytest.raises(InputFileError) as caught:
        load_study(file, None, {"midtrain.tokens": True})
    assert caught.value.problems[0].file == "--set midtrain.tokens"


def test_a_smoke_run_has_every_kind_of_step_and_few_of_each(edited) -> None:
    file = str(edited())
    whole, smoke = build_plan(load_study(file)), build_plan(load_study(file, limit=3))
    assert {s.kind for s in smoke.steps.values()} == {s.kind for s in whole.steps.values()}
    assert smoke.loaded.name == "tiny+limit-3"
    assert {s.params.get("limit") for s in smoke.of_kind("items")} == {3}
    study = smoke.loaded.study
    one = study.align.recipe.sequences_per_update * study.align.recipe.max_length_tokens
    assert study.align.budgets_tokens == [one, 2 * one]
    assert study.contrasts[0].budgets == [2 * one], "contrasts follow their budgets"
    assert sum(s.cost.get("updates", 0) for s in smoke.of_kind("midtrain")) == 3 * len(smoke.of_kind("midtrain"))


@pytest.mark.parametrize("name", ["value_vs_rules.yaml", "cheese_dissociation.yaml", "paper_fig3_values.yaml"])
def test_shipped_studies_have_a_smoke_run(name: str) -> None:
    assert build_plan(load_study(name, limit=2)).steps
