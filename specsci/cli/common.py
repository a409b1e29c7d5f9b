"""Options and helpers that several commands share."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from specsci.store.artifact import Store

F = TypeVar("F", bound=Callable[..., Any])

store_option = click.option(
    "--store", "store_dir", type=click.Path(path_type=Path), help="Where artefacts lie [$SPECSCI_STORE, else ./.specsci]."
)
profile_option = click.option("--profile", help="Profile of the study file [its default_profile].")
set_option = click.option(
    "--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Set a value over the study file's; several times."
)
limit_option = click.option(
    "--limit", type=click.IntRange(1), help="A smoke run of every kind of step: so many items to an eval, few updates."
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else there."
)
access_option = click.option(
    "--access",
    type=click.Choice(["public", "internal", "confidential"]),
    help="Label of what leaves [that of what is exported].",
)
declassify_option = click.option(
    "--declassify", metavar="REASON", help="Why the label may be lowered; it is recorded."
)
executor_option = click.option(
    "--executor", metavar="NAME", default="local",
    help="Where steps run: local processes, inline (one by one in this process), ray (the machines of a Ray cluster), or what a package "
    "brings [local].",
)  # fmt: skip
address_option = click.option("--address", default="", help="With --executor ray: the cluster [RAY_ADDRESS, else a new one on this machine].")
workers_option = click.option("--workers", type=click.IntRange(1), help="Worker processes [cores / threads per worker].")
plain_option = click.option("--plain", is_flag=True, help="Plain progress lines even on a terminal.")
format_option = click.option(
    "--format", "format_", type=click.Choice(["table", "json", "csv", "md"]), default="table", help="Output format."
)


def store_path(given: Path | None) -> Path:
    """The store's directory: the option, else the environment, else `.specsci` here."""
    from specsci.store.place import store_path

    return store_path(given)


def open_store(given: Path | None, *, create: bool = True) -> Store:
    """The store, made if need be; without `create` a missing one is the user's mistake."""
    from specsci.store.place import open_store

    return open_store(given, create=create)


def emit(value: Any) -> None:
    """One JSON document on stdout; a number that is none (NaN, infinite) is null, as JSON has no other word for it."""
    click.echo(text_of(value), nl=False)


def text_of(value: Any) -> str:
    """The text that `emit` prints."""
    try:
        text = json.dumps(value, indent=1, default=str, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), indent=1, default=str)
    return text.replace("\x7f", "\\u007f") + "\n"  # the one control character that JSON leaves as it is


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def say_left_out(missing: list[dict[str, Any]]) -> None:
    """On stderr, what is damaged and therefore not in the results."""
    for part in missing:
        hint = f"\n  hint: {part['hint']}" if part["hint"] else ""
        click.echo(f"left out of the results: {part['kind']} {part['name']}: {part['reason']}{hint}", err=True)
