"""A whole run: manifest, missing steps, results; a corrupt score found at the end is made anew."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from specsci.core.errors import StoreError, UserError
from specsci.core.extras import need
from specsci.core.kinds import KINDS, TORCH, names
from specsci.core.liveness import is_dead
from specsci.core.machine import visible_gpus
from specsci.core.step import Step, with_needs
from specsci.execute.devices import Layout, layout
from specsci.execute.live import Guarded
from specsci.execute.pools.pool import POOLS, PoolKind
from specsci.execute.report import Display, RunReport
from specsci.execute.runner import Runner
from specsci.plan.plan import Plan
from specsci.store.artifact import Store
from specsci.store.ledger import open_ledger

MAX_REPAIRS = 3
RESULTS = "results"
"""The kind under which a report names a results.duckdb that could not be written."""


def run_study(
    plan: Plan,
    store: Store,
    workers: int | None,
    display_for: Callable[[dict[str, Step]], Display],
    executor: str = "local",
    only: Collection[str] | None = None,
    address: str = "",
) -> RunReport:
    """Run what is missing of a plan, then bring results.duckdb up to date.

    Args:
        workers: how many steps run at once; None for as many as this machine has room for.
        executor: the name of the pool that runs steps.
        only: digests of the steps that are wanted; what they need is run too. All where not given.
        address: where a pool of other machines finds their cluster.
    """
    from specsci.database.manifest import write_manifest
    from specsci.database.stamp import is_current

    def guarded(missing: dict[str, Step]) -> Display:
        return Guarded(display_for(missing), sys.stderr)

    write_manifest(store, plan)
    if store.remote is not None:
        store.remote.sync_written()
    total = RunReport()
    for _ in range(MAX_REPAIRS):
        with _terminated_as_interrupted():
            report = _execute(plan, plan.steps if only is None else with_needs(plan.steps, only), store, workers, guarded, POOLS[executor], address)
        reused = report.reused if total.executed == 0 else total.reused  # counted once, as the last pass found it
        total.add(report)
        total.reused = reused
        if is_current(store):
            break
        from specsci.results.build import build, left_out

        guarded({}).phase("building results.duckdb")
        try:
            build(store, plan.loaded.name)
            total.left_out = left_out(store.root)
        except (StoreError, UserError) as error:  # what failed before must be reported too
            total.failed += 1
            total.errors.append({"digest": "", "kind": RESULTS, "label": "results.duckdb", "error": str(error)})
            break
        corrupt = [part for part in total.left_out if part["kind"] in KINDS]
        for part in corrupt:
            place = store.quarantine(part["kind"], part["name"])
            guarded({}).note(f"{part['kind']} {part['name']} is corrupt: quarantined as {place}, made anew")
            total.repaired += 1
        if not corrupt or total.interrupted:
            break
    if total.exit_code == 0 and only is None:
        _let_weights_go(plan, store, guarded)
    return total


def _let_weights_go(plan: Plan, store: Store, display_for: Callable[[dict[str, Step]], Display]) -> None:
    """Remove the weights of a study that is whole, where it asks for that and no other study needs them."""
    keep = plan.loaded.study.runtime.keep_models
    if keep == "all":
        return
    from specsci.upkeep.sweep import carry_out, sweep

    found = [r for r in sweep(store, kinds=names(lambda kind: kind.trains), keep_models=keep) if r.files and r.place.name in plan.steps]
    if found:
        freed = carry_out(found, store)
        display_for({}).note(f"runtime.keep_models is {keep}: the weights of {len(found)} models went, {freed / 2**30:.2f} GiB")


def run_steps(
    plan: Plan, steps: dict[str, Step], store: Store, workers: int | None, display_for: Callable[[dict[str, Step]], Display], executor: str, address: str
) -> RunReport:
    """Run what is missing of some steps, which are not all of the plan's; no study is written down for them, and no results are built.

    Args:
        plan: whose name and runtime settings hold.
    """
    with _terminated_as_interrupted():
        return _execute(plan, steps, store, workers, lambda missing: Guarded(display_for(missing), sys.stderr), POOLS[executor], address)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM, a batch system's stop, ends the workers and keeps what is done, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _execute(
    plan: Plan,
    steps: dict[str, Step],
    store: Store,
    workers: int | None,
    display_for: Callable[[dict[str, Step]], Display],
    executor: PoolKind,
    address: str,
) -> RunReport:
    have = store.have(list(steps.values()))
    missing = {d: s for d, s in steps.items() if d not in have}
    if not missing:
        store.clear_stage(is_dead)  # of runners that were killed while others did their work
        store.clear_checkpoints()
        return RunReport(reused=len(have))
    if any(TORCH in KINDS[s.kind].needs for s in missing.values()):
        need("torch", "training and scoring")
    display = display_for(missing)
    fitted = _layout(plan, workers, executor, address)
    if fitted.note:
        display.note(fitted.note)
    ledger = open_ledger(store.root, plan.loaded.name)
    try:
        pool = executor.open(store.root, fitted)
        return Runner(store, ledger, pool, display, steps, fitted.workers or pool.size).run()
    finally:
        ledger.close()


def _layout(plan: Plan, workers: int | None, executor: PoolKind, address: str) -> Layout:
    """How a study's steps are laid out: by this machine's cores and GPUs, or as a pool of other machines is told."""
    wanted = plan.loaded.study.runtime
    if executor.elsewhere:
        threads = max(1, wanted.threads_per_worker)
        return Layout(workers or 0, threads, device=wanted.device, devices_per_stage=wanted.devices_per_stage, address=address)
    if address:
        raise UserError(f"--address is for executors on other machines, and '{executor.name}' runs here", hint="add --executor ray")
    gpus = () if wanted.device == "cpu" else visible_gpus()
    return layout(workers, wanted.threads_per_worker, gpus=gpus, devices_per_stage=wanted.devices_per_stage)
