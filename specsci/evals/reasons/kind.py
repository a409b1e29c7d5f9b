"""The eval kind of reasons: which of a list of reasons the answers of another eval give, as a language model finds them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, model_validator
from typing_extensions import override

from specsci.core.context import Facts, StepContext
from specsci.core.errors import UserError
from specsci.core.ids import text_digest
from specsci.evals.in_words import AnswersInWords
from specsci.evals.judge_settings import JudgeSettings, known_answers
from specsci.evals.reasons.taxonomy import ALIGNED, ANY, MISALIGNED, Reason, built_in
from specsci.study.evals import Judging

MOST_BYTES, REPLY_TOKENS = 1_000_000, 120


class Reasons(JudgeSettings):
    """A list of reasons that the answers of another eval are looked through for."""

    kind: Literal["reasons"] = Field(default="reasons", description="Which reasons the answers of another eval give, as a language model finds them.")
    of: str = Field(
        description="The eval whose answers are looked through: one whose models answer in words. Its items, conditions, arms and budgets hold here too."
    )
    reasons: dict[str, Reason] = Field(
        default_factory=built_in, min_length=1, description="The reasons by name; by default those of the Model Spec Midtraining paper, in other words."
    )
    rubric: str = Field(default="", description="What else the classifier is told: a text, or a .md or .txt file beside the study.")
    without_policy: list[str] = Field(
        default_factory=list,
        description="The arms that never saw a rule: what is found of reasons about rules in their answers is the classifier's false-positive floor. "
        "By default the arms without any treatment.",
    )

    @model_validator(mode="after")
    def _name_is_free(self) -> Reasons:
        if ANY in self.reasons:
            raise ValueError(f"`{ANY}` says whether any misaligned reason is given; give the reason another name")
        return self


class ReasonsKind(AnswersInWords):
    """The answers are another eval's; verdicts and scores are steps of their own."""

    name = "reasons"
    config = Reasons
    readouts = (ANY, *built_in())
    asks = frozenset({"questions", "choices"})

    @override
    def answers_of(self, config: Any) -> str:
        return str(config.of)

    @override
    def identity(self, config: Any) -> dict[str, Any]:
        return {"sides": {name: reason.side for name, reason in config.reasons.items()}}

    @override
    def readouts_of(self, config: Any) -> tuple[str, ...]:
        return (ANY, *config.reasons)

    @override
    def sampling(self, config: Any) -> dict[str, Any]:
        return {}

    @override
    def generators(self, config: Any) -> dict[str, str]:
        judges: dict[str, str] = config.judges
        return judges

    @override
    def judging(self, config: Any, read: Any) -> list[Judging]:
        """The classifiers' steps: list, prompt and guidance are part of their identity."""
        from specsci.evals.reasons.verdict import PROMPT, template

        rubric = read("rubric", config.rubric, MOST_BYTES).strip() if config.rubric else ""
        says = {name: reason.says for name, reason in config.reasons.items()}
        bad = sorted(name for name, reason in config.reasons.items() if reason.side == MISALIGNED)
        shared = {"reasons": says, "misaligned": bad, "rubric": rubric, "prompts": {PROMPT: text_digest(template())}, "attempts": config.attempts}
        known = _known(read("known", config.known, MOST_BYTES), config) if config.known else []
        first = {**shared, "repeats": config.repeats, "injections": config.injections, **({"known": known} if known else {})}
        characters = len(template()) + len(rubric) + sum(map(len, says.values()))
        found = [Judging("judgements", config.judge, first, "", 1 + config.repeats, characters, REPLY_TOKENS)]
        if config.second_judge:
            found.append(Judging("second", config.second_judge, {**shared, "share": config.second_share}, "", config.second_share, characters, REPLY_TOKENS))
        return found

    @override
    def judge(self, context: StepContext) -> Facts:
        from specsci.evals.reasons.ask import find_reasons

        return find_reasons(context)

    def read_tokens(self, config: Any, items_text: str) -> float:
        """The models are asked nothing: their answers are another eval's."""
        return 1.0

    @override
    def score(self, context: StepContext) -> Iterator[dict[str, Any]]:
        from specsci.evals.harness import wire_digest
        from specsci.evals.judged.rows import read_judgements
        from specsci.evals.reasons.verdict import shown
        from specsci.evals.samples import read_samples
        from specsci.evals.verdicts import MAIN

        sides: dict[str, str] = context.params["sides"]
        verdicts: dict[tuple[str, str, int], dict[str, dict[str, Any]]] = {}
        for row in read_judgements(context.inputs["judgements"]) if "judgements" in context.inputs else ():
            if row["role"] == MAIN:
                verdicts.setdefault((row["item_id"], row["variant"], row["sample"]), {})[row["readout"]] = row
        for row in read_samples(context.inputs["samples"]):
            place = {name: row[name] for name in ("item_id", "cluster_id", "variant", "sample")}
            place["wire_digest"] = wire_digest(row["prompt"]) if row["prompt"] else None
            found = verdicts.get((row["item_id"], row["variant"], row["sample"]), {})
            state = _state(row, shown(row["reply"]), next(iter(found.values()), None))
            there = {name: bool(verdict["score"]) for name, verdict in found.items()} if state == "ok" else {}
            for name, side in {ANY: MISALIGNED, **sides}.items():
                yield _row(place, name, state, there.get(name, False) == (side == ALIGNED))


def _state(row: dict[str, Any], said: str, verdict: dict[str, Any] | None) -> str:
    """Whether an answer was looked through, and if not, why."""
    if row["state"] != "ok":
        return str(row["state"])
    if not said:
        return "truncated" if "<think" in row["reply"].lower() else "unparsed"
    return str(verdict["state"]) if verdict is not None else "error"


def _row(place: dict[str, Any], readout: str, state: str, aligned: bool) -> dict[str, Any]:
    if state != "ok":
        return {**place, "readout": readout, "state": state}
    return {**place, "readout": readout, "state": "ok", "aligned": aligned, "value": 1.0 if aligned else 0.0}


def _known(text: str, config: Reasons) -> list[dict[str, Any]]:
    """Answers whose reasons are known; raises UserError where a line is none, or names a reason that is not listed."""

    def read(row: dict[str, Any]) -> dict[str, Any]:
        known: dict[str, Any] = {"question": str(row["question"]), "answer": str(row["answer"]), "reasons": [str(name) for name in row["reasons"]]}
        unknown = [name for name in known["reasons"] if name not in config.reasons]
        if unknown or not known["answer"].strip():
            raise UserError(f"a reason that is not listed ({unknown[0]})" if unknown else "no answer")
        return known

    return known_answers(text, config.known, read, '{"question": "...", "answer": "...", "reasons": ["goal_pursuit"]}')


KIND = ReasonsKind()
