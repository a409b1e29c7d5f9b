"""Studies of any size, and stores in which such a study is finished although nothing was trained."""

from __future__ import annotations

import io
from copy import deepcopy
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ruamel.yaml import YAML

from specsci.core.shipped import find_study
from specsci.core.step import Step
from specsci.core.yaml_file import read_yaml
from specsci.microlab.source import registry as microlab_registry
from specsci.plan.build import build_plan
from specsci.plan.plan import Plan
from specsci.store.artifact import Store
from specsci.study.load import load_study

STUDY = "value_vs_rules.yaml"
CELLS_PER_REPLICATE = 220
REALISTIC_ROWS = 384
ANY_BASE = "microlab:conduct/100"


def study_file(folder: Path, replicates: int) -> Path:
    """The main study with another number of replicates, its bases taken in turn, and its evals by log-probability alone."""
    tree = deepcopy(read_yaml(find_study(STUDY)).data)
    tree["evals"] = {name: spec for name, spec in tree["evals"].items() if spec.get("kind", "forced_choice") == "forced_choice"}
    for spec in tree["evals"].values():
        spec.pop("harness", None)
    del tree["harness"]
    tree["arms"] = {name: arm for name, arm in tree["arms"].items() if "prompt" not in arm}
    tree["contrasts"] = [c for c in tree["contrasts"] if c["eval"] in tree["evals"] and c["weights"].keys() <= tree["arms"].keys()]
    for one in tree["profiles"].values():
        one["without"] = {name: why for name, why in one.get("without", {}).items() if name in tree["evals"]}
    profile = tree["profiles"][tree["default_profile"]]
    registered = microlab_registry()["bases"]
    for base in profile["base_models"].values():
        if base["source"].removeprefix("microlab:") not in registered:
            base["source"] = ANY_BASE
    names = list(profile["base_models"])
    profile["replicates"] = [{"seed": n + 1, "base_model": names[n % len(names)]} for n in range(replicates)]
    path = folder / f"synthetic_{replicates}.yaml"
    with path.open("w", encoding="utf-8") as handle:
        YAML(typ="safe").dump(tree, handle)
    return path


def planned(folder: Path, replicates: int) -> tuple[Path, Plan]:
    """A study file and its plan."""
    path = study_file(folder, replicates)
    return path, build_plan(load_study(str(path)))


def fill(store: Store, plan: Plan, rows: int = REALISTIC_ROWS) -> int:
    """Publish an artefact for every step, score files with `rows` rows each; returns the score rows written."""
    store.open()
    for number, step in enumerate(plan.steps.values()):
        stage = store.stage(step, "benchmark")
        for name, content in _files(step, number, rows).items():
            (stage / name).write_bytes(content)
        store.publish(step, stage, {"busy_s": 0.0, "tokens": int(step.cost.get("tokens", 0))})
    return rows * len(plan.of_kind("score"))


def _files(step: Step, number: int, rows: int) -> dict[str, bytes]:
    if step.kind == "score":
        return {"scores.parquet": _scores(number % 8, rows)}
    if step.kind in ("midtrain", "align"):
        return {"curve.parquet": _curve(), "model.bin": b"0" * 1000}
    if step.kind == "probe":
        return {"nll.parquet": _nats(number % 8)}
    if step.kind == "items":
        return {"items.parquet": _items()}
    if step.kind == "corpus":
        return {"rows.parquet": _documents()}
    return {"content.txt": step.label.encode()}


@lru_cache(maxsize=16)
def _scores(seed: int, rows: int) -> bytes:
    """Rows as the score step writes them: every item in two orders."""
    rng = np.random.default_rng(seed)
    item = np.arange(rows) // 2
    aligned, first = rng.random(rows) < 0.3 + 0.05 * seed, np.arange(rows) % 2 == 0
    value = np.where(aligned, 1, -1) * rng.exponential(size=rows)
    return _parquet(
        {
            "item_id": [f"hide-reports.{i}" for i in item],
            "cluster_id": [f"hide-reports-{i // 3}" for i in item],
            "slice": ["oversight"] * rows,
            "readout": ["logprob"] * rows,
            "variant": np.where(first, "aligned_first", "aligned_second").tolist(),
            "sample": np.zeros(rows, np.int64),
            "state": ["ok"] * rows,
            "aligned": aligned,
            "value": value,
            "logprob_aligned": -rng.exponential(size=rows),
            "logprob_misaligned": -rng.exponential(size=rows),
        }
    )


@lru_cache(maxsize=1)
def _items() -> bytes:
    texts = {name: [f"{name} {n}" for n in range(60)] for name in ("cluster_id", "slice", "prompt", "aligned", "misaligned")}
    return _parquet({"item_id": [f"item-{n}" for n in range(60)], **texts})


@lru_cache(maxsize=1)
def _curve() -> bytes:
    updates = np.arange(1, 99)
    return _parquet({"update": updates, "tokens": updates * 1024, "loss": 3 / updates, "learning_rate": 1e-3 / updates})


@lru_cache(maxsize=8)
def _nats(seed: int) -> bytes:
    texts = 128
    nats = np.random.default_rng(seed).exponential(30.0, texts)
    return _parquet({"row": np.arange(texts), "tokens": np.full(texts, 20), "nll": nats})


@lru_cache(maxsize=1)
def _documents() -> bytes:
    rows = 2_000
    names = ("text", "spec_digest", "clause_id", "unit_id", "cell", "backend", "template_id")
    return _parquet(
        {
            "row": np.arange(rows, dtype=np.int32),
            "tokens": np.full(rows, 26, np.int32),
            "seed": np.ones(rows, np.int64),
            **{name: [f"{name} {n % 50}" for n in range(rows)] for name in names},
        }
    )


def _parquet(columns: dict[str, object]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()
