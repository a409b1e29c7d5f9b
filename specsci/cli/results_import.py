"""`specsci results import`: tables, and logs of Inspect and lm-eval."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specsci.cli.common import emit, json_option, open_store, profile_option, say_left_out, store_option
from specsci.core.errors import UserError

if TYPE_CHECKING:
    from specsci.results.imports import Given
    from specsci.results.imports.answers import Reading


@click.command("import")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--study", help="Name that the results get in the database, as a study of their own.")
@click.option("--into", metavar="STUDY", help="The study whose models were scored: its eval of kind 'imported' (--eval) gets the scores.")
@profile_option
@click.option("--title", default="", help="Title of the study in tables.")
@click.option("--replace", is_flag=True, help="Replace an import of this name from another file.")
@click.option("--aligned", type=click.Choice(["high", "low"]), help="Of logs: which end of the score is aligned.")
@click.option("--score", help="Of logs: the key of the score that is read, where there are several.")
@click.option("--threshold", type=float, help="Of logs: from this value on a score is high, where scores are not 0 and 1.")
@click.option("--eval", "eval_name", help="With --into: the eval. Of logs: the eval's name, by default the task's.")
@click.option("--model", "models", multiple=True, metavar="MODEL=ARM[:SEED]", help="Of logs: a model's arm and seed. Default: its own name, and 0.")
@click.option("--condition", help="Of Inspect logs: the task argument that names harness conditions, or 'approval'.")
@store_option
@json_option
def import_(files: tuple[Path, ...], study: str | None, into: str | None, profile: str | None, title: str, replace: bool, store_dir: Path | None, as_json: bool, **of_logs: Any) -> None:
    """Take results made elsewhere into the database: a table, or logs of Inspect or lm-eval.

    \b
    A CSV or Parquet file has one row per arm, seed and eval, or one per answer:
      arm, seed, eval, aligned, valid, attempted   always
      item_id, cluster_id, state, sample           for single answers
      base_model, msm_spec, aft_spec, aft_tokens   where they differ
      harness                                      under harness conditions
    Lines that begin with # may stand above the header; below it # is a character of a name.

    \b
    Logs are Inspect's (LOG.eval) or lm-eval's (samples_TASK_TIME.jsonl):
      specsci results import runs/*.eval --study theirs --aligned low --score harmful
    A sample is one answer; what failed, was cut off or refused keeps its state.

    With --into, scores are joined to the models of a study by their digests, and its next run takes them: its contrasts,
    controls and lock hold for them. Tables then have the columns model, item_id, and aligned or value, or a state.
    """  # noqa: D301 - click reads the backspace in it
    from specsci.database.stamp import DATABASE
    from specsci.results.build import left_out
    from specsci.results.imports import check_name, keep

    if into is not None:
        if study or title or replace:
            raise UserError("--study, --title and --replace are for studies of their own", hint="give --into with --eval alone")
        _join(into, profile, files, of_logs, as_json)
        return
    if study is None:
        raise click.UsageError("name the --study that the results become, or the study that they go --into")
    check_name(study)
    given = _given(files, of_logs)  # before the store: what is refused leaves no trace of it
    store = open_store(store_dir)
    done = keep(store, given, study, title=title, replace=replace)
    path = store.root / DATABASE
    say_left_out(left_out(store.root))
    if as_json:
        emit({**done.__dict__, "database": str(path)})
    else:
        click.echo(
            f"imported {done.rows:,} rows ({done.answers:,} answers in {done.cells:,} cells) as '{study}' into {path}"
        )


def _join(into: str, profile: str | None, files: tuple[Path, ...], of_logs: dict[str, Any], as_json: bool) -> None:
    """Join scores to a study's eval."""
    from specsci.cli.study import plan_of
    from specsci.evals.imported.join import join

    name = of_logs["eval_name"]
    if name is None:
        raise click.UsageError("name the --eval of the study that gets the scores")
    about_logs = {**of_logs, "eval_name": None}
    are_logs = bool(_given_options(about_logs)) or any(path.suffix.lower() in (".eval", ".json") for path in files)
    reading = _reading(about_logs) if are_logs else None  # else tables or JSON Lines of scores
    done = join(plan_of(into, profile), name, files, reading)
    if as_json:
        emit(done.__dict__)
    else:
        click.echo(f"joined {done.answers:,} scores to '{name}' in {done.file}: {done.models} of {done.of_models} models have scores now")
        click.echo(f"`specsci study run {into}` takes them")


def _given(files: tuple[Path, ...], of_logs: dict[str, Any]) -> Given:
    """The rows of a table, or of logs as the options say."""
    from specsci.results.imports import read_given
    from specsci.results.imports.answers import is_log, read_logs

    said = _given_options(of_logs)
    if not any(map(is_log, files)):
        if len(files) > 1:
            raise UserError("tables are imported one by one", hint="give each a --study of its own, or join them in one file")
        if said:
            raise UserError(f"{', '.join(said)} is for logs, and '{files[0].name}' is a table", hint="a table says these things in its columns")
        return read_given(files[0])
    return read_logs(files, _reading(of_logs))


def _given_options(of_logs: dict[str, Any]) -> list[str]:
    """The options about logs that were given."""
    return [f"--{'eval' if name == 'eval_name' else name.removesuffix('s')}" for name, value in of_logs.items() if value not in (None, ())]


def _reading(of_logs: dict[str, Any]) -> Reading:
    """How logs are read, as the options say."""
    from specsci.results.imports.answers import Reading

    if of_logs["aligned"] is None:
        raise UserError("which end of the score is aligned?", hint="say --aligned high or --aligned low; a log does not know it")
    models = dict(_model(text) for text in of_logs["models"])
    if len(models) < len(of_logs["models"]):
        raise UserError("--model names a model twice", hint="a model is one arm")
    return Reading(of_logs["aligned"], of_logs["score"], of_logs["threshold"], of_logs["eval_name"], models, of_logs["condition"])


def _model(text: str) -> tuple[str, tuple[str, int]]:
    """`MODEL=ARM:SEED`; models' names have colons and slashes, arms have not."""
    model, equals, place = text.rpartition("=")
    arm, colon, seed = place.partition(":")
    if not (equals and model and arm) or (colon and not seed.isdecimal()):
        raise UserError(f"'{text}' is not MODEL=ARM or MODEL=ARM:SEED", hint="such as --model openai/rules-1=rules:1")
    return model, (arm, int(seed or 0))
