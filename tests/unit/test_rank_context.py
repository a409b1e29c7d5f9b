"""What a worker tells the processes that share a training step: all of its context, as JSON has it."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

from specsci.core.context import StepContext
from specsci.core.record import Record
from specsci.train.launch import _packed, _unpacked


def test_a_context_comes_out_as_it_went_in(tmp_path: Path) -> None:
    """Every field: one that is added and cannot be written would stop training over several devices, and no small test would see it."""
    plain = {"format": 1, "kind": "base", "digest": "a" * 24, "identity": {"kind": "base"}, "files": {"x": {"bytes": 1, "sha256": "0"}}, "packs": True}
    given = StepContext(
        kind="midtrain", digest="b" * 24, params={"tokens": 3}, inputs={"base": tmp_path / "base"}, records={"base": Record.of(plain)},
        input_digests={"base": "a" * 24}, out=tmp_path / "out", scratch=tmp_path / "scratch", runtime={"device": "cpu"},
        checkpoints=tmp_path / "checkpoints", outside=str(tmp_path), store=tmp_path / "store",
    )  # fmt: skip
    found = _unpacked(json.loads(json.dumps(_packed(given))), tmp_path)
    for field in fields(StepContext):
        if field.name != "progress":
            assert getattr(found, field.name) == getattr(given, field.name), field.name
    assert found.records["base"].facts == {"packs": True}
