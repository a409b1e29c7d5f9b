"""`specsci spec`: list, read, check and compare spec variants, and the chain behind a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specsci.cli.common import emit, json_option, open_store, store_option, store_path
from specsci.cli.spec_versions import acknowledge, approve, bump, fork, log, new, recall, restore

if TYPE_CHECKING:
    from specsci.specs.check import Counter_
    from specsci.specs.family import Family
    from specsci.store.artifact import Store

tokenizer_option = click.option(
    "--tokenizer", help="Count tokens of this tokenizer: a model directory, or microlab:WORLD [words and punctuation marks]."
)


@click.group()
def spec() -> None:
    """List, read, check and compare spec variants, and control their changes.

    FAMILY is a shipped family or one beside you; FAMILY@1.0.0 names a version of it, FAMILY:VARIANT a variant.
    """


for command in (new, fork, recall, bump, restore, approve, acknowledge, log):
    spec.add_command(command)


def _counter(tokenizer: str | None) -> tuple[Counter_, str]:
    """How to count a text's length, and the name of the unit."""
    from specsci.specs.check import words

    if tokenizer is None:
        return words, "words and punctuation marks"
    from specsci.models.hf import named_tokenizer

    loaded = named_tokenizer(tokenizer)
    return (lambda text: len(loaded(text, add_special_tokens=False)["input_ids"])), f"tokens of {tokenizer}"


def _families(names: tuple[str, ...]) -> tuple[list[Family], dict[str, str]]:
    """The named families, or every one that lies here or comes with specsci; and by name why others cannot be read."""
    from specsci.core.errors import UserError
    from specsci.core.shipped import family_folders
    from specsci.specs.load import load_family
    from specsci.specs.reference import resolve

    if names:
        return [resolve(name).family for name in names], {}
    found, broken = [], {}
    for folder in family_folders(Path.cwd()):
        try:
            found.append(load_family(folder))
        except UserError as error:
            broken[folder.name] = str(error)
    return found, broken


@spec.command("list")
@click.argument("names", metavar="[FAMILY]...", nargs=-1)
@tokenizer_option
@json_option
def list_families(names: tuple[str, ...], tokenizer: str | None, as_json: bool) -> None:
    """List families and their variants, with the length of each text."""
    from specsci.core.errors import UserError
    from specsci.specs.check import lengths

    count, unit = _counter(tokenizer)
    families, broken = _families(names)
    found, failed = [], broken
    for family in families:
        try:
            found.append((family, lengths(family, count)))
        except UserError as error:
            failed[family.name] = str(error)
    for name, text in failed.items():
        click.echo(f"{name} cannot be read:\n{text}", err=True)
    if as_json:
        emit(
            [
                {"family": f.name, "version": f.data.version, "access": f.data.access, "variants": sizes, "unit": unit}
                for f, sizes in found
            ]
            + [{"family": name, "broken": text} for name, text in failed.items()]
        )
        return
    for family, sizes in found:
        label = "" if family.data.access == "public" else f" ({family.data.access})"
        click.echo(f"{family.name} {family.data.version}{label}: {family.data.title}")
        for name, variant in family.data.variants.items():
            click.echo(
                f"  {name}: {variant.title} ({sizes[name]:,} {unit})" if sizes[name] else f"  {name}: {variant.title}"
            )


@spec.command()
@click.argument("reference", metavar="FAMILY")
@click.argument("variant", required=False)
@tokenizer_option
def show(reference: str, variant: str | None, tokenizer: str | None) -> None:
    """Print a variant's text (FAMILY VARIANT, or FAMILY:VARIANT)."""
    from specsci.specs.reference import resolve_variant
    from specsci.specs.text import markdown

    found, name = resolve_variant(f"{reference}:{variant}" if variant else reference)
    text = markdown(found.family, name)
    click.echo(text, nl=False)
    if tokenizer:
        count, unit = _counter(tokenizer)
        click.echo(f"{count(text):,} {unit}", err=True)


@spec.command()
@click.argument("reference", metavar="FAMILY")
@click.argument("variant")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Directory to write to.")
@click.option(
    "--name", "names", metavar="KEY=VALUE", multiple=True, help="The value of a persona placeholder, as model_name=Vega."
)
def materialize(reference: str, variant: str, out: Path, names: tuple[str, ...]) -> None:
    """Write a variant as VARIANT.md and VARIANT.json (with the digest of every clause)."""
    from specsci.core.errors import StoreError, UserError, nearest
    from specsci.specs.materialize import materialized
    from specsci.specs.reference import resolve_variant
    from specsci.store.artifact import write_json

    found, name = resolve_variant(f"{reference}:{variant}")
    identity = {}
    for pair in names:
        key, sign, value = pair.partition("=")
        if not sign or key not in found.family.data.identity:
            raise UserError(
                f"'{pair}' sets no persona placeholder of the family", hint=nearest(key, found.family.data.identity)
            )
        identity[key] = value
    text, record = materialized(found.family, name, identity)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{name}.md").write_text(text, encoding="utf-8")
        write_json(out / f"{name}.json", record)
    except OSError as error:
        raise StoreError(
            f"cannot be written: {error.strerror or error}", where=str(out), hint="name another --out"
        ) from error
    click.echo(f"wrote {out / name}.md and {name}.json")


@spec.command()
@click.argument("names", metavar="[FAMILY]...", nargs=-1)
@tokenizer_option
@json_option
def check(names: tuple[str, ...], tokenizer: str | None, as_json: bool) -> None:
    """Check families (your own here and all shipped ones if none is named): core, lengths, registers, identity, leaks, version.

    Leaks name a test's action, lever or option: they block a study until it accepts them in writing. Ends with
    2 if there is an error.
    """
    from specsci.specs.changes import unrecorded
    from specsci.specs.check import check_family, lengths

    count, unit = _counter(tokenizer)
    out: list[dict[str, Any]] = []
    families, broken = _families(names)
    for name, problem in broken.items():
        row = {"level": "error", "check": "load", "variant": "", "entry": "", "text": problem, "hint": ""}
        out.append({"family": name, "version": "", "lengths": {}, "findings": [row]})
        if not as_json:
            _print_check(out[-1], unit)
    for family in families:
        found, changed = check_family(family, count), unrecorded(family)
        rows = [vars(f) for f in found]
        if changed:
            hint = (
                f"specsci spec bump {family.name} VERSION --reason WHY --author WHO, or specsci spec restore {family.name}"
            )
            rows.insert(0, {"level": "error", "check": "version", "variant": "", "entry": "", "text": changed, "hint": hint})
        out.append(
            {"family": family.name, "version": family.data.version, "lengths": lengths(family, count), "findings": rows}
        )
        if not as_json:
            _print_check(out[-1], unit)
    if as_json:
        emit(out)
    if any(row["level"] == "error" for family_out in out for row in family_out["findings"]):
        sys.exit(2)


def _print_check(found: dict[str, Any], unit: str) -> None:
    counts = [sum(row["level"] == level for row in found["findings"]) for level in ("error", "leak")]
    sizes = ", ".join(f"{name} {size:,}" for name, size in found["lengths"].items() if size)
    click.echo(f"{found['family']} {found['version']}: {counts[0]} errors, {counts[1]} leaks ({unit}: {sizes})")
    for row in found["findings"]:
        place = "/".join(filter(None, (row["variant"], row["entry"])))
        click.echo(f"  {row['level']}: {row['check']}: {place + ': ' if place else ''}{row['text']}")
        if row["hint"]:
            click.echo(f"    hint: {row['hint']}")


def _store_if_any(store_dir: Path | None) -> Store | None:
    """The store, if there is one; one that is named must be there."""
    return open_store(store_dir, create=False) if store_dir or (store_path(None) / "steps").is_dir() else None


@spec.command("diff")
@click.argument("first", metavar="FAMILY[@VERSION]:VARIANT")
@click.argument("second", metavar="FAMILY[@VERSION]:VARIANT")
@store_option
@json_option
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write the comparison as a page, too.")
def diff_command(first: str, second: str, store_dir: Path | None, as_json: bool, html: Path | None) -> None:
    """Compare two variants: text, then documents about what changed, then items that moved between models."""
    from specsci.provenance.behaviour_diff import Side
    from specsci.report.spec_diff import compare, tables, text_lines
    from specsci.report.terminal import show as show_tables
    from specsci.specs.reference import resolve_variant

    (one, variant_one), (two, variant_two) = resolve_variant(first), resolve_variant(second)
    sides = Side(one.family, variant_one), Side(two.family, variant_two)
    content = compare(*sides, (first, second), _store_if_any(store_dir))
    summary, *rest = text_lines(content)
    if html:
        _write_page(
            html,
            "spec_diff.html",
            title=f"{first} and {second}",
            summary=summary,
            changes=content.changes,
            tables=tables(content),
        )
    if as_json:
        emit(content.as_dict())
    else:
        click.echo("\n".join([summary, *rest]))
        show_tables([], tables(content))


@spec.command()
@click.argument("model", metavar="MODEL_DIGEST")
@store_option
@json_option
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write the chain as a page, too.")
def audit(model: str, store_dir: Path | None, as_json: bool, html: Path | None) -> None:
    """Show the chain behind a model: study, spec, approvals, documents, gates, training, scores, claims."""
    from specsci.provenance.lineage import lineage
    from specsci.report.lineage import sections
    from specsci.report.terminal import show as show_tables

    chain = lineage(open_store(store_dir, create=False), model, _home)
    page = sections(chain)
    if html:
        _write_page(html, "lineage.html", title=f"The chain behind {chain['model']['label']}", sections=page)
    if as_json:
        emit(chain)
        return
    for heading, lines, content in page:
        show_tables(["", heading.upper(), *lines], content)


def _home(family: str) -> Path | None:
    from specsci.core.errors import UserError
    from specsci.core.shipped import find_family

    try:
        return find_family(family, Path.cwd())
    except UserError:
        return None


def _write_page(path: Path, template: str, **content: Any) -> None:
    from specsci.report.html import page, write_page

    write_page(path, page(template, **content))
    click.echo(f"wrote {path}", err=True)
