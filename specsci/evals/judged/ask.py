"""The judge step: every answer of one model judged by a language model, with what tells how far the judge can be trusted.

A declared share of the answers is judged again (`repeat`); some answers are judged with an instruction to the judge behind them
(`injection`); and texts whose grade is known are judged among them (`known`). None of these is a score of the model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from specsci.core.context import Facts, StepContext
from specsci.core.errors import StepFailed
from specsci.core.reasoning import split_reasoning
from specsci.evals.judged.rows import write_judgements
from specsci.evals.judged.verdict import Scale, Unparsed, injected, messages, score_of, spec_rubric
from specsci.evals.samples import read_samples
from specsci.generate.client import Client
from specsci.generate.request import ModelRequest, Reply
from specsci.generate.request_rows import write_requests
from specsci.generate.settings import GeneratorSettings
from specsci.specs.item_rows import read_item_rows

RUBRIC, SPEC = "rubric", "against_spec"
SAMPLES = 1000
"""Sample numbers of one judgement: its attempts. A repeat begins at the next multiple."""
MAIN, REPEAT, INJECTED, KNOWN = "main", "repeat", "injection", "known"


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

    @property
    def first_sample(self) -> int:
        """Where the sample numbers of its requests begin."""
        return SAMPLES if self.role == REPEAT else 0


def run_judge(context: StepContext) -> Facts:
    """Judge the answers of one model, and write down every judgement and every request."""
    params, told = context.params, context.runtime["generator"]
    settings = GeneratorSettings.model_validate(told["settings"])
    if settings.identity() != params["generator"]:
        raise StepFailed("the judge's settings changed after the plan was made", hint="run the study again")
    scale = Scale(*params["scale"])
    tasks = list(_tasks(context, scale))
    assert context.store is not None
    with Client(context.store, told["study"], told["name"], settings, told["study_usd"]) as client:
        judged = _Judge(client, scale, params.get("attempts", 1), context.progress)
        rows = [judged.row(task) for task in tasks] if judged.ask(tasks) else []
        write_requests(client, judged.asked.values(), context.out)
        facts = judged.facts()
    write_judgements(context.out, [{**row, "judge": told["name"]} for row in rows])
    return {"judgements": len(rows), "valid": sum(row["state"] == "ok" for row in rows), **facts}


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


def _key(item_id: str, variant: str, sample: int) -> str:
    return hashlib.sha256(f"{item_id} {variant} {sample}".encode()).hexdigest()


def _chosen(rows: list[dict[str, Any]], share: float) -> list[dict[str, Any]]:
    """A share of the answers, at least one: those of the lowest hash, the same questions of every model."""
    ordered = sorted(rows, key=lambda r: _key(r["item_id"], r["variant"], r["sample"]))
    return ordered[: max(1, round(share * len(rows)))] if rows else []


def _share(tasks: Sequence[Task], share: float) -> list[Task]:
    return _few(tasks, max(1, round(share * len(tasks)))) if share and tasks else []


def _few(tasks: Sequence[Task], count: int) -> list[Task]:
    return sorted(tasks, key=lambda t: _key(t.item_id, t.variant, t.sample))[:count]


class _Judge:
    """A client at work on tasks; a verdict that is not of the wanted form is asked for again, as often as is allowed."""

    def __init__(self, client: Client, scale: Scale, attempts: int, progress: Any) -> None:
        self.client, self.scale, self.attempts, self.progress = client, scale, attempts, progress
        self.asked: dict[str, tuple[ModelRequest, Reply | None]] = {}
        self.found: dict[Task, tuple[str, int | None, str, str]] = {}

    def ask(self, tasks: Sequence[Task]) -> bool:
        """Ask about every task; whether there was any."""
        for attempt in range(self.attempts):
            left = [t for t in tasks if self.found.get(t, ("unparsed",))[0] == "unparsed"]
            if not left:
                break
            requests = {t: self._request(t, attempt) for t in left}
            replies = self.client.ask(requests.values(), self.progress)
            for task, request in requests.items():
                self.found[task] = self._read(request, replies.get(request.digest))
        return bool(tasks)

    def _request(self, task: Task, attempt: int) -> ModelRequest:
        said = messages(task.question, task.shown, task.rubric, self.scale)
        return self.client.request(said, sample=task.first_sample + attempt, purpose=f"judge {task.role}")

    def _read(self, request: ModelRequest, reply: Reply | None) -> tuple[str, int | None, str, str]:
        """State, score, reason and request of a verdict."""
        self.asked[request.digest] = (request, reply)
        if reply is None:
            return "error", None, "no reply", request.digest
        if reply.state not in ("ok", "unparsed"):
            return ("refused" if reply.state == "refused" else "error"), None, reply.error or reply.state, request.digest
        try:
            score, reason = score_of(reply, self.scale)
        except Unparsed as error:
            self.client.ledger.mark(request.digest, str(error))
            self.asked[request.digest] = (request, replace(reply, state="unparsed", error=str(error)))
            return "unparsed", None, str(error), request.digest
        return "ok", score, reason, request.digest

    def row(self, task: Task) -> dict[str, Any]:
        """A task as a row, with what came of it."""
        state, score, reason, digest = self.found[task]
        return {
            "item_id": task.item_id, "cluster_id": task.cluster_id, "variant": task.variant, "sample": task.sample, "readout": task.readout,
            "role": task.role, "state": state, "score": score, "expected": task.expected, "reason": reason, "request_digest": digest,
        }  # fmt: skip

    def facts(self) -> Facts:
        """What the requests took, and what was not used."""
        replies = [reply for _, reply in self.asked.values() if reply is not None]
        lost: dict[str, int] = {}
        for state, _, reason, _ in self.found.values():
            if state != "ok":
                lost[f"{state}: {reason}"[:80]] = lost.get(f"{state}: {reason}"[:80], 0) + 1
        usage = {
            "requests": len(self.asked),
            "input_tokens": sum(r.usage.input_tokens + r.usage.cache_write_tokens + r.usage.cache_read_tokens for r in replies),
            "output_tokens": sum(r.usage.output_tokens for r in replies),
            "usd": round(sum(r.usd or 0.0 for r in replies), 6),
        }
        return {"usage": usage, "lost": dict(sorted(lost.items())), "faults": self.client.ledger.counts()}
