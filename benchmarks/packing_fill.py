"""How full packed sequences are, on the main study's own corpora and conversations at its own lengths."""

from __future__ import annotations

from benchmarks.common import Options, Result, Row, scratch
from benchmarks.synthetic import planned
from specsci.core.rows import read_token_rows
from specsci.core.step import Step
from specsci.execute.worker import Job, run_job
from specsci.plan.plan import Plan
from specsci.store.artifact import Store
from specsci.train.data import TokenRow, pack, take_conversations, take_documents

GOAL = 0.95


def run(options: Options) -> Result:
    with scratch() as folder:
        _, plan = planned(folder, replicates=1)
        store = Store(folder / "store").open()
        study = plan.loaded.study
        midtrain, align = study.midtrain, study.align
        assert midtrain and align
        kinds = ("tokenizer", "spec", "pool", "corpus", "conversations")
        for step in (s for s in plan.steps.values() if s.kind in kinds):
            _make(store, plan, step)
        replay = round(midtrain.tokens * midtrain.replay_share)
        pools = {s.params["what"]: read_token_rows(store.path("pool", s.digest)) for s in plan.of_kind("pool")}
        fills = []
        for step in plan.of_kind("corpus"):
            rows = take_documents(read_token_rows(store.path("corpus", step.digest)), midtrain.tokens - replay)
            rows += take_documents(pools["documents"], replay)
            fills.append(pack(rows, midtrain.recipe.max_length_tokens).fill)
        (demonstrations,) = plan.of_kind("conversations")
        chats = read_token_rows(store.path("conversations", demonstrations.digest))
        by_budget = {}
        for budget in align.budgets_tokens:
            it_tokens = round(budget * align.it_mix_share)
            rows = take_conversations(chats, budget - it_tokens) + take_conversations(pools["conversations"], it_tokens)
            by_budget[budget] = _fill(rows, align.recipe.max_length_tokens)
    worst = by_budget[align.budgets_tokens[-1]]
    table = [
        Row(f"midtraining, worst of {len(fills)} corpora", f"{min(fills):.1%}", ">= 95 %", min(fills) >= GOAL),
        Row(f"alignment at {align.budgets_tokens[-1]:,} tokens", f"{worst:.1%}", ">= 95 %", worst >= GOAL),
    ]
    shown = ", ".join(f"{budget:,}: {fill:.1%}" for budget, fill in by_budget.items())
    return Result(
        table,
        [
            f"Tokens over the capacity of the sequences. By alignment budget: {shown};",
            "a small budget ends in a part-filled sequence.",
        ],
    )


def _fill(rows: list[TokenRow], length: int) -> float:
    return pack(rows, length).fill


def _make(store: Store, plan: Plan, step: Step) -> None:
    inputs = {role: (plan.steps[digest].kind, digest) for role, digest in step.inputs.items()}
    outcome = run_job(store, Job(step, inputs, "benchmark"), None, set())
    if outcome.state != "done":
        raise RuntimeError(f"{step.label}: {outcome.error}")
