"""`specsci spec new|fork|bump|restore|approve|acknowledge|log`: change control of a family."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from specsci.cli.common import emit, json_option

if TYPE_CHECKING:
    from specsci.specs.reference import Reference

by_option = click.option("--by", required=True, help="Who says so.")


@click.command()
@click.argument("family")
@click.argument("name")
def fork(family: str, name: str) -> None:
    """Copy FAMILY to spec_variants/NAME here, to edit it as a family of your own."""
    from specsci.core.errors import UserError
    from specsci.core.ids import is_safe_name
    from specsci.specs.reference import resolve
    from specsci.specs.versions import fork as copy

    if not is_safe_name(name):
        raise UserError(f"'{name}' is not a valid family name", hint="use lower-case letters, digits, '_' and '-', no path")
    made = copy(resolve(family).family, Path("spec_variants") / name)
    click.echo(
        f"wrote {made.folder}; record its first version: `specsci spec bump {name} {made.data.version} --reason WHY --author WHO`"
    )


@click.command()
@click.argument("name")
def new(name: str) -> None:
    """Write a small commented family to spec_variants/NAME here, and NAME.yaml, a study of it; both run as they are."""
    from specsci.core.errors import UserError
    from specsci.core.ids import is_safe_name
    from specsci.specs.starter import write_family

    if not is_safe_name(name) or "@" in name:
        raise UserError(f"'{name}' is not a valid family name", hint="use lower-case letters, digits, '_' and '-', no path")
    folder, study = write_family(name, Path())
    click.echo(f"{folder}\n  specsci spec check {name}\n{study}\n  specsci study plan {study}\n  specsci study run {study}")


@click.command()
@click.argument("variant", metavar="FAMILY:VARIANT")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
def recall(variant: str, file: Path | None) -> None:
    """Write items that test whether a model knows what a variant says: its sentences, each with two endings. To FILE, or printed.

    Put the file among the family's items, and ask it with `{items: NAME, role: recall, format: text}`.
    """
    from specsci.core.errors import UserError
    from specsci.specs.recall import recall_items, recall_text
    from specsci.specs.reference import resolve_variant

    found, name = resolve_variant(variant)
    items = recall_items(found.family, name)
    if file is None:
        click.echo(recall_text(items), nl=False)
        return
    if file.exists():
        raise UserError(f"'{file}' is there already", hint="name a new file; an item set that was asked is not written over")
    file.write_text(recall_text(items), encoding="utf-8")
    click.echo(f"{file}: {len(items)} items about {variant}")


@click.command()
@click.argument("family")
@click.argument("version")
@click.option("--reason", required=True, help="Why the text changed.")
@click.option("--author", required=True, help="Who changed it.")
def bump(family: str, version: str, reason: str, author: str) -> None:
    """Record the family's text as it is as a new VERSION: its digest, its reason, a snapshot of its files."""
    from specsci.specs.reference import resolve
    from specsci.specs.versions import bump as record

    home = _own(resolve(family).home)
    entry = record(home, version, author=author, reason=reason, on=date.today()).latest
    click.echo(f"{home.name} {entry.version}: digest {entry.digest}")
    click.echo(f"pin it in a study: `family: {home.name}@{entry.version}`; `specsci study status` lists what it makes stale")


@click.command()
@click.argument("family")
@click.argument("version", required=False)
def restore(family: str, version: str | None) -> None:
    """Put the family's files back as VERSION [the one that family.yaml names, else the latest] was recorded."""
    from specsci.core.errors import UserError
    from specsci.core.shipped import find_family
    from specsci.specs.changes import CHANGES, read_changes
    from specsci.specs.versions import restore as put_back

    home = _own(find_family(family.partition("@")[0], Path.cwd()))
    changes = read_changes(home)
    if changes is None:
        raise UserError(f"'{family}' has no {CHANGES}: nothing was recorded", hint="record it first: specsci spec bump")
    wanted = version or family.partition("@")[2] or _declared(home) or changes.latest.version
    changed = put_back(home, wanted)
    click.echo(f"{home.name} is as {wanted} was recorded; {', '.join(changed) or 'no file'} changed")


def _declared(home: Path) -> str | None:
    """The recorded version that `family.yaml` names; None where it cannot be read, or names another."""
    from specsci.core.errors import UserError
    from specsci.core.yaml_file import read_yaml
    from specsci.specs.changes import read_changes

    try:
        version = read_yaml(home / "family.yaml").data.get("version")
    except UserError:
        return None
    changes = read_changes(home)
    return version if changes and isinstance(version, str) and changes.entry(version) else None


def _own(home: Path) -> Path:
    """The family's folder, if it lies below the working directory: those that come with specsci are nobody's to change."""
    from specsci.core.errors import UserError

    if not home.resolve().is_relative_to(Path.cwd().resolve()):
        raise UserError(
            f"'{home.name}' comes with specsci ({home}): a record there would be lost with the next version",
            hint=f"make it your own: `specsci spec fork {home.name} NAME` (or work in the folder that holds it)",
        )
    return home


def _settled(family: str) -> Reference:
    """A family that is the text of its version: nobody can approve another."""
    from specsci.core.errors import UserError
    from specsci.specs.changes import unrecorded
    from specsci.specs.reference import resolve

    found = resolve(family)
    why = unrecorded(found.family)
    if why:
        raise UserError(why, hint=f"record it first: specsci spec bump {found.home.name} VERSION --reason WHY --author WHO")
    return found


def _given(**texts: str) -> None:
    from specsci.core.errors import UserError

    for name, text in texts.items():
        if not text.strip():
            raise UserError(f"--{name} is empty", hint=f"give --{name} in writing")


@click.command()
@click.argument("family", metavar="FAMILY@VERSION")
@by_option
@click.option("--note", default="", help="What the approval rests on.")
def approve(family: str, by: str, note: str) -> None:
    """Record an approval of a version."""
    from specsci.core.errors import UserError
    from specsci.specs.changes import Approval
    from specsci.specs.versions import note as write

    _given(by=by)
    if "@" not in family:
        raise UserError(f"'{family}' names no version", hint=f"say which text is approved: {family}@1.0.0")
    found = _settled(family)
    _own(found.home)
    write(found.home, found.family.data.version, "approvals", Approval(by=by, date=date.today(), note=note))
    click.echo(f"{found.home.name} {found.family.data.version}: approved by {by}")


@click.command()
@click.argument("family")
@click.argument("study")
@click.option("--reason", required=True, help="Why the study's results stand as they are.")
@by_option
def acknowledge(family: str, study: str, reason: str, by: str) -> None:
    """Let STUDY, made on an earlier version, stand in writing beside the present version of FAMILY."""
    from specsci.specs.changes import Acknowledgement
    from specsci.specs.versions import note as write

    _given(by=by, reason=reason)
    found = _settled(family)
    _own(found.home)
    value = Acknowledgement(study=study, by=by, date=date.today(), reason=reason)
    write(found.home, found.family.data.version, "acknowledged", value)
    click.echo(f"{study} stands beside {found.home.name} {found.family.data.version}: {reason}")


@click.command()
@click.argument("family")
@json_option
def log(family: str, as_json: bool) -> None:
    """List a family's versions with dates, reasons and approvals."""
    from specsci.core.errors import UserError
    from specsci.specs.changes import CHANGES, read_changes
    from specsci.specs.reference import resolve

    home = resolve(family).home
    changes = read_changes(home)
    if changes is None:
        raise UserError(
            f"'{home.name}' has no {CHANGES}", hint=f"specsci spec bump {home.name} 1.0.0 --reason WHY --author WHO"
        )
    if as_json:
        emit(changes.model_dump(mode="json"))
        return
    for entry in reversed(changes.changes):
        click.echo(f"{entry.version}  {entry.date}  {entry.author}: {entry.reason} [{entry.digest}]")
        for approval in entry.approvals:
            click.echo(f"  approved by {approval.by} on {approval.date}{': ' + approval.note if approval.note else ''}")
        for item in entry.acknowledged:
            click.echo(f"  {item.study} stands: {item.reason} ({item.by}, {item.date})")
