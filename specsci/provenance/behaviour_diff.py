"""From a spec's difference to behaviour: documents about what changed, and items that moved between models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from specsci.core.ids import digest
from specsci.database.connection import rows
from specsci.database.manifest import family_parts, manifests
from specsci.database.manifest_parts import Cell
from specsci.database.parquet import SOURCE, escaped
from specsci.provenance.lineage import ancestors
from specsci.specs.diff import Change
from specsci.specs.family import Family
from specsci.store.artifact import Store

_DOCUMENTS = f"""SELECT unit_id, clause_id, count(*) AS documents, sum(tokens)::BIGINT AS tokens, any_value(text) AS sample
  FROM {SOURCE} WHERE unit_id IN (SELECT unnest($units)) GROUP BY ALL ORDER BY clause_id, unit_id"""
_ROWS = f"""SELECT c.side, c.pair, s.item_id, s.cluster_id, s.variant, s.aligned, s.value
  FROM {SOURCE} s JOIN cells c ON c.file = s.filename
  JOIN (SELECT filename, coalesce(any_value(readout) FILTER (readout = 'logprob'), min(readout)) AS readout FROM {SOURCE} GROUP BY 1) taken
    ON taken.filename = s.filename AND taken.readout = s.readout
  WHERE s.state = 'ok'"""
_MOVED = f"""WITH rows AS ({_ROWS}),
  sides AS (SELECT pair, item_id, any_value(cluster_id) AS cluster_id,
       avg(aligned::INT) FILTER (side = 'a') AS a, avg(aligned::INT) FILTER (side = 'b') AS b,
       avg(value) FILTER (side = 'a') AS value_a, avg(value) FILTER (side = 'b') AS value_b
     FROM rows GROUP BY pair, item_id)
  SELECT p.eval, p.aft_tokens, item_id, any_value(cluster_id) AS cluster_id, count(*)::INT AS models, avg(a) AS aligned_a,
     avg(b) AS aligned_b, avg(b - a) AS moved, avg(value_b - value_a) AS value_moved
  FROM sides JOIN pairs p USING (pair) WHERE a IS NOT NULL AND b IS NOT NULL
  GROUP BY ALL ORDER BY abs(avg(b - a)) DESC, abs(avg(value_b - value_a)) DESC, item_id"""


@dataclass
class Side:
    """One side of a comparison: a variant of a family, and the specs that its models were trained on.

    Models with values of their own for the persona placeholders have specs of their own, so that a variant may have several.
    """

    family: Family
    variant: str

    @property
    def part(self) -> str:
        """The digest by which manifests know the variant's text."""
        return digest(self.family.variant_identity(self.variant))


@dataclass
class Moved:
    """What a change of spec did, as far as a store knows: documents by unit, and items by eval and budget."""

    documents_a: list[dict[str, Any]] = field(default_factory=list)
    documents_b: list[dict[str, Any]] = field(default_factory=list)
    items: list[dict[str, Any]] = field(default_factory=list)
    models: int = 0
    """Pairs of models."""
    also_differs: list[str] = field(default_factory=list)
    """What differs between the two sides besides the spec: the difference is not the spec's alone."""


def moved(store: Store, first: Side, second: Side, changes: Sequence[Change]) -> Moved:
    """Documents about the changed entries on either side, and the items that models trained on either answer.

    Models are paired within study, base model, seed, AFT conversations and budget.
    """
    cells_a, cells_b = _cells(store, first), _cells(store, second)
    out = Moved(also_differs=_also_differs(first.family, second.family, {c.aft_spec for _, c in (*cells_a, *cells_b)}))
    touched = {e.about for c in changes for e in (c.old, c.new) if e}
    for side, cells in (("documents_a", cells_a), ("documents_b", cells_b)):
        setattr(out, side, _documents(store, {c.spec_digest for _, c in cells}, touched))
    keyed_a, keyed_b = _by_pair(cells_a), _by_pair(cells_b)
    pairs = sorted(keyed_a.keys() & keyed_b.keys())
    present = [p for p in pairs if all(_file(store, k[p]).is_file() for k in (keyed_a, keyed_b))]
    out.models = len({p[:5] for p in present})
    if present:
        out.items = _items(store, keyed_a, keyed_b, present)
        out.also_differs += _recipes_differ(store, [(keyed_a[p], keyed_b[p]) for p in present])
    return out


def _also_differs(first: Family, second: Family, aligned_on: set[str | None]) -> list[str]:
    """Grammar, demonstrations and items that two versions of a family do not share.

    Args:
        aligned_on: the sets that models were aligned on; of others it does not matter. Empty where there are no models.
    """
    if first is second:
        return []
    one, two = family_parts(first), family_parts(second)
    found = ["the grammar"] if one.grammar != two.grammar else []
    both = one.conversations.keys() & two.conversations.keys()
    used = both & aligned_on if aligned_on else both
    retold = sorted(n for n in used if one.conversations[n] != two.conversations[n])
    sets = one.items.keys() & two.items.keys()
    other = sorted(n for n in sets if one.items[n] != two.items[n])
    return found + [f"the demonstrations '{n}'" for n in retold] + [f"the items '{n}'" for n in other]


def _recipes_differ(store: Store, pairs: list[tuple[Cell, Cell]]) -> list[str]:
    """Training settings that the models of a pair do not share: doses, recipes, bases."""
    found: set[str] = set()
    for models in {(a.model_digest, b.model_digest) for a, b in pairs}:
        one, two = (_settings(store, m) for m in models)
        found |= {" ".join(key) for key in one.keys() | two.keys() if one.get(key) != two.get(key)}
    return sorted(found)


def _settings(store: Store, model: str | None) -> dict[tuple[str, str], Any]:
    """(kind, field) to the declared values of a model's training steps, its seeds left out."""
    out: dict[tuple[str, str], Any] = {}
    for record in ancestors(store, model) if model else []:
        if record.kind in ("midtrain", "align"):
            out |= {(record.kind, k): v for k, v in record.identity.params.items() if k != "seed"}
        elif record.kind == "base":
            out["base", "weights"] = record.digest
    return out


def _cells(store: Store, side: Side) -> list[tuple[str, Cell]]:
    """The cells, each with its study, of all manifests, superseded ones too, whose models were midtrained on a variant's very text."""
    found = []
    for manifest in manifests(store, superseded=True):
        known = manifest.family_parts.variants if manifest.family_parts else {}
        if manifest.family != side.family.name or known.get(side.variant) != side.part:
            continue
        found += [(manifest.study, c) for c in manifest.cells if c.msm_spec == side.variant]
    return found


def _by_pair(cells: list[tuple[str, Cell]]) -> dict[tuple[Any, ...], Cell]:
    """Cells by what a pair shares; the current manifest's cell stands before a superseded one's."""
    found: dict[tuple[Any, ...], Cell] = {}
    for study, cell in cells:
        key = (study, cell.base_model, cell.seed, cell.aft_spec or "", cell.aft_tokens, cell.eval)
        found.setdefault(key, cell)
    return found


def _file(store: Store, cell: Cell) -> Path:
    return _absolute(store, "score", cell.step_digest) / "scores.parquet"


def _absolute(store: Store, kind: str, step: str) -> Path:
    return store.path(kind, step).absolute()


def _documents(store: Store, specs: set[str | None], units: set[str]) -> list[dict[str, Any]]:
    corpora = [r for r in store.records("corpus") if r.identity.inputs.get("spec") in specs]
    if not corpora or not units:
        return []
    for record in corpora:
        store.verify("corpus", record.digest, "rows.parquet")
    files = escaped([_absolute(store, "corpus", r.digest) / "rows.parquet" for r in corpora])
    with duckdb.connect() as db:
        return rows(db, _DOCUMENTS, {"files": files, "units": sorted(units)})


def _items(
    store: Store,
    first: dict[tuple[Any, ...], Cell],
    second: dict[tuple[Any, ...], Cell],
    pairs: list[tuple[Any, ...]],
) -> list[dict[str, Any]]:
    import pyarrow as pa

    numbered = list(enumerate(pairs))
    cells = [
        {"side": side, "pair": number, "file": str(_file(store, keyed[pair]))}
        for number, pair in numbered
        for side, keyed in (("a", first), ("b", second))
    ]
    for step in {keyed[pair].step_digest for pair in pairs for keyed in (first, second)}:
        store.verify("score", step, "scores.parquet")
    files = escaped(sorted({str(c["file"]) for c in cells}))
    with duckdb.connect() as db:
        db.register("cells", pa.Table.from_pylist(cells))
        db.register("pairs", pa.Table.from_pylist([{"pair": n, "eval": p[5], "aft_tokens": p[4]} for n, p in numbered]))
        return rows(db, _MOVED, {"files": files})


def shown_items(items: Iterable[dict[str, Any]], most: int) -> list[list[str]]:
    """Items that moved, as table rows: eval, AFT tokens, item, aligned rates before and after, difference, models."""
    return [
        [
            item["eval"],
            f"{item['aft_tokens']:,}",
            item["item_id"],
            f"{item['aligned_a']:.2f}",
            f"{item['aligned_b']:.2f}",
            f"{item['moved']:+.2f}",
            f"{item['value_moved']:+.2f}",
            str(item["models"]),
        ]
        for item in [i for i in items if i["moved"] or abs(i["value_moved"]) > 0][:most]
    ]


def rate_moves(items: Iterable[dict[str, Any]]) -> list[list[str]]:
    """Per eval and budget: items, how many moved up and down, and the mean difference."""
    groups: dict[tuple[str, int], list[float]] = {}
    for item in items:
        groups.setdefault((item["eval"], item["aft_tokens"]), []).append(item["moved"])
    return [
        [
            name,
            f"{budget:,}",
            str(len(values)),
            str(sum(v > 0 for v in values)),
            str(sum(v < 0 for v in values)),
            f"{sum(values) / len(values):+.3f}",
        ]
        for (name, budget), values in sorted(groups.items())
    ]
