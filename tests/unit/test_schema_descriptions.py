"""Every field of a study file says what it is, in the models and in the JSON schema that editors read."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from specsci.study.evals import EVALS
from specsci.study.schema import PROFILE_KEYS, Study, json_schema

LEAST_CHARACTERS = 15


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation names, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from models_in(inner)


def reachable() -> list[type[BaseModel]]:
    """Every model of a study file: those below `Study`, and the settings of every eval kind."""
    found: dict[type[BaseModel], None] = {}
    left: list[type[BaseModel]] = [Study, *(kind.config for kind in EVALS)]
    while left:
        model = left.pop()
        if model not in found:
            found[model] = None
            left += [inner for field in model.model_fields.values() for inner in models_in(field.annotation)]
    return sorted(found, key=lambda model: model.__name__)


MODELS = reachable()


def test_the_walk_reaches_stages_recipes_adapters_and_eval_kinds() -> None:
    names = {model.__name__ for model in MODELS}
    parts = {"Arm", "BaseModelSource", "Contrast", "TokenEfficiency", "TokenPair", "Gates", "Probe", "RuntimeSettings"}
    stages = {"Replicate", "Midtrain", "Align", "Recipe", "Lora"}
    assert names >= {"Study", "EvalConfig", "ForcedChoice"} | parts | stages


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_is_described_in_a_sentence_of_its_own(model) -> None:
    said = {name: field.description or "" for name, field in model.model_fields.items()}
    assert [n for n, text in said.items() if len(text) < LEAST_CHARACTERS or not text.endswith(".")] == []
    assert len(set(said.values())) == len(said), "two fields of one model say the same"
    assert [n for n, text in said.items() if "  " in text or text != text.strip()] == [], "pieces are joined by one space"


def test_the_json_schema_carries_every_description() -> None:
    schema = json_schema()
    kinds = {kind.config.__name__ for kind in EVALS}
    for model in MODELS:
        if model is Study:
            properties = schema["properties"]
        elif model.__name__ in kinds:
            (properties,) = (k["properties"] for k in schema["$defs"]["EvalConfig"]["anyOf"] if k["title"] == model.__name__)
        elif model.__name__ == "EvalConfig":  # its place is taken by the kinds
            continue
        else:
            properties = schema["$defs"][model.__name__]["properties"]
        shown = {name: properties[name].get("description") for name in model.model_fields}
        assert shown == {name: field.description for name, field in model.model_fields.items()}, model.__name__


def test_keys_that_only_the_file_has_and_a_profiles_own_are_described_too() -> None:
    properties = json_schema()["properties"]
    assert [name for name, value in properties.items() if not value.get("description", "").endswith(".")] == []
    overlay = properties["profiles"]["additionalProperties"]["properties"]
    assert {n: v["description"] for n, v in overlay.items()} == {n: properties[n]["description"] for n in PROFILE_KEYS}
