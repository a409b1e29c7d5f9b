"""Documents of a variant: dealt from the deck, written in layers, counted in tokens until every clause has its share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from specsci.core.errors import StepFailed
from specsci.corpus.written.deck import Deck, Slot
from specsci.corpus.written.outline import Subdomain
from specsci.corpus.written.parse import Unparsed, Wanted, list_of, text_of
from specsci.corpus.written.writer import Writer
from specsci.generate.prompts import catalogue
from specsci.generate.request import Reply

WORDS_PER_TOKEN = 0.75
IDEAS_AT_ONCE = 10
CRITIQUE_TOKENS = 600
ROOM = 1.6
"""A text may be so much longer than was asked before its reply is cut off."""
EQUAL_ROOM = 1.25
"""Where every document is cut to one length, so much more is asked for."""
MOST_ROUNDS = 12
ASSERTIONS_SHOWN = 4


@dataclass(frozen=True)
class Written:
    """A document, its tokens in the student's tokenizer, and where it stands in the outline."""

    slot: Slot
    text: str
    tokens: int
    place: Subdomain
    idea: str


@dataclass(frozen=True)
class Order:
    """What is ordered of a corpus.

    Attributes:
        clauses: clause ids and texts; every clause gets the same share of `tokens`.
        tokens: of the corpus, in the student's tokenizer.
        document_tokens: about how long a document is; exactly, where `equal`.
        layers: `draft`, and `critique` and `revise` after it.
        types, framings: names with what they mean.
    """

    clauses: Mapping[str, str]
    tokens: int
    document_tokens: int
    equal: bool
    layers: tuple[str, ...]
    types: Mapping[str, str]
    framings: Mapping[str, str]
    hard_share: float
    with_ideas: bool


Cut = Callable[[str], tuple[str, int]]
"""A text as it is kept and its tokens; raises Unparsed where it is too short."""


def write_documents(writer: Writer, order: Order, outline: list[Subdomain], wanted: Wanted, cut: Cut) -> list[Written]:
    """Documents until every clause has its tokens, in the deck's order.

    Raises:
        StepFailed: clauses stay short of their tokens; they are named with what they lack.
    """
    deck = Deck.of(order.types, order.framings, catalogue().hard_kinds, order.hard_share)
    places = {c: [p for p in outline if p.clause_id == c] for c in order.clauses}
    share = math.ceil(order.tokens / len(order.clauses))
    made: dict[str, list[Written]] = {c: [] for c in order.clauses}
    dealt = dict.fromkeys(order.clauses, 0)
    for _ in range(MOST_ROUNDS):
        slots = [
            deck.slot(clause, dealt[clause] + number)
            for clause in order.clauses
            for number in range(_needed(share, made[clause], order.document_tokens))
        ]
        if not slots:
            return [w for group in made.values() for w in group]
        for slot in slots:
            dealt[slot.clause_id] = slot.number + 1
        before = sum(map(len, made.values()))
        for document in _round(writer, order, slots, places, wanted, cut):
            made[document.slot.clause_id].append(document)
        if sum(map(len, made.values())) == before:
            break  # not one of a whole round: more of the same would cost and bring nothing
    short = {c: share - sum(w.tokens for w in group) for c, group in made.items() if sum(w.tokens for w in group) < share}
    if not short:
        return [w for group in made.values() for w in group]
    said = ", ".join(f"{c} ({lack:,} of {share:,} tokens)" for c, lack in list(short.items())[:8])
    lost = ", ".join(f"{count:,} {why}" for why, count in writer.lost.most_common(6))
    raise StepFailed(
        f"{len(short)} of {len(order.clauses)} clauses lack tokens: {said}; replies not used: {lost or 'none'}",
        hint="look at replies with `specsci corpus peek --prompts`, raise `attempts`, or take another generator; what was paid is kept",
    )


def _needed(share: int, made: list[Written], document_tokens: int) -> int:
    """How many documents a clause still needs."""
    tokens = sum(w.tokens for w in made)
    usual = tokens / len(made) if made else document_tokens
    return max(0, math.ceil((share - tokens) / max(1.0, usual)))


def _round(
    writer: Writer, order: Order, slots: list[Slot], places: Mapping[str, list[Subdomain]], wanted: Wanted, cut: Cut
) -> list[Written]:
    """One round of documents through all layers."""
    place = {slot: places[slot.clause_id][slot.number % len(places[slot.clause_id])] for slot in slots}
    ideas = _ideas(writer, order, slots, place) if order.with_ideas else {}
    words = round(order.document_tokens * WORDS_PER_TOKEN * (EQUAL_ROOM if order.equal else 1.0))
    filled = {slot: _slots(order, slot, place[slot], ideas.get(slot, ""), words) for slot in slots}
    about = {slot: {"clause_id": slot.clause_id, "doc_type": slot.doc_type, "framing": slot.framing} for slot in slots}
    limit = round(order.document_tokens * ROOM * (2.0 if writer.prompts.style == "paper" else 1.0)) + 64
    samples = {slot: slot.number for slot in slots}

    def read(reply: Reply) -> tuple[str, int]:
        return cut(text_of(reply, wanted))

    found = writer.texts("document", filled, read, first_sample=samples, about=about, max_tokens=limit)
    if "critique" in order.layers:
        drafts = {slot: {**filled[slot], "draft": text} for slot, (text, _) in found.items()}
        said = writer.texts("critique", drafts, _critique, first_sample=samples, about=about, max_tokens=CRITIQUE_TOKENS)
        filled = {slot: {**filled[slot], "critique": text} for slot, text in said.items()}
    if "revise" in order.layers:
        drafts = {
            slot: {"critique": "(none was asked for)", **filled[slot], "draft": found[slot][0]} for slot in filled if slot in found
        }
        found = writer.texts("revise", drafts, read, first_sample=samples, about=about, max_tokens=limit)
    return [Written(s, *found[s], place[s], ideas.get(s, "")) for s in slots if s in found]


def _critique(reply: Reply) -> str:
    text = reply.text.strip()
    if not text:
        raise Unparsed("empty")
    return text


def _slots(order: Order, slot: Slot, place: Subdomain, idea: str, words: int) -> dict[str, object]:
    hard = f"\nThis is a hard case: {catalogue().hard_kinds[slot.hard]}." if slot.hard else ""
    start = slot.number % max(1, len(place.assertions))
    shown = [*place.assertions[start:], *place.assertions[:start]][:ASSERTIONS_SHOWN]
    return {
        "doc_type": slot.doc_type.replace("_", " "),
        "doc_type_means": order.types[slot.doc_type],
        "framing": slot.framing.replace("_", " "),
        "framing_means": order.framings[slot.framing],
        "clause_id": slot.clause_id,
        "clause": order.clauses[slot.clause_id],
        "domain": place.domain,
        "subdomain": place.subdomain or place.domain,
        "assertions": "\n".join(f"- {a}" for a in shown) or "- what the clause says",
        "idea": idea or "of your own",
        "hard": hard,
        "words": words,
    }


def _ideas(writer: Writer, order: Order, slots: list[Slot], place: Mapping[Slot, Subdomain]) -> dict[Slot, str]:
    """An idea for every document, as far as the generator gives some: several of one subdomain and type at a time."""
    groups: dict[tuple[Subdomain, str, int], list[Slot]] = {}
    for slot in slots:
        same = [k for k in groups if k[:2] == (place[slot], slot.doc_type) and len(groups[k]) < IDEAS_AT_ONCE]
        key = same[-1] if same else (place[slot], slot.doc_type, slot.number)
        groups.setdefault(key, []).append(slot)
    filled = {}
    for (at, doc_type, number), group in groups.items():
        listed = "\n".join(
            f"{n}. framing: {order.framings[s.framing]}"
            + (f"; a hard case: {catalogue().hard_kinds[s.hard]}" if s.hard else "")
            for n, s in enumerate(group, 1)
        )
        filled[at, doc_type, number] = {
            "domain": at.domain,
            "subdomain": at.subdomain,
            "clause_id": at.clause_id,
            "clause": order.clauses[at.clause_id],
            "doc_type": doc_type.replace("_", " "),
            "doc_type_means": order.types[doc_type],
            "count": len(group),
            "wanted": listed,
            "again": "",
        }
    about = {key: {"clause_id": key[0].clause_id, "doc_type": key[1]} for key in groups}
    samples = {key: key[2] for key in groups}
    found = writer.texts("ideas", filled, lambda r: list_of(r, str), first_sample=samples, about=about)
    return {slot: idea for key, ideas in found.items() for slot, idea in zip(groups[key], ideas, strict=False)}
