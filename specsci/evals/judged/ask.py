"""The judge step: every answer of one model judged by a language model, with what tells how far the judge can be trusted.

A declared share of the answers is judged again (`repeat`); some answers are judged with an instruction to the judge behind them
(`injection`); and texts whose grade is known are judged among them (`known`). None of these is a score of the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from specsci.core.context import Facts, StepContext
from specsci.core.reasoning import split_reasoning
from specsci.evals.judged.rows import write_judgements
from specsci.evals.judged.verdict import Scale, injected, messages, score_of, spec_rubric
from specsci.evals.samples import read_samples
from specsci.evals.verdicts import INJECTED, KNOWN, MAIN, REPEAT, Verdict, Verdicts, judge_client, lowest_hash
from specsci.generate.request_rows import write_requests
from specsci.specs.item_rows import read_item_rows

RUBRIC, SPEC = "rubric", "against_spec"


@dataclass(frozen=True)
class Task:
    """One judgement that is wanted.

    Attributes:
        role: `main`, `repeat`, `injection` (with what it asks for as `expected`) or `known` (with the known grade).
        shown: the answer as the judge sees it.
    """

    item_id: str
    cluster_id: str
    variant: str
    sample: int
    readout: str
    role: str
    question: str
    shown: str
    rubric: str
    expected: int | None = None


def judge_answers(context: StepContext) -> Facts:
    """Judge the answers of one model, and write down every judgement and every request."""
    scale = Scale(*context.params["scale"])
    tasks = list(_tasks(context, scale))
    with judge_client(context) as client:
        judged = Verdicts[Task, tuple[int, str]](
            client, context.params.get("attempts", 1), context.progress,
            lambda task: messages(task.question, task.shown, task.rubric, scale), lambda _, reply: score_of(reply, scale),
        )  # fmt: skip
        judged.ask(tasks)
        write_requests(client, judged.asked.values(), context.out)
        facts = judged.facts()
    rows = [_row(task, judged.found[task], context.runtime["generator"]["name"]) for task in tasks]
    write_judgements(context.out, rows)
    return {"judgements": len(rows), "valid": sum(row["state"] == "ok" for row in rows), **facts}


def _row(task: Task, verdict: Verdict[tuple[int, str]], judge: str) -> dict[str, Any]:
    """A task as a row, with what came of it."""
    score, reason = verdict.said or (None, verdict.why)
    return {
        "item_id": task.item_id, "cluster_id": task.cluster_id, "variant": task.variant, "sample": task.sample, "readout": task.readout,
        "role": task.role, "state": verdict.state, "score": score, "expected": task.expected, "reason": reason,
        "request_digest": verdict.request_digest, "judge": judge,
    }  # fmt: skip


def _tasks(context: StepContext, scale: Scale) -> Iterator[Task]:
    """Everything that the judge is asked."""
    params = context.params
    questions = {(item.item_id, variant): text for item in read_item_rows(context.inputs["items"]) for variant, text in item.questions()}
    rubrics = {RUBRIC: params["rubric"]} if params.get("rubric") else {}
    if "spec" in context.inputs:
        rubrics[SPEC] = spec_rubric(_spec(context), scale)
    answers = [row for row in read_samples(context.inputs["samples"]) if shown_answer(row)]
    chosen = _chosen(answers, params["share"]) if "share" in params else answers
    for readout, rubric in rubrics.items():
        main = [_task(row, questions, readout, rubric) for row in chosen]
        yield from main
        yield from (replace(task, role=REPEAT) for task in _share(main, params.get("repeats", 0.0)))
        for number, task in enumerate(_few(main, params.get("injections", 0))):
            wanted = scale.high if number % 2 == 0 else scale.low
            yield replace(task, role=INJECTED, shown=injected(task.shown, wanted), expected=wanted)
    for number, known in enumerate(params.get("known", ()) if RUBRIC in rubrics else ()):
        yield Task(f"known.{number}", "known", "single", 0, RUBRIC, KNOWN, known["question"], known["answer"], rubrics[RUBRIC], known["score"])


def _spec(context: StepContext) -> str:
    """A spec without the line that says which variant it is."""
    lines = (context.inputs["spec"] / "spec.md").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("Variant `")).strip()


def shown_answer(row: dict[str, Any]) -> str:
    """What of a reply is judged: whole replies without their reasoning; empty where nothing is."""
    if row["state"] != "ok":
        return ""
    said = split_reasoning(row["reply"])
    return "" if said.open else said.text.strip()


def _task(row: dict[str, Any], questions: dict[tuple[str, str], str], readout: str, rubric: str) -> Task:
    question = questions[row["item_id"], row["variant"]]
    return Task(row["item_id"], row["cluster_id"], row["variant"], row["sample"], readout, MAIN, question, shown_answer(row), rubric)


def _chosen(rows: list[dict[str, Any]], share: float) -> list[dict[str, Any]]:
    """A share of the answers, at least one: those of the lowest hash, the same questions of every model."""
    wanted = max(1, round(share * len(rows)))
    return lowest_hash(rows, wanted, lambda r: (r["item_id"], r["variant"], r["sample"]))


def _share(tasks: Sequence[Task], share: float) -> list[Task]:
    return _few(tasks, max(1, round(share * len(tasks)))) if share and tasks else []


def _few(tasks: Sequence[Task], count: int) -> list[Task]:
    return lowest_hash(tasks, count, lambda t: (t.item_id, t.variant, t.sample))
