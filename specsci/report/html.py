"""HTML pages that need nothing else: no network, no script, everything escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from specsci.errors import StoreError


def page(template: str, **content: Any) -> str:
    """A template of `specsci/report/templates` filled in."""
    environment = Environment(
        loader=PackageLoader("specsci.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**content)


def write_page(path: Path, text: str) -> None:
    """Write a page or a card.

    Raises:
        StoreError: the file cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"cannot be written: {error.strerror or error}", where=str(path), mend="name another file"
        ) from error
