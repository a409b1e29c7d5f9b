"""What end-to-end and crash tests share: studies, runs in processes of their own, and looks into a store."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow.parquet as pq

from specsci.core.record import Record
from specsci.database.manifest import Manifest

MARK = "TEST_RUN_MARK"
SCALE = """\
midtrain:
  tokens: 2000
  recipe: {method: full, learning_rate: 1.0e-3, sequences_per_update: 8, max_length_tokens: 64}
align:
  budgets_tokens: [150, 300]
  recipe: {method: full, learning_rate: 1.0e-4, sequences_per_update: 4, max_length_tokens: 65}
gates: {accept_few_updates: a test of the machinery}
runtime: {threads_per_worker: 1}
"""
"""The stages of the small studies: seconds of training."""

SMALL = (
    """\
study: small
title: A part of the tiny study
hypothesis: Equal steps give equal rows.
family: microlab_conduct
arms:
  base: {title: base}
  rules: {title: MSM and AFT, midtrain: rules, align: choices}
evals:
  held_out: {items: held_out}
base_models:
  dev: {source: "microlab:conduct/100"}
replicates:
  - {seed: 1, base_model: dev}
"""
    + SCALE
)
"""One replicate and two arms of conftest's TINY: its steps have the same digests."""

COMMAND = (sys.executable, "-m", "specsci")


@dataclass
class Running:
    """A command line that runs in its own process group, with a mark that its workers inherit."""

    process: subprocess.Popen[str]
    mark: str

    def wait(self, timeout_s: float = 240) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        out, err = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, out, err

    def others(self) -> list[int]:
        """Process ids of everything else that carries the mark: workers, and their helpers."""
        return [pid for pid in marked(self.mark) if pid != self.process.pid]

    def gone(self, within_s: float = 15) -> bool:
        """Whether every process that carries the mark ends in time."""
        until = time.monotonic() + within_s
        while marked(self.mark):
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True


def start(
    *args: str | Path, command: tuple[str, ...] = COMMAND, cwd: Path | None = None, env: dict[str, str] | None = None
) -> Running:
    """Start the command line and do not wait for it."""
    mark = uuid.uuid4().hex
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", **(env or {}), MARK: mark}
    process = subprocess.Popen(
        [*command, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=environment,
        start_new_session=True,
        preexec_fn=_hear_ctrl_c,
    )
    return Running(process, mark)


def _hear_ctrl_c() -> None:
    """A background job's children ignore SIGINT, and would ignore a test's."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(
    *args: str | Path, apart: bool = False, cwd: Path | None = None, env: dict[str, str] | None = None, **options: Any
) -> tuple[int, str, str]:
    """Run the command line to its end; returns exit code, stdout and stderr.

    It runs in this process, where torch is loaded once, and a study's steps run one after another there; in a process of
    its own where `apart` says so, another command is given, or the environment matters before anything is imported.
    """
    if options:
        return start(*args, cwd=cwd, env=env, **options).wait()
    words = [str(a) for a in args]
    runs = words[:2] == ["study", "run"] or (words[:1] == ["tune"] and not {"--show", "--dry-run"} & set(words))
    if runs and "--executor" not in words:
        words += ["--executor", "inline"]
    if apart or any(name.startswith(("HF_", "PYTHON", "PATH")) for name in env or {}):
        return start(*words, cwd=cwd, env=env).wait()
    return _here(words, cwd or Path.cwd(), env or {})


def _here(words: list[str], folder: Path, env: dict[str, str]) -> tuple[int, str, str]:
    from specsci.cli.main import main

    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2)]
    code = 0
    with (
        mock.patch.object(sys, "argv", ["specsci", *words]),
        mock.patch.dict(os.environ, env),
        chdir(folder),
        redirect_stdout(streams[0]),
        redirect_stderr(streams[1]),
    ):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    out, err = (s.buffer.getvalue().decode() for s in streams)  # type: ignore[attr-defined]
    return code, out, err


def run_study(study: Path, store: Path, workers: int | None = None, **options: Any) -> dict[str, Any]:
    """Run a study to its end; returns the one JSON document, and asserts that nothing failed."""
    more = ("--workers", str(workers)) if workers else ()
    code, out, err = run("study", "run", study, "--store", store, "--json", *more, **options)
    assert code == 0, out + err
    report: dict[str, Any] = json.loads(out)
    return report


def marked(mark: str) -> list[int]:
    """Live processes whose environment carries a mark."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes() and _state(folder) != "Z":
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def _state(folder: Path) -> str:
    return (folder / "stat").read_text().rsplit(")", 1)[1].split()[0]


@dataclass
class Finished:
    """A study file, its finished store, and what `run --json` said."""

    study: Path
    store: Path
    report: dict[str, Any] = field(default_factory=dict)


def digests(store: Path) -> set[str]:
    """`kind/digest` of every artefact."""
    return {f"{p.parent.name}/{p.name}" for p in (store / "steps").glob("*/*")}


def records(store: Path, kind: str = "*") -> dict[str, dict[str, Any]]:
    """`kind/digest` to record."""
    paths = (store / "steps").glob(f"{kind}/*/record.json")
    return {f"{p.parent.parent.name}/{p.parent.name}": json.loads(p.read_text()) for p in paths}


def artifact(store: Path, kind: str, label: str) -> Path:
    """The directory of the one artefact whose label contains a text."""
    (found,) = [r for r in records(store, kind).values() if label in r["label"]]
    return store / "steps" / kind / str(found["digest"])


def score_rows(store: Path) -> dict[str, list[dict[str, Any]]]:
    """Step digest to score rows, in file order."""
    return {p.parent.name: pq.read_table(p).to_pylist() for p in (store / "steps" / "score").glob("*/scores.parquet")}


def made_at(store: Path) -> dict[str, int]:
    """`kind/digest` to the time its record was written: what was made anew has another."""
    return {f"{p.parent.parent.name}/{p.parent.name}": p.stat().st_mtime_ns for p in store.glob("steps/*/*/record.json")}


def made_anew(before: dict[str, int], store: Path) -> set[str]:
    """`kind/digest` of what was written since."""
    return {name for name, at in made_at(store).items() if before.get(name) != at}


def flip_byte(path: Path) -> None:
    """Change one byte in the middle of a file; size and times stay."""
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path]:
    """A file system of a few MiB; yields nothing (the test skips) where mounting is not allowed."""
    import pytest

    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no mount command")
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def grow(disk: Path, mib: int) -> None:
    """Give a small disk more room."""
    subprocess.run(["mount", "-o", f"remount,size={mib}m", str(disk)], check=True)


def edited(text: str, changes: dict[str, str]) -> str:
    """A study's text with every old piece, which must occur, replaced."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def record(
    kind: str, digest: str = "d" * 24, *, params: Any = None, inputs: Any = None, identity: Any = None, **facts: Any
) -> Record:
    """An artefact's record that a test makes up."""
    identity = identity or {"kind": kind, "version": 1, "params": params or {}, "inputs": inputs or {}}
    return Record.of({"kind": kind, "digest": digest, "identity": identity, "files": {}, **facts})


def manifest(part: dict[str, Any]) -> Manifest:
    """The manifest of a study of which a test says only what it is about."""
    cell = {"arm": "a", "base_model": "m", "msm_spec": None, "aft_spec": None, "aft_tokens": 0, "midtrain_tokens": 0, "seed": 1,
            "eval": "q", "step_digest": "0", "model_digest": None}  # fmt: skip
    contrast = {"family": "main", "primary": False, "scale": "rate", "question": "", "confounds": []}
    cells = [{**cell, **c} for c in part.get("cells", [])]
    contrasts = [{**contrast, **c} for c in part.get("contrasts", [])]
    named = [*(c["arm"] for c in cells), *(a for c in contrasts for a in c["weights"])]
    arms = part.get("arms") or {name: {} for name in named}
    efficiency = part.get("token_efficiency")
    return Manifest.model_validate({
        "manifest": 1, "study": "mine", "title": "", "hypothesis": "", "profile": "micro", "family": "f", "family_version": "1",
        "file": "s.yaml", "correction": "holm", "steps": {}, "evals": {c["eval"]: {} for c in cells}, **part,
        "arms": {name: {"title": name, "midtrain": None, "align": None, **arm} for name, arm in arms.items()},
        "replicates": [{"seed": 1, "base_model": "m", **r} for r in part.get("replicates", [])],
        "token_efficiency": {"eval": "q", "level_share": 0.5, "base": "a", "pairs": [], **efficiency} if efficiency else None,
        "cells": cells, "contrasts": contrasts,
    })  # fmt: skip


def manifest_file(store: Path, whole: Manifest) -> None:
    """Write a manifest where its store has it."""
    path = store / "studies" / f"{whole.study}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole.plain()))


TINY = (
    """\
study: tiny
title: A tiny study
hypothesis: Rules help.
family: microlab_conduct
contrasts:
  - {name: rules_over_aft, eval: held_out, weights: {rules: 1, aft: -1}, budget_tokens: 300, factor: midtrain}
token_efficiency: {eval: held_out, pairs: [{arm: rules, reference: aft}]}
arms:
  base: {title: base}
  aft: {title: AFT, align: choices}
  msm_rules: {title: MSM, midtrain: rules}
  rules: {title: MSM and AFT, midtrain: rules, align: choices}
evals:
  held_out: {items: held_out}
  competence: {items: competence, role: competence}
base_models:
  dev: {source: "microlab:conduct/100"}
replicates:
  - {seed: 1, base_model: dev}
  - {seed: 2, base_model: dev}
"""
    + SCALE
)
