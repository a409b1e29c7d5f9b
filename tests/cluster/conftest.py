"""A Ray cluster of two machines that are this one: each with processes and resources of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

ADDRESS = "127.0.0.2"
"""Ray takes 127.0.0.1 for the address of an interface, and does not find itself there."""


@pytest.fixture(scope="module")
def ray_environment() -> Iterator[None]:
    """Without tokens, statistics, and a cluster that was left running."""
    wanted = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "4"}
    before = {name: os.environ.get(name) for name in (*wanted, "RAY_ADDRESS")}
    os.environ.update(wanted)
    os.environ.pop("RAY_ADDRESS", None)
    yield
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(scope="module")
def two_nodes(ray_environment: None) -> Iterator[Any]:
    """A head and a second machine, one core each."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, connect=False, head_node_args={"num_cpus": 1, "node_ip_address": ADDRESS, "include_dashboard": False})
    cluster.add_node(num_cpus=1, node_ip_address=ADDRESS)
    yield cluster
    ray.shutdown()
    cluster.shutdown()
