"""The pool of a Ray cluster: the conformance suite of pools on two machines, and what it refuses."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ray import cloudpickle

from specsci.core.errors import UserError
from specsci.execute.devices import Layout
from specsci.execute.pools.pool import POOLS, Pool, PoolKind
from specsci.execute.pools.ray.doctor import cluster_checks
from specsci.execute.pools.ray.node import describe
from specsci.execute.pools.ray.pool import RayPool
from specsci.store.artifact import Store
from specsci.testing.pools import PoolSuite

PLACE: dict[str, str] = {}


@pytest.fixture(scope="module", autouse=True)
def cluster(two_nodes: Any) -> Any:
    PLACE["address"] = two_nodes.address
    return two_nodes


def _open(root: Path, layout: Layout) -> Pool:
    return RayPool(root, replace(layout, address=PLACE["address"]))


class TestRayPool(PoolSuite):
    kind: ClassVar[PoolKind] = PoolKind("ray", _open)


@pytest.mark.slow
def test_as_many_steps_run_as_the_cluster_has_room_for_and_no_stage_that_no_machine_holds(tmp_path: Path) -> None:
    assert POOLS["ray"].elsewhere
    pool = _open(tmp_path, Layout(0, 1))
    assert pool.size == 2, "one core on each of two machines"
    pool.stop()
    with pytest.raises(UserError, match="devices_per_stage is 2, and the largest machine of the Ray cluster has 1"):
        _open(tmp_path, Layout(0, 1, devices_per_stage=2))


@pytest.mark.slow
def test_doctor_asks_every_machine_for_versions_store_and_clock(tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store").open()
    found = list(cluster_checks(store.root, cluster.address))
    assert [c.level for c in found] == ["ok"] * 3 and "2 machines, 2 cores" in found[0].text
    assert all("sees the store; specsci" in c.text for c in found[1:])
    assert not list((store.root / "stage").iterdir())
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr("specsci.execute.pools.ray.doctor.describe", _elsewhere)
    assert [(c.level, "does not see the store" in c.text) for c in cluster_checks(store.root, cluster.address)][1:] == [("error", True)] * 2


def _elsewhere(root: str, token: str) -> dict[str, Any]:
    """A machine that has the same path and another disk under it."""
    return describe(f"{root}-elsewhere", token)


@pytest.mark.slow
def test_an_address_where_no_cluster_is_says_so(tmp_path: Path) -> None:
    import ray

    ray.shutdown()
    with pytest.raises(UserError, match=r"no Ray cluster at '127\.0\.0\.2:1'"):
        RayPool(tmp_path, Layout(0, 1, address="127.0.0.2:1"))
