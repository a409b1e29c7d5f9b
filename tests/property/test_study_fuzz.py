"""Mutated study files: `study check`, and `study plan` where it passes, end with 0, 2 or 3, with a place, quickly.

SPECSCI_FUZZ_STUDIES sets the number of mutants of the slow test.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import harness
import mutants
import pytest
from harness import TINY

from specsci.core.shipped import shipped
from specsci.core.yaml_file import read_yaml

MERGED = harness.SMALL.replace(
    "recipe: {method: full, learning_rate: 1.0e-3,", "recipe: &r {method: full, learning_rate: 1.0e-3,"
).replace(
    "  recipe: {method: full, learning_rate: 1.0e-4, sequences_per_update: 4, max_length_tokens: 65}",
    "  recipe: {<<: *r, learning_rate: 1.0e-4}",
)
RICH = TINY.replace("held_out: {items: held_out}", "held_out: {items: held_out, format: text}") + (
    "probe: {tokens: 500, control: notes.jsonl}\ncorrection: bh\nnotes: a note\n"
    "profiles:\n  micro: {midtrain: {replay_share: 0.25}}\n  big: {replicates: [{seed: 3, base_model: dev}]}\n"
)


def sources(folder: Path) -> list[tuple[bytes, object]]:
    """The studies that are mutated: small ones written here several times, and every shipped one."""
    (folder / "notes.jsonl").write_text('{"text": "a note"}\n' * 50)
    texts = [harness.SMALL, TINY, MERGED, RICH] * 9 + [p.read_text() for p in sorted(shipped("studies").glob("*.yaml"))]
    found = []
    for text in texts:
        (folder / "source.yaml").write_text(text)
        found.append((text.encode(), read_yaml(folder / "source.yaml").data))
    return found


def fuzz(folder: Path, count: int, seed: int) -> Counter[str]:
    """How the mutants of one seed end; raises AssertionError with what failed, one example a site."""
    rng, studies, ends = random.Random(seed), sources(folder), Counter()
    faults: dict[str, str] = {}
    for number in range(count):
        file = folder / "mutant.yaml"
        file.write_bytes(mutants.mutant(*rng.choice(studies), rng))
        done = mutants.call("study", "check", file)
        ends[f"check {done.code}"] += 1
        fault = done.fault(located=True)
        if not fault and done.code in (0, 3):
            planned = mutants.call("study", "plan", file, "--store", folder / "store")
            ends[f"plan {planned.code}"] += 1
            fault = planned.fault(located=True) or ("" if planned.code == done.code else "check and plan differ")
        if fault:
            ends["faults"] += 1
            key = mutants.site(fault)
            if key not in faults:
                faults[key] = f"seed {seed}, mutant {number}: {fault}"
                kept = os.environ.get("SPECSCI_FUZZ_KEEP")
                if kept:
                    (Path(kept) / f"study_{seed}_{number}.yaml").write_bytes(file.read_bytes())
    assert not faults, f"{ends}\n" + "\n".join(faults.values())
    return ends


def test_mutated_studies_end_with_a_message(tmp_path: Path) -> None:
    ends = fuzz(tmp_path, 200, seed=1)
    assert ends["check 2"] > 60 and ends["check 0"] + ends["check 3"] > 10


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_many_mutated_studies_end_with_a_message(tmp_path: Path) -> None:
    ends = fuzz(tmp_path, int(os.environ.get("SPECSCI_FUZZ_STUDIES", "20000")), seed=2)
    assert ends["check 0"] + ends["check 2"] + ends["check 3"] == int(os.environ.get("SPECSCI_FUZZ_STUDIES", "20000"))
