"""Factorial analysis of a grid of arms: main effects and interactions, each a contrast over replicates."""

from __future__ import annotations

from typing import Any

import duckdb

from specsci.core.errors import UserError, nearest
from specsci.inference.contrast import contrast
from specsci.inference.contrast_spec import ContrastSpec
from specsci.inference.denominator import Denominator
from specsci.stats.contrast import Scale
from specsci.stats.factorial import Grid, effects
from specsci.stats.families import adjust

FACTORS = ("msm_spec", "aft_spec")


def grid_effects(
    db: duckdb.DuckDBPyConnection,
    study: str,
    name: str,
    budget_tokens: int | None = None,
    scale: Scale = "rate",
    denominator: Denominator = "valid",
) -> dict[str, Any]:
    """Effects of the grid MSM spec x AFT spec among a study's arms; Holm's correction within main effects and interactions.

    Raises:
        UserError: the study is unknown, two arms share a cell, or a cell is missing.
    """
    grid = _grid(db, study)
    try:
        found = effects(grid, *FACTORS)
    except ValueError as error:
        raise UserError(f"'{study}': {error}", hint="a grid needs an arm for every pair of MSM spec and AFT spec") from error
    rows = [
        {
            "effect": e.name,
            "kind": e.kind,
            **contrast(db, ContrastSpec(study, name, e.weights, budget_tokens, scale, denominator)),
        }
        for e in found
    ]
    for kind in ("main", "interaction"):
        members = [r for r in rows if r["kind"] == kind]
        for row, p in zip(members, adjust([r["p"] for r in members], "holm"), strict=True):
            row["p_adj"] = p
    return {"study": study, "eval": name, "cells": {f"{r} + {c}": arm for (r, c), arm in grid.items()}, "effects": rows}


def _grid(db: duckdb.DuckDBPyConnection, study: str) -> Grid:
    studies = [s for (s,) in db.execute("SELECT study FROM studies ORDER BY study").fetchall()]
    if study not in studies:
        raise UserError(f"no study '{study}' in the results", hint=nearest(study, studies))
    query = """SELECT DISTINCT msm_spec, aft_spec, arm FROM arms
      WHERE study = ? AND msm_spec IS NOT NULL AND aft_spec IS NOT NULL ORDER BY ALL"""
    grid: Grid = {}
    for row, column, arm in db.execute(query, [study]).fetchall():
        if grid.get((row, column), arm) != arm:
            raise UserError(
                f"arms '{grid[row, column]}' and '{arm}' are both {row} with {column}",
                hint="declare the contrasts by hand with --weights or --family",
            )
        grid[row, column] = arm
    return grid
