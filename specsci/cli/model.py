"""`specsci model`: trained models as directories."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from specsci.cli.common import declassify_option, emit, json_option, open_store, store_option

if TYPE_CHECKING:
    from specsci.store.artifact import Store


@click.group()
def model() -> None:
    """Examine base models, and take trained models out of a store."""


@model.command()
@click.argument("source", metavar="SOURCE")
@click.option("--trust-remote-code", is_flag=True, help="Let Python code run that the model brings: read it first.")
@json_option
def check(source: str, trust_remote_code: bool, as_json: bool) -> None:
    """Examine a base model before anything is spent: its weights, attention, packing, padding, saving.

    SOURCE is what a study names: a directory, hub:ORG/NAME@REVISION, package:NAME or microlab:WORLD/SEED. Exit 0 where it
    can be used, 2 where it is refused.
    """
    from specsci.intake.source import examine_source

    found = examine_source(source, trusted=trust_remote_code)
    judgement = "refuse" if found.refused else "warn" if any(f.judgement == "warn" for f in found.findings) else "ok"
    if as_json:
        emit({"source": source, "judgement": judgement, **found.as_dict()})
    else:
        for finding in found.findings:
            click.echo(f"{finding.judgement + ':':8} {finding.check}: {finding.text}")
            if finding.hint and finding.judgement != "ok":
                click.echo(f"{'':8} hint: {finding.hint}")
        click.echo({"refuse": "refused", "warn": "can be used, with what is said above", "ok": "can be used"}[judgement])
    if found.refused:
        sys.exit(2)


@model.command()
@click.argument("places", metavar="[MODEL_DIGEST] DIR", nargs=-1, required=True)
@click.option("--study", "study_name", help="The study whose trained models are written, with --all.")
@click.option("--all", "all_", is_flag=True, help="Write every trained model of --study into DIR/DIGEST, with the list DIR/models.jsonl.")
@store_option
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True, help="Of the weights.")
@click.option("--adapter", is_flag=True, help="Copy the adapter alone instead of merging it into its base.")
@json_option
def export(places: tuple[str, ...], study_name: str | None, all_: bool, store_dir: Path | None, precision: str, adapter: bool, as_json: bool) -> None:
    """Write a model with its tokenizer and chat template into the new directory DIR.

    An adapter is merged into its base, and the directory is published only if it answers as the trained model does.
    """
    from specsci.execute.logs import quiet_libraries
    from specsci.models.export import export_model
    from specsci.provenance.lineage import find_model

    if all_ != (study_name is not None) or len(places) != (1 if all_ else 2):
        raise click.UsageError("name a MODEL_DIGEST and a DIR, or --study STUDY --all DIR")
    quiet_libraries()
    store = open_store(store_dir, create=False)
    if study_name is not None:
        _export_study(store, study_name, Path(places[0]), precision, not adapter, as_json)
        return
    digest, target = places[0], Path(places[1])
    record = find_model(store, digest)
    store.verify(record.kind, record.digest)
    found = export_model(store, record, target, precision=precision, merge=not adapter)
    if as_json:
        facts = {"model": record.digest, "directory": str(target), "access": record.access}
        emit({**facts, "round_trip": asdict(found) if found else None})
        return
    click.echo(f"wrote {record.label} to {target}")
    if found:
        click.echo(
            f"round trip: {found.mean_kl_nats:.2g} nats a token, logits at most {found.max_logit_difference:.2g} apart"
        )


def _export_study(store: Store, study: str, target: Path, precision: str, merge: bool, as_json: bool) -> None:
    """Write every trained model of a study."""
    from specsci.governance.retired import manifest_named
    from specsci.models.export_study import LIST, export_study

    def told(number: int, count: int, label: str) -> None:
        click.echo(f"{number} of {count}: {label}", err=True)

    done = export_study(store, manifest_named(store, study), target, precision=precision, merge=merge, told=told)
    if as_json:
        emit({"directory": str(target), **asdict(done)})
        return
    waiting = f"; {len(done.missing)} are not trained yet" if done.missing else ""
    click.echo(f"wrote {len(done.written)} models into {target}, {len(done.there)} were there{waiting}; {target / LIST} says which is which")


@model.command()
@click.argument("study")
@click.option("--base", help="The base model that is served [the study's only one].")
@click.option("--profile", help="The profile of the study [its default].")
@store_option
@click.option("--python", "python_", default=sys.executable, help="A Python that has vLLM [this one].")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the server listens: whoever reaches it can load adapters.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--adapters", default=8, show_default=True, type=click.IntRange(1, 64), help="Adapters that may share a batch.")
@click.option("--length", default=0, type=click.IntRange(0), help="The most positions of a conversation [the model's own].")
@click.option("--print", "print_", is_flag=True, help="Print the command and start nothing.")
@click.argument("more", nargs=-1, type=click.UNPROCESSED)
def serve(
    study: str, base: str | None, profile: str | None, store_dir: Path | None, python_: str, host: str, port: int, adapters: int, length: int, print_: bool,
    more: tuple[str, ...],
) -> None:  # fmt: skip
    """Serve a base model of STUDY with vLLM, for the engines that the study names; what follows -- is handed to vLLM.

    Adapters are loaded while the study runs, each under its digest. Write `engines: {BASE: {base_url: "http://127.0.0.1:8000"}}`.
    """
    from specsci.core.errors import UserError
    from specsci.models.serve.command import run, serve_command
    from specsci.plan.build import build_plan
    from specsci.study.load import load_study

    plan = build_plan(load_study(study, profile))
    names = list(plan.loaded.study.base_models)
    if base is None and len(names) > 1:
        raise UserError("the study has several base models", hint=f"name one with --base: {', '.join(names)}")
    command = serve_command(plan, open_store(store_dir), base or names[0], python=python_, host=host, port=port, adapters=adapters, length=length, more=more)
    click.echo(command.shown(), err=not print_)
    if not print_:
        run(command)


@model.command()
@click.argument("digest", metavar="MODEL_DIGEST")
@click.argument("repo", metavar="NAMESPACE/NAME")
@store_option
@click.option("--branch", default="specsci", show_default=True, help="Where the files go before they are tagged.")
@click.option("--tag", help="What the model is tagged as, once every file was read back [the first 12 digits of its digest].")
@click.option("--public", is_flag=True, help="Let everybody see the repository; it is private otherwise. One that is there stays as it is.")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="bf16", show_default=True, help="Of the weights.")
@click.option("--adapter", is_flag=True, help="Push the adapter alone instead of merging it into its base.")
@click.option("--license", "licence", help="Under which it is given to others, as the hub names licences [that of its base, where it is known].")
@declassify_option
@json_option
def push(
    digest: str, repo: str, store_dir: Path | None, branch: str, tag: str | None, public: bool, precision: str, adapter: bool,
    licence: str | None, declassify: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Put a model on the hub: its files to a branch, each digest read back, then its card, then the tag.

    A model that is internal or confidential goes into a private repository at most, unless --declassify says why.
    """
    import tempfile

    from specsci.core.errors import UserError
    from specsci.execute.logs import quiet_libraries
    from specsci.governance.release import check_release, lowering, now, record_lowering
    from specsci.models.export import export_model
    from specsci.models.push import push_model
    from specsci.provenance.lineage import find_model
    from specsci.report.cards import license_of, model_card

    quiet_libraries()
    store = open_store(store_dir, create=False)
    record = find_model(store, digest)
    store.verify(record.kind, record.digest)
    licence = licence or license_of(store, record)
    if not licence:
        raise UserError("the licence of the model's base is not known", hint="say it with --license, as the hub names licences: apache-2.0, llama3.1, other")
    wanted = "public" if public else "internal"
    check_release("the model", record.access, wanted, declassify)
    if lowered := lowering(record.access, wanted, declassify):
        record_lowering(store.root, {"what": f"model {record.digest} to {repo}", "to": wanted, "at": now(), **lowered})
    with tempfile.TemporaryDirectory(dir=store.root / "stage") as made:
        folder = Path(made) / "model"
        export_model(store, record, folder, precision=precision, merge=not adapter)
        done = push_model(folder, model_card(store, record, licence), repo, branch=branch, tag=tag or record.digest[:12], private=not public)
    if as_json:
        emit(asdict(done))
        return
    click.echo(f"{record.label} is {repo}@{done.tag} ({len(done.files)} files read back, commit {done.commit[:12]})")
