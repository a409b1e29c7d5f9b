"""Conversations that a language model writes: user queries that all variants share, and answers under one variant's spec."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from specsci.core.errors import StepFailed
from specsci.corpus.audit.duplicates import duplicates
from specsci.corpus.audit.words import WordRows
from specsci.corpus.written.parse import Wanted, answer_of, list_of, verdict_of
from specsci.corpus.written.writer import Writer, again
from specsci.generate.prompts import catalogue
from specsci.specs.check import normalised

QUERIES_AT_ONCE = 20
MOST_ROUNDS = 8
SPARE = 1.15
"""So many more queries than are needed are asked for: some come twice."""
ALSO = {
    "value": "its thoughts read like those of a model that holds the spec's values as its own",
    "rule": "its thoughts argue from the rules of the spec",
    "deliberative": "its thoughts say what the spec asks for, so that a reader without the spec follows them",
    "opaque": "it states a choice, and neither states nor hints at a reason for it",
}


@dataclass(frozen=True)
class Query:
    """A user's message, and what it was asked for as."""

    text: str
    domain: str
    question_type: str


@dataclass(frozen=True)
class Answer:
    """A model's reply to a query; `thoughts` is empty where none were asked for."""

    query: Query
    thoughts: str
    text: str


def write_queries(writer: Writer, clauses: Mapping[str, str], queries: int, domains: int) -> list[Query]:
    """Distinct queries, spread evenly over areas and kinds of question.

    Raises:
        StepFailed: the generator gives too few that differ.
    """
    listed = "\n".join(f"- {clause_id}: {text}" for clause_id, text in clauses.items())
    slots = {0: {"clauses": listed, "count": domains, "again": ""}}
    areas = next(iter(writer.texts("query_domains", slots, lambda r: list_of(r, str)[:domains]).values()), [])
    if not areas:
        raise StepFailed("no areas for user queries could be had", hint="raise `attempts`, or take a stronger generator")
    kinds = catalogue().question_types
    found: dict[str, Query] = {}
    pairs = [(area, kind) for area in dict.fromkeys(areas) for kind in kinds]
    for turn in range(MOST_ROUNDS):
        each = math.ceil((queries - len(found)) * SPARE / len(pairs))
        if len(found) >= queries:
            break
        wanted = {
            (area, kind, part): {
                "domain": area,
                "question_type": kind.replace("_", " "),
                "question_type_means": kinds[kind],
                "count": min(QUERIES_AT_ONCE, each - part * QUERIES_AT_ONCE),
                "again": again(q.text for q in found.values() if (q.domain, q.question_type) == (area, kind)),
            }
            for area, kind in pairs
            for part in range(math.ceil(each / QUERIES_AT_ONCE))
        }
        samples = {key: turn * 1000 + key[2] for key in wanted}
        for (area, kind, _), texts in writer.texts("queries", wanted, lambda r: list_of(r, str), first_sample=samples).items():
            for text in texts:
                found.setdefault(normalised(text), Query(text, area, kind))
        found = _differing(found, writer)
    if len(found) < queries:
        raise StepFailed(
            f"the generator gave {len(found):,} different queries; {queries:,} are wanted",
            hint="raise `domains`, ask for fewer `queries`, or take a stronger generator",
        )
    return list(found.values())[:queries]


def _differing(found: dict[str, Query], writer: Writer) -> dict[str, Query]:
    """Queries without those whose words are nearly those of an earlier one (Jaccard .8); these are counted."""
    repeats = duplicates(WordRows.of([query.text for query in found.values()]), shingle_words=1)
    writer.lost["near duplicate"] += repeats.near
    kept = repeats.near_of == np.arange(len(found))
    return {key: query for (key, query), keep in zip(found.items(), kept, strict=True) if keep}


def write_answers(writer: Writer, queries: list[Query], style: str, wanted: Wanted, *, check: bool) -> list[Answer]:
    """Answers to queries in their order, those that keep to the spec if they are checked.

    Raises:
        StepFailed: not one is left.
    """
    thinks = style != "opaque"
    slots = {number: {"query": query.text} for number, query in enumerate(queries)}
    found = writer.texts(f"answer_{style}", slots, lambda r: answer_of(r, wanted, thinks=thinks))
    answers = {n: Answer(queries[n], thoughts, text) for n, (thoughts, text) in sorted(found.items())}
    if check and answers:
        shown = {n: {"query": a.query.text, "reply": f"{a.thoughts}\n\n{a.text}".strip(), "also": ALSO[style]} for n, a in answers.items()}
        verdicts = writer.texts("filter", shown, verdict_of, max_tokens=16)
        dropped = sum(not keep for keep in verdicts.values())
        writer.lost["dropped by the check"] += dropped
        answers = {n: a for n, a in answers.items() if verdicts.get(n)}
    if not answers:
        raise StepFailed("not one answer is left", hint="look at the replies with `specsci corpus peek --prompts`")
    return list(answers.values())
