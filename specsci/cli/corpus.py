"""`specsci corpus`: write the texts of a study, look at them, audit and export them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specsci.cli.common import (
    access_option,
    declassify_option,
    emit,
    executor_option,
    json_option,
    open_store,
    plain_option,
    profile_option,
    set_option,
    store_option,
    workers_option,
)
from specsci.cli.corpus_import import import_
from specsci.cli.corpus_review import review
from specsci.core.kinds import names

if TYPE_CHECKING:
    from specsci.core.record import Record
    from specsci.store.artifact import Store


@click.group()
def corpus() -> None:
    """Write the texts of a study, look at them, review, audit and export them."""


corpus.add_command(review)
corpus.add_command(import_)


def _records(store_dir: Path | None, kinds: tuple[str, ...], match: str | None) -> tuple[Store, list[Record]]:
    from specsci.core.errors import UserError

    store = open_store(store_dir, create=False)
    records = [r for kind in kinds for r in store.records(kind)]
    chosen = [r for r in records if match is None or match in r.label or r.digest.startswith(match)]
    if not chosen:
        labels = ", ".join(sorted({r.label for r in records})[:6])
        what = f"nothing generated matches '{match}'" if match is not None else "nothing of that sort was generated"
        raise UserError(what, hint=f"there are: {labels}" if labels else "run a study first")
    return store, chosen


@corpus.command()
@click.argument("match", required=False)
@store_option
@click.option("--rows", type=click.IntRange(1), default=5, help="Rows to show of each.")
@click.option("--provenance", is_flag=True, help="Say of every row what it is about and what the audit found in it.")
@click.option("--prompts", is_flag=True, help="Show what a language model was asked for MATCH and what it replied, unusable replies first.")
def peek(match: str | None, store_dir: Path | None, rows: int, provenance: bool, prompts: bool) -> None:
    """Show the first rows of corpora, conversations and pools whose label or digest contains MATCH."""
    from specsci.core.rows import ROWS
    from specsci.report.peek import peek_lines, prompt_lines

    kinds = names(lambda kind: kind.asks) if prompts else names(lambda kind: kind.holds_texts)
    store, records = _records(store_dir, kinds, match)
    for record in records:
        if prompts:
            lines = prompt_lines(store, record, rows)
        else:
            store.verify(record.kind, record.digest, ROWS)
            lines = peek_lines(store, record, rows, provenance=provenance)
        click.echo("\n".join(lines))


@corpus.command()
@click.argument("match")
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@store_option
@access_option
@declassify_option
@json_option
def export(
    match: str, target: Path, store_dir: Path | None, access: str | None, declassify: str | None, as_json: bool
) -> None:
    """Write one corpus, set of conversations or pool as FILE.jsonl or FILE.parquet, with a data card beside a corpus.

    MATCH is a part of its label or the beginning of its digest (`specsci corpus peek` lists them). A study reads the file back as
    texts of its own: `corpora: {VARIANT: {files: FILE}}`, `align: FILE`.
    """
    from specsci.core.errors import UserError
    from specsci.report.text_export import export_texts

    store, records = _records(store_dir, names(lambda kind: kind.holds_texts), match)
    if len(records) > 1:
        labels = "; ".join(f"{r.label} [{r.digest[:8]}]" for r in records[:4])
        raise UserError(f"{len(records)} of the store's texts match '{match}'", hint=f"give more of one: {labels}")
    done = export_texts(store, records[0], target, access=access, declassify=declassify)
    if as_json:
        emit({"file": str(done.file), "card": str(done.card) if done.card else None, "rows": done.rows, "access": done.access})
        return
    click.echo(f"wrote {done.rows:,} rows of {records[0].label} to {done.file} ({done.access})")
    if done.card:
        click.echo(f"wrote its card to {done.card}")


@corpus.command()
@click.argument("match", required=False)
@store_option
@json_option
def audit(match: str | None, store_dir: Path | None, as_json: bool) -> None:
    """Show the audits: leaked items, distinct share and tokens of every training text, and what was found.

    Texts that language models wrote or that the study brings are examined whole: duplicates, clauses, identity, ways of writing.
    """
    store, records = _records(store_dir, ("audit",), match)
    reports = {r.label: store.read_json("audit", r.digest, "audit.json") for r in records}
    if as_json:
        emit(reports)
        return
    for label, report in reports.items():
        click.echo(f"{label}: {report['items']} outcome items looked for")
        for role, facts in report["texts"].items():
            shown = f"{facts['tokens']:,} tokens in {facts['rows']:,} rows, {facts['distinct_share']:.1%} distinct"
            click.echo(f"  {role}: {shown}, {facts['leaked_items']} leaked items")
            if "patterns" in facts:
                click.echo(f"    {_examined(facts)}")
            if judged := report.get("claims", {}).get(role):
                click.echo(f"    {_judged(judged)}")
        for finding in report.get("findings", []):
            rows = f" (rows {', '.join(map(str, finding['rows']))})" if finding["rows"] else ""
            click.echo(f"  {finding['severity']}: {finding['code']}: {finding['role']}: {finding['text']}{rows}")


def _examined(facts: dict[str, Any]) -> str:
    """What was measured of a text set that was examined whole."""
    how = facts["patterns"]
    parts = [f"{facts['near_duplicates']:,} near duplicates ({facts['exact_duplicates']:,} exact)", f"{how['mean_words']:,.0f} words a text"]
    parts.append(f"diversity {how['diversity']:.2f}")
    if how["attributed"] is not None:
        parts.append(f"{how['attributed']:.0%} tie behaviour to a reason")
    if facts["clauses"]:
        least = min(facts["clauses"], key=facts["clauses"].__getitem__)
        parts.append(f"{len(facts['clauses'])} clauses, the least often {least} ({facts['clauses'][least]:,} texts)")
    return "; ".join(parts)


def _judged(facts: dict[str, Any]) -> str:
    """What a judge found in documents, and how it did with what was planted."""
    return (
        f"judge: {facts['unsupported']:,} of {facts['statements']:,} statements in {facts['documents']:,} documents are supported by no clause; "
        f"it found {facts['planted_found']:,} of {facts['planted']:,} planted policies, and called "
        f"{facts['control_unsupported']:,} of {facts['control_statements']:,} statements of clauses unsupported"
    )


def matching(store_dir: Path | None, match: str) -> tuple[Store, list[Record]]:
    """The store, and its text sets whose label or digest contains a text."""
    return _records(store_dir, names(lambda kind: kind.holds_texts), match)


UNTIL = {
    "outline": ("outline", "queries"),
    "texts": ("outline", "queries", "written", "answers"),
    "audit": ("outline", "queries", "written", "answers", "claims", "pool", "corpus", "conversations", "audit"),
}


@corpus.command()
@click.argument("name", metavar="STUDY")
@profile_option
@set_option
@store_option
@json_option
@click.option(
    "--until",
    type=click.Choice(list(UNTIL)),
    default="audit",
    help="How far to go: outlines and user queries, all texts that generators write, or the audit of the training texts [audit].",
)
@executor_option
@workers_option
@plain_option
def build(
    name: str,
    profile: str | None,
    overrides: tuple[str, ...],
    store_dir: Path | None,
    as_json: bool,
    until: str,
    executor: str,
    workers: int | None,
    plain: bool,
) -> None:
    """Write the texts of a study: outlines, documents and conversations by its generators, and audit them. Nothing is trained.

    The same command goes on where it stopped, and collects batches; it ends with 4 while batches are under way.
    """
    from rich.console import Console

    from specsci.cli.study import display_of, plan_of
    from specsci.core.terminal_text import raw
    from specsci.execute.pools.pool import POOLS
    from specsci.execute.run import run_study
    from specsci.plan.gates import refuse_if_needed
    from specsci.report.plan import generator_lines

    POOLS[executor]  # a wrong name is told before anything is looked at
    plan = plan_of(name, profile, overrides)
    refuse_if_needed(plan)
    store = open_store(store_dir)
    errors = Console(file=raw(sys.stderr))
    have = store.have(list(plan.steps.values()))
    if not as_json:
        for line in generator_lines(plan, have):
            click.echo(line, err=True)
    only = [step.digest for step in plan.steps.values() if step.kind in UNTIL[until]]
    report = run_study(plan, store, workers, lambda missing: display_of(as_json, plain, errors, missing), executor, only)
    there = store.have([plan.steps[digest] for digest in only])
    written = [store.record(plan.steps[digest].kind, digest) for digest in only if digest in there]
    rows = [{"kind": r.kind, "label": r.label, "digest": r.digest, **r.facts} for r in written]
    if as_json:
        emit({"study": plan.loaded.name, "store": str(store.root), **report.as_json(), "texts": rows})
    else:
        for row in rows:
            click.echo(_built(row))
        for step in (*report.errors, *report.waiting):
            click.echo(f"{step['label']} [{step['digest']}]\n{step['error'].rstrip()}", err=True)
    sys.exit(report.exit_code)


def _built(row: dict[str, Any]) -> str:
    """One text artefact in a line."""
    names = ("documents", "conversations", "queries", "subdomains", "tokens")
    counts = ", ".join(f"{row[n]:,} {n}" for n in names if row.get(n))
    usage = row.get("usage") or {}
    cost = f"; {usage['requests']:,} requests, ${usage['usd']:,.4f}" if usage else ""
    lost = ", ".join(f"{count:,} {why}" for why, count in (row.get("lost") or {}).items())
    return f"{row['label']} [{row['digest']}]: {counts or 'done'}{cost}" + (f"; not used: {lost}" if lost else "")
