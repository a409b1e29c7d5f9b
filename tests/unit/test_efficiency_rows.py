"""Token efficiency of declared pairs: what each way of counting adds to the tokens of alignment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from specsci.results.efficiency import efficiency_rows
from specsci.store.artifact import Store

BUDGETS = [1000, 2000, 4000, 8000]
CURVES = {"base": {0: 0.8}, "aft": dict(zip(BUDGETS, (0.8, 0.6, 0.4, 0.2), strict=True))} | {
    "rules": dict(zip(BUDGETS, (0.6, 0.4, 0.2, 0.1), strict=True))
}
MIDTRAINED, WRITTEN = 50_000, {1: 61_000, 2: 63_000}


class FixedRates:
    """Misaligned rates that every replicate has alike."""

    def paired(self, name: str, groups: list[list[tuple[str, int]]]) -> tuple[np.ndarray, list[tuple[str, int]]]:
        row = [1 - CURVES[arm][budget] for ((arm, budget),) in groups]
        return np.array([row, row]), [("one", 1), ("two", 2)]


def record(root: Path, kind: str, digest: str, inputs: dict[str, str], **facts: Any) -> None:
    folder = root / "steps" / kind / digest
    folder.mkdir(parents=True)
    content = {"kind": kind, "digest": digest, "identity": {"inputs": inputs}, "files": {}, **facts}
    (folder / "record.json").write_text(json.dumps(content))


def manifest(root: Path) -> dict[str, Any]:
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
                    {"arm": arm, "seed": seed, "aft_tokens": budget, "midtrain_tokens": tokens, "model_digest": model}
                )
    declared = {"eval": "held_out", "base": "base", "level_share": 0.5, "pairs": [{"arm": "rules", "reference": "aft"}]}
    return {"study": "s", "cells": cells, "replicates": [{}, {}], "token_efficiency": declared}


def test_generated_tokens_are_the_mean_of_the_corpora_and_come_on_top_of_midtraining(tmp_path: Path):
    rows = {r["counting"]: r for r in efficiency_rows(Store(tmp_path), manifest(tmp_path), FixedRates(), {})}  # type: ignore[arg-type]
    assert list(rows) == ["AFT tokens", "AFT and midtraining tokens", "AFT, midtraining and generated tokens"]
    assert [r["ratio_value"] for r in rows.values()] == pytest.approx([4000 / 2000, 4000 / 52_000, 4000 / 114_000])
    assert [r["arm_tokens"] for r in rows.values()] == ["2,000", "52,000", "114,000"]
    assert {r["reference_tokens"] for r in rows.values()} == {"4,000"}


def test_without_the_corpora_generation_is_not_counted(tmp_path: Path):
    declared = manifest(tmp_path / "elsewhere")
    rows = efficiency_rows(Store(tmp_path), declared, FixedRates(), {"aft": ["retired"]})  # type: ignore[arg-type]
    assert [r["counting"] for r in rows] == ["AFT tokens", "AFT and midtraining tokens"]
    assert [f["text"] for r in rows for f in r["flags"]] == ["withdrawn: retired"] * len(rows)
