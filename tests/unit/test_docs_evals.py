"""What docs/evals.md shows is accepted: every YAML block's evals, conditions and contrasts, and every key of a condition is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from specsci.study.evals import EVALS, of_kind
from specsci.study.harness import Condition, InsertedTurn
from specsci.study.parts import Contrast, Engine

TEXT = (Path(__file__).parents[2] / "docs" / "evals.md").read_text()
BLOCKS: list[dict[str, Any]] = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)]


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_every_block_is_accepted(number: int) -> None:
    block = BLOCKS[number]
    assert block.keys() <= {"evals", "harness", "contrasts", "generators", "engines"}
    for settings in block.get("evals", {}).values():
        of_kind(settings)
    for condition in block.get("harness", {}).values():
        Condition.model_validate(condition)
    for engine in block.get("engines", {}).values():
        Engine.model_validate(engine)
    for contrast in block.get("contrasts", []):
        Contrast.model_validate(contrast)


def test_every_kind_and_every_key_of_a_condition_is_told() -> None:
    assert [kind for kind in EVALS.objects if f"`{kind}`" not in TEXT] == []
    keys = set(Condition.model_fields) - {"title", "monitoring_text", "tools"} | set(InsertedTurn.model_fields)
    assert [key for key in sorted(keys) if f"{key}:" not in TEXT] == []
