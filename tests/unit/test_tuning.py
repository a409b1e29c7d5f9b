"""The pure parts of a search: the space, the winners, the curve with its bands, and samplers that replay."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from statistics import mean

import numpy as np
import pytest

from specsci.core.errors import InputFileError, UserError
from specsci.search.choose import winners
from specsci.search.confirm import Conclusion, fragile
from specsci.search.samplers import adaptive, optuna_study
from specsci.search.space import Axis, axes, present, said, sobol
from specsci.search.trials import Result
from specsci.stats.tuning_curve import tuning_curve
from specsci.study.load import load_study
from specsci.study.tuning import Range, Tuning

LR = Axis("align.recipe.learning_rate", Range(low=1e-5, high=1e-2, scale="log"), whole=False)
BATCH = Axis("align.recipe.sequences_per_update", Range(low=1, high=8), whole=True)


def tuning(**more: object) -> Tuning:
    given = {"space": {LR.key: LR.range.model_dump()}, "arms": ["a", "b"], "replicates": [{"seed": 9, "base_model": "x"}], **more}
    return Tuning.model_validate(given)


def result(arm: str, value: float | None, config: float, *, feasible: bool = True) -> Result:
    return Result(0, arm, ((LR.key, config),), value, None, feasible, 100)


def test_the_points_of_a_seed_are_always_the_same_and_cover_the_ranges() -> None:
    first = sobol([LR, BATCH], 8, seed=3)
    assert first == sobol([LR, BATCH], 8, seed=3) == sobol([LR, BATCH], 24, seed=3)[:8] != sobol([LR, BATCH], 8, seed=4)
    rates = sorted(math.log10(dict(c)[LR.key]) for c in first)
    assert [math.floor((r + 5) / 3 * 8) for r in rates] == list(range(8)), "one point in each eighth of the logarithmic range"
    assert all(isinstance(dict(c)[BATCH.key], int) and 1 <= dict(c)[BATCH.key] <= 8 for c in first)
    assert said((("a.b.lr", 0.00012345), ("n", 3))) == "lr 0.00012345, n 3"
    assert len(set(sobol([LR], 1000, 0))) == 1000


def test_each_arm_has_its_own_best_and_the_shared_setting_costs_all_the_least() -> None:
    found = [result("a", 0.9, 1), result("b", 0.1, 1), result("a", 0.5, 2), result("b", 0.8, 2), result("a", 0.7, 3), result("b", 0.7, 3)]
    best = winners(found, ["a", "b"], maximise=True)
    assert best.own == {"a": ((LR.key, 1),), "b": ((LR.key, 2),)} and best.shared == ((LR.key, 3),), "regret .2 + .1"
    lower = winners(found, ["a", "b"], maximise=False)
    assert lower.own == {"a": ((LR.key, 2),), "b": ((LR.key, 1),)}


def test_what_failed_or_broke_the_constraint_never_wins_and_of_equals_the_first_does() -> None:
    found = [result("a", None, 1), result("a", 0.9, 2, feasible=False), result("a", 0.4, 3), result("a", 0.4, 4), result("b", None, 3), result("b", 0.2, 4)]
    best = winners(found, ["a", "b"], maximise=True)
    assert best.own["a"] == ((LR.key, 3),) and best.shared == ((LR.key, 4),), "b failed under the third"
    nothing = winners([result("a", None, 1)], ["a"], maximise=True)
    assert nothing.own == {"a": None} and nothing.shared is None


def test_the_expected_best_is_the_mean_over_all_subsets() -> None:
    values = [0.3, 0.9, 0.1, 0.5, 0.5]
    for k, point in enumerate(tuning_curve(values, maximise=True, bounds=(0, 1)), 1):
        assert point.expected_best == pytest.approx(mean(max(s) for s in itertools.combinations(values, k)))
        assert 0 <= point.low <= point.expected_best <= point.high <= 1
    for k, point in enumerate(tuning_curve(values, maximise=False, bounds=(0, math.inf)), 1):
        assert point.expected_best == pytest.approx(mean(min(s) for s in itertools.combinations(values, k)))
        assert point.high == math.inf and 0 <= point.low <= point.expected_best
    assert tuning_curve([], maximise=True) == [] and len(tuning_curve([0.2], maximise=True, bounds=(0, 1))) == 1


@pytest.mark.parametrize(("maximise", "bounds"), [(True, (0.0, 1.0)), (False, (0.0, math.inf))])
def test_the_band_holds_the_whole_true_curve(maximise: bool, bounds: tuple[float, float]) -> None:
    """Of uniform values the best of k is k/(k+1) on average; of exponential ones the smallest is 1/k."""
    rng, held, narrow = np.random.default_rng(1), 0, 0
    for _ in range(400):
        values = rng.random(12) if maximise else rng.exponential(1, 12)
        curve = tuning_curve(values, maximise=maximise, bounds=bounds)
        truth = [k / (k + 1) if maximise else 1 / k for k in range(1, 13)]
        held += all(p.low <= t <= p.high for p, t in zip(curve, truth, strict=True))
        narrow += all(p.low <= t <= p.high for p, t in zip(tuning_curve(values, maximise=maximise, bounds=bounds, confidence=0.01), truth, strict=True))
    assert held >= 0.95 * 400 and narrow < held, "a band that could not miss would say nothing"


def test_samplers_that_learn_try_equal_numbers_and_replay_what_they_did() -> None:
    pytest.importorskip("optuna")

    def settle(number: int, configs: dict[str, object]) -> list[Result]:
        asked.append(dict(configs))
        return [
            Result(number, arm, config, None if number == 3 and arm == "a" else -((math.log10(dict(config)[LR.key]) + 3) ** 2), None, True, 100)
            for arm, config in configs.items()
        ]

    asked: list[dict[str, object]] = []
    first = adaptive([LR, BATCH], tuning(trials=30, seed=5), ["a", "b"], maximise=True, settle=settle)
    assert adaptive([LR, BATCH], tuning(trials=30, seed=5), ["a", "b"], maximise=True, settle=settle) == first and asked[:30] == asked[30:]
    assert [r.arm for r in first].count("a") == [r.arm for r in first].count("b") == 30, "a failed trial counts"
    late = [r.objective for r in first if r.number >= 20 and r.objective is not None]
    early = [r.objective for r in first if r.number < 10 and r.objective is not None]
    assert mean(late) > mean(early), "it learns"
    study = optuna_study(first, [LR, BATCH], "a", maximise=True)
    assert len(study.trials) == 30 and sum(t.state.name == "FAIL" for t in study.trials) == 1 and study.best_value == max(r.objective for r in first if r.arm == "a" and r.objective is not None)


def test_a_contrast_that_says_different_things_is_fragile() -> None:
    def one(contrast: str, setting: str, says: str) -> Conclusion:
        return Conclusion(contrast, setting, "s", 0.1, 0.0, 0.2, 0.1, 4, says)

    found = [one("c", "default", "higher"), one("c", "tuned", "cannot tell"), one("d", "default", "lower"), one("d", "tuned", "lower")]
    assert fragile(found) == ["c"]


BLOCK = """
tuning:
  space: {align.recipe.learning_rate: {low: 1.0e-5, high: 1.0e-3, scale: log}}
  arms: [rules]
  replicates: [{seed: 901, base_model: dev}]
  objective: held_out
"""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("arms: [rules]\n", "arms: [rulez]\n", "unknown arm 'rulez'"),
        ("seed: 901", "seed: 1", "seed 1 is one of the study's own"),
        ("objective: held_out", "objective: heldout", "unknown eval 'heldout'"),
        ("base_model: dev}]\n  objective", "base_model: div}]\n  objective", "unknown base model 'div'"),
        ("low: 1.0e-5", "low: 1.0", "`low` must be below `high`"),
        ("low: 1.0e-5", "low: 0", "a logarithmic range begins above 0"),
        ("objective: held_out", "objective: held_out\n  budget_tokens: 77", "77 is no AFT budget"),
        ("objective: held_out", "objective: held_out\n  trials: 1", "greater than or equal to 2"),
        ("arms: [rules]\n", "arms: [rules, rules]\n", "an arm is named twice"),
    ],
)
def test_what_a_block_names_wrongly_is_told_at_its_place(old: str, new: str, says: str, tiny: Path) -> None:
    text = tiny.read_text() + BLOCK
    assert text.count(old) >= 1
    tiny.write_text(text)
    load_study(str(tiny))
    head, tail = text.split("\ntuning:")
    tiny.write_text(f"{head}\ntuning:{tail.replace(old, new)}")
    with pytest.raises(InputFileError) as error:
        load_study(str(tiny))
    assert says in str(error.value) and "tiny.yaml:" in str(error.value)


def test_a_key_that_is_no_number_of_the_study_is_refused(tiny: Path) -> None:
    tiny.write_text(tiny.read_text() + BLOCK)
    loaded = load_study(str(tiny))
    assert present(loaded) == (("align.recipe.learning_rate", 1e-4),) and not axes(loaded)[0].whole
    for key in ("align.recipe.method", "align.recipe.nothing", "align", "arms.rules.align", "align.budgets_tokens.9"):
        tiny.write_text(tiny.read_text().replace("align.recipe.learning_rate: {low", f"{key}: {{low"))
        with pytest.raises(UserError, match="has no number there"):
            axes(load_study(str(tiny)))
        tiny.write_text(tiny.read_text().replace(f"{key}: {{low", "align.recipe.learning_rate: {low"))
