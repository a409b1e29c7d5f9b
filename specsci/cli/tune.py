"""`specsci tune`: search for training settings with the same budget for every arm."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from specsci.cli.common import (
    address_option,
    emit,
    executor_option,
    json_option,
    limit_option,
    open_store,
    plain_option,
    profile_option,
    set_option,
    store_option,
    workers_option,
)

if TYPE_CHECKING:
    from specsci.search.tune import Search


@click.command()
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
@click.option("--dry-run", is_flag=True, help="Say which trials there are and what is to run, and stop.")
@click.option("--show", is_flag=True, help="Show the last search as it is recorded, and run nothing.")
@click.option("--figures", type=click.Path(path_type=Path, file_okay=False), help="Write the figures there as SVG.")
def tune(
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
    dry_run: bool,
    show: bool,
    figures: Path | None,
) -> None:
    """Search the settings of STUDY's `tuning:` block, and report its contrasts under three of them.

    Every arm gets as many trials and as many tokens. Settings are chosen on the block's own replicates and objective; then the study runs
    on its replicates with the settings as they were, tuned per arm, and one shared by all. The same command again goes on.
    """
    from rich.console import Console

    from specsci.cli.study import display_of
    from specsci.core.step import Step
    from specsci.core.terminal_text import raw
    from specsci.execute.pools.pool import POOLS
    from specsci.execute.report import Display
    from specsci.report.terminal import show as show_tables
    from specsci.report.tuning import heading, tuning_tables
    from specsci.search.confirm import NOT_SCORED
    from specsci.search.tune import Search, read_outcome
    from specsci.study.load import load_study
    from specsci.study.overrides import parse_overrides

    POOLS[executor]  # a wrong name is told before anything is looked at
    loaded = load_study(name, profile, parse_overrides(overrides), limit)
    store, errors, code = open_store(store_dir, create=not show), Console(file=raw(sys.stderr)), 0

    def display_for(missing: dict[str, Step]) -> Display:
        return display_of(as_json, plain, errors, missing)

    if show:
        found = read_outcome(store, loaded.name)
    else:
        search = Search(loaded, store, workers, display_for, executor, address)
        if dry_run:
            _say_plan(search, as_json)
            return
        outcome = search.run()
        found, code = outcome.as_json(), outcome.report.exit_code
        for error in outcome.report.errors:
            click.echo(f"failed: {error['label']} [{error['digest']}]\n{error['error'].rstrip()}", err=True)
        told = bool(outcome.conclusions) and all(c.says != NOT_SCORED for c in outcome.conclusions) and all(outcome.own.values())
        code = 0 if code == 1 and told else code  # a trial that failed is a result
    if figures is not None and found["curves"]:
        from specsci.core.extras import need
        from specsci.report.tuning_plots import tuning_figures

        need("seaborn", "figures")
        for path in tuning_figures(found, figures):
            click.echo(f"wrote {path}", err=True)
    if as_json:
        emit(found)
    else:
        show_tables(heading(found), tuning_tables(found))
    sys.exit(code)


def _say_plan(search: Search, as_json: bool) -> None:
    """The trials that are known before anything runs, and how many of their steps are to run."""
    from specsci.core.step import with_needs
    from specsci.search.space import said

    trials = search.trials()
    steps = {d: s for t in trials for d, s in with_needs(t.plan.steps, t.wanted).items()}
    have = search.store.have(list(steps.values()))
    settings = list(dict.fromkeys(said(t.config) for t in trials))
    if as_json:
        emit({"trials": len(trials), "settings": settings, "steps": len(steps), "to_run": len(steps) - len(have), "sampler": search.outcome.sampler})
        return
    click.echo(f"{search.loaded.name}: {search.outcome.sampler['sampler']}; {search.tuning.trials} trials of each of {len(search.tuning.arms)} arms")
    for number, text in enumerate(settings, 1):
        click.echo(f"  {number}: {text}")
    if trials:
        click.echo(f"{len(steps) - len(have):,} of {len(steps):,} steps to run; then the study under three settings")
    else:
        click.echo("each arm's sampler says its next setting when the last one is done")
