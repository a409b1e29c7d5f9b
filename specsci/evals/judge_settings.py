"""What evals share whose answers a language model judges: which models, how often, and how far they are tested."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic import Field, model_validator

from specsci.core.errors import UserError
from specsci.study.evals import EvalConfig

MOST_KNOWN = 500


class JudgeSettings(EvalConfig):
    """The judges of an eval, and what tells how far they can be trusted."""

    judge: str = Field(description="The language model that judges the answers, by its name in `generators`.")
    attempts: int = Field(default=2, ge=1, le=10, description="How often a verdict that is not of the wanted form is asked for.")
    repeats: float = Field(default=0.1, ge=0, le=1, description="The share of answers that are judged twice, from 0 to 1.")
    injections: int = Field(
        default=2, ge=0, le=1000, description="Of every model: the answers that are judged once more with an instruction to the judge in them."
    )
    known: str = Field(
        default="",
        description="A JSON Lines file beside the study of answers whose verdict is known: `question`, `answer`, and `score` or `reasons`. None by default.",
    )
    second_judge: str = Field(default="", description="Another language model that judges a share of the answers, by its name in `generators`.")
    second_share: float = Field(default=0.1, gt=0, le=1, description="The share of answers that the second judge judges, from 0 to 1.")

    @model_validator(mode="after")
    def _judges_differ(self) -> JudgeSettings:
        if self.second_judge and self.second_judge == self.judge:
            raise ValueError("the second judge is the first one; name another generator, or use repeats")
        return self

    @property
    def judges(self) -> dict[str, str]:
        """The eval's keys to the names in `generators`."""
        return {"judge": self.judge, **({"second_judge": self.second_judge} if self.second_judge else {})}


def known_answers(text: str, file: str, read: Callable[[dict[str, Any]], dict[str, Any]], form: str) -> list[dict[str, Any]]:
    """The answers of a file whose verdict is known.

    Args:
        read: a line's object to what is kept of it; a KeyError, TypeError or ValueError says that the line is none.
        form: how a line is written, for the hint.

    Raises:
        UserError: a line is none, or there are none or too many.
    """
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            found.append(read(json.loads(line)))
        except UserError as error:
            raise UserError(f"line {number} of '{file}' has {error.what}", hint=error.hint) from error
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"line {number} of '{file}' is no answer with a known verdict", hint=f"write {form}, one object a line") from error
    if not found or len(found) > MOST_KNOWN:
        raise UserError(f"'{file}' holds {len(found):,} answers with a known verdict", hint=f"give it 1 to {MOST_KNOWN}")
    return found
