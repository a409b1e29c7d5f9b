"""What a plan takes on a device: hours, money and disk.

A number that cannot be known is None, and is printed as `unknown`: the speed of a device nobody named, the price of an hour
that nobody told, the size of a model that its name does not tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from specsci.core.errors import UserError, nearest
from specsci.core.kinds import names, trains
from specsci.core.machine import PEAK_FLOP_PER_S, cores, gpu_name, peak_flop_per_s, visible_gpus
from specsci.core.record import Record
from specsci.core.step import Step
from specsci.plan.cost import SMALL_STEP_S
from specsci.plan.plan import Plan

H100_FLOP_PER_S = PEAK_FLOP_PER_S["H100"]
MFU = 0.4
"""Share of a GPU's bf16 peak that training and reading are taken to reach, where nothing was measured."""
LEAST_GPU_PARAMETERS = 1e8
"""Smaller models are not bound by a GPU's arithmetic: without a measurement nobody knows how fast they train on one."""
LEAST_GPU_H = 1.0
"""H100 hours from which a plan says them, and from which nobody means a CPU: one is about 150 days of a core."""
SMALL_BYTES = 2e4
GIB = 2**30
CPU = "cpu"


@dataclass(frozen=True)
class Place:
    """What a plan's steps run on.

    Attributes:
        name: `cpu`, a GPU's name, or empty where nobody knows.
        workers: steps at once.
        devices: devices that share a training step.
        threads: of each worker's process, on a CPU.
    """

    name: str
    workers: int = 1
    devices: int = 1
    threads: int = 1

    @property
    def peak_flop_per_s(self) -> float | None:
        """A GPU's peak; None for a CPU and for an unknown device."""
        return None if self.name == CPU else peak_flop_per_s(self.name)


@dataclass(frozen=True)
class Estimate:
    """Totals over steps.

    Attributes:
        tokens: trained tokens. updates: optimizer updates. flop: the arithmetic of training and reading.
        device: what the hours are of; empty where nobody knows.
        worker_s: seconds of all workers together; None where unknown, as are the next two.
        wall_s: the same shared out over the workers.
        core_seconds: on a CPU, the same in seconds of one core.
        usd: None where hours or price are unknown.
        basis: `measured` (earlier steps of this shape on this device), `modelled`, or why nothing is known.
        gib: disk by what needs it: `bases`, `models`, `checkpoints` (at once, while they train), `other`.
        gib_unknown: whether a base's size is not told, so that `gib` lacks it.
    """

    tokens: int = 0
    updates: int = 0
    flop: float | None = 0.0
    device: str = CPU
    workers: int = 1
    worker_s: float | None = 0.0
    core_seconds: float | None = 0.0
    usd: float | None = None
    basis: str = "modelled"
    gib: dict[str, float] = field(default_factory=dict)
    gib_unknown: bool = False

    @property
    def wall_s(self) -> float | None:
        """Seconds until all is done, every worker busy all the time."""
        return None if self.worker_s is None else self.worker_s / self.workers

    @property
    def total_gib(self) -> float:
        """Disk that is known to be needed."""
        return sum(self.gib.values())

    @property
    def h100_h(self) -> float | None:
        """Hours of one H100 that the arithmetic takes, loading and generation apart; None where a size is unknown."""
        return None if self.flop is None else self.flop / (H100_FLOP_PER_S * MFU) / 3600


def place_of(plan: Plan, device: str | None = None) -> Place:
    """Where a plan's steps will run: the device that the caller names, else what this machine and the study say.

    Raises:
        UserError: a named device whose peak is not known.
    """
    run = plan.loaded.study.runtime
    if device is not None and device.lower() != CPU:
        if peak_flop_per_s(device) is None:
            raise UserError(f"the peak of the device '{device}' is not known", hint=nearest(device, [CPU, *PEAK_FLOP_PER_S]))
        return Place(device, devices=run.devices_per_stage)
    gpus = visible_gpus() if run.device == "auto" and device is None else ()
    if gpus:
        return Place(gpu_name(), max(1, len(gpus) // run.devices_per_stage), run.devices_per_stage)
    threads = min(run.threads_per_worker or cores(), max(1, cores() // run.devices_per_stage))
    workers = max(1, cores() // (threads * run.devices_per_stage)) if run.threads_per_worker else 1
    here = Place(CPU, workers, run.devices_per_stage, threads)
    meant_for_gpus = run.device == "auto" and device is None and (_flop(plan.steps.values()) or 0.0) >= _GPU_WORK
    return Place("", devices=run.devices_per_stage) if meant_for_gpus else here


_GPU_WORK = LEAST_GPU_H * 3600 * H100_FLOP_PER_S * MFU


def _flop(steps: Iterable[Step]) -> float | None:
    steps = list(steps)
    return None if any("size_unknown" in s.cost for s in steps) else sum(s.cost.get("flop", 0.0) for s in steps)


def hourly_usd(plan: Plan) -> float | None:
    """What a worker's devices cost an hour; None where the study does not tell."""
    run = plan.loaded.study.runtime
    told = run.usd_per_h or plan.loaded.given("runtime", "usd_per_h") is not None
    return run.usd_per_h if told else None


class Speeds:
    """How long steps took that a store has: by device, kind, size of the model and method."""

    def __init__(self, plan: Plan, records: Iterable[Record] = ()) -> None:
        sizes = {d: s.cost.get("parameters") for d, s in plan.steps.items() if s.kind == "base"}
        found: dict[tuple[Any, ...], list[tuple[float, float]]] = {}
        for record in records:
            taken = _taken(record, sizes)
            if taken is not None:
                found.setdefault(taken[0], []).append(taken[1])
        self.known = {k: (median(a for a, _ in v), median(b for _, b in v)) for k, v in found.items()}

    def devices(self) -> list[str]:
        """Devices that training was measured on, those with the most sorts of steps first."""
        names = [key[0] for key in self.known if key[1] == "train" and key[0]]
        return sorted(dict.fromkeys(names), key=names.count, reverse=True)

    def worker_s(self, step: Step, place: Place, method: str) -> float | None:
        """Seconds that a worker will take for a step, as earlier ones took; None where none did."""
        parameters = step.cost.get("parameters")
        if trains(step.kind):
            found = self.known.get((place.name, "train", parameters, method, str(place.devices)))
            return found and step.cost["tokens"] * found[0] + found[1]
        found = self.known.get((place.name, step.kind, parameters))
        return found and found[1]


def _taken(record: Record, sizes: dict[str, Any]) -> tuple[tuple[Any, ...], tuple[float, float]] | None:
    """A step's sort, and its seconds for a token and besides; None where its record does not tell."""
    facts, busy = record.facts, record.busy_s
    parameters = sizes.get(record.identity.inputs.get("base", ""))
    if parameters is None or busy is None:
        return None
    if not trains(record.kind):
        where = facts.get("provenance")
        device = str(where.get("device", "")) if isinstance(where, dict) else ""
        return (device, record.kind, parameters), (0.0, busy)
    trained, spent = facts.get("tokens"), facts.get("train_s")
    if not (isinstance(trained, int | float) and isinstance(spent, int | float) and trained > 0 and spent > 0):
        return None
    sort = (str(facts.get("method", "")), str(facts.get("devices", 1)))
    return (str(facts.get("device_name", "")), "train", parameters, *sort), (spent / trained, max(0.0, busy - spent))


def estimate(plan: Plan, steps: list[Step], place: Place, speeds: Speeds | None = None) -> Estimate:
    """What some of a plan's steps take at a place."""
    speeds = speeds or Speeds(plan)
    if not place.name and (measured := [d for d in speeds.devices() if d != CPU]):
        place = Place(measured[0], devices=place.devices)
    taken = [_worker_s(plan, s, place, speeds) for s in steps]
    bases = {basis for _, basis in taken}
    known = [seconds for seconds, _ in taken if seconds is not None]
    seconds = sum(known) if len(known) == len(taken) else None
    price, flop = hourly_usd(plan), _flop(steps)
    return Estimate(
        tokens=int(sum(s.cost.get("tokens", 0) for s in steps)),
        updates=int(sum(s.cost.get("updates", 0) for s in steps)),
        flop=flop,
        device=place.name,
        workers=place.workers,
        worker_s=seconds,
        core_seconds=seconds * place.threads * place.devices if seconds is not None and place.name == CPU else None,
        usd=seconds / 3600 * price if seconds is not None and price is not None else None,
        basis=_basis(bases),
        **_disk(plan, steps, place, dict(zip([s.digest for s in steps], [t for t, _ in taken], strict=True))),
    )


SIZE, DEVICE = "a model's size is not known", "the device is not known"
SMALL = "how fast a GPU trains so small a model was not measured"


def _basis(found: set[str]) -> str:
    order = (SIZE, DEVICE, SMALL, "modelled", "measured")
    return next((name for name in order if name in found), "modelled")


def _worker_s(plan: Plan, step: Step, place: Place, speeds: Speeds) -> tuple[float | None, str]:
    """Seconds of a worker for one step, and what they rest on."""
    if "size_unknown" in step.cost:
        return None, SIZE
    method = getattr(getattr(plan.loaded.study, step.kind, None), "recipe", None)
    if (measured := speeds.worker_s(step, place, method.method if method else "")) is not None:
        return measured, "measured"
    core_s, flop = step.cost.get("core_seconds", SMALL_STEP_S), step.cost.get("flop")
    if flop is None:
        return core_s, "constant"
    if place.name == CPU:
        return core_s / (place.threads * place.devices), "modelled"
    if place.peak_flop_per_s is None:
        return None, DEVICE
    if step.cost["parameters"] < LEAST_GPU_PARAMETERS:
        return None, SMALL
    devices = place.devices if trains(step.kind) else 1
    return flop / (place.peak_flop_per_s * MFU * devices), "modelled"


def _disk(plan: Plan, steps: list[Step], place: Place, seconds: dict[str, float | None]) -> dict[str, Any]:
    """GiB by what needs them. Checkpoints are kept of long stages alone, two of each, by every worker."""
    parts = {"bases": 0.0, "models": 0.0, "checkpoints": 0.0, "other": 0.0}
    every_s = plan.loaded.study.runtime.checkpoint_every_s
    for step in steps:
        name = "bases" if step.kind == "base" else "models" if trains(step.kind) else "other"
        parts[name] += step.cost.get("bytes", 0.0 if "size_unknown" in step.cost else SMALL_BYTES)
        taken = seconds[step.digest]
        if taken is None or taken > every_s:
            size = 2 * step.cost.get("checkpoint_bytes", 0.0) * place.workers
            parts["checkpoints"] = max(parts["checkpoints"], size)
    unknown = any("size_unknown" in s.cost and s.kind in names(lambda k: k.holds_model) for s in steps)
    return {"gib": {k: v / GIB for k, v in parts.items()}, "gib_unknown": unknown}
