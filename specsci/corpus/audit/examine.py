"""The whole examination of text sets: each by itself, and then against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from specsci.corpus.audit import content
from specsci.corpus.audit.duplicates import duplicates
from specsci.corpus.audit.findings import SHOWN, Found
from specsci.corpus.audit.patterns import Patterns, patterns
from specsci.corpus.audit.semantic import Semantic, examine_meaning
from specsci.corpus.audit.words import WordRows
from specsci.specs.items import Item
from specsci.study.audit import AuditSettings

CORPUS = "corpus."
ALIASED = 0.01
MONITORED = 0.01


@dataclass(frozen=True)
class TextSet:
    """Texts of one role.

    Attributes:
        role: such as `corpus.rules` or `conversations.choices`.
        labels: the clause id of every text; empty where it has none.
        clauses: what the variant's spec says, by clause id; empty where it has no spec.
    """

    role: str
    texts: Sequence[str]
    labels: Sequence[str] = ()
    clauses: Mapping[str, str] = field(default_factory=dict)

    @property
    def variant(self) -> str:
        """The variant, or the name of the conversation set."""
        return self.role.partition(".")[2]


@dataclass(frozen=True)
class Examined:
    """What was measured of one text set."""

    facts: dict[str, Any]
    patterns: Patterns
    distinct_share: float
    found: list[Found]


def examine(
    texts: TextSet,
    settings: AuditSettings,
    names: Mapping[str, str],
    items: Sequence[Item],
    probes: Mapping[str, Sequence[Sequence[str]]],
    semantic: Semantic | None = None,
) -> Examined:
    """Measure one text set.

    Args:
        names: the persona placeholders.
        items: the items of registered outcome evals.
        probes: stems of the terms that name what evals test.
        semantic: an embedding model, where the study names one.
    """
    role, said = texts.role, texts.texts
    total = max(1, len(said))
    rows = WordRows.of(said)
    repeats = duplicates(rows)
    how = patterns(said, names.get("model_name", ""))
    found = content.identity(role, said, names)
    found += content.strings(role, said, texts.variant, settings.must, settings.must_not)
    covered, more = content.coverage(role, said, texts.labels or [""] * len(said), texts.clauses)
    found += more
    if repeats.near / total > settings.max_near_duplicates:
        pairs = repeats.pairs(SHOWN)
        text = f"{repeats.near:,} of {len(said):,} texts repeat an earlier one or nearly so ({repeats.exact:,} exactly)"
        found.append(Found("near_duplicates", "block", role, text, tuple(a for a, _ in pairs)))
    broken = content.gibberish(rows, said)
    if len(broken) / total > settings.max_gibberish:
        text = f"{len(broken):,} of {len(said):,} texts are no language, or go round in circles"
        found.append(Found("gibberish", "block", role, text, tuple(broken[:SHOWN])))
    looked, foreign = content.other_language(said, settings.language) if settings.language else (0, [])
    if looked and len(foreign) / looked > settings.max_other_language:
        text = f"{len(foreign):,} of {looked:,} sampled texts are not in the language '{settings.language}'"
        found.append(Found("other_language", "block", role, text, tuple(foreign[:SHOWN])))
    shared = content.shared_runs(rows, items, settings.leak_words)
    if shared:
        ids = sorted(set(shared.values()))
        text = f"{len(shared):,} texts share a run of {settings.leak_words} words with eval items: {', '.join(ids[:SHOWN])}"
        found.append(Found("leaks", "block", role, text, tuple(sorted(shared)[:SHOWN])))
    named = content.aliases(said, probes)
    for probe, hits in named.items():
        if len(hits) / total > ALIASED:
            text = f"{len(hits):,} of {len(said):,} texts name what an eval tests: {probe}"
            found.append(Found("aliases", "warn", role, text, tuple(hits[:SHOWN])))
    if how.monitors > MONITORED:
        text = f"{how.monitors:.1%} of texts speak of monitors, tests or evaluations, which can teach when to behave"
        found.append(Found("monitors", "warn", role, text))
    distinct = 1 - repeats.near / total
    meaning: dict[str, Any] = {}
    if semantic is not None and said:
        meaning, more = examine_meaning(role, said, semantic)
        found += more
    facts = {
        "exact_duplicates": repeats.exact,
        "near_duplicates": repeats.near,
        "near_distinct_share": round(distinct, 4),
        "gibberish": len(broken),
        "other_language": {"looked_at": looked, "other": len(foreign)},
        "clauses": covered,
        "aliases": {probe: len(hits) for probe, hits in named.items()},
        "patterns": how.as_dict(),
        **meaning,
    }
    return Examined(facts, how, distinct, found)


def compare(found: Mapping[str, Examined], settings: AuditSettings) -> list[Found]:
    """What differs between the corpora of variants beside their specs."""
    corpora = {role: e for role, e in found.items() if role.startswith(CORPUS)}
    if len(corpora) < 2:
        return []
    out = []
    shares = {role: e.distinct_share for role, e in corpora.items()}
    if (gap := _gap(shares)) and gap[0] > settings.max_distinct_difference:
        text = f"texts that repeat no other are {gap[2]:.0%} of {gap[1]} and {gap[4]:.0%} of {gap[3]}"
        out.append(Found("distinct_difference", "block", f"{gap[1]},{gap[3]}", text))
    for name in next(iter(corpora.values())).patterns.rates():
        rates = {role: value for role, e in corpora.items() if (value := e.patterns.rates().get(name)) is not None}
        if (gap := _gap(rates)) and gap[0] > settings.max_pattern_difference:
            text = f"{name.replace('_', ' ')}: {gap[2]:.0%} of the texts of {gap[1]}, {gap[4]:.0%} of those of {gap[3]}"
            out.append(Found("pattern_difference", "block", f"{gap[1]},{gap[3]}", text))
    lengths = {role: e.patterns.mean_words for role, e in corpora.items()}
    short, long = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
    if lengths[long] > settings.max_length_ratio * max(lengths[short], 1e-9):
        text = f"texts have {lengths[long]:,.0f} words in {long} and {lengths[short]:,.0f} in {short} (means)"
        out.append(Found("length_difference", "block", f"{short},{long}", text))
    return out


def _gap(values: Mapping[str, float]) -> tuple[float, str, float, str, float] | None:
    """The largest difference, with the role and value at either end."""
    if len(values) < 2:
        return None
    low, high = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    return values[high] - values[low], low, values[low], high, values[high]
