"""Helpers of the unit tests: the tiny study with edits, its plan, the problems of a file, families of one's own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from specsci.core.errors import InputFileError
from specsci.core.shipped import shipped
from specsci.inference.contrast import contrast
from specsci.inference.contrast_spec import ContrastSpec, parse_weights
from specsci.plan.build import build_plan
from specsci.plan.plan import Plan
from specsci.results.imports import import_file
from specsci.store.artifact import Store
from specsci.study.load import load_study

Edit = tuple[str, str]
Edited = Callable[..., Path]
CHANGE_CONTROL = shutil.ignore_patterns("CHANGES.yaml", "versions")
"""What a copy of a family leaves behind: its text is a new one."""


def replaced(text: str, edits: tuple[Edit, ...]) -> str:
    """A text with each edit made at its one place."""
    for old, new in edits:
        assert old in text, f"the text does not have {old!r}"
        text = text.replace(old, new, 1)
    return text


@pytest.fixture
def edited(tmp_path: Path, tiny_text: str) -> Edited:
    """The tiny study with edits: `edited((old, new), ..., add=text)`."""

    def write(*edits: Edit, add: str = "") -> Path:
        path = tmp_path / "s.yaml"
        path.write_text(replaced(tiny_text, edits) + add)
        return path

    return write


@pytest.fixture
def plan_of(edited: Edited) -> Callable[..., Plan]:
    """The plan of the tiny study with edits."""

    def plan(*edits: Edit, add: str = "", profile: str | None = None) -> Plan:
        return build_plan(load_study(str(edited(*edits, add=add)), profile))

    return plan


@pytest.fixture
def own_family(tmp_path: Path) -> Callable[..., Path]:
    """A copy of the conduct family, its items unregistered, as `spec_variants/NAME` beside the study.

    Edits are (file, old, new).
    """

    def make(name: str, *edits: tuple[str, str, str]) -> Path:
        folder = tmp_path / "spec_variants" / name
        shutil.copytree(shipped("spec_variants") / "microlab_conduct", folder, ignore=CHANGE_CONTROL)
        text = (folder / "family.yaml").read_text()
        (folder / "family.yaml").write_text(text.partition("\nitems:")[0] + "\n")
        for file, old, new in [("family.yaml", "family: microlab_conduct", f"family: {name}"), *edits]:
            path = folder / file
            path.write_text(replaced(path.read_text(), ((old, new),)))
        return folder

    return make


@pytest.fixture
def problems() -> Callable[..., list[str]]:
    """Every problem of a study as `line:column: what | hint`; empty when it loads and plans."""

    def load(path: Path, profile: str | None = None) -> list[str]:
        try:
            build_plan(load_study(str(path), profile))
        except InputFileError as error:
            assert {p.file for p in error.problems} == {str(path)}
            return [f"{p.line}:{p.column}: {p.what} | {p.hint}" for p in error.problems]
        return []

    return load


@pytest.fixture
def place() -> Callable[[Path, str], str]:
    """`line:column` of a text's first (or nth) occurrence in a file, both from 1."""

    def find(path: Path, needle: str, nth: int = 1) -> str:
        text, at = path.read_text(), -1
        for _ in range(nth):
            at = text.index(needle, at + 1)
        return f"{text[:at].count(chr(10)) + 1}:{at - (text.rfind(chr(10), 0, at) + 1) + 1}"

    return find


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """`ask(rows, weights, header, ...)`: the contrast over rows that are imported for it, with the options of `ContrastSpec`."""

    def answer(
        lines: list[str], weights: str, header: str = "arm,seed,eval,aligned,valid,attempted", **more: Any
    ) -> dict[str, Any]:
        store = Store(tmp_path / "store").open()
        (tmp_path / "rows.csv").write_text("\n".join([header, *lines]) + "\n")
        import_file(store, tmp_path / "rows.csv", "mine", replace=True)
        with duckdb.connect(str(store.root / "results.duckdb"), read_only=True) as db:
            return contrast(db, ContrastSpec("mine", "q", parse_weights(weights), **more))

    return answer
