"""Joining a Ray cluster, and what it has."""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import dataclass
from typing import Any

from specsci.core.errors import UserError
from specsci.core.extras import need

LOCAL = "local"
CONNECT_S = 10.0
HINT = "start one with `ray start --head`, or leave --address out for a cluster on this machine alone"


@dataclass(frozen=True)
class Resources:
    """What a cluster's living machines have: in all, and on the largest one."""

    nodes: int
    cpus: float
    gpus: float
    most_cpus: float
    most_gpus: float


def joined(address: str) -> Any:
    """The module `ray`, connected to the cluster of an address, else of `RAY_ADDRESS`, else to a new one on this machine.

    Raises:
        UserError: Ray is not installed, or there is no cluster at the address.
    """
    need("ray", "the executor ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    wanted = address or os.environ.get("RAY_ADDRESS") or LOCAL
    if ray.is_initialized():
        return ray
    _answers(wanted)
    try:
        ray.init(address=wanted, include_dashboard=False if wanted == LOCAL else None, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"no Ray cluster at '{wanted}': {said}", hint=HINT) from error
    return ray


def _answers(address: str) -> None:
    """Refuse an address where nobody listens: Ray would look for it for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return  # local, or auto
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except OSError as error:
        raise UserError(f"no Ray cluster at '{address}': {error.strerror or error}", hint=HINT) from error


def resources(ray: Any) -> Resources:
    """What the living machines of the cluster have now."""
    alive = [n["Resources"] for n in ray.nodes() if n["Alive"]]
    cpus, gpus = ([float(r.get(name, 0)) for r in alive] for name in ("CPU", "GPU"))
    return Resources(len(alive), sum(cpus), sum(gpus), max(cpus, default=0), max(gpus, default=0))
