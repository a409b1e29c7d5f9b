"""`specsci spec`: list and materialize variants of spec families."""

from __future__ import annotations

from pathlib import Path

import click

from specsci.cli.common import emit, json_option


@click.group()
def spec() -> None:
    """List and materialize spec variants. FAMILY is a shipped family or one beside you."""


@spec.command("list")
@json_option
def list_families(as_json: bool) -> None:
    """List the shipped families and their variants."""
    from specsci.shipped import shipped
    from specsci.specs.family import load_family

    families = [load_family(p.parent) for p in sorted(shipped("spec_variants").glob("*/family.yaml"))]
    if as_json:
        emit([{"family": f.name, "version": f.data.version, "variants": list(f.data.variants)} for f in families])
        return
    for family in families:
        click.echo(f"{family.name} {family.data.version}: {family.data.title}")
        for name, variant in family.data.variants.items():
            click.echo(f"  {name}: {variant.title}")


@spec.command()
@click.argument("family")
@click.argument("variant")
def show(family: str, variant: str) -> None:
    """Print a variant's text."""
    from specsci.shipped import find_family
    from specsci.specs.family import load_family
    from specsci.specs.variants import markdown

    click.echo(markdown(load_family(find_family(family, Path.cwd())), variant), nl=False)


@spec.command()
@click.argument("family")
@click.argument("variant")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("."), help="Directory to write to.")
def materialize(family: str, variant: str, out: Path) -> None:
    """Write a variant as VARIANT.md and VARIANT.json (with the digest of every clause)."""
    from specsci.ids import digest, text_digest
    from specsci.shipped import find_family
    from specsci.specs.family import kept_fields, load_family
    from specsci.specs.variants import markdown
    from specsci.store.artifact import write_json

    loaded = load_family(find_family(family, Path.cwd()))
    text, declared = markdown(loaded, variant), loaded.variant(variant)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{variant}.md").write_text(text, encoding="utf-8")
    clauses = [{"id": c.id, "digest": digest(kept_fields(c, declared))} for c in loaded.clauses_of(variant)]
    record = {
        "family": loaded.name,
        "version": loaded.data.version,
        "variant": variant,
        "digest": digest(loaded.variant_identity(variant)),
        "text_digest": text_digest(text),
        "clauses": clauses,
    }
    write_json(out / f"{variant}.json", record)
    click.echo(f"wrote {out / variant}.md and {variant}.json")
