"""What this machine can run: one finding per thing, each with what to do where it is wanting."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from specsci.core.machine import cores
from specsci.execute.doctor_store import store_checks
from specsci.execute.findings import Check
from specsci.sources.registry import examples

HUB, HUB_TIMEOUT_S = "huggingface.co", 3.0
LITTLE_DISK_GIB = 5.0
MIN_PYTHON = (3, 11)
BREAKS_TRANSFORMERS = ("torchvision", "torchaudio")


def checks(store: Path) -> Iterator[Check]:
    """All checks of this machine; the store's folder need not exist."""
    yield _python()
    yield from _packages()
    yield from _devices()
    yield _bitsandbytes()
    yield _disk(store)
    yield from store_checks(store)
    yield _hub()


def _python() -> Check:
    text = f"{platform.python_version()} on {platform.platform()}"
    if sys.version_info < MIN_PYTHON:
        return Check("python", "error", text, "install Python 3.11 or newer")
    return Check("python", "ok", text)


EXTRAS = {"train": ("torch", "training and scoring"), "plots": ("seaborn", "figures and pages")}
"""Extras of pyproject.toml: the module that stands for each, and what it serves."""


def _packages() -> Iterator[Check]:
    """What specsci needs, against the ranges it was tested with; an extra that is not installed at all is told as such."""
    missing, outside = [], []
    required = [Requirement(text) for text in requires("specsci") or []]
    wanted = [need for need in required if need.marker is None or need.marker.evaluate({"extra": ""})]
    for extra, (module, serves) in EXTRAS.items():
        more = [n for n in required if n not in wanted and n.marker is not None and n.marker.evaluate({"extra": extra})]
        if more and find_spec(module) is None:
            hint = f"pip install -c constraints.txt 'specsci[{extra}]'"
            yield Check(f"extra {extra}", "warn", f"not installed: no {serves}", hint)
        else:
            wanted += more
    for need in wanted:
        try:
            have = version(need.name)
        except PackageNotFoundError:
            missing.append(need.name)
            yield Check(need.name, "error", "missing", f'pip install "{need.name}{need.specifier}"')
            continue
        if not need.specifier.contains(have.partition("+")[0], prereleases=True):
            outside.append(f"{need.name} {have} (tested is {need.specifier})")
            hint = f'pip install "{need.name}{need.specifier}"'
            yield Check(need.name, "warn", f"{have}, tested is {need.specifier}", hint)
    if missing or outside:
        said = [f"missing: {', '.join(missing)}"] if missing else []
        said += [f"out of the tested ranges: {', '.join(outside)}"] if outside else []
        hint = "pip install -c constraints.txt specsci"
        yield Check("packages", "error" if missing else "warn", "; ".join(said), hint)
    else:
        yield Check("packages", "ok", "all within the tested ranges")
    for name in BREAKS_TRANSFORMERS:
        if find_spec(name) is not None and not _imports(name):
            yield Check(
                name, "error", "installed and cannot be imported: transformers fails with it", f"pip uninstall {name}"
            )


def _imports(name: str) -> bool:
    try:
        __import__(name)
    except Exception:  # noqa: BLE001 - whatever it raises, it does not import
        return False
    return True


def _devices() -> Iterator[Check]:
    try:
        import torch
    except Exception as error:  # noqa: BLE001 - a broken torch is what is to be told
        yield Check("torch", "error", f"cannot be imported: {error}", "pip install -c constraints.txt torch")
        return
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    yield Check("torch", "ok", f"{torch.__version__}, {build} build")
    wait = os.environ.get("OMP_WAIT_POLICY", "")
    note = "" if wait.upper() == "PASSIVE" else "; workers set OMP_WAIT_POLICY=PASSIVE themselves"
    flags = _cpu_flags()
    fast = [name for name in ("amx_bf16", "avx512_bf16") if name in flags]
    yield Check(
        "cpu", "ok", f"{cores()} cores, bf16 {'in hardware (' + ', '.join(fast) + ')' if fast else 'emulated'}{note}"
    )
    if not torch.cuda.is_available():
        driver = Path("/proc/driver/nvidia/version").exists()
        if driver and not torch.version.cuda:
            hint = "install the CUDA build of torch (see pytorch.org)"
            yield Check("gpu", "error", "there is an NVIDIA driver, and torch is a CPU build", hint)
        else:
            yield Check("gpu", "warn", "none: real models train slowly on a CPU", "the micro and smollm2 profiles need none")
        return
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        text = f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"
        with torch.cuda.device(number):
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        if native:
            yield Check(f"gpu {number}", "ok", f"{text}, bf16")
        else:
            yield Check(f"gpu {number}", "warn", f"{text}, no bf16", "write precision: fp32 in the recipes")


def _cpu_flags() -> set[str]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((set(line.split(":")[1].split()) for line in lines if line.startswith("flags")), set())


def _bitsandbytes() -> Check:
    """Whether a 4-bit product really works, not only whether the package is there."""
    try:
        import bitsandbytes
        import torch

        nn: Any = bitsandbytes.nn
        layer = nn.Linear4bit(64, 64, bias=False, compute_dtype=torch.float32, quant_type="nf4")
        device = "cuda" if torch.cuda.is_available() else "cpu"
        out = layer.to(device)(torch.ones(1, 64, device=device))
        finite = bool(torch.isfinite(out).all())
    except Exception as error:  # noqa: BLE001 - any failure means that QLoRA does not work here
        return Check(
            "bitsandbytes", "warn", f"4-bit layers do not work: {error}", "use method: lora, or reinstall bitsandbytes"
        )
    if not finite:
        return Check("bitsandbytes", "warn", "a 4-bit layer gives numbers that are not finite", "use method: lora")
    return Check("bitsandbytes", "ok", f"{bitsandbytes.__version__}, a 4-bit layer computes on {device}")


def _disk(store: Path) -> Check:
    there = next(p for p in (store, *store.resolve().parents) if p.exists())
    free = shutil.disk_usage(there).free / 2**30
    text = f"{free:.0f} GiB free for {store}"
    if not os.access(there, os.W_OK):
        return Check("disk", "error", f"{there} cannot be written", "choose another place with --store DIR")
    if free < LITTLE_DISK_GIB:
        return Check("disk", "warn", text, "free space, or choose another place with --store DIR")
    return Check("disk", "ok", text)


def _hub() -> Check:
    hint = f"use {examples()}; or fetch the model where there is a network"
    if os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
        return Check("hub", "warn", "HF_HUB_OFFLINE is set: no model is fetched", hint)
    try:
        socket.create_connection((HUB, 443), HUB_TIMEOUT_S).close()
    except OSError as error:
        return Check("hub", "warn", f"{HUB} is not reachable ({error})", hint)
    return Check("hub", "ok", f"{HUB} is reachable")
