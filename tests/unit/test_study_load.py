"""A study file's mistakes: each with its exact place, and the nearest valid name."""

from __future__ import annotations

import pytest

from specsci.core.errors import UserError
from specsci.study.load import load_study

DEV = '{source: "microlab:conduct/100"}'
CONTRAST = "{name: rules_over_aft, eval: held_out, weights: {rules: 1, aft: -1}, budget_tokens: 300, factor: midtrain}"


def test_the_tiny_study_has_no_problem(tiny, problems) -> None:
    assert problems(tiny) == []


WRONG_KEYS = [
    ("top", ("gates:", "gaets:"), "gaets", "gates"),
    ("arm", ("aft: {title: AFT, align: choices}", "aft: {title: AFT, aling: choices}"), "aling", "align"),
    ("eval", ("role: competence", "rolle: competence"), "rolle", "role"),
    ("base model", (DEV, '{source: "microlab:conduct/100", sourse: 1}'), "sourse", "source"),
    ("replicate", ("{seed: 2, base_model: dev}", "{seed: 2, base_model: dev, base_modl: x}"), "base_modl", "base_model"),
    ("midtrain", ("  tokens: 2000\n", "  tokens: 2000\n  replay_shares: 0.1\n"), "replay_shares", "replay_share"),
    ("recipe", ("sequences_per_update: 8", "sequence_per_update: 8"), "sequence_per_update", "sequences_per_update"),
    ("lora", ("{method: full, learning_rate: 1.0e-4", "{lora: {rnk: 3}, learning_rate: 1.0e-4"), "rnk", "rank"),
    ("align", ("  budgets_tokens:", "  it_mix_shar: 0.2\n  budgets_tokens:"), "it_mix_shar", "it_mix_share"),
    ("contrast", (CONTRAST, CONTRAST[:-1] + ", primry: true}"), "primry", "primary"),
    ("efficiency", ("token_efficiency: {", "token_efficiency: {level_shar: 0.4, "), "level_shar", "level_share"),
    ("gates", ("accept_few_updates:", "accept_few_update:"), "accept_few_update", "accept_few_updates"),
    ("runtime", ("threads_per_worker: 1", "threads_per_workr: 1"), "threads_per_workr", "threads_per_worker"),
]


@pytest.mark.parametrize(("level", "edit", "wrong", "right"), WRONG_KEYS, ids=[w[0] for w in WRONG_KEYS])
def test_a_wrong_key_points_at_itself_and_names_the_nearest(edited, problems, place, level, edit, wrong, right) -> None:
    path = edited(edit)
    assert problems(path) == [f"{place(path, wrong + ':')}: unknown key '{wrong}' | did you mean '{right}'?"]


WRONG_TYPES = [
    (("tokens: 2000", "tokens: many"), "many", "'midtrain.tokens': Input should be a valid integer"),
    (("[150, 300]", "[300, 150]"), "[300", "'align.budgets_tokens': budgets must be positive, increasing and distinct"),
    (("[150, 300]", "[0, 300]"), "[0", "'align.budgets_tokens': budgets must be positive, increasing and distinct"),
    (("[150, 300]", "[]"), "[]", "'align.budgets_tokens': List should have at least 1 item"),
    (("seed: 2", "seed: -2"), "-2", "'replicates.1.seed': Input should be greater than or equal to 0"),
    (("learning_rate: 1.0e-3", "learning_rate: 0"), "0, sequences", "'midtrain.recipe.learning_rate': Input should be gr"),
    (("learning_rate: 1.0e-3", "learning_rate: .inf"), ".inf", "'midtrain.recipe.learning_rate': Input should be a fin"),
    (("method: full", "method: ful"), "ful,", "'midtrain.recipe.method': Input should be 'full'"),
    (("role: competence", "role: competense"), "competense", "'evals.competence.role': Input should be 'outcome'"),
    (("factor: midtrain", "factor: midtran"), "midtran}", "'contrasts.0.factor': Input should be 'msm_spec'"),
    (("study: tiny", "study: Tiny Study"), "Tiny", "'study': use a name of lower-case letters"),
    (("family: microlab_conduct", "family: ../microlab_conduct"), "../", "'family': use a family's name, no path"),
    (("family: microlab_conduct", "family: /etc"), "/etc", "'family': use a family's name, no path"),
]


@pytest.mark.parametrize(("edit", "needle", "message"), WRONG_TYPES, ids=[w[0][1] for w in WRONG_TYPES])
def test_a_wrong_value_points_at_the_value(edited, problems, place, edit, needle, message) -> None:
    path = edited(edit)
    (problem,) = problems(path)
    assert problem.startswith(f"{place(path, needle)}: {message}")


UNKNOWN = [
    (("midtrain: rules}", "midtrain: rulez}"), "rulez", "variant 'rulez'", "did you mean 'rules'?"),
    (("align: choices}", "align: choicez}"), "choicez", "conversation set 'choicez'", "did you mean 'choices'?"),
    (("weights: {rules: 1", "weights: {rulez: 1"), "rulez", "arm 'rulez'", "did you mean 'rules'?"),
    (("eval: held_out, weights", "eval: heldout, weights"), "heldout", "eval 'heldout'", "did you mean 'held_out'?"),
    (("{eval: held_out, pairs", "{eval: heldout, pairs"), "heldout", "eval 'heldout'", "did you mean 'held_out'?"),
    (("pairs: [{arm: rules", "pairs: [{arm: rulez"), "rulez", "arm 'rulez'", "did you mean 'rules'?"),
    (("reference: aft", "reference: atf"), "atf", "arm 'atf'", "did you mean 'aft'?"),
    (("pairs:", "base: bse, pairs:"), "bse", "arm 'bse'", "did you mean 'base'?"),
    (("{items: held_out}", "{items: heldout}"), "heldout", "item set 'heldout'", "did you mean 'held_out'?"),
    (("seed: 2, base_model: dev", "seed: 2, base_model: deb"), "deb", "base model 'deb'", "did you mean 'dev'?"),
]


@pytest.mark.parametrize(("edit", "needle", "what", "hint"), UNKNOWN, ids=[u[2] for u in UNKNOWN])
def test_an_unknown_name_points_at_itself_and_names_the_nearest(edited, problems, place, edit, needle, what, hint) -> None:
    path = edited(edit)
    (problem,) = problems(path)
    assert problem.startswith(f"{place(path, needle)}: unknown {what} | {hint}")


def test_a_path_is_no_item_set(edited, problems, place) -> None:
    path = edited(("{items: held_out}", "{items: ../family}"))
    assert problems(path) == [f"{place(path, '../family')}: '../family' is no item set | write SET, or FAMILY/SET for one of another family"]


def test_an_unknown_family_names_the_nearest_shipped_one(edited, problems, place) -> None:
    path = edited(("family: microlab_conduct", "family: microlab_conducts"))
    message = "no spec family 'microlab_conducts' | did you mean 'microlab_conduct'?"
    assert problems(path) == [f"{place(path, 'microlab_conducts')}: {message}"]


def test_an_unknown_microlab_base_points_at_its_source(edited, problems, place) -> None:
    path = edited(("microlab:conduct/100", "microlab:conduct/10000"))
    message = "no shipped microlab base 'conduct/10000' | did you mean 'conduct/100'?"
    assert problems(path) == [f"{place(path, chr(34) + 'microlab')}: {message}"]


DESIGN = [
    (
        ("weights: {rules: 1, aft: -1}", "weights: {rules: 1, aft: -2}"),
        "{rules: 1",
        "weights of 'rules_over_aft' must sum to 0 | ",
    ),
    (("weights: {rules: 1, aft: -1}", "weights: {rules: 0, aft: 0}"), "{rules: 0", "weights of 'rules_over_aft' are all 0"),
    (("aft: -1}", "aft: .nan}"), ".nan", "'contrasts.0.weights.aft': Input should be a finite number (given: nan) | "),
    (("budget_tokens: 300", "budget_tokens: 301"), "301", "no arm is scored at 301 tokens | one of [0, 150, 300]"),
    (("budget_tokens: 300", "budget_tokens: [150, 9]"), "[150, 9]", "no arm is scored at 9 tokens | one of [0, 150, 300]"),
    (
        ("budget_tokens: 300, ", ""),
        "{name: rules_over_aft",
        "'rules_over_aft' compares at 0 tokens, where the aligned arm 'rules' is not scored | budget_tokens: one of [150, 300]",
    ),
    (
        ("seed: 2,", "seed: 1,"),
        "{seed: 1,",
        "seed 1 is used twice: the same draw would count as two replicates | give every",
    ),
]


@pytest.mark.parametrize(("edit", "needle", "message"), DESIGN, ids=[d[0][1] for d in DESIGN])
def test_a_design_that_cannot_be_answered_is_refused(edited, problems, place, edit, needle, message) -> None:
    path = edited(edit)
    (problem,) = problems(path)
    assert problem.startswith(f"{place(path, needle, 2 if 'seed' in needle else 1)}: {message}")


def test_a_contrast_named_twice_is_refused(edited, problems, place) -> None:
    path = edited((CONTRAST, f"{CONTRAST}\n  - {CONTRAST}"))
    assert problems(path) == [f"{place(path, 'rules_over_aft', 2)}: 'rules_over_aft' is not a new, safe contrast name | "]


@pytest.mark.parametrize(
    ("edit", "key"), [(("msm_rules:", '"../x":'), "../x"), (("held_out: {items", '"A b": {items'), "A b")]
)
def test_a_name_that_is_no_safe_file_name_points_at_its_key(edited, problems, place, edit, key) -> None:
    path = edited(edit)
    assert any(p.startswith(f"{place(path, chr(34) + key)}: '{key}' is not a safe") for p in problems(path))


def test_an_arm_whose_stage_is_missing_is_refused(edited, problems, tiny_text) -> None:
    stage = tiny_text[tiny_text.index("midtrain:\n") : tiny_text.index("align:\n")]
    assert problems(edited((stage, ""))) == ["1:1: arms midtrain, but the study has no `midtrain:` stage | "]


def test_several_problems_are_listed_at_once_in_file_order(edited, problems, place) -> None:
    path = edited(
        ("weights: {rules: 1", "weights: {rulez: 1"), ("midtrain: rules}", "midtrain: rulez}"), ("seed: 2,", "seed: 1,")
    )
    found = [p.split(" | ")[0] for p in problems(path)]
    assert found == [
        f"{place(path, 'rulez')}: unknown arm 'rulez'",
        f"{place(path, 'rulez', 2)}: unknown variant 'rulez'",
        f"{place(path, '{seed: 1', 2)}: seed 1 is used twice: the same draw would count as two replicates",
    ]


def test_a_study_that_is_nowhere_names_the_nearest_shipped_one() -> None:
    with pytest.raises(UserError) as error:
        load_study("value_vs_rule.yaml")
    assert (
        str(error.value)
        == "no study file 'value_vs_rule.yaml'\n  hint: did you mean 'value_vs_rules.yaml'? (or give a path)"
    )
