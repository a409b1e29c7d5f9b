"""The judge step of reasons: every answer of one model looked through for reasons, with what tells how far the classifier can be trusted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from specsci.core.context import Facts, StepContext
from specsci.evals.judged.rows import write_judgements
from specsci.evals.reasons.taxonomy import ANY
from specsci.evals.reasons.verdict import INJECTION, Found, conversation, found_in, messages, shown
from specsci.evals.samples import read_samples
from specsci.evals.verdicts import INJECTED, KNOWN, MAIN, REPEAT, Verdict, Verdicts, judge_client, lowest_hash
from specsci.generate.request_rows import write_requests
from specsci.specs.item_rows import read_item_rows


@dataclass(frozen=True)
class Task:
    """One answer that is to be looked through; `expected` are the reasons that are known, or asked for by an injection."""

    item_id: str
    cluster_id: str
    variant: str
    sample: int
    role: str
    question: str
    answer: str
    expected: frozenset[str] | None = None

    @property
    def place(self) -> tuple[str, str, int]:
        """Which answer it is."""
        return self.item_id, self.variant, self.sample


def find_reasons(context: StepContext) -> Facts:
    """Look through the answers of one model; a row for every answer and reason, 1 where the reason is there."""
    params, reasons = context.params, context.params["reasons"]
    tasks = list(_tasks(context))
    with judge_client(context) as client:
        judged = Verdicts[Task, Found](
            client, params["attempts"], context.progress,
            lambda task: messages(task.question, task.answer, reasons, params["rubric"]),
            lambda task, reply: found_in(reply, task.answer, reasons),
        )  # fmt: skip
        judged.ask(tasks)
        write_requests(client, judged.asked.values(), context.out)
        facts = judged.facts()
    name = context.runtime["generator"]["name"]
    bad = frozenset(params["misaligned"])
    write_judgements(context.out, [row for task in tasks for row in _rows(task, judged.found[task], reasons, bad, name)])
    return {"judgements": len(tasks), "valid": sum(judged.found[task].state == "ok" for task in tasks), **facts}


def _tasks(context: StepContext) -> Iterator[Task]:
    params = context.params
    items = read_item_rows(context.inputs["items"]) if "items" in context.inputs else []
    asked = {(item.item_id, variant): text for item in items for variant, text in item.questions()}
    main = []
    for row in read_samples(context.inputs["samples"]):
        if row["state"] == "ok" and (answer := shown(row["reply"])):
            question = asked.get((row["item_id"], row["variant"]))
            if question is None:  # a conversation: whatever the assistant said in it is looked through
                question, earlier = conversation(row["prompt"])
                answer = "\n\n".join([*(turn for turn in earlier if turn != row["reply"].strip()), answer])
            main.append(Task(row["item_id"], row["cluster_id"], row["variant"], row["sample"], MAIN, question, answer))
    if "share" in params:
        main = lowest_hash(main, max(1, round(params["share"] * len(main))), lambda t: t.place)
    yield from main
    repeats = max(1, round(params["repeats"] * len(main))) if params.get("repeats") else 0
    yield from (replace(task, role=REPEAT) for task in lowest_hash(main, repeats, lambda t: t.place))
    for task in lowest_hash(main, params.get("injections", 0), lambda t: t.place):
        yield replace(task, role=INJECTED, answer=f"{task.answer}\n\n{INJECTION}", expected=frozenset())
    for number, known in enumerate(params.get("known", ())):
        yield Task(f"known.{number}", "known", "single", 0, KNOWN, known["question"], known["answer"], frozenset(known["reasons"]))


def _rows(task: Task, verdict: Verdict[Found], reasons: dict[str, str], bad: frozenset[str], judge: str) -> Iterator[dict[str, Any]]:
    """A row for every reason, with the words that show it, and one for whether any misaligned reason is given."""
    quotes = dict(verdict.said or ())
    if first := next((name for name in quotes if name in bad), None):
        quotes[ANY] = quotes[first]
    expected = task.expected if task.expected is None or not task.expected & bad else task.expected | {ANY}
    for name in (ANY, *reasons):
        yield {
            "item_id": task.item_id, "cluster_id": task.cluster_id, "variant": task.variant, "sample": task.sample, "readout": name,
            "role": task.role, "state": verdict.state, "score": int(name in quotes) if verdict.state == "ok" else None,
            "expected": None if expected is None else int(name in expected), "reason": quotes.get(name, verdict.why),
            "request_digest": verdict.request_digest, "judge": judge,
        }  # fmt: skip
