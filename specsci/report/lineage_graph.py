"""The graph of a study's steps by kind, drawn as SVG."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup, escape

WIDTH, HEIGHT, GAP_X, GAP_Y = 132, 44, 28, 22


def lineage_svg(layers: list[dict[str, Any]]) -> Markup:
    """Boxes of kinds in columns by how far they are from the start, an arrow from each kind to what is made from it.

    Args:
        layers: `kind`, `count` and `from` (kind to number of inputs), as `evidence.lineage_layers` gives them.
    """
    depth = _depths(layers)
    columns: dict[int, list[str]] = {}
    for layer in layers:
        columns.setdefault(depth[layer["kind"]], []).append(layer["kind"])
    place = {
        kind: (8 + column * (WIDTH + GAP_X), 8 + row * (HEIGHT + GAP_Y))
        for column, kinds in columns.items()
        for row, kind in enumerate(kinds)
    }
    total = (
        16 + (max(columns) + 1) * (WIDTH + GAP_X) - GAP_X,
        16 + max(map(len, columns.values())) * (HEIGHT + GAP_Y) - GAP_Y,
    )
    parts = [_arrow(place[source], place[layer["kind"]]) for layer in layers for source in layer["from"] if source in place]
    parts += [_box(layer, *place[layer["kind"]]) for layer in layers]
    said = "; ".join(
        f"{layer['count']} {layer['kind']}" + (f" from {', '.join(layer['from'])}" if layer["from"] else "")
        for layer in layers
    )
    head = (
        f'<svg role="img" aria-label="{escape("Steps by kind: " + said)}" viewBox="0 0 {total[0]} {total[1]}" class="graph">'
    )
    arrow = '<defs><marker id="lineage-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto"><path d="M0 0L8 4L0 8z" fill="currentColor"/></marker></defs>'
    return Markup(head + arrow + "".join(parts) + "</svg>")  # noqa: S704 - every text in it is escaped


def _depths(layers: list[dict[str, Any]]) -> dict[str, int]:
    """How many steps lie before each kind."""
    inputs = {layer["kind"]: set(layer["from"]) - {layer["kind"]} for layer in layers}
    depth: dict[str, int] = {}

    def of(kind: str) -> int:
        if kind not in depth:
            depth[kind] = 0  # a kind that leads back to itself ends here
            depth[kind] = 1 + max((of(c) for c in inputs[kind] if c in inputs), default=-1)
        return depth[kind]

    for kind in inputs:
        of(kind)
    return depth


def _box(layer: dict[str, Any], x: int, y: int) -> str:
    middle = x + WIDTH // 2
    return (
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
        f'<text x="{middle}" y="{y + 19}">{escape(layer["kind"])}</text>'
        f'<text x="{middle}" y="{y + 35}" class="small">{layer["count"]:,} step{"s" if layer["count"] > 1 else ""}</text>'
    )


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1, x2, y2 = start[0] + WIDTH, start[1] + HEIGHT // 2, end[0], end[1] + HEIGHT // 2
    bend = max(GAP_X, (x2 - x1) // 2)
    return f'<path class="arrow" d="M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}" marker-end="url(#lineage-tip)"/>'
