"""What may stand in an import once only: cells, answers, an arm's specs, an item's cluster. Both lines are named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from specsci.results.sheet import MOST_PROBLEMS, Problems

if TYPE_CHECKING:
    from specsci.results.imports.check import Given

RATE = ("arm", "base_model", "seed", "eval", "aft_tokens", "harness")
"""What a rate is keyed by."""


def groups(*columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the distinct rows of some columns of integers from 0 in the order of the file.

    Returns:
        The number of each row's group, and the first row of each group.
    """
    import pandas as pd

    ids = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        codes, distinct = pd.factorize(column)
        ids, _ = pd.factorize(ids * (len(distinct) + 1) + codes)
    first = np.full(int(ids.max(initial=-1)) + 1, -1)
    first[ids[::-1]] = np.arange(len(ids))[::-1]
    return ids.astype(np.int64), first


def check_doubles(given: Given, problems: Problems) -> None:
    """Every rule about two rows; defaults are filled in before, so that an empty budget and 0 are one."""
    rate = [given.column(name) for name in RATE]
    if given.level == "counts":
        _once(
            problems,
            None,
            groups(*rate),
            "this arm, seed, eval and budget (and harness condition) stand in an earlier row too",
            "give the cell once",
        )
    else:
        _check_answers(given, problems, rate)
    arms, _ = groups(given.names["arm"])
    for name in ("msm_spec", "aft_spec"):
        # an arm that was not aligned yet has no AFT spec at 0 tokens
        counts = (
            np.ones(given.rows, bool) if name == "msm_spec" else (given.numbers["aft_tokens"] > 0) | _is_given(given, name)
        )
        _agree(given, problems, name, arms, counts, "arm", "an arm has one spec: give the other rows another arm's name")


def _check_answers(given: Given, problems: Problems, rate: list[np.ndarray]) -> None:
    item = given.names["item_id"]
    if given.sampled:
        ids = groups(*rate, item, given.numbers["sample"])
        _once(problems, "sample", ids, "this sample of the item stands in an earlier row too", "give an answer once")
    else:
        valid, attempted = given.numbers["valid"], given.numbers["attempted"]
        texts = given.texts["state"]
        state = np.array([0 if t in (None, "ok", "unparsed") else n + 1 for n, t in enumerate(texts)])[given.names["state"]]
        ids = groups(*rate, item, given.numbers["aligned"], valid, attempted, state)
        hint = (
            "leave it out; where it is another sample of the item, number them in a column 'sample', or sum them in one row"
        )
        _once(problems, "item_id", ids, "this answer stands in an earlier row too", hint)
    items, _ = groups(given.names["eval"], item)
    hint = "an item is in one cluster: correct it, or give the items names of their own"
    _agree(given, problems, "cluster_id", items, np.ones(given.rows, bool), "item", hint)


def _is_given(given: Given, name: str) -> np.ndarray:
    found: np.ndarray = np.array([t is not None for t in given.texts[name]], bool)[given.names[name]]
    return found


def _once(problems: Problems, column: str | None, ids: tuple[np.ndarray, np.ndarray], what: str, hint: str) -> None:
    numbers, first = ids
    again = np.flatnonzero(first[numbers] != np.arange(len(numbers)))
    for row in again[:MOST_PROBLEMS]:
        problems.add(int(row), column, f"{what} ({problems.sheet.line(int(first[numbers[row]]))})", hint)


def _agree(given: Given, problems: Problems, name: str, ids: np.ndarray, counts: np.ndarray, of: str, hint: str) -> None:
    """Refuse a group whose rows (those that count) have two values of a column."""
    rows, codes = np.flatnonzero(counts), given.names[name]
    first = np.full(int(ids.max(initial=-1)) + 1, -1)
    first[ids[rows][::-1]] = rows[::-1]
    for row in rows[codes[rows] != codes[first[ids[rows]]]][:MOST_PROBLEMS]:
        other = int(first[ids[row]])
        here, there = (given.texts[name][codes[r]] or "empty" for r in (row, other))
        key = given.texts["arm" if of == "arm" else "item_id"][given.names["arm" if of == "arm" else "item_id"][row]]
        what = f"'{name}' of {of} '{key}' is {here} here and {there} on {problems.sheet.line(other)}"
        problems.add(int(row), name, what, hint)
