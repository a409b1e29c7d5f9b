"""Token efficiency of declared pairs: what each token accounting adds to the tokens of alignment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pytest

from specsci.database.manifest import Manifest
from specsci.inference.token_efficiency import efficiency_rows
from specsci.store.artifact import Store

BUDGETS = [1000, 2000, 4000, 8000]
CURVES = {"base": {0: 0.8}, "aft": dict(zip(BUDGETS, (0.8, 0.6, 0.4, 0.2), strict=True))} | {
    "rules": dict(zip(BUDGETS, (0.6, 0.4, 0.2, 0.1), strict=True))
}
MIDTRAINED, WRITTEN = 50_000, {1: 61_000, 2: 63_000}


class FixedRates:
    """Misaligned rates of `replicates` that differ by a little, less `gone` of them."""

    def __init__(self, replicates: int = 2, spread: float = 0.0, curves: dict[str, dict[int, float]] = CURVES) -> None:
        self.replicates, self.spread, self.curves = replicates, spread, curves

    def paired(self, name: str, groups: list[list[tuple[str, int]]]) -> tuple[np.ndarray, list[tuple[str, int]]]:
        row = np.array([1 - self.curves[arm][budget] for ((arm, budget),) in groups])
        rng = np.random.default_rng(0)
        rows = [row + rng.normal(0, self.spread, len(row)) for _ in range(self.replicates)]
        return np.array(rows).reshape(-1, len(row)), [(str(n), n) for n in range(self.replicates)]


def record(root: Path, kind: str, digest: str, inputs: dict[str, str], **facts: Any) -> None:
    folder = root / "steps" / kind / digest
    folder.mkdir(parents=True)
    content = {"kind": kind, "digest": digest, "identity": {"inputs": inputs}, "files": {}, **facts}
    (folder / "record.json").write_text(json.dumps(content))


def manifest(root: Path) -> Manifest:
    """Two arms and the base in two replicates; `rules` was midtrained on a corpus of each."""
    cells = []
    for seed, written in WRITTEN.items():
        record(root, "corpus", f"corpus{seed}", {}, tokens=written)
        record(root, "midtrain", f"midtrain{seed}", {"corpus": f"corpus{seed}"}, tokens=MIDTRAINED)
        for arm, curve in CURVES.items():
            for budget in curve:
                model = f"{arm}{seed}at{budget}"
                record(root, "align", model, {"model": f"midtrain{seed}"} if arm == "rules" else {})
                tokens = MIDTRAINED if arm == "rules" else 0
                cells.append(
                    {"arm": arm, "seed": seed, "aft_tokens": budget, "midtrain_tokens": tokens, "model_digest": model, "eval": "held_out"}
                )
    declared = {"eval": "held_out", "base": "base", "level_share": 0.5, "pairs": [{"arm": "rules", "reference": "aft"}]}
    return harness.manifest({"study": "s", "cells": cells, "replicates": [{}, {}], "token_efficiency": declared})


def test_generated_tokens_are_the_mean_of_the_corpora_and_come_on_top_of_midtraining(tmp_path: Path):
    rows = {r["counting"]: r for r in efficiency_rows(Store(tmp_path), manifest(tmp_path), FixedRates(), {})}  # type: ignore[arg-type]
    assert list(rows) == ["AFT tokens", "AFT and midtraining tokens", "AFT, midtraining and generated tokens"]
    assert [r["ratio_value"] for r in rows.values()] == pytest.approx([4000 / 2000, 4000 / 52_000, 4000 / 114_000])
    assert [r["arm_tokens"] for r in rows.values()] == ["2,000", "52,000", "114,000"]
    assert {r["reference_tokens"] for r in rows.values()} == {"4,000"}


def test_without_the_corpora_generation_is_not_counted(tmp_path: Path):
    declared = manifest(tmp_path / "elsewhere")
    rows = efficiency_rows(Store(tmp_path), declared, FixedRates(spread=0.01), {"aft": ["retired"]})  # type: ignore[arg-type]
    assert [r["counting"] for r in rows] == ["AFT tokens", "AFT and midtraining tokens"]
    assert [f["text"] for r in rows for f in r["flags"]] == ["withdrawn: retired"] * len(rows)


def codes(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(f["code"], f["severity"]) for f in row["flags"]]


def rows_of(tmp_path: Path, **rates: Any) -> list[dict[str, Any]]:
    return efficiency_rows(Store(tmp_path), manifest(tmp_path), FixedRates(**rates), {})  # type: ignore[arg-type]


def test_what_keeps_an_interval_from_being_known_is_a_flag(tmp_path: Path):
    assert codes(rows_of(tmp_path / "same")[0]) == [("no_spread", "warning")]
    apart = rows_of(tmp_path / "apart", spread=0.01)[0]
    assert codes(apart) == [] and apart["ci_low"] < 2 < apart["ci_high"] and "jackknife" in apart["method"]
    one = rows_of(tmp_path / "one", replicates=1)[0]
    assert codes(one) == [("incomplete", "invalid"), ("one_replicate", "warning")]
    assert one["ratio_value"] == pytest.approx(2.0) and one["ci_low"] is one["ci_high"] is None


def test_a_pair_that_no_replicate_has_whole_keeps_its_row(tmp_path: Path):
    (row,) = rows_of(tmp_path, replicates=0)
    assert codes(row) == [("incomplete", "invalid")] and (row["n"], row["ratio"], row["level"]) == (0, None, None)


def test_a_steep_curve_is_a_flag(tmp_path: Path):
    steep = {**CURVES, "rules": dict(zip(BUDGETS, (0.78, 0.75, 0.1, 0.05), strict=True))}
    row = rows_of(tmp_path, spread=0.01, curves=steep)[0]
    assert codes(row) == [("steep_curve", "warning")]
    assert "the curve of rules falls by 8" in row["flags"][0]["text"], "of .65 from a base of .8"
