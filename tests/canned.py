"""A language model for tests: it answers every prompt of the shipped styles, with documents of a family's own grammar."""

from __future__ import annotations

import hashlib
import json
import random
import re
from functools import cache
from typing import Any

from specsci.core.shipped import find_family
from specsci.corpus.pipeline import Documents, requests
from specsci.corpus.written.steps import _told
from specsci.generate.generator import GENERATORS, Brief
from specsci.specs.load import load_family
from specsci.specs.text import markdown

POOL = 1500


@cache
def _documents(family_name: str, variant: str) -> dict[str, list[str]]:
    """Documents of the grammar by clause."""
    family = load_family(find_family(family_name))
    draws = random.Random(5)
    brief = Brief(family.folder, variant, "", {}, draws, family.folder)
    out: dict[str, list[str]] = {}
    made = Documents(GENERATORS["grammar"], requests(family, variant, dict(family.data.identity), draws), brief)
    for number, document in enumerate(made):
        out.setdefault(document.request.clause_id, []).append(document.text)
        if number >= POOL:
            return out
    return out


@cache
def _variants(family_name: str) -> dict[str, str]:
    family = load_family(find_family(family_name))
    return {_told(markdown(family, v)): v for v in family.data.variants if not family.data.variants[v].rows}


def _pick(key: str, things: list[str]) -> str:
    return things[int(hashlib.sha256(key.encode()).hexdigest(), 16) % len(things)]


def _judged(task: str, hallucinated: float, blind: bool, harsh: bool) -> str:
    """What a judge says of a document: all of its policies are supported by the first clause, but for planted and hallucinated ones."""
    document = re.search(r"^(=====\[\w+\]=====)\n(.*?)\n\1$", task, re.DOTALL | re.MULTILINE)[2]
    clauses = re.search(r"The ids are: (.*)\.", task)[1].split(", ")
    planted = [p for p in document.split("\n\n") if re.search("river|harbour|Lisbon", p)]
    found = [{"statement": document[:60], "clause": "NONE" if harsh else clauses[0]}]
    if not blind:
        found += [{"statement": text, "clause": "NONE"} for text in planted]
    if int(hashlib.sha256(document.encode()).hexdigest(), 16) % 100 < 100 * hallucinated and not planted:
        found.append({"statement": "It must sing.", "clause": "NONE"})
    return json.dumps(found)


def answers(family_name: str = "microlab_conduct", *, hallucinated: float = 0.0, blind: bool = False, harsh: bool = False):
    """The server's answer function.

    Args:
        hallucinated: the share of documents in which a judge says that it finds a statement without a clause.
        blind: a judge that does not see what is planted; harsh: one that finds no support for anything.
    """

    def answer(messages: list[dict[str, Any]]) -> str:
        system, task = messages[0]["content"], messages[-1]["content"]
        found = re.search(r"<spec>\n(.*?)\n</spec>", system, re.DOTALL)
        spec = found[1].strip() if found else system
        variant = _variants(family_name).get(spec, "rules")
        key = json.dumps(messages)
        if task.startswith("Between the two lines"):
            return _judged(task, hallucinated, blind, harsh)
        if task.startswith("Divide the spec"):
            clauses = re.findall(r"^- ([\w.-]+):", task, re.MULTILINE)
            return json.dumps([{"domain": f"area {n}", "clauses": [c]} for n, c in enumerate(clauses)])
        count = int(m[1]) if (m := re.search(r"(?:List|Write|of these) (\d+)", task)) else 3
        if "idea for each" in task or task.startswith(("Area:", "Below is")) or "\n\nList " in task:
            return json.dumps([f"text {n} {hashlib.sha256(f'{key}{n}'.encode()).hexdigest()[:8]}" for n in range(count)])
        if "KEEP or DROP" in task:
            return "KEEP"
        if task.startswith("Here is a draft") and "Name its faults" in task:
            return "no fault"
        clause = m[1] if (m := re.search(r"(?:[Cc]lause it is about, |about the clause |^Clause )([\w-]+)", task, re.MULTILINE)) else ""
        pool = _documents(family_name, variant)
        text = _pick(key, pool.get(clause) or next(iter(pool.values())))
        if "<think>" in task:
            return f"<think>{text}</think><content>{_pick(key + 'x', pool[next(iter(pool))])}</content>"
        return f"<content>{text}</content>"

    return answer
