"""Snakemake and DVC in an environment of their own, with the same graph of finished steps as a plan."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.common import CACHE, process
from specsci.plan.plan import Plan

VERSIONS = {"snakemake": "9.27.1", "dvc": "3.67.1"}
SNAKEFILE = """\
import json
NEEDS = json.load(open("needs.json"))

rule all:
    input: expand("out/{step}.txt", step=NEEDS)

rule step:
    input: lambda wildcards: [f"out/{need}.txt" for need in NEEDS[wildcards.step]]
    output: "out/{step}.txt"
    shell: "echo {wildcards.step} > {output}"
"""


def installed() -> Path:
    """The folder of the peers' commands, installed on first use.

    Raises:
        RuntimeError: they cannot be installed, with pip's own words.
    """
    home = CACHE / "peers"
    stamp, wanted = home / "installed.json", json.dumps(VERSIONS)
    if not stamp.is_file() or stamp.read_text() != wanted:
        pins = [f"{name}=={version}" for name, version in VERSIONS.items()]
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        done = subprocess.run([str(home / "bin" / "pip"), "install", "--quiet", *pins], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(
                f"{' and '.join(pins)} cannot be installed into {home}: {done.stderr[-800:]}\n"
                "the no-op benchmark needs a package index; run the others with --only"
            )
        stamp.write_text(wanted)
    return home / "bin"


def needs_of(plan: Plan) -> dict[str, list[str]]:
    """Each step and what it needs, in an order in which needs come first."""
    return {digest: sorted(step.needs) for digest, step in plan.steps.items()}


def snakemake_finished(bin_: Path, needs: dict[str, list[str]]) -> Path:
    """A workflow that snakemake itself has run to its end; kept from run to run (it takes minutes)."""
    text = json.dumps(needs)
    folder = CACHE / f"snakemake-{hashlib.sha256((SNAKEFILE + text).encode()).hexdigest()[:12]}"
    if not (folder / "finished").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "Snakefile").write_text(SNAKEFILE)
        (folder / "needs.json").write_text(text)
        process([str(bin_ / "snakemake"), "--cores", "1", "--quiet", "all", "--rerun-incomplete"], cwd=folder)
        (folder / "finished").touch()
    return folder


def dvc_finished(bin_: Path, needs: dict[str, list[str]], folder: Path) -> Path:
    """A repository in which every stage is done: the lock file as `dvc repro` writes it (running takes hours)."""
    (folder / "out").mkdir(parents=True)
    process(["git", "init", "--quiet"], cwd=folder)
    process([str(bin_ / "dvc"), "init", "--quiet"], cwd=folder, env={"DVC_NO_ANALYTICS": "1"})
    facts, stages, locked = {}, {}, {}
    for digest, before in needs.items():
        path, text = f"out/{digest}.txt", f"{digest}\n"
        (folder / path).write_text(text)
        facts[digest] = {"path": path, "hash": "md5", "md5": hashlib.md5(text.encode()).hexdigest(), "size": len(text)}
        command = f"echo {digest} > {path}"
        stages[digest] = {"cmd": command, "deps": [f"out/{d}.txt" for d in before], "outs": [{path: {"cache": False}}]}
        locked[digest] = {"cmd": command, "deps": [facts[d] for d in before], "outs": [facts[digest]]}
    (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    (folder / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": locked}))
    return folder
