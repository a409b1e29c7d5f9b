"""The steps in which language models write, and what they will take: requests, tokens, dollars, hours."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from specsci.core.errors import UserError
from specsci.core.ids import file_sha256
from specsci.core.step import OUTSIDE, Step
from specsci.generate.money import MILLION, price_of
from specsci.generate.prompts import BASIS, own_prompts, prompts_of
from specsci.generate.settings import GeneratorSettings
from specsci.plan.plan import Plan
from specsci.sources.files import inside
from specsci.specs.family import Family
from specsci.specs.text import entries
from specsci.study.audit import PolicyJudge
from specsci.study.texts import WrittenConversations, WrittenCorpus

CHARACTERS_PER_TOKEN = 4.5
TASK_TOKENS = 350
"""A prompt without the spec, and without texts that it repeats."""
LIST_TOKENS = 250
"""A reply that is a list: of domains, subdomains, assertions, or some ideas."""
IDEA_TOKENS, IDEAS_AT_ONCE = 45, 10
CRITIQUE_TOKENS = 200
QUERY_TOKENS, QUERIES_AT_ONCE = 40, 20
ANSWER_TOKENS = {"value": 700, "rule": 700, "deliberative": 700, "opaque": 60}
TOKENS_PER_S = 50.0
"""Of one connection: what vendors' large models write in a second."""
BATCH_H = 24.0
DOCUMENT_TOKENS = 800
"""Of a document that was brought, for the cost of its judge."""
DOCUMENT_PROMPTS = ("system", "document", "ideas", "critique", "revise", "annotate")
OUTLINE_PROMPTS = ("system", "domains", "subdomains", "assertions")
QUERY_PROMPTS = ("system", "query_domains", "queries")


@dataclass(frozen=True)
class Asked:
    """What requests take: how many, and their tokens."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Asked) -> Asked:
        return Asked(
            self.requests + other.requests, self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens
        )


def each(requests: int, input_tokens: float, output_tokens: float) -> Asked:
    """Requests that take the same."""
    return Asked(requests, round(requests * input_tokens), round(requests * output_tokens))


def asked_for_documents(texts: WrittenCorpus, tokens: int, clauses: int, spec_tokens: float) -> tuple[Asked, Asked]:
    """What an outline and its documents take, each document once.

    Args:
        tokens: of the corpus.
        spec_tokens: of the spec's text, which is in every prompt.
    """
    size, context = texts.document_tokens, spec_tokens + TASK_TOKENS
    documents = clauses * math.ceil(math.ceil(tokens / clauses) / size)
    if texts.annotate:
        marked = math.ceil(documents * texts.annotate_share)
        return Asked(), each(marked, context + size, IDEA_TOKENS)
    outline, found = Asked(), each(documents, context, size)
    if texts.outline == "written":
        places = clauses * texts.subdomains
        outline = each(1, context, LIST_TOKENS) + each(clauses, context, LIST_TOKENS) + each(places, context, LIST_TOKENS)
        groups = max(math.ceil(documents / IDEAS_AT_ONCE), min(documents, places * len(texts.kinds_of("document_types"))))
        found += each(groups, context, IDEA_TOKENS * documents / groups)
    if "critique" in texts.layers:
        found += each(documents, context + size, CRITIQUE_TOKENS)
    if "revise" in texts.layers:
        found += each(documents, context + size + CRITIQUE_TOKENS, size)
    return outline, found


def asked_for_queries(texts: WrittenConversations, spec_tokens: float) -> Asked:
    """What user queries take."""
    calls = math.ceil(texts.queries / QUERIES_AT_ONCE)
    context = spec_tokens + TASK_TOKENS
    return each(1, context, LIST_TOKENS) + each(calls, context, QUERY_TOKENS * texts.queries / calls)


def asked_for_answers(texts: WrittenConversations, spec_tokens: float) -> Asked:
    """What answers take, and the check of each."""
    context, size = spec_tokens + TASK_TOKENS + QUERY_TOKENS, ANSWER_TOKENS[texts.answers]
    return each(texts.queries, context, size) + (each(texts.queries, context + size, 2) if texts.check else Asked())


def asked_for_claims(judge: PolicyJudge, document_tokens: float, spec_tokens: float, clauses: int) -> Asked:
    """What the judge of a variant's documents takes, planted policies and clauses among them."""
    context = spec_tokens + TASK_TOKENS
    documents = judge.documents + min(judge.planted, judge.documents)
    return each(documents, context + document_tokens, LIST_TOKENS) + each(min(judge.planted, clauses), context, LIST_TOKENS)


def cost_of(asked: Asked, settings: GeneratorSettings) -> dict[str, float]:
    """A step's cost: `usd` by the generator's own mode, `usd_online` and `usd_batch` by either; absent where no price is known."""
    seconds = asked.output_tokens / (TOKENS_PER_S * settings.connections)
    out: dict[str, float] = {
        "requests": asked.requests,
        "input_tokens": asked.input_tokens,
        "output_tokens": asked.output_tokens,
        "api_h": seconds / 3600 if settings.mode == "online" else BATCH_H,
        "bytes": 6.0 * asked.output_tokens,
        "core_seconds": 1.0,
    }
    known = price_of(settings)
    if known is None:
        return {**out, "price_unknown": 1}
    price = known.price
    factor = price.us_factor if settings.residency == "us" else 1.0
    online = (asked.input_tokens * price.input + asked.output_tokens * price.output) / MILLION * factor
    batch = online * price.batch_factor
    return {**out, "usd_online": online, "usd_batch": batch, "usd_api": batch if settings.mode == "batch" else online}


class WrittenSteps:
    """Adds the steps in which generators write to a plan."""

    def __init__(self, plan: Plan, family_folder: str) -> None:
        self.plan, self.study, self.family = plan, plan.loaded.study, plan.loaded.family
        self.family_folder = family_folder
        self._own: dict[str, dict[str, str]] = {}

    def documents(
        self, variant: str, texts: WrittenCorpus, tokens: int, inputs: dict[str, str], identity: dict[str, str], access: str
    ) -> str:
        """The step that writes a variant's documents, after the one that writes its outline."""
        clauses = clause_texts(self.family, variant, identity)
        shared = self._shared(variant, texts.generator, texts.style, texts.prompts, identity, ("corpora",), texts.attempts)
        outline, documents = asked_for_documents(texts, tokens, len(clauses), self._spec_tokens(variant, identity))
        settings = self.study.generators[texts.generator]
        layout = texts.layout()
        needed = dict(inputs)
        if texts.outline == "written" and not texts.annotate:
            sizes = {name: getattr(texts, name) for name in ("domains", "subdomains", "assertions")}
            params = {**shared, "clauses": clauses, **sizes, "prompts": self._digests(shared, texts, OUTLINE_PROMPTS)}
            runtime = self._runtime(texts.generator, texts.style, texts.prompts, access)
            step = Step("outline", params, {"spec": inputs["spec"]}, f"outline of {variant} by {texts.generator}", runtime)
            needed["outline"] = self.plan.add(replace(step, cost=cost_of(outline, settings)))
        params = {
            **shared,
            "clauses": clauses,
            "layout": layout,
            "tokens": tokens,
            "prompts": self._digests(shared, texts, DOCUMENT_PROMPTS),
        }
        runtime = self._runtime(texts.generator, texts.style, texts.prompts, access)
        if texts.annotate:
            path = inside(texts.annotate, self._beside, "text file")
            params |= {"files": {texts.annotate: file_sha256(path)}, "layout": {**layout, "annotate": True, "annotate_share": texts.annotate_share}}
            runtime[OUTSIDE] = str(self._beside)
        step = Step("written", params, needed, f"documents about {variant} by {texts.generator}", runtime)
        return self.plan.add(replace(step, cost=cost_of(documents, settings)))

    def conversations(
        self, name: str, texts: WrittenConversations, spec_of: Any, identity: dict[str, str], access: str
    ) -> str:
        """The step that writes a set's conversations, after the one that writes its user queries.

        Args:
            spec_of: gives the digest of the step that holds a variant's spec.
        """
        about = texts.queries_from or next(iter(self.family.data.variants))
        settings = self.study.generators[texts.generator]
        at = ("conversations", name)
        shared = self._shared(about, texts.generator, texts.style, texts.prompts, identity, at, texts.attempts)
        params = {
            **shared,
            "clauses": clause_texts(self.family, about, identity),
            **texts.query_layout(),
            "prompts": self._digests(shared, texts, QUERY_PROMPTS),
        }
        runtime = self._runtime(texts.generator, texts.style, texts.prompts, access)
        step = Step("queries", params, {"spec": spec_of(about)}, f"user queries about {about} by {texts.generator}", runtime)
        queries = self.plan.add(replace(step, cost=cost_of(asked_for_queries(texts, self._spec_tokens(about, identity)), settings)))
        own = self._shared(texts.variant, texts.generator, texts.style, texts.prompts, identity, at, texts.attempts)
        used = ("system", f"answer_{texts.answers}", *(("filter",) if texts.check else ()))
        params = {**own, "answers": texts.answers, "check": texts.check, "prompts": self._digests(own, texts, used)}
        label = f"answers under {texts.variant} by {texts.generator}"
        step = Step("answers", params, {"spec": spec_of(texts.variant), "queries": queries}, label, runtime)
        cost = cost_of(asked_for_answers(texts, self._spec_tokens(texts.variant, identity)), settings)
        return self.plan.add(replace(step, cost=cost))

    def claims(self, role: str, variant: str, texts: str, identity: dict[str, str], access: str) -> str:
        """The step in which the audit's judge looks at a variant's documents.

        Args:
            texts: the digest of the step that holds the documents.
        """
        judge = self.study.audit.policy_judge
        assert judge is not None
        at, clauses = ("audit", "policy_judge"), clause_texts(self.family, variant, identity)
        shared = self._shared(variant, judge.generator, BASIS, "", identity, at, 3)
        params = {
            **shared,
            "clauses": clauses,
            "documents": judge.documents,
            "planted": judge.planted,
            "prompts": prompts_of(BASIS).digests(("system", "claims")),
        }
        written = self.study.written(variant)
        size = float(written.document_tokens if written else DOCUMENT_TOKENS)
        asked = asked_for_claims(judge, size, self._spec_tokens(variant, identity), len(clauses))
        runtime = self._runtime(judge.generator, BASIS, "", access)
        step = Step("claims", params, {"texts": texts, "spec": self.plan.steps[texts].inputs["spec"]}, f"judge of {role} by {judge.generator}", runtime)
        return self.plan.add(replace(step, cost=cost_of(asked, self.study.generators[judge.generator])))

    @property
    def _beside(self) -> Path:
        return self.plan.loaded.file.resolve().parent

    def _shared(
        self, variant: str, generator: str, style: str, folder: str, identity: dict[str, str], at: tuple[str, ...], attempts: int
    ) -> dict[str, Any]:
        """What every step of a generator has in its identity."""
        if folder and folder not in self._own:
            try:
                self._own[folder] = own_prompts(self._beside / folder, style)
            except UserError as error:
                raise self.plan.loaded.problem(error, *at) from error
        return {
            "family": self.family.name,
            "variant": variant,
            "identity": identity,
            "generator": self.study.generators[generator].identity(),
            "style": style,
            **({"bare_rules": True} if style == "paper" and self._is_bare(variant) else {}),
            **({"attempts": attempts} if attempts != 3 else {}),
        }

    def _is_bare(self, variant: str) -> bool:
        """Whether a variant states rules and nothing else."""
        keep = set(self.family.data.variants[variant].keep)
        return bool(keep) and keep <= {"rule", "subrule"}

    def _digests(self, shared: dict[str, Any], texts: WrittenCorpus | WrittenConversations, names: tuple[str, ...]) -> dict[str, str]:
        found = prompts_of(texts.style, bare_rules=shared.get("bare_rules", False), own=self._own.get(texts.prompts))
        return found.digests(names)

    def _runtime(self, name: str, style: str, folder: str, access: str) -> dict[str, Any]:
        told = {
            "name": name,
            "study": self.study.study,
            "study_usd": self.study.gates.max_usd,
            "settings": self.study.generators[name].model_dump(mode="json"),
            "prompts": self._own.get(folder, {}),
        }
        return {"family_folder": self.family_folder, "access": access, "generator": told}

    def _spec_tokens(self, variant: str, identity: dict[str, str]) -> float:
        return sum(len(e.text) + 8 for e in entries(self.family, variant, identity)) / CHARACTERS_PER_TOKEN


def clause_texts(family: Family, variant: str, identity: dict[str, str]) -> dict[str, str]:
    """What a variant says of each clause, by clause id: what quotas of a written corpus are of."""
    found: dict[str, list[str]] = {}
    for entry in entries(family, variant, identity):
        if entry.part not in ("principle", "example") and entry.clause_id != "preamble":
            found.setdefault(entry.clause_id, []).append(entry.text)
    return {clause: " ".join(texts) for clause, texts in found.items()}


def can_be_written(family: Family, variant: str) -> bool:
    """Whether a variant has a spec to write from: one of table rows has none."""
    return not family.data.variants[variant].rows


@dataclass(frozen=True)
class GeneratorCost:
    """What the missing steps of one generator will take; dollars are None where no price is known."""

    name: str
    settings: GeneratorSettings
    requests: int
    input_tokens: int
    output_tokens: int
    usd_online: float | None
    usd_batch: float | None
    hours: float

    @property
    def usd(self) -> float | None:
        """By the generator's own mode."""
        return self.usd_batch if self.settings.mode == "batch" else self.usd_online


def generator_costs(plan: Plan, have: set[str]) -> list[GeneratorCost]:
    """What the steps that a store lacks will ask of each generator."""
    found: dict[str, list[Step]] = {}
    for step in plan.steps.values():
        if "requests" in step.cost and step.digest not in have:
            found.setdefault(step.runtime["generator"]["name"], []).append(step)
    out = []
    for name, steps in found.items():
        settings = plan.loaded.study.generators[name]
        total = {key: sum(s.cost.get(key, 0.0) for s in steps) for key in ("requests", "input_tokens", "output_tokens")}
        unknown = any("price_unknown" in s.cost for s in steps)
        online, batch = (None if unknown else sum(s.cost[key] for s in steps) for key in ("usd_online", "usd_batch"))
        hours = [s.cost["api_h"] for s in steps]
        whole = sum(hours) if settings.mode == "online" else max(hours)
        out.append(
            GeneratorCost(name, settings, int(total["requests"]), int(total["input_tokens"]), int(total["output_tokens"]), online, batch, whole)
        )
    return out
