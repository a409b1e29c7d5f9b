"""The eval kind of scores made elsewhere: a file beside the study holds them, by the digest of the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from typing_extensions import override

from specsci.core.context import StepContext
from specsci.core.errors import StepFailed, UserError
from specsci.core.ids import text_digest
from specsci.evals.imported.file import scores_by_model
from specsci.evals.printed import rows_of
from specsci.sources.files import inside
from specsci.specs.item_rows import read_item_rows
from specsci.study.evals import EvalConfig, EvalKind

READOUT = "imported"


class Imported(EvalConfig):
    """Scores that something else gives to the study's models, as `specsci model export --study` writes them."""

    kind: Literal["imported"] = Field(default="imported", description="Scores made elsewhere.")
    scores: str = Field(
        min_length=1,
        description="The JSON Lines file beside the study that holds them: `model` (a digest), `item_id`, and `aligned`, `value` or a `state`. "
        "Models that it says nothing of wait for it, and so they do where it is not there yet; `specsci results import --into` writes it.",
    )
    items: str = Field(default="", description="The item set that was asked, if it is one of the family: what is not answered is an error then.")
    outcome: Literal["binary", "rate"] = Field(
        default="binary", description="What a line says: `aligned`, true or false (`binary`), or a `value` (`rate`; higher is more aligned)."
    )


class ImportedKind(EvalKind):
    """A score step takes the lines of its model; they are part of its identity."""

    name = "imported"
    config = Imported
    readouts = (READOUT,)
    asks = frozenset({"choices", "questions"})
    elsewhere = True

    @override
    def identity(self, config: Any) -> dict[str, Any]:
        return {"outcome": config.outcome}

    @override
    def brought(self, config: Any, folder: Path, model: str) -> dict[str, Any] | None:
        if not (folder / config.scores).exists():
            return None
        lines = scores_by_model(inside(config.scores, folder, "score file")).get(model)
        return None if lines is None else {"scores": text_digest(lines)}

    @override
    def in_chats(self, settings: dict[str, Any]) -> bool:
        return False

    @override
    def told(self, config: Any) -> dict[str, Any]:
        return {"scores": config.scores}

    def read_tokens(self, config: Any, items_text: str) -> float:
        """No model is asked."""
        return 1.0

    @override
    def longest_tokens(self, settings: dict[str, Any], items: Path, identity: dict[str, str], tokenizer: Any) -> int:
        return 0

    @override
    def score(self, context: StepContext) -> Iterator[dict[str, Any]]:
        name = context.runtime["eval"]["scores"]
        model = context.input_digests.get("model") or context.input_digests["base"]
        try:
            lines = scores_by_model(inside(name, Path(context.outside), "score file")).get(model, "")
        except UserError as error:
            raise StepFailed(error.what, where=error.where, hint=error.hint) from error
        if text_digest(lines) != context.params["scores"]:
            raise StepFailed(f"{name} changed after the plan was made", hint="run the study again")
        items = read_item_rows(context.inputs["items"]) if "items" in context.inputs else []
        yield from rows_of(lines, items, binary=context.params["outcome"] == "binary", readout=READOUT, source=f"the scores of {model} in {name}")


KIND = ImportedKind()
