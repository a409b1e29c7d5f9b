"""A family of contrasts declared in a file of its own, estimated together and corrected."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import duckdb
from pydantic import BeforeValidator, Field, model_validator

from specsci.core.errors import InputFileError, UserError
from specsci.core.former import today
from specsci.core.yaml_file import Strict, read_yaml, validate
from specsci.inference.contrast import contrast
from specsci.inference.contrast_spec import METHODS, ContrastSpec
from specsci.inference.denominator import Denominator
from specsci.stats.families import adjust


class FamilyContrast(Strict):
    """One contrast of the family; the keys are those of a study file's contrasts and of `results contrast`."""

    name: str
    eval: str
    weights: dict[str, float] = Field(min_length=1)
    budget_tokens: int | None = Field(default=None, ge=0)
    scale: Literal["rate", "logit", "arcsine"] = "rate"
    denominator: Annotated[Denominator, BeforeValidator(today)] = "valid"
    method: Annotated[str, Field(pattern=f"^({'|'.join(METHODS)})$")] = "auto"
    equivalence_margin: float | None = Field(default=None, gt=0)
    paired: bool | None = None


class ContrastFamily(Strict):
    """The file: `family`, `study`, how p-values are corrected, and the contrasts."""

    family: str = "declared"
    study: str
    correction: Literal["holm", "bh", "none"] = "holm"
    contrasts: list[FamilyContrast] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> ContrastFamily:
        names = [c.name for c in self.contrasts]
        if len(set(names)) < len(names):
            raise ValueError("two contrasts have one name")
        return self


def family_contrasts(db: duckdb.DuckDBPyConnection, path: Path, study: str | None = None) -> dict[str, Any]:
    """All contrasts of a family with `p_adj`; those without a test have none and count as members.

    Raises:
        InputFileError: the file is wrong, or names what the results do not have (with the contrast's line).
    """
    document = read_yaml(path)
    family = validate(document, ContrastFamily)
    rows, problems = [], []
    for index, c in enumerate(family.contrasts):
        spec = ContrastSpec(
            study or family.study, c.eval, dict(c.weights), c.budget_tokens, c.scale, c.denominator, c.method,  # type: ignore[arg-type]
            margin=c.equivalence_margin, paired=c.paired,
        )  # fmt: skip
        try:
            rows.append({"name": c.name, **contrast(db, spec), "p_adj": None})
        except UserError as error:
            problems.append(document.problem(("contrasts", index), error.what, error.hint))
    if problems:
        raise InputFileError(problems)
    for row, p in zip(rows, adjust([r["p"] for r in rows], family.correction), strict=True):
        row["p_adj"] = p
    return {"family": family.family, "study": study or family.study, "correction": family.correction, "contrasts": rows}
