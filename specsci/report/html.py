"""HTML pages that need nothing else: no network, no script, everything escaped."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


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
