"""Evals in a study file: the kind decides which settings there are, and every mistake is told at its place."""

from __future__ import annotations

import json

import pytest

from specsci.core.errors import InputFileError
from specsci.study.evals import EVALS, EvalConfig, of_kind, readout_of
from specsci.study.load import load_study
from specsci.study.schema import json_schema

EVAL = "  held_out: {items: held_out}"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{items: held_out, kind: xyzzy}", "no eval kind 'xyzzy'; valid names: command, forced_choice, generated_choice, imported, inspect, judged"),
        ("{items: held_out, kind: 3}", "no eval kind '3'"),
        ("{items: held_out, kind: null}", "no eval kind 'None'"),
        ("{items: held_out, kind: [forced_choice]}", "no eval kind"),
        ("{itemz: held_out}", "unknown key 'itemz'"),
        ("{kind: forced_choice}", "required and missing"),
        ("{items: held_out, format: spoken}", "'chat' or 'text'"),
        ("{items: held_out, readout: loud}", "has no readout 'loud'; valid names: logprob (given: 'loud')"),
        ("{items: held_out, min_competence: true}", "true and false are not numbers"),
        ("7", "must be a mapping"),
        ("[held_out]", "must be a mapping"),
        ("{items: gone}", "unknown item set 'gone'"),
        ("{items: ''}", "at least 1 character"),
    ],
)
def test_a_mistake_in_an_eval_is_told_at_its_line(given: str, said: str, edited) -> None:
    with pytest.raises(InputFileError) as caught:
        load_study(str(edited((EVAL, f"  held_out: {given}"))))
    assert said in str(caught.value) and ":14:" in str(caught.value)


def test_an_eval_keeps_the_settings_of_its_kind_and_says_them_as_before(edited) -> None:
    found = load_study(str(edited((EVAL, "  held_out: {items: held_out, format: text}")))).study.evals["held_out"]
    assert type(found) is EVALS["forced_choice"].config and readout_of(found) == "logprob"
    assert found.declared() == {
        "kind": "forced_choice", "items": "held_out", "role": "outcome", "format": "text", "min_competence": 0.7,
        "max_capability_loss": 0.1,
    }  # fmt: skip
    assert EVALS["forced_choice"].identity(found) == {"format": "text"}
    assert of_kind(found) is found and isinstance(found, EvalConfig)


def test_the_schema_for_editors_has_the_settings_of_every_kind() -> None:
    shown = json.dumps(json_schema()["$defs"]["EvalConfig"])
    assert "anyOf" in shown and "in both orders" in shown and '"format"' in shown
