"""Extension points: built-in objects, entry points, and what is said of bad ones."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from specsci.core import registry as module
from specsci.core.errors import UserError
from specsci.core.kinds import KINDS, StepKind, names, trains
from specsci.core.registry import Registry

ONE, TWO = StepKind("one", "m:f"), StepKind("two", "m:f", trains=True)
SEVERAL = (TWO, StepKind("three", "m:f"))
NO_KIND = object()


def made(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> Registry[StepKind]:
    found = [EntryPoint(name, value, "specsci.kinds") for name, value in points]
    monkeypatch.setattr(module, "entry_points", lambda group: found)
    return Registry("specsci.kinds", "kind of step", (f"{__name__}:ONE",), lambda k: k.name, StepKind)


def test_built_in_objects_come_first_then_entry_points_by_name(monkeypatch) -> None:
    found = made(monkeypatch, ("b", f"{__name__}:SEVERAL"))
    assert [k.name for k in found] == ["one", "two", "three"]
    assert found["two"] is TWO and "two" in found and found.get("four") is None


def test_an_unknown_name_says_the_nearest(monkeypatch) -> None:
    with pytest.raises(UserError, match="no kind of step 'onne'") as caught:
        made(monkeypatch)["onne"]
    assert caught.value.hint == "did you mean 'one'?"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no_such_module_at_all:X", "cannot be loaded"),
        (f"{__name__}:NOT_THERE", "cannot be loaded"),
        (f"{__name__}:NO_KIND", "is not a valid kind of step"),
        (f"{__name__}:ONE", "there is a kind of step 'one' already"),
    ],
)
def test_a_bad_entry_point_is_named_with_its_package(value: str, said: str, monkeypatch) -> None:
    with pytest.raises(UserError, match=said) as caught:
        _ = made(monkeypatch, ("bad", value)).objects
    assert "bad" in str(caught.value) and caught.value.hint


def test_forgetting_loads_again(monkeypatch) -> None:
    found = made(monkeypatch)
    assert len(found.objects) == 1
    monkeypatch.setattr(module, "entry_points", lambda group: [EntryPoint("b", f"{__name__}:SEVERAL", group)])
    assert len(found.objects) == 1
    found.forget()
    assert len(found.objects) == 3


def test_the_kinds_in_the_tree_and_what_they_say() -> None:
    assert [k.name for k in KINDS] == [
        "tokenizer", "base", "spec", "items", "pool", "outline", "written", "queries", "answers", "corpus", "conversations", "claims", "context_items", "audit", "midtrain", "align", "heldout",
        "control", "probe", "frame", "sample", "agent", "judge", "score", "bar",
    ]  # fmt: skip
    assert names(lambda k: k.trains) == ("midtrain", "align") and trains("align") and not trains("gone")
    actions: list[Any] = [k.load_action() for k in KINDS]
    assert all(callable(a) and a.__doc__ for a in actions), "every action is there"
