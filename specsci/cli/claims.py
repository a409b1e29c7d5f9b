"""`specsci results claim|retire`: sentences that rest on contrasts, and what they may no longer rest on."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

import click

from specsci.cli.common import emit, json_option, open_store, say_left_out, store_option

WITHDRAWN = """SELECT study, contrast FROM contrasts
  WHERE list_contains([f.code FOR f IN flags], 'withdrawn') ORDER BY ALL"""


def account() -> str:
    """This account's name; `unknown` where it has none (a container without a passwd entry)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"


@click.command()
@click.argument("name", required=False)
@click.option("--study", help="Study whose contrast the claim rests on.")
@click.option("--contrast", help="A declared contrast of the study.")
@click.option("--text", help="The claim, as a sentence.")
@click.option("--withdraw", metavar="REASON", help="Withdraw the claim; it stays listed, with the reason.")
@click.option("--by", default=account, help="Who makes it [this account].")
@store_option
@json_option
def claim(
    name: str | None, study: str | None, contrast: str | None, text: str | None, withdraw: str | None, by: str,
    store_dir: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Make claim NAME about a contrast, or withdraw it; without NAME, list how every claim stands.

    \b
    draft      its contrast is incomplete, or changed since
    holds      its interval excludes 0 and nothing is flagged against it
    fragile    something is: one replicate or item decides, a denominator flips it, an interval covers 0
    withdrawn  it was withdrawn, or what it rests on was invalidated
    """  # noqa: D301 - click reads the backspace in it
    from dataclasses import replace

    from specsci.core.errors import UserError, nearest
    from specsci.database.connection import connect, rows
    from specsci.database.stamp import is_current
    from specsci.governance.claims import make_claim, read_claims, write_claim
    from specsci.results.build import build, left_out

    if name is None and (withdraw or study or contrast or text):
        raise click.UsageError("give the claim a NAME")
    store = open_store(store_dir, create=False)
    if name and withdraw:
        known = {c.claim: c for c in read_claims(store)}
        if name not in known:
            raise UserError(f"no claim '{name}'", hint=nearest(name, known))
        write_claim(store, replace(known[name], withdrawn=withdraw))
    elif name:
        if not (study and contrast and text):
            raise click.UsageError("a claim takes --study, --contrast and --text; or --withdraw REASON")
        with connect(store.root) as db:
            query = "SELECT study, contrast, estimate, ci_low, ci_high FROM contrasts WHERE study = ? AND contrast = ?"
            found = rows(db, query, [study, contrast])
        empty = {"study": study, "contrast": contrast, "estimate": None, "ci_low": None, "ci_high": None}
        write_claim(store, make_claim(store, found[0] if found else empty, name, text, by))
    if not is_current(store):
        build(store)
    say_left_out(left_out(store.root))
    with connect(store.root) as db:
        claims = rows(db, "SELECT * FROM claims ORDER BY claim")
    shown = [s for s in claims if not name or s["claim"] == name]
    if as_json:
        emit(shown)
        return
    for row in shown:
        why = f" ({row['why']})" if row["why"] else ""
        click.echo(f"{row['claim']}: {row['status']}{why}\n  {row['text']}")
        click.echo(f"  {row['study']}/{row['contrast']}, {row['by']}, {row['made_on']}")
    if not shown:
        click.echo("no claims")


@click.command()
@click.argument("what", metavar="STEP|eval:STUDY/EVAL")
@click.option("--reason", required=True, help="Why nothing may rest on it; results carry it.")
@click.option("--by", default=account, help="Who invalidates it [this account].")
@store_option
@json_option
def retire(what: str, reason: str, by: str, store_dir: Path | None, as_json: bool) -> None:
    """Invalidate a step, with all that was made from it, or an eval: contrasts and claims that rest on it are withdrawn."""
    from specsci.database.connection import connect
    from specsci.governance.retired import retire as write
    from specsci.results.build import build, left_out

    store = open_store(store_dir, create=False)
    entry = write(store, what, reason, by)
    build(store)
    say_left_out(left_out(store.root))
    with connect(store.root) as db:
        hit = db.execute(WITHDRAWN).fetchall()
        gone = [c for (c,) in db.execute("SELECT claim FROM claims WHERE status = 'withdrawn' ORDER BY claim").fetchall()]
    if as_json:
        emit({**vars(entry), "contrasts_withdrawn": [f"{s}/{c}" for s, c in hit], "claims_withdrawn": gone})
        return
    click.echo(f"invalidated {entry.what}: {entry.reason}")
    click.echo(
        f"contrasts withdrawn: {', '.join(f'{s}/{c}' for s, c in hit) or 'none'}; claims: {', '.join(gone) or 'none'}"
    )
