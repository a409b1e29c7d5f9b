"""What the database holds for a contrast: counts of every arm by replicate, and its single answers by cluster of items."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from specsci.inference.denominator import Denominator, Totals
from specsci.inference.rates import Pair

CellKey = tuple[str, int]
"""(subject, AFT tokens)."""
READ = """
SELECT w.cell, s.base_model, s.seed, s.item_id, coalesce(s.cluster_id, s.item_id) AS cluster,
       hash(s.item_id, s.readout, s.variant, s.sample, s.state, s.answer) AS mark, s.answer AS aligned
FROM chosen_scores s JOIN design_cells w USING (subject, aft_tokens)
WHERE s.study = $study AND s.eval = $eval AND s.item_id IS NOT NULL"""


class Counts(NamedTuple):
    """Answers of one cell in one replicate; `items` are the distinct ones attempted, 0 where only counts are known.

    Where answers are not binary, `aligned` is the sum of their values.
    """

    aligned: float
    valid: int
    attempted: int
    items: int = 0

    def out_of(self, denominator: Denominator) -> int:
        """Answers that the denominator counts."""
        return self.valid if denominator == "valid" else self.attempted

    def items_of(self, denominator: Denominator) -> float:
        """What a rate is over: items where single answers are known (an item's answers are not independent ones), else answers."""
        return self.out_of(denominator) * (self.items / self.attempted if self.items else 1.0)


@dataclass(frozen=True)
class AnswerRows:
    """Single answers, an entry of every array for each.

    They hold cell and replicate (indices), item, cluster of items, a hash of what was asked and answered, and aligned (1,
    0, or the value where answers are not binary; NaN where the answer is not valid).
    """

    cell: np.ndarray
    replicate: np.ndarray
    item: np.ndarray
    cluster: np.ndarray
    mark: np.ndarray
    aligned: np.ndarray
    pairs: list[Pair]

    def __len__(self) -> int:
        return len(self.cell)

    def kept(self, rows: np.ndarray) -> AnswerRows:
        """The answers that a mask picks."""
        names = ("cell", "replicate", "item", "cluster", "mark", "aligned")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})


@dataclass(frozen=True)
class Table:
    """Rates of the arms by unit of replication; NaN where an arm lacks a unit.

    `rates` and `items` (what each rate is over) have shape (units, arms); `units` are their labels.
    """

    units: list[Any]
    rates: np.ndarray
    items: np.ndarray

    @property
    def each(self) -> np.ndarray:
        """Units of every arm, shape (arms,)."""
        return np.asarray((~np.isnan(self.rates)).sum(axis=0))


@dataclass(frozen=True)
class Design:
    """A contrast's arms, each the mean over its cells, and what was counted of them.

    Args:
        weights: of the arms, shape (arms,).
        cells: every arm's cells.
        counts: by replicate and cell.
        withdrawn: what of it was invalidated, and why.
        expected: the study's declared replicates; None for imported results, which declare none.
        read: reads the single answers.
        outcome: what an answer is; of any but `binary` ones the means of their values are compared.
        readouts: the readout that is taken, and the others that there are.
    """

    arms: list[str]
    weights: np.ndarray
    cells: list[list[CellKey]]
    counts: dict[Pair, dict[CellKey, Counts]]
    withdrawn: list[str]
    expected: int | None
    read: Callable[[], AnswerRows]
    outcome: str = "binary"
    readouts: tuple[str, ...] = ()
    _tables: dict[tuple[Denominator, bool], Table] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def cell_list(self) -> list[CellKey]:
        """Cells of all arms, arm by arm."""
        return [cell for cells in self.cells for cell in cells]

    @cached_property
    def arm_of_cell(self) -> np.ndarray:
        """The arm's index of each cell, shape (cells,)."""
        return np.repeat(np.arange(len(self.arms)), [len(cells) for cells in self.cells])

    @cached_property
    def bases(self) -> list[set[str]]:
        """Base models of each arm."""
        return [{base for base, _ in self.pairs_of(n, "attempted")} for n in range(len(self.arms))]

    @cached_property
    def unit(self) -> str:
        """What the replicates count under: the base model where an arm has several, else the seed."""
        return "base_model" if max((len(b) for b in self.bases), default=0) > 1 else "seed"

    def unit_of(self, pair: Pair) -> Any:
        """The key that a replicate counts under: its base model, its seed, or both."""
        if self.unit == "base_model":
            return pair[0]
        return pair[1] if self._one_base else pair

    @cached_property
    def _one_base(self) -> bool:
        return len(set().union(*self.bases)) == 1

    def pairs_of(self, arm: int, denominator: Denominator) -> list[Pair]:
        """Replicates in which every cell of an arm has a rate, in the order of their seeds."""
        order = sorted(self.counts, key=lambda p: (p[1], p[0]))
        none = Counts(0, 0, 0)
        return [p for p in order if all(self.counts[p].get(c, none).out_of(denominator) for c in self.cells[arm])]

    def shared(self, denominator: Denominator) -> list[Pair]:
        """Replicates in which every arm has a rate."""
        found = [set(self.pairs_of(n, denominator)) for n in range(len(self.arms))]
        return sorted(set.intersection(*found), key=lambda p: (p[1], p[0]))

    def used(self, denominator: Denominator, *, unpaired: bool = False) -> list[list[Pair]]:
        """The replicates that every arm is averaged over: its own, but within a base model those that its arms share, if any.

        Seeds of one base are not units of their own, so that an arm with the better seeds alone is not better for it.
        """
        own = [self.pairs_of(n, denominator) for n in range(len(self.arms))]
        if unpaired or self.unit != "base_model":
            return own
        kept: list[list[Pair]] = [[] for _ in own]
        for base in {p[0] for pairs in own for p in pairs}:
            mine = [[p for p in pairs if p[0] == base] for pairs in own]
            shared = set.intersection(*(set(m) for m in mine if m))
            for n, pairs in enumerate(mine):
                kept[n] += [p for p in pairs if p in shared] or pairs
        return kept

    def only_shared(self, denominator: Denominator) -> Design:
        """The design of the replicates that every arm has."""
        kept = set(self.shared(denominator))
        return replace(self, counts={p: c for p, c in self.counts.items() if p in kept}, read=self.read)

    def table(self, denominator: Denominator, *, unpaired: bool = False) -> Table:
        """Rates by unit and arm: seeds of one base model are averaged. Unpaired: no unit is of two arms."""
        key = (denominator, unpaired)
        if key not in self._tables:
            self._tables[key] = self._table(denominator, unpaired)
        return self._tables[key]

    def _table(self, denominator: Denominator, unpaired: bool) -> Table:
        found: dict[Any, list[list[tuple[float, float]]]] = {}
        order = sorted(self.counts, key=lambda p: (p[1], p[0]))
        known = [set(p) for p in self.used(denominator, unpaired=unpaired)]
        for pair in order:
            for n, cells in enumerate(self.cells):
                if pair not in known[n]:
                    continue
                unit = (self.unit_of(pair), n) if unpaired else self.unit_of(pair)
                counts = [self.counts[pair][c] for c in cells]
                rate = _mean([c.aligned / c.out_of(denominator) for c in counts])
                items = _mean([c.items_of(denominator) for c in counts])
                found.setdefault(unit, [[] for _ in self.arms])[n].append((rate, items))
        both = np.full((2, len(found), len(self.arms)), np.nan)
        for row, by_arm in enumerate(found.values()):
            for n, values in enumerate(by_arm):
                if values:
                    both[:, row, n] = values[0] if len(values) == 1 else np.mean(values, axis=0)
        return Table(list(found), both[0], both[1])

    def totals(self) -> Totals:
        """Aligned, valid and attempted answers of every arm over all its replicates and cells."""
        found: Totals = {}
        for n, arm in enumerate(self.arms):
            counts = [self.counts[p][c] for p in self.pairs_of(n, "attempted") for c in self.cells[n]]
            found[arm] = (sum(c.aligned for c in counts), sum(c.valid for c in counts), sum(c.attempted for c in counts))
        return found

    @cached_property
    def rows(self) -> AnswerRows:
        """Single answers of the replicates that are counted; none where only counts are known."""
        found = self.read()
        kept = np.array([p in self.counts for p in found.pairs], bool)
        return found.kept(kept[found.replicate]) if len(found) else found


def _mean(values: list[float]) -> float:
    return values[0] if len(values) == 1 else float(np.mean(values))


def read_design(
    db: duckdb.DuckDBPyConnection, study: str, name: str, weights: dict[str, float], cells: dict[str, list[CellKey]],
    expected: int | None = None,
) -> Design:  # fmt: skip
    """The design of a contrast of arms, each the mean over its cells."""
    arms = list(weights)
    flat = [cell for arm in arms for cell in cells[arm]]
    names, budgets = zip(*flat, strict=True)
    wanted = pa.table(
        {"cell": pa.array(range(len(flat)), pa.int64()), "subject": names, "aft_tokens": pa.array(budgets, pa.int64())}
    )

    def of_cells(query: str, columns: bool = False) -> Any:
        """Rows of the contrast's cells, or whole columns."""
        db.register("design_cells", wanted)
        cursor = db.execute(query, {"study": study, "eval": name})
        found = cursor.fetchnumpy() if columns else cursor.fetchall()
        db.unregister("design_cells")
        return found

    query = """SELECT w.cell, base_model, seed,
        CASE WHEN any_value(outcome) = 'binary' THEN sum(aligned) ELSE sum(mean_value * valid) END,
        sum(valid), sum(attempted), max(items)
      FROM rates r JOIN design_cells w USING (subject, aft_tokens)
      WHERE r.study = $study AND r.eval = $eval AND r.chosen GROUP BY ALL"""
    told = db.execute("SELECT outcome, readout, readouts FROM evals WHERE study = ? AND eval = ?", [study, name]).fetchall()
    outcome, readout, readouts = told[0] if told else ("binary", "", [])
    counts: dict[Pair, dict[CellKey, Counts]] = {}
    for cell, base, seed, aligned, valid, attempted, items in of_cells(query):
        counts.setdefault((base, seed), {})[flat[cell]] = Counts(
            int(aligned) if outcome == "binary" else float(aligned or 0), int(valid), int(attempted), int(items or 0)
        )
    query = """SELECT DISTINCT v.reason FROM voided v JOIN design_cells w USING (subject, aft_tokens)
      WHERE v.study = $study AND v.eval = $eval ORDER BY ALL"""
    withdrawn = [reason for (reason,) in of_cells(query)]

    def read() -> AnswerRows:
        return _answers(of_cells(READ, columns=True))

    return Design(
        arms, np.array([weights[a] for a in arms], float), [cells[a] for a in arms], counts, withdrawn, expected, read,
        outcome, (readout, *(r for r in readouts if r != readout)),
    )  # fmt: skip


def _answers(found: dict[str, Any]) -> AnswerRows:
    """DuckDB's columns as an `AnswerRows`."""
    base, seed = found["base_model"].astype(str), found["seed"]
    pairs = sorted(set(zip(base.tolist(), seed.tolist(), strict=True)), key=lambda p: (p[1], p[0]))
    place = {pair: n for n, pair in enumerate(pairs)}
    replicate = np.array([place[p] for p in zip(base.tolist(), seed.tolist(), strict=True)], int)
    aligned = np.ma.filled(np.ma.asarray(found["aligned"]).astype(float), np.nan)
    item, cluster = (found[name].astype(str) for name in ("item_id", "cluster"))
    return AnswerRows(
        np.asarray(found["cell"], int), replicate, item, cluster, found["mark"].astype(np.uint64), aligned, pairs
    )
