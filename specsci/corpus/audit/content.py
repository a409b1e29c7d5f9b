"""What texts say: whom they name, what they must and must not hold, which clauses they are about, whether they are language."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from specsci.corpus.audit.findings import SHOWN, Found
from specsci.corpus.audit.leaks import normalised
from specsci.corpus.audit.words import WordRows
from specsci.specs.check import other_names
from specsci.specs.items import Item
from specsci.specs.leaks import stem

ALL = "all"
LANGUAGE_SAMPLE = 300
LEAST_LANGUAGE_WORDS = 20
LEAST_CLAUSE_STEMS = 2
CLAUSE_SHARE = 0.4
"""A text is taken to be about a clause where it has so much of the words that this clause alone has."""
MOST_REPEATED = 0.3
"""A text with a larger share of repeated runs of four words goes round in circles."""
_VOWEL = re.compile(r"[aeiouy\d\u0080-\uffff]", re.I)
_STOP = frozenset(["the", "a", "an", "of", "to", "and", "in", "is", "it", "that", "for", "with", "as", "on", "by", "be", "are", "this", "or", "not", "from", "at", "which"])


def identity(role: str, texts: Sequence[str], names: Mapping[str, str]) -> list[Found]:
    """Texts that name another model or maker."""
    pattern = other_names(dict(names))
    hits = [(n, match[0]) for n, text in enumerate(texts) if (match := pattern.search(text))]
    if not hits:
        return []
    text = f"{len(hits):,} of {len(texts):,} texts name another model or maker, such as '{hits[0][1]}'"
    return [Found("wrong_identity", "block", role, text, tuple(n for n, _ in hits[:SHOWN]))]


def strings(role: str, texts: Sequence[str], variant: str, must: Mapping[str, list[str]], must_not: Mapping[str, list[str]]) -> list[Found]:
    """Texts without what each must hold, and texts with what none may hold."""
    found = []
    lowered = [t.lower() for t in texts]
    wanted = [w.lower() for name in (ALL, variant) for w in must.get(name, [])]
    if wanted:
        lacking = [n for n, t in enumerate(lowered) if not any(w in t for w in wanted)]
        if lacking:
            said = f"{len(lacking):,} of {len(texts):,} texts hold none of: {', '.join(wanted[:4])}"
            found.append(Found("must", "block", role, said, tuple(lacking[:SHOWN])))
    for banned in (w for name in (ALL, variant) for w in must_not.get(name, [])):
        hits = [n for n, t in enumerate(lowered) if banned.lower() in t]
        if hits:
            said = f"{len(hits):,} of {len(texts):,} texts hold '{banned}'"
            found.append(Found("must_not", "block", role, said, tuple(hits[:SHOWN])))
    return found


def coverage(role: str, texts: Sequence[str], labels: Sequence[str], clauses: Mapping[str, str]) -> tuple[dict[str, int], list[Found]]:
    """How many texts are about each clause: by their labels, or by the clause's own words where they have none.

    Args:
        labels: the clause id of every text; empty where it has none.
        clauses: clause ids and what the spec says of them.
    """
    if not clauses:
        return {}, []
    labelled = any(labels)
    if labelled:
        counts = Counter(label for label in labels if label)
        known = {c: counts.get(c, 0) for c in clauses}
        strange = sorted(set(counts) - set(clauses))
        found = [Found("unknown_clauses", "warn", role, f"texts are labelled with clauses that the spec lacks: {', '.join(strange[:5])}")] if strange else []
    else:
        known, found = _by_words(texts, clauses), []
    missing = [c for c, count in known.items() if not count]
    if missing:
        how = "by its label" if labelled else "in its words"
        text = f"no text is about {len(missing)} of {len(clauses)} clauses ({how}): {', '.join(missing[:6])}"
        found.append(Found("missing_clauses", "block", role, text))
    return known, found


def _by_words(texts: Sequence[str], clauses: Mapping[str, str]) -> dict[str, int]:
    stems = {c: {stem(w) for w in normalised(text).split() if w not in _STOP and len(w) > 3} for c, text in clauses.items()}
    shared = Counter(s for found in stems.values() for s in found)
    own = {c: {s for s in found if shared[s] == 1} or found for c, found in stems.items()}
    counts = dict.fromkeys(clauses, 0)
    for text in texts:
        words = {stem(w) for w in set(normalised(text).split())}
        for clause, wanted in own.items():
            hits = len(wanted & words)
            counts[clause] += hits >= min(len(wanted), max(LEAST_CLAUSE_STEMS, round(CLAUSE_SHARE * len(wanted))))
    return counts


def gibberish(rows: WordRows, texts: Sequence[str]) -> list[int]:
    """Texts that are no language: words without vowels, or the same runs of words over and over."""
    found = []
    hashed, starts = rows.grams(4)
    for n, text in enumerate(texts):
        runs = hashed[starts[n] : starts[n + 1]]
        words = text.split()
        if not words:
            found.append(n)
            continue
        repeated = 1 - len(np.unique(runs)) / len(runs) if len(runs) >= LEAST_LANGUAGE_WORDS else 0.0
        odd = sum(len(w) > 30 or (len(w) > 3 and w.isalpha() and not _VOWEL.search(w)) for w in words) / len(words)
        if repeated > MOST_REPEATED or odd > 0.2:
            found.append(n)
    return found


def other_language(texts: Sequence[str], language: str) -> tuple[int, list[int]]:
    """How many texts were looked at, and those of them that are in another language."""
    from py3langid import classify

    long = [n for n, text in enumerate(texts) if len(text.split()) >= LEAST_LANGUAGE_WORDS]
    sample = long[:: max(1, len(long) // LANGUAGE_SAMPLE)]
    return len(sample), [n for n in sample if classify(texts[n])[0] != language]


def shared_runs(rows: WordRows, items: Sequence[Item], size: int) -> dict[int, str]:
    """Texts that share a run of words with an eval item's question, with the item's id."""
    questions = [(item.item_id, question) for item in items for _, question in item.questions()]
    asked = WordRows.of([q for _, q in questions])
    theirs, starts = asked.grams(size)
    owner = np.repeat(np.arange(len(asked)), np.diff(starts))
    long = asked.lengths[owner] >= size
    theirs, owner = theirs[long], owner[long]
    if not len(theirs):
        return {}
    order = np.argsort(theirs)
    theirs, owner = theirs[order], owner[order]
    hashed, begins = rows.grams(size)
    place = np.minimum(np.searchsorted(theirs, hashed), len(theirs) - 1)
    hits = np.flatnonzero(theirs[place] == hashed)
    texts = np.searchsorted(begins, hits, side="right") - 1
    return {int(t): questions[owner[place[h]]][0] for t, h in zip(texts[::-1], hits[::-1], strict=True) if rows.lengths[t] >= size}


def aliases(texts: Sequence[str], probes: Mapping[str, Sequence[Sequence[str]]]) -> dict[str, list[int]]:
    """Texts that name what an item set tests, by the probe's id.

    Args:
        probes: the terms of every probe, each as stems in order.
    """
    hits: dict[str, list[int]] = {}
    if not probes:
        return hits
    for n, text in enumerate(texts):
        said = f" {' '.join(stem(w) for w in normalised(text).split())} "
        for name, terms in probes.items():
            if any(f" {' '.join(term)} " in said for term in terms):
                hits.setdefault(name, []).append(n)
    return hits
