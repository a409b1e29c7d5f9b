"""What a program prints as scores: taken as it is said, refused with its line, and what is missing is an error."""

from __future__ import annotations

import json

import pytest

from specsci.core.errors import StepFailed
from specsci.evals.command.kind import KIND
from specsci.evals.printed import rows_of
from specsci.specs.items import Item
from specsci.study.evals import of_kind

ITEMS = [Item("a", "c1", "Pick {first} or {second}", "x", "y"), Item("b", "c2", "Pick", "x", "y", "s")]


def rows(*lines: object, items: list[Item] = ITEMS, binary: bool = True) -> list[dict]:
    return list(rows_of("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), items, binary=binary))


def test_answers_are_taken_and_questions_without_one_are_errors() -> None:
    found = rows({"item_id": "a", "variant": "aligned_first", "aligned": True}, "", {"item_id": "b", "aligned": False, "value": -2.5})
    said = [(r["item_id"], r.get("variant"), r["state"], r.get("aligned"), r.get("value"), r["cluster_id"]) for r in found]
    assert said == [
        ("a", "aligned_first", "ok", True, 1.0, "c1"),
        ("b", "single", "ok", False, -2.5, "c2"),
        ("a", "aligned_second", "error", None, None, "c1"),
    ]
    assert found[1]["slice"] == "s"
    assert [r["state"] for r in rows()] == ["error"] * 3, "a program that says nothing has answered nothing"


def test_a_line_ends_at_a_line_feed_alone() -> None:
    line = json.dumps({"item_id": "a\u2028\x85b", "aligned": True}, ensure_ascii=False)
    assert [r["item_id"] for r in rows_of(f"{line}\r\n{line[:-1]}, \"sample\": 1}}\n", [], binary=True)] == ["a\u2028\x85b"] * 2


def test_an_answer_to_an_item_as_a_whole_is_one_row() -> None:
    found = rows({"item_id": "a", "aligned": True}, {"item_id": "b", "aligned": True})
    assert [(r["item_id"], r["state"]) for r in found] == [("a", "ok"), ("b", "ok")]


def test_states_values_samples_and_programs_without_items() -> None:
    found = rows({"item_id": 7, "value": 0.25, "sample": 1}, {"item_id": "x", "state": "refused", "value": 3}, items=[], binary=False)
    assert [(r["item_id"], r["state"], r.get("value"), r.get("sample"), r["cluster_id"]) for r in found] == [
        ("7", "ok", 0.25, 1, "7"), ("x", "refused", None, None, "x"),
    ]  # fmt: skip
    assert rows({"item_id": "a", "aligned": None}, items=[])[0]["state"] == "error"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("Loading weights: 100%", "line 2 of the program's output is not JSON"),
        ([1], "has no item_id"),
        ({"aligned": True}, "has no item_id"),
        ({"item_id": True, "aligned": True}, "has no item_id"),
        ({"item_id": "zz", "aligned": True}, "names 'zz', which is no item"),
        ({"item_id": "a", "aligned": "yes"}, "has no answer"),
        ({"item_id": "a", "aligned": 1}, "has no answer"),
        ({"item_id": "a", "state": "ok"}, "has no answer"),
        ({"item_id": "a", "state": "fine", "aligned": True}, "'fine' is no state"),
        ({"item_id": "a", "aligned": True, "sample": "1"}, "sample is no number"),
    ],
)
def test_a_line_that_is_no_score_is_named(line: object, says: str) -> None:
    with pytest.raises(StepFailed, match=says):
        rows({"item_id": "b", "aligned": True}, line)


@pytest.mark.parametrize("value", ["NaN", "Infinity", '"1"', "true", "null"])
def test_a_value_that_is_no_number_is_no_answer(value: str) -> None:
    if value == "null":
        assert rows('{"item_id": "a", "value": null}', items=[], binary=False)[0]["state"] == "error"
        return
    with pytest.raises(StepFailed, match="has no answer"):
        rows(f'{{"item_id": "a", "value": {value}}}', items=[], binary=False)


def test_what_decides_scores_is_the_identity_and_time_limits_are_not() -> None:
    config = of_kind({"kind": "command", "command": ["{python}", "s.py", "{model}"], "files": ["s.py"], "timeout_s": 5, "outcome": "rate"})
    assert KIND.identity(config) == {"command": ["{python}", "s.py", "{model}"], "outcome": "rate"}
    assert KIND.told(config) == {"timeout_s": 5.0, "environment": []} and KIND.outside(config) == ["s.py"]
    assert KIND.outcome_of(config) == "rate"


def test_a_slot_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="is no slot"):
        of_kind({"kind": "command", "command": ["{modle}"]})
