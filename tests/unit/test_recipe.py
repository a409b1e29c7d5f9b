"""Recipes: updates, warm-up, limits; and labels of a row."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from specsci.core.token_row import IGNORED, TokenRow
from specsci.plan.build import declared
from specsci.recipe.recipe import Lora, Recipe
from specsci.train.data import pack, take_conversations


def test_defaults_are_the_papers() -> None:
    recipe = Recipe()
    assert (recipe.method, recipe.learning_rate, recipe.epochs, recipe.warmup_share) == ("lora", 1e-4, 1, 0.05)
    assert (recipe.weight_decay, recipe.lora.rank, recipe.lora.alpha) == (0.01, 64, 128)
    assert len(recipe.lora.targets) == 7


@pytest.mark.parametrize(
    ("tokens", "epochs", "updates"), [(1, 1, 1), (512, 1, 1), (513, 1, 2), (100_000, 1, 196), (513, 3, 6), (46_080, 1, 90)]
)
def test_updates_are_tokens_over_tokens_per_update_rounded_up_per_epoch(tokens, epochs, updates) -> None:
    recipe = Recipe(sequences_per_update=8, max_length_tokens=64, epochs=epochs)
    assert recipe.tokens_per_update == 512
    assert recipe.updates(tokens) == updates


@pytest.mark.parametrize(
    ("updates", "share", "warmup"), [(1, 0.05, 0), (19, 0.05, 0), (20, 0.05, 1), (199, 0.05, 9), (4, 0.6, 2)]
)
def test_warm_up_is_a_share_of_the_updates_rounded_down(updates, share, warmup) -> None:
    assert Recipe(warmup_share=share).warmup_updates(updates) == warmup


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": 0}, {"learning_rate": float("inf")}, {"learning_rate": float("nan")}, {"epochs": 0},
        {"sequences_per_update": 0}, {"max_length_tokens": 15}, {"warmup_share": 1}, {"weight_decay": -1},
        {"adam_beta1": 1}, {"clip_norm": 0}, {"lora": {"rank": 0}}, {"method": "dora"}, {"lr": 1e-4},
    ],
    ids=str,
)  # fmt: skip
def test_a_recipe_that_cannot_train_is_refused(wrong) -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate(wrong)


def test_identity_holds_what_differs_from_the_defaults_and_no_more() -> None:
    assert declared(Recipe()) == {}
    assert declared(Recipe(learning_rate=1e-4, epochs=2, lora=Lora(rank=8))) == {"epochs": 2, "lora": {"rank": 8}}


def test_labels_follow_the_mask_and_skip_the_first_token() -> None:
    assert TokenRow([7, 8, 9]).labels() == [IGNORED, 8, 9]
    assert TokenRow([7, 8, 9], [True, False, True]).labels() == [IGNORED, IGNORED, 9]
    with pytest.raises(ValueError, match="shorter"):
        TokenRow([7, 8, 9], [True]).labels()


def test_packing_a_known_case() -> None:
    packed = pack([TokenRow([1] * 6), TokenRow([2] * 5), TokenRow([3] * 4), TokenRow([4] * 5)], 10)
    found = sorted(sorted(r.input_ids[0] for r in s) for s in packed.sequences)
    assert found == [[1, 3], [2, 4]] and packed.fill == 1.0


def test_a_long_row_is_cut_into_sequences() -> None:
    packed = pack([TokenRow(list(range(25)))], 10)
    assert sorted(s[0].input_ids[0] for s in packed.sequences) == [0, 10, 20]
    assert packed.columns()["position_ids"][0] == list(range(10))


def test_a_budget_below_the_first_conversation_takes_none() -> None:
    assert take_conversations([TokenRow([1] * 9)], 8) == []
