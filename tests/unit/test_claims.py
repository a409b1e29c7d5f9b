"""Claims: what makes one hold, weakens it, makes it a draft again, or takes it away; retirements are never lost."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import harness
import pytest

from specsci.core.errors import UserError
from specsci.core.ids import digest
from specsci.governance.claims import Claim, evidence, status_of, write_claim
from specsci.governance.retired import Retirements, read_retired, reasons_of, retire
from specsci.store.artifact import Store

PARTS: dict[str, Any] = {
    "study": "mine",
    "contrasts": [{"name": "c", "eval": "q", "weights": {"a": 1, "b": -1}, "budgets": [100]}],
    "evals": {"q": {}},
    "cells": [
        {"arm": arm, "eval": "q", "aft_tokens": budget, "base_model": "m", "seed": 1, "step_digest": f"score{arm}{budget}"}
        for arm, budget in (("a", 100), ("b", 0), ("a", 200), ("z", 0))
    ],
}
MANIFEST = harness.manifest(PARTS)
ROW: dict[str, Any] = {
    "ci_low": 0.1, "ci_high": 0.3, "p_adj": 0.01, "flags": [], "confounds": "", "registration": "registered", "registered": "registered 2026-01-01",
}  # fmt: skip


def flag(code: str, severity: str, text: str) -> dict[str, str]:
    return {"code": code, "severity": severity, "text": text}


def claim(**more: Any) -> Claim:
    declared, rows = evidence(MANIFEST, "c")
    return Claim("x", "mine", "c", "text", "me", "2026-01-01", declared, digest(rows), **more)


def test_an_interval_that_excludes_0_with_nothing_against_it_holds() -> None:
    found = status_of(claim(), ROW, MANIFEST, [])
    assert (found.status, found.why) == ("holds", [])
    harmless = flag("equivalent", "note", "equivalent within ±0.5 (TOST p 0.01)")
    assert status_of(claim(), {**ROW, "flags": [harmless]}, MANIFEST, []).status == "holds"


@pytest.mark.parametrize(
    "text", ["incomplete in a sense; withheld", "equivalent within reach; withdrawn: a", "null: insensitive"]
)
@pytest.mark.parametrize(("severity", "status"), [("note", "holds"), ("warning", "fragile")])
def test_free_text_never_changes_how_a_claim_stands(text: str, severity: str, status: str) -> None:
    """Words of a user that look like another flag: code and severity decide, and the text comes back whole."""
    found = status_of(claim(), {**ROW, "flags": [flag("tuned_to_target", severity, text)]}, MANIFEST, [])
    assert found.status == status and found.why == ([text] if status == "fragile" else [])
    late = status_of(claim(), {**ROW, "registered": "exploratory: so they say"}, MANIFEST, [])
    assert late.status == "holds", "the registration's code is read, not its sentence"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"flags": [flag("tuned_to_target", "warning", "tuned to target: fig 7")]}, "tuned to target: fig 7"),
        (
            {
                "flags": [
                    flag(
                        "capability",
                        "warning",
                        "capability: accuracy of a on facts is 0.5, that of the base model (no treatment) 0.9",
                    )
                ]
            },
            "capability",
        ),
        ({"flags": [flag("replicate_decides", "warning", "sensitive: one replicate decides the verdict")]}, "sensitive"),
        ({"confounds": "aft_tokens (0 against 4000)"}, "confounded: aft_tokens"),
        ({"registration": "unregistered", "registered": "unregistered"}, "unregistered"),
        (
            {"registration": "unregistered", "registered": "unregistered: the lock of 2026-01-01 does not count"},
            "does not count",
        ),
        ({"registration": "late", "registered": "late: locked on 2026-01-01 with 3 cells already scored"}, "late"),
        (
            {"registration": "exploratory", "registered": "exploratory: changed after the lock of 2026-01-01: scale"},
            "exploratory",
        ),
        ({"p_adj": 0.06}, "p corrected over its family is 0.060"),
        ({"ci_low": -0.1}, "the interval covers 0"),
    ],
)
def test_whatever_speaks_against_it_makes_it_fragile(more: dict[str, Any], why: str) -> None:
    found = status_of(claim(), {**ROW, **more}, MANIFEST, [])
    assert found.status == "fragile" and any(why in w for w in found.why)


def test_it_is_a_draft_when_its_contrast_is_incomplete_or_changed() -> None:
    assert (
        status_of(
            claim(), {**ROW, "flags": [flag("incomplete", "invalid", "incomplete: 3 of 4 replicates")]}, MANIFEST, []
        ).status
        == "draft"
    )
    assert status_of(claim(), {**ROW, "ci_low": None}, MANIFEST, []).status == "draft"
    other = copy.deepcopy(PARTS)
    other["cells"][0]["step_digest"] = "another"
    assert "its rows changed" in status_of(claim(), ROW, harness.manifest(other), []).why[0]
    other["contrasts"][0]["weights"] = {"a": 1, "z": -1}
    assert "its declaration and its rows changed" in status_of(claim(), ROW, harness.manifest(other), []).why[0]


def test_it_is_withdrawn_with_its_evidence_and_by_hand() -> None:
    assert status_of(claim(), ROW, MANIFEST, ["step was invalidated: x"]).status == "withdrawn"
    assert status_of(claim(withdrawn="I erred"), ROW, MANIFEST, []).why == ["I erred"]
    assert status_of(claim(), None, None, []).status == "withdrawn"


def test_a_withdrawn_claim_is_not_made_again_under_its_name(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    write_claim(store, claim())
    write_claim(store, claim(withdrawn="I erred"))
    with pytest.raises(UserError, match="was withdrawn: I erred"):
        write_claim(store, claim())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store in which the score of arm a rests on a model that rests on a corpus."""
    found = Store(tmp_path).open()
    harness.manifest_file(found.root, MANIFEST)
    chain = {
        "scorea100": ("score", {"model": "model1"}),
        "model1": ("midtrain", {"corpus": "corpus1"}),
        "corpus1": ("corpus", {}),
    }
    for name, (kind, inputs) in chain.items():
        folder = found.path(kind, name)
        folder.mkdir(parents=True)
        record = {"kind": kind, "digest": name, "identity": {"inputs": inputs}, "files": {}}
        (folder / "record.json").write_text(json.dumps(record))
    return found


def reasons(store: Store) -> list[str]:
    return reasons_of(MANIFEST.contrasts[0], Retirements(store).cells(MANIFEST))


def test_a_retired_step_invalidates_all_that_was_made_from_it_even_when_it_is_gone(store: Store) -> None:
    assert reasons(store) == []
    retire(store, "model1", "wrong corpus", "me")
    assert reasons(store) == ["model1 was invalidated: wrong corpus"]
    (store.path("midtrain", "model1") / "record.json").unlink()
    assert reasons(store) == ["model1 was invalidated: wrong corpus"], "clearing the disk brings nothing back"


def test_a_retired_instrument_invalidates_its_contrasts(store: Store) -> None:
    retire(store, "eval:mine/q", "leaked", "me")
    assert reasons(store) == ["eval q was invalidated: leaked"]
    with pytest.raises(UserError, match="no eval 'r'"):
        retire(store, "eval:mine/r", "leaked", "me")


def test_two_retirements_at_once_are_both_kept(store: Store) -> None:
    """Each has its own file: nobody reads a list, adds to it, and writes over what another wrote meanwhile."""
    retire(store, "model1", "x", "me")
    retire(store, "corpus1", "y", "you")
    retire(store, "model1", "x, and worse", "me")
    assert {(r.what, r.reason) for r in read_retired(store)} == {("model1", "x, and worse"), ("corpus1", "y")}
