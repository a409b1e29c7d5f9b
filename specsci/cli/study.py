"""`specsci study`: check, plan, run, status, explain."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from specsci.cli import unchanged
from specsci.cli.common import (
    address_option,
    emit,
    executor_option,
    json_option,
    limit_option,
    open_store,
    plain_option,
    profile_option,
    say_left_out,
    set_option,
    store_option,
    store_path,
    text_of,
    workers_option,
)
from specsci.cli.study_slurm import slurm

if TYPE_CHECKING:
    from rich.console import Console

    from specsci.core.step import Step
    from specsci.execute.report import Display, RunReport
    from specsci.plan.plan import Plan
    from specsci.store.artifact import Store


@click.group()
def study() -> None:
    """Check, plan, run and watch studies. STUDY is a path, or the name of a shipped study."""


def plan_of(name: str, profile: str | None, overrides: tuple[str, ...] = (), limit: int | None = None) -> Plan:
    """The plan of a study by path or name."""
    from specsci.plan.build import build_plan
    from specsci.study.load import load_study
    from specsci.study.overrides import parse_overrides

    return build_plan(load_study(name, profile, parse_overrides(overrides), limit))


@study.command()
@click.argument("name", metavar="STUDY", required=False)
@profile_option
@set_option
@limit_option
@json_option
@click.option("--schema", is_flag=True, help="Print the JSON schema of study files and stop.")
def check(
    name: str | None, profile: str | None, overrides: tuple[str, ...], limit: int | None, as_json: bool, schema: bool
) -> None:
    """Check a study file: every problem with file, line, column and hint. Ends with 3 where a gate would refuse its run."""
    from specsci.study.schema import json_schema

    if schema:
        emit(json_schema())
        return
    if name is None:
        raise click.UsageError("name a STUDY, or use --schema")
    from specsci.plan.gates import findings

    plan = plan_of(name, profile, overrides, limit)
    loaded, found = plan.loaded, findings(plan)
    refused = sorted({f.gate for f in found if f.level == "refuse"})
    if as_json:
        rows = [vars(f) for f in found]
        emit({"study": loaded.name, "file": str(loaded.file), "valid": not refused, "refused_by": refused, "findings": rows})
    else:
        counts = f"{len(loaded.study.arms)} arms, {len(loaded.study.evals)} evals, {len(loaded.study.contrasts)} contrasts"
        said = f"refused by {', '.join(refused)}: nothing of it would run" if refused else "valid"
        click.echo(f"{loaded.file}: {said} ({loaded.name}: {counts})")
        for finding in found:
            click.echo(f"{finding.level}: {finding.gate}: {finding.text}")
            if finding.level == "refuse" and finding.hint:
                click.echo(f"  hint: {finding.hint}")
    if refused:
        sys.exit(3)


@study.command("plan")
@click.argument("name", metavar="STUDY")
@profile_option
@set_option
@limit_option
@store_option
@json_option
@click.option("--power", is_flag=True, help="Say which difference each contrast can detect, and what half of it would cost.")
@click.option(
    "--spread",
    type=click.FloatRange(0, min_open=True),
    help="Spread between replicates that --power assumes [as measured, or .10].",
)
@click.option("--device", help="Price the plan for this device: cpu, or a GPU such as H100 [what this machine has].")
def plan_command(
    name: str,
    profile: str | None,
    overrides: tuple[str, ...],
    limit: int | None,
    store_dir: Path | None,
    as_json: bool,
    power: bool,
    spread: float | None,
    device: str | None,
) -> None:
    """Show what a run would do: arms, steps, tokens, updates, time, disk, and the gates' findings."""
    from specsci.plan.power import contrast_power, power_lines
    from specsci.report.plan import as_dict, lines
    from specsci.store.artifact import Store
    from specsci.store.forecast import forecast

    plan, store = plan_of(name, profile, overrides, limit), Store(store_path(store_dir))
    seen = forecast(plan, store)
    have, found, speeds = seen.have, seen.findings, seen.speeds
    measured = _measured(store.root, plan.loaded.name) if power else {}
    powers = contrast_power(plan, measured, spread, speeds=speeds, device=device) if power else []
    if as_json:
        content = as_dict(plan, have, found, speeds=speeds, device=device)
        emit({**content, **({"power": [vars(p) for p in powers]} if power else {})})
    else:
        said = lines(plan, have, found, speeds=speeds, device=device)
        click.echo("\n".join([*said, *(["", *power_lines(powers)] if power else [])]))
    if any(f.level == "refuse" for f in found):
        sys.exit(3)


def _measured(root: Path, study_name: str) -> dict[str, list[float]]:
    """Each contrast's values in the replicates of an earlier run; empty where the store has none."""
    from specsci.database.connection import connect
    from specsci.database.stamp import DATABASE

    if not (root / DATABASE).is_file():
        return {}
    with connect(root) as db:
        query = "SELECT contrast, per_replicate FROM contrasts WHERE study = ?"
        return {name: list(values) for name, values in db.execute(query, [study_name]).fetchall()}


@study.command()
@click.argument("name", metavar="STUDY")
@profile_option
@set_option
@limit_option
@store_option
@json_option
@executor_option
@address_option
@workers_option
@plain_option
def run(
    name: str,
    profile: str | None,
    overrides: tuple[str, ...],
    limit: int | None,
    store_dir: Path | None,
    as_json: bool,
    executor: str,
    address: str,
    workers: int | None,
    plain: bool,
) -> None:
    """Run what is missing of a study and print its tables. The same command again goes on where it stopped."""
    from rich.console import Console

    from specsci.core.terminal_text import raw, visible
    from specsci.execute.pools.pool import POOLS
    from specsci.execute.run import run_study
    from specsci.plan.gates import refuse_if_needed

    POOLS[executor]  # a wrong name is told before anything is looked at
    plan = plan_of(name, profile, overrides, limit)
    found = refuse_if_needed(plan)
    store = open_store(store_dir)
    errors = Console(file=raw(sys.stderr))
    if not as_json:
        for finding in found:
            if finding.level == "warn":
                errors.print(visible(f"warn: {finding.gate}: {finding.text}"), markup=False, highlight=False)

    def display_for(missing: dict[str, Step]) -> Display:
        return display_of(as_json, plain, errors, missing)

    unchanged.recorded()
    report = run_study(plan, store, workers, display_for, executor, address=address)
    say_left_out(report.left_out)
    if as_json:
        emit({"study": plan.loaded.name, "store": str(store.root), **report.as_json()})
        _keep_answer(plan, store, report)
    else:
        _print_end(store, plan, report, display_for({}))
    sys.exit(report.exit_code)


def _keep_answer(plan: Plan, store: Store, report: RunReport) -> None:
    """Of a run that had nothing to do: keep its answer for the next time (see `specsci.cli.unchanged`)."""
    from specsci.sources.registry import source_of

    sources = [base.source for base in plan.loaded.study.base_models.values()]
    if report.exit_code or report.executed or report.repaired or report.left_out or store.remote is not None:
        return
    of_variables = [g.base_url_env for g in plan.loaded.study.generators.values()] + [e.base_url_env for e in plan.loaded.study.engines.values()]
    if any(of_variables) or not all(source_of(s).pinned(s) for s in sources):
        return  # they rest on a variable of any name, or on the network
    said = text_of({"study": plan.loaded.name, "store": str(store.root), **report.as_json()})
    unchanged.keep(said, str(store.root), [str(store.path(s.kind, d)) for d, s in plan.steps.items()])


def _print_end(store: Store, plan: Plan, report: RunReport, display: Display) -> None:
    """The tables of a run that came to its end; of any other what stopped it, last, and how to see what there is."""
    whole = report.exit_code == 0
    if whole:
        display.phase("writing tables")
        _print_results(store, plan.loaded.name)
    state = "interrupted: finished steps are kept" if report.interrupted else "done" if whole else "not finished"
    state = "waiting for batches" if report.waiting and report.exit_code == 4 and not report.interrupted else state
    counts = f"{report.executed} steps executed, {report.reused} reused, {report.failed} failed"
    where = f"Results: {store.root / 'results.duckdb'}" if whole else _how_on(store, plan, report)
    click.echo(f"\n{state}: {counts} in {report.wall_s:.1f} s. {where}", err=True)
    if report.blocked:
        click.echo(f"{report.blocked} steps could not run because of what failed or is under way", err=True)
    for step in report.waiting:
        click.echo(f"waiting: {step['label']} [{step['digest']}]\n{step['error'].rstrip()}", err=True)
    for error in report.errors:
        log = f"\n  log: {error['log']}" if error.get("log") else ""
        click.echo(f"failed: {error['label']} [{error['digest']}]\n{error['error'].rstrip()}{log}", err=True)


def _how_on(store: Store, plan: Plan, report: RunReport) -> str:
    """What a user can do with an unfinished run."""
    from specsci.execute.run import RESULTS

    if any(e["kind"] == RESULTS for e in report.errors):
        return "The same command goes on."
    tables = f"specsci report table ablation --study {plan.loaded.name} --store {store.root}"
    return f"The same command goes on; `{tables}` shows what is scored."


def display_of(as_json: bool, plain: bool, console: Console, missing: dict[str, Step]) -> Display:
    """Where a run's progress goes: a live view on a terminal, lines elsewhere, notes alone beside JSON."""
    from specsci.execute.live import Lines, Notes, Terminal

    if as_json:
        return Notes(sys.stderr)
    if sys.stdout.isatty() and console.is_terminal and not plain:
        return Terminal(console, missing)
    return Lines(sys.stderr, missing)


def _print_results(store: Store, study_name: str) -> None:
    from specsci.database.connection import connect
    from specsci.report.ablation import ablation
    from specsci.report.tables import preamble, tables_of
    from specsci.report.terminal import show

    with connect(store.root) as db:
        content = ablation(db, study_name)
    show(preamble(content), tables_of(content))


@study.command()
@click.argument("name", metavar="STUDY")
@profile_option
@set_option
@limit_option
@store_option
@json_option
def status(
    name: str,
    profile: str | None,
    overrides: tuple[str, ...],
    limit: int | None,
    store_dir: Path | None,
    as_json: bool,
) -> None:
    """Say how far a study is, what runs now and what failed; works beside a running run."""
    from specsci.execute.status import status_lines, status_of
    from specsci.governance.stale import stale_lines, stale_studies

    plan, store = plan_of(name, profile, overrides, limit), open_store(store_dir, create=False)
    found, stale = status_of(plan, store), stale_studies(store, plan.loaded.family.name, plan.loaded.family_home)
    if as_json:
        emit({**found, "stale": [s.as_dict() for s in stale]})
    else:
        click.echo("\n".join([*status_lines(found), *stale_lines(stale)]))


@study.command()
@click.argument("name", metavar="STUDY")
@profile_option
@set_option
@store_option
@json_option
@click.option("--limit", type=click.IntRange(1), default=30, help="Most steps to list.")
def explain(name: str, profile: str | None, overrides: tuple[str, ...], store_dir: Path | None, as_json: bool, limit: int) -> None:
    """Say field by field why steps would run."""
    from specsci.plan.explain import explain as reasons_for
    from specsci.store.artifact import Store

    plan = plan_of(name, profile, overrides)
    store = Store(store_path(store_dir))
    reasons = reasons_for(plan, store.have(list(plan.steps.values())), store.records())
    if as_json:
        emit([vars(r) for r in reasons])
        return
    click.echo(f"{len(reasons)} of {len(plan.steps)} steps would run")
    for reason in reasons[:limit]:
        click.echo(f"{reason.label} [{reason.kind} {reason.digest}]")
        for because in reason.because:
            click.echo(f"    {because}")
    if len(reasons) > limit:
        click.echo(f"... and {len(reasons) - limit} more (--limit)")


@study.command()
@click.argument("name", metavar="STUDY")
@profile_option
@store_option
@json_option
def lock(name: str, profile: str | None, store_dir: Path | None, as_json: bool) -> None:
    """Pin the hub models, and freeze hypotheses, contrasts, families, scales and exclusion rules in the store.

    Before the first score it is a pre-registration; what is changed after it is stamped exploratory in the results.
    """
    from specsci.cli.lock import pin_models
    from specsci.database.manifest import manifest_of
    from specsci.governance.registration import lock_study
    from specsci.study.load import load_study

    loaded = load_study(name, profile)
    pins = pin_models(loaded)
    plan = plan_of(name, profile)
    frozen, new = lock_study(open_store(store_dir), manifest_of(plan))
    if as_json:
        emit({"pins": [vars(p) for p in pins], "lock": {**vars(frozen), "digest": frozen.digest, "new": new}})
        return
    for pin in pins:
        click.echo(f"{loaded.file}:{pin.line}: {pin.before} -> {pin.after}")
    late = (
        f", late: {frozen.scored_cells:,} cells were scored by then" if frozen.scored_cells else ", before the first score"
    )
    said = "locked" if new else "was locked already"
    click.echo(f"{frozen.study} {said} on {frozen.date}{late}: {len(frozen.plan['contrasts'])} contrasts [{frozen.digest}]")
    click.echo(
        "post that digest where others keep the time (a commit, OSF): it is over the date, the scored cells and the plan"
    )


@study.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--profile-a", help="Profile of A [its default_profile].")
@click.option("--profile-b", help="Profile of B [its default_profile].")
@store_option
@json_option
def diff(
    first: str, second: str, profile_a: str | None, profile_b: str | None, store_dir: Path | None, as_json: bool
) -> None:
    """Compare two studies: recipe, specs, corpora, scores and contrasts. A and B are study files or names."""
    from specsci.database.connection import connect
    from specsci.database.stamp import DATABASE
    from specsci.report.study_diff import diff_tables, study_diff
    from specsci.report.terminal import show

    plans = plan_of(first, profile_a), plan_of(second, profile_b)
    root = store_path(store_dir)
    if (root / DATABASE).is_file():
        with connect(root) as db:
            found = study_diff(*plans, db)
    else:
        found = study_diff(*plans, None)
    if as_json:
        emit(found)
    else:
        show([found["summary"]], diff_tables(found))


@study.command()
@click.argument("name", metavar="STUDY")
@profile_option
def show(name: str, profile: str | None) -> None:
    """Print the study as resolved: the profile merged in, every value in force."""
    from specsci.study.load import load_study

    loaded = load_study(name, profile)
    click.echo(json.dumps(loaded.study.model_dump(mode="json"), indent=1))


study.add_command(slurm)
