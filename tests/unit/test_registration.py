"""Pre-registration: a lock before the first score registers, later changes are exploratory, a late lock says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import harness
import pytest

from specsci.core.errors import GateRefused, StoreError
from specsci.database.manifest import Manifest
from specsci.governance.registration import edited_locks, left_plan, lock_path, lock_study, read_lock, registered, stamps
from specsci.store.artifact import Store

PARTS: dict[str, Any] = {
    "study": "mine",
    "hypothesis": "Rules help.",
    "correction": "holm",
    "contrasts": [
        {"name": "first", "eval": "q", "weights": {"a": 1, "b": -1}, "budgets": [100], "scale": "rate"},
        {"name": "second", "eval": "q", "weights": {"a": 1, "c": -1}, "budgets": [100], "scale": "rate"},
    ],
    "token_efficiency": None,
    "evals": {"q": {"items": "q", "role": "outcome"}, "format": {"role": "competence", "min_competence": 0.7}},
    "arms": {"a": {"midtrain": "r"}, "b": {"midtrain": None}, "c": {"midtrain": "n"}},
    "replicates": [{"seed": 1}, {"seed": 2}],
    "cells": [{"step_digest": "0001"}, {"step_digest": "0002"}],
}
MANIFEST = harness.manifest(PARTS)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store").open()


def changed(**parts: Any) -> Manifest:
    return harness.manifest({**PARTS, **parts})


def texts(manifest: Manifest, store: Store) -> set[str]:
    """What the stamps of a study say; code and sentence agree."""
    found = stamps(manifest, read_lock(store, "mine")).values()
    assert all(s.text.split(":")[0].split(" ")[0] == s.code for s in found)
    return {s.text for s in found}


def score_one(store: Store) -> None:
    store.path("score", "0001").mkdir(parents=True)


def test_a_lock_before_the_first_score_registers(store: Store) -> None:
    assert texts(MANIFEST, store) == {"unregistered"}
    lock, new = lock_study(store, MANIFEST)
    assert new and lock.scored_cells == 0
    again, new = lock_study(store, MANIFEST)
    assert again == lock and not new
    assert texts(MANIFEST, store) == {f"registered {lock.date}"}


FIRST, SECOND = PARTS["contrasts"]
OTHER = {"step_digest": "0003"}


@pytest.mark.parametrize(
    ("parts", "first", "second"),
    [
        ({"contrasts": [{**FIRST, "scale": "logit"}, SECOND]}, "scale", None),
        ({"contrasts": [SECOND]}, None, "its family lost first"),
        ({"evals": {**PARTS["evals"], "q": {"items": "p", "role": "outcome"}}}, "eval q", "eval q"),
        ({"evals": {**PARTS["evals"], "format": {"role": "competence", "min_competence": 0.5}}}, *["control format"] * 2),
        ({"arms": {**PARTS["arms"], "c": {"midtrain": "x"}}}, None, "arm c"),
        ({"replicates": [*PARTS["replicates"], {"seed": 3}]}, "replicates", "replicates"),
        ({"correction": "none"}, "correction", "correction"),
        ({"hypothesis": "Rules hurt."}, "hypothesis", "hypothesis"),
        ({"token_efficiency": {"level_share": 0.3}}, "token_efficiency", "token_efficiency"),
        ({"cells": [*PARTS["cells"], OTHER]}, *["what is trained or asked (step digests)"] * 2),
    ],
)
def test_what_is_changed_after_the_lock_is_exploratory(
    store: Store, parts: dict[str, Any], first: str | None, second: str | None
) -> None:
    lock, _ = lock_study(store, MANIFEST)
    found = stamps(changed(**parts), lock)
    for name, what in (("first", first), ("second", second)):
        if name in found:
            said = f"exploratory: changed after the lock of {lock.date}: {what}" if what else f"registered {lock.date}"
            assert found[name].text == said


def test_a_contrast_that_came_later_is_exploratory_and_leaves_the_others_registered(store: Store) -> None:
    lock, _ = lock_study(store, MANIFEST)
    found = stamps(changed(contrasts=[FIRST, SECOND, {**FIRST, "name": "late"}]), lock)
    assert found["late"].text.endswith("the contrast is new") and found["first"].text == f"registered {lock.date}"
    assert (found["late"].code, found["first"].code) == ("exploratory", "registered")


def test_scores_of_the_study_as_it_was_before_make_a_lock_late(store: Store) -> None:
    """An edit that gives every step another digest does not make results unseen."""
    harness.manifest_file(store.root, MANIFEST)
    score_one(store)
    lock, _ = lock_study(store, changed(cells=[OTHER]))
    assert lock.scored_cells == 1


def test_what_was_scored_under_a_manifest_that_cannot_be_read_is_not_taken_for_nothing(store: Store) -> None:
    (store.root / "studies" / "mine.json").write_text("{")
    score_one(store)
    with pytest.raises(StoreError, match="the manifest cannot be read"):
        lock_study(store, changed(cells=[OTHER]))


def test_with_a_lock_that_cannot_be_read_nothing_is_registered(store: Store) -> None:
    lock_study(store, MANIFEST)
    lock_path(store, "mine").write_text("{")
    assert all("its lock cannot be read" in str(s) for s in registered(store, MANIFEST).values())


def test_a_lock_that_comes_after_scores_is_late_and_no_other_replaces_it(store: Store) -> None:
    score_one(store)
    lock, _ = lock_study(store, MANIFEST)
    assert lock.scored_cells == 1
    assert texts(MANIFEST, store) == {f"late: locked on {lock.date} with 1 cells already scored"}
    with pytest.raises(GateRefused, match="is locked since"):
        lock_study(store, changed(correction="none"))
    assert read_lock(store, "mine") == lock


def test_a_plan_may_be_locked_anew_while_nothing_is_scored(store: Store) -> None:
    lock_study(store, MANIFEST)
    lock, new = lock_study(store, changed(correction="bh"))
    assert new and lock.plan["correction"] == "bh" and read_lock(store, "mine") == lock
    assert [set(e) for e in lock.earlier] == [{"date", "digest"}], "the lock before it is remembered"


def test_a_damaged_lock_is_no_missing_one(store: Store) -> None:
    lock_study(store, MANIFEST)
    whole = json.loads(lock_path(store, "mine").read_text())
    for text, said in (("{", "cannot be read"), (json.dumps({**whole, "plan": {}}), "was edited")):
        lock_path(store, "mine").write_text(text)
        with pytest.raises(StoreError, match=said):
            read_lock(store, "mine")


def edit(store: Store, *without: str, **changes: Any) -> None:
    path = lock_path(store, "mine")
    whole = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in whole.items() if k not in without}))


@pytest.mark.parametrize(
    "changes",
    [
        {"scored_cells": 0, "date": "2026-01-01"},
        {"scored_cells": 0},
        {"date": "2026-01-01"},
        {"plan": {**PARTS, "cells": "x", "hypothesis": "Another."}},
        {"earlier": [{"date": "2025-01-01", "digest": "x"}]},
        {"scored_cells": 0, "sealed": ""},
        {"scored_cells": 0, "sealed": "0123456789"},
    ],
)
def test_an_edited_lock_is_named_and_registers_nothing(store: Store, changes: dict[str, Any]) -> None:
    """Late, with one cell scored: edited to another day and to none, it must not become a registration."""
    score_one(store)
    lock_study(store, MANIFEST)
    assert edited_locks(store) == []
    whole = lock_path(store, "mine").read_text()
    for without in ((), ("seal",), ("seal", "format")):
        lock_path(store, "mine").write_text(whole)
        edit(store, *without, **changes)
        found = registered(store, MANIFEST)
        assert {s.code for s in found.values()} == {"unregistered"}, without
        assert all("lock" in s.text and ("edited" in s.text) for s in found.values()), found
        (said,) = edited_locks(store)
        assert said.where == str(lock_path(store, "mine"))
        with pytest.raises((GateRefused, StoreError), match=r"not as it was made|was edited"):
            lock_study(store, MANIFEST)


def test_a_lock_without_its_digest_field_counts_for_nothing(store: Store) -> None:
    lock_study(store, MANIFEST)
    whole = json.loads(lock_path(store, "mine").read_text())
    del whole["sealed"], whole["seal"]
    lock_path(store, "mine").write_text(json.dumps(whole))
    assert {s.code for s in stamps(MANIFEST, read_lock(store, "mine")).values()} == {"unregistered"}
    lock, new = lock_study(store, MANIFEST)
    assert new and not lock.edited and edited_locks(store) == [], "nothing is scored: it may be made anew"


def test_a_lock_that_cannot_be_read_is_found_as_well(store: Store) -> None:
    lock_study(store, MANIFEST)
    lock_path(store, "mine").write_text("{")
    assert len(edited_locks(store)) == 1


def test_contrasts_that_left_the_plan_are_listed_whatever_their_family(store: Store) -> None:
    own = [{**FIRST, "family": "one"}, {**SECOND, "family": "two"}]
    lock, _ = lock_study(store, changed(contrasts=own))
    assert left_plan(changed(contrasts=own), lock) == [] and left_plan(MANIFEST, None) == []
    assert [c["name"] for c in left_plan(changed(contrasts=own[:1]), lock)] == ["second"]
    renamed = changed(contrasts=[own[0], {**own[1], "name": "other"}])
    assert [c["name"] for c in left_plan(renamed, lock)] == ["second"]
    assert stamps(renamed, lock)["other"].code == "exploratory"
