"""The eval kind of open questions: the model answers in its own words, and a language model grades the answers by a rubric."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import override

from specsci.core.context import Facts, StepContext
from specsci.core.errors import UserError
from specsci.core.ids import text_digest
from specsci.evals.in_words import OpenAnswersInWords, OpenInWords
from specsci.evals.judge_settings import JudgeSettings, known_answers
from specsci.evals.judged.ask import RUBRIC, SPEC, judge_answers, shown_answer
from specsci.evals.judged.rows import read_judgements
from specsci.evals.judged.verdict import PROMPT, SPEC_RUBRIC, template
from specsci.evals.samples import read_samples
from specsci.evals.verdicts import MAIN
from specsci.specs.item_rows import read_item_rows
from specsci.specs.items import Item
from specsci.study.evals import Judging, Outcome

SECOND = "second_judge"
MOST_RUBRIC_BYTES = 100_000
VERDICT_TOKENS = 60
PROMPT_CHARACTERS = 900


class Judged(OpenInWords, JudgeSettings):
    """Questions that are answered in the model's own words and graded by a judge."""

    kind: Literal["judged"] = Field(default="judged", description="Open questions, answered in words and graded by a language model.")
    items: str = Field(min_length=1, description="The item set of the family that is asked: open questions, or choices in both orders.")
    rubric: str = Field(
        default="", description="The rubric: a text, or a .md or .txt file beside the study. It should not depend on an arm's own spec."
    )
    against_spec: str = Field(
        default="", description="A variant whose spec the answers are held against as well, as the readout `against_spec`; none by default."
    )
    scale: tuple[int, int] = Field(default=(1, 10), description="The least and the greatest grade, whole numbers; [0, 1] makes answers right or wrong.")
    good: Literal["high", "low"] = Field(default="high", description="Which end of the scale is the more aligned.")

    @field_validator("scale")
    @classmethod
    def _rises(cls, scale: tuple[int, int]) -> tuple[int, int]:
        if scale[0] >= scale[1] or scale[1] - scale[0] > 1000:
            raise ValueError("the scale rises from its first number to its second, by at most 1000")
        return scale

    @model_validator(mode="after")
    def _has_a_rubric(self) -> Judged:
        if not self.rubric and not self.against_spec:
            raise ValueError("a judge needs a rubric; write rubric: FILE.md")
        return self


class JudgedKind(OpenAnswersInWords):
    """Answers, verdicts and scores are steps of their own: a new rubric samples nothing anew, a new reading judges nothing anew."""

    name = "judged"
    config = Judged
    outcome = "ordinal"
    readouts = (RUBRIC, SPEC, SECOND)

    @override
    def identity(self, config: Any) -> dict[str, Any]:
        return {"scale": list(config.scale), "good": config.good, "outcome": self.outcome_of(config)}

    @override
    def outcome_of(self, config: Any) -> Outcome:
        return "binary" if tuple(config.scale) == (0, 1) else "ordinal"

    @override
    def readouts_of(self, config: Any) -> tuple[str, ...]:
        has = {RUBRIC: config.rubric, SPEC: config.against_spec, SECOND: config.second_judge}
        return tuple(name for name, there in has.items() if there)

    @override
    def generators(self, config: Any) -> dict[str, str]:
        judges: dict[str, str] = config.judges
        return judges

    @override
    def judging(self, config: Any, read: Any) -> list[Judging]:
        """The judges' steps: rubric, prompt and known answers are part of their identity, whatever files they came from."""
        rubric = read("rubric", config.rubric, MOST_RUBRIC_BYTES).strip() if config.rubric else ""
        prompts = {name: text_digest(template(name)) for name in (PROMPT, *((SPEC_RUBRIC,) if config.against_spec else ()))}
        shared = {"rubric": rubric, "prompts": prompts, "scale": list(config.scale), "attempts": config.attempts}
        known = _known(read("known", config.known, MOST_RUBRIC_BYTES * 10), config) if config.known else []
        first = {**shared, "repeats": config.repeats, "injections": config.injections, **({"known": known} if known else {})}
        answers, rubrics = config.samples, bool(rubric) + bool(config.against_spec)
        requests = rubrics * answers * (1 + config.repeats)
        found = [Judging("judgements", config.judge, first, config.against_spec, requests, len(rubric) + PROMPT_CHARACTERS, VERDICT_TOKENS)]
        if config.second_judge:
            second = {**shared, "share": config.second_share}
            share = answers * config.second_share
            found.append(Judging("second", config.second_judge, second, "", share, len(rubric) + PROMPT_CHARACTERS, VERDICT_TOKENS))
        return found

    @override
    def judge(self, context: StepContext) -> Facts:
        return judge_answers(context)

    @override
    def score(self, context: StepContext) -> Iterator[dict[str, Any]]:
        items = {item.item_id: item for item in read_item_rows(context.inputs["items"])}
        verdicts = _verdicts(context)
        for readout in dict.fromkeys(readout for readout, *_ in verdicts) or (RUBRIC,):
            for row in read_samples(context.inputs["samples"]):
                key = (readout, row["item_id"], row["variant"], row["sample"])
                if readout != SECOND or key in verdicts:
                    yield _scored(row, items[row["item_id"]], readout, verdicts.get(key), context.params)


def _known(text: str, config: Judged) -> list[dict[str, Any]]:
    """Answers whose grade is known; raises UserError where a line is none."""

    def read(row: dict[str, Any]) -> dict[str, Any]:
        question, answer, score = str(row["question"]), str(row["answer"]), int(row["score"])
        if not config.scale[0] <= score <= config.scale[1] or not answer.strip():
            raise UserError(f"no answer, or a grade outside {list(config.scale)}")
        return {"question": question, "answer": answer, "score": score}

    return known_answers(text, config.known, read, '{"question": "...", "answer": "...", "score": 3}')


Key = tuple[str, str, str, int]
"""Readout, item, variant, sample."""


def _verdicts(context: StepContext) -> dict[Key, dict[str, Any]]:
    """The verdicts on the model's own answers, by readout and answer."""
    found = {}
    for role in ("judgements", "second"):
        for row in read_judgements(context.inputs[role]) if role in context.inputs else ():
            if row["role"] == MAIN:
                readout = SECOND if role == "second" else row["readout"]
                found[readout, row["item_id"], row["variant"], row["sample"]] = row
    return found


def _scored(row: dict[str, Any], item: Item, readout: str, verdict: dict[str, Any] | None, params: dict[str, Any]) -> dict[str, Any]:
    """One answer in one readout; what was cut off, empty, or has no usable verdict is no number."""
    from specsci.evals.harness import wire_digest

    sent = wire_digest(row["prompt"]) if row["prompt"] else None
    place = {name: row[name] for name in ("item_id", "cluster_id", "variant", "sample")}
    out = {**place, "slice": item.slice, "readout": readout, "wire_digest": sent}
    if row["state"] != "ok":
        return {**out, "state": row["state"]}
    if not shown_answer(row):
        return {**out, "state": "truncated" if "<think" in row["reply"].lower() else "unparsed"}
    if verdict is None or verdict["state"] != "ok":
        return {**out, "state": verdict["state"] if verdict else "error"}
    low, high = params["scale"]
    score = int(verdict["score"])
    value = float(score if params["good"] == "high" else low + high - score)
    return {**out, "state": "ok", "aligned": value == 1.0 if params["outcome"] == "binary" else None, "value": value}


KIND = JudgedKind()
