"""Profiles: overlays that set the scale; errors point into the file's right half."""

from __future__ import annotations

import pytest

from specsci.core.errors import UserError
from specsci.study.load import load_study

PROFILES = """\
profiles:
  micro: {}
  large:
    midtrain:
      tokens: 9000
      recipe: {sequences_per_update: 4}
    replicates:
      - {seed: 7, base_model: dev}
"""


def test_an_overlay_changes_what_it_names_and_keeps_the_rest(edited) -> None:
    study = load_study(str(edited(add=PROFILES)), "large").study
    assert study.midtrain.tokens == 9000
    assert (study.midtrain.recipe.sequences_per_update, study.midtrain.recipe.learning_rate) == (4, 1e-3)
    assert [r.seed for r in study.replicates] == [7]
    assert study.align.budgets_tokens == [150, 300]


def test_the_default_profile_leaves_no_mark_on_the_name_and_others_do(edited) -> None:
    path = str(edited(add=PROFILES))
    assert load_study(path).name == "tiny"
    assert load_study(path, "large").name == "tiny@large"


def test_a_value_is_said_to_stand_where_the_profile_sets_it(edited, place) -> None:
    path = edited(add=PROFILES)
    large, micro = load_study(str(path), "large"), load_study(str(path), "micro")
    assert large.line("midtrain", "tokens") == int(place(path, "tokens: 9000").split(":")[0])
    assert micro.line("midtrain", "tokens") == int(place(path, "tokens: 2000").split(":")[0])
    assert large.line("align", "budgets_tokens") == int(place(path, "budgets_tokens").split(":")[0])


IN_OVERLAY = [
    (("tokens: 9000", "tokens: many"), "many", "'midtrain.tokens': Input should be a valid integer"),
    (("{sequences_per_update: 4}", "{sequences_per_updat: 4}"), "sequences_per_updat:", "unknown key 'sequences_per_updat'"),
    (("{seed: 7, base_model: dev}", "{seed: 7, base_model: deb}"), "deb", "unknown base model 'deb' | did you mean 'dev'?"),
    (
        ("{seed: 7, base_model: dev}", "{base_model: dev}"),
        "{base_model: dev}",
        "'replicates.0.seed' is required and missing",
    ),
    (("  large:\n", "  large:\n    family: conduct\n"), "conduct\n    midtrain", "no spec family 'conduct' | "),
]


@pytest.mark.parametrize(("edit", "needle", "message"), IN_OVERLAY, ids=[e[2] for e in IN_OVERLAY])
def test_an_error_in_an_overlay_points_into_the_overlay(edited, problems, place, tiny_text, edit, needle, message) -> None:
    path = edited(add=PROFILES.replace(*edit))
    (problem,) = problems(path, "large")
    assert problem.startswith(f"{place(path, needle)}: {message}")
    assert int(problem.split(":")[0]) > tiny_text.count("\n")
    assert problems(path, "micro") == []


def test_an_error_at_the_top_points_to_the_top_although_the_overlay_sets_its_neighbours(edited, problems, place) -> None:
    path = edited(("learning_rate: 1.0e-3", "learning_rat: 1.0e-3"), add=PROFILES)
    assert problems(path, "large") == [
        f"{place(path, 'learning_rat:')}: unknown key 'learning_rat' | did you mean 'learning_rate'?"
    ]


def test_a_profile_may_not_set_the_design(edited, problems, place) -> None:
    path = edited(add="profiles:\n  micro:\n    arms: {}\n    contrasts: []\n    midtrian: {}\n")
    allowed = (
        "a profile may set: notes, tuned_to_target, family, base_models, replicates, without, generators, engines, corpora, conversations, mixes, harness, midtrain, align, probe, gates, audit, runtime, tuning"
    )
    assert problems(path) == [
        f"{place(path, 'arms: {}')}: a profile may not set 'arms': it changes scale, not the design | {allowed}",
        f"{place(path, 'contrasts: []')}: a profile may not set 'contrasts': it changes scale, not the design | {allowed}",
        f"{place(path, 'midtrian')}: a profile may not set 'midtrian': it changes scale, not the design | did you mean 'midtrain'?",
    ]


@pytest.mark.parametrize(
    ("add", "needle", "message"),
    [
        ("profiles: [a]\n", "[a]", "must map profile names to overlays | write `profiles: {NAME: {...}}`"),
        ("profiles: {micro: 3}\n", "3}\n", "profile 'micro' must be a mapping | "),
        ("profiles: {../x: {}}\n", "../x", "'../x' is not a safe profile name | "),
        (
            "profiles: {imported: {}}\n", "imported",
            "the profile name 'imported' marks results that were made elsewhere | give the profile another name",
        ),
        ("default_profile: mikro\nprofiles: {micro: {}}\n", "mikro", "no profile 'mikro' | did you mean 'micro'?"),
        ("default_profile: [a]\nprofiles: {micro: {}}\n", "[a]", "must be the name of a profile | write a name"),
    ],
)
def test_what_is_no_profile_is_refused_at_its_place(edited, problems, place, add, needle, message) -> None:
    path = edited(add=add)
    nth = path.read_text().count(needle)
    assert problems(path) == [f"{place(path, needle, nth)}: {message}"]


def test_asking_for_an_unknown_profile_names_the_nearest(edited) -> None:
    with pytest.raises(UserError) as error:
        load_study(str(edited(add=PROFILES)), "larg")
    assert str(error.value) == "s.yaml has no profile 'larg'\n  hint: did you mean 'large'?"
