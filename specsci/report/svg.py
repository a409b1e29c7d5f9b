"""Figures inside a page: one SVG element each, in the page's own text colour, with names that meet no other figure's."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from specsci.report.plots import STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#010203"
"""A colour that no figure has but its text and axes; in the page it becomes the text's colour."""
INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "axes.titlecolor")


def inline_style() -> dict[Any, Any]:
    """The settings with which a figure for a page is drawn."""
    return {**STYLE, **dict.fromkeys(INKED, INK)}


def inline_svg(figure: Figure, name: str, label: str) -> Markup:
    """A drawn figure as an `svg` element.

    Args:
        name: put before every id, so that two figures in one page share none.
        label: what the figure shows, for those who do not see it.
    """
    import matplotlib.pyplot as plt

    out = io.StringIO()
    with plt.rc_context(inline_style()):
        figure.savefig(
            out, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    text = text.replace(INK, "currentColor")
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text).groups()  # type: ignore[union-attr]
    head = f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {width} {height}" xmlns:xlink="http://www.w3.org/1999/xlink">'
    return Markup(head + text[text.index(">") + 1 :])  # noqa: S704 - matplotlib and `escape` escaped its texts
