"""Whether every machine of a cluster has the versions and sees the store that this one has."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from specsci.execute.findings import Check
from specsci.execute.pools.ray.cluster import joined, resources
from specsci.execute.pools.ray.node import describe

ANSWER_S = 60.0
CLOCK_S = 5.0


def cluster_checks(store: Path, address: str) -> Iterator[Check]:
    """One finding for the cluster and one for each of its machines; the store must be there.

    Raises:
        UserError: there is no cluster at the address.
    """
    ray, root = joined(address), store.resolve()
    found = resources(ray)
    yield Check("ray", "ok", f"{ray.__version__}: {found.nodes} machines, {found.cpus:.0f} cores, {found.gpus:.0f} GPUs")
    token = f"doctor-{uuid.uuid4().hex[:12]}"
    place = root / "stage" / token
    place.write_text("x")
    try:
        here = describe(str(root), token)
        for node in ray.nodes():
            if node["Alive"]:
                yield _node(ray, node, str(root), token, here)
    finally:
        place.unlink(missing_ok=True)
        ray.shutdown()


def _node(ray: Any, node: dict[str, Any], root: str, token: str, here: dict[str, Any]) -> Check:
    """What one machine says of itself, against this one."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    name = f"machine {node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
    task = ray.remote(num_cpus=0, max_retries=0)(describe)
    sent = time.time()
    reference = task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(root, token)
    try:
        there = ray.get(reference, timeout=ANSWER_S)
    except Exception as error:  # noqa: BLE001 - whatever a machine does instead of answering is what is to be told
        said = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return Check(name, "error", f"does not answer: {said}", "install specsci there, in the Python that Ray runs")
    if not (there["sees_store"] and there["writes_store"]):
        what = "cannot write" if there["sees_store"] else "does not see"
        return Check(name, "error", f"{what} the store {root}", "mount the store there under that path, with the right to write")
    other = [f"{key} {there[key] or 'missing'} (here {here[key]})" for key in here if key not in _FREE and there[key] != here[key]]
    if other:
        level: Literal["error", "warn"] = "error" if there["specsci"] != here["specsci"] else "warn"
        return Check(name, level, f"other versions: {', '.join(other)}", "install the same constraints.txt there")
    off = max(sent - there["time"], there["time"] - time.time(), 0.0)
    if off > CLOCK_S:
        return Check(name, "warn", f"its clock is {off:.0f} s off", "set it: no lease rests on it, the times that are shown do")
    return Check(name, "ok", f"sees the store; specsci {there['specsci']}, torch {there['torch']}, Python {there['python']}")


_FREE = ("host", "time", "sees_store", "writes_store")
"""What may differ, or is told of by itself."""
