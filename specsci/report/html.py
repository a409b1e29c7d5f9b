"""HTML pages that need nothing else: no network, no script, everything escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from specsci.core.files import write_text


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
    """Write a page or a card, whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    write_text(path, text)
