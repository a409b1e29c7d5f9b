"""How many workers a machine carries, and how many threads each may use without oversubscribing it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from specsci.core.errors import UserError
from specsci.core.machine import cores


@dataclass(frozen=True)
class Layout:
    """Workers, the threads of each of their processes (all together never exceed the cores), and the GPUs they are dealt.

    A worker's GPUs are one string, as CUDA_VISIBLE_DEVICES has it. For a pool of other machines: `workers` 0 for as many as they
    have room for, the `device` and the `devices_per_stage` that the study asks for, and the `address` of their cluster.
    """

    workers: int
    threads: int
    gpus: tuple[str, ...] = ()
    note: str = ""
    device: str = "auto"
    devices_per_stage: int = 1
    address: str = ""


def layout(
    workers: int | None,
    threads_per_worker: int = 0,
    available: int | None = None,
    gpus: tuple[str, ...] = (),
    devices_per_stage: int = 1,
) -> Layout:
    """A layout for this machine.

    Args:
        workers: what the user asked for; None lets the GPUs, else the threads per worker decide.
        threads_per_worker: what the study's profile asks for; 0 means as many as fit.
        gpus: the GPUs to use.
        devices_per_stage: processes that share a training stage, each with its threads and, where there are GPUs, one.

    Raises:
        UserError: a stage wants more devices than there are.

    More threads than cores slow small models 6-25 times, so a wish beyond the cores is cut, and said.
    """
    limit = available or cores()
    most = (len(gpus) or limit) // devices_per_stage
    have = f"{len(gpus)} GPUs" if gpus else f"{limit} cores"
    if most == 0:
        raise UserError(
            f"runtime.devices_per_stage is {devices_per_stage}, and this machine has {have}",
            hint="lower it, or run the study where there are as many",
        )
    note = ""
    if workers is not None and workers > most:
        note = f"--workers {workers} cut to the {have} of this machine"
        workers = most
    if gpus:
        workers = min(workers or most, limit)
    elif workers is None:
        workers = max(1, most // threads_per_worker) if threads_per_worker else 1
    threads = min(threads_per_worker or limit, max(1, limit // (workers * devices_per_stage)))
    groups = (gpus[n * devices_per_stage : (n + 1) * devices_per_stage] for n in range(workers)) if gpus else ()
    return Layout(workers, threads, tuple(",".join(group) for group in groups), note)


def worker_environment(threads: int) -> dict[str, str]:
    """Environment of worker processes: thread counts, passive waiting, and no network look-ups."""
    count = str(threads)
    offline = {} if os.environ.get("SPECSCI_ONLINE") else {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    return {
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        **offline,
    }
