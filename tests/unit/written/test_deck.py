"""The deck: exact quotas over clause, type and framing in every prefix."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from specsci.corpus.files import Strata, stratified
from specsci.corpus.written.deck import Deck
from specsci.generate.prompts import catalogue

ALL = Deck.of(catalogue().document_types, catalogue().framings, catalogue().hard_kinds, 0.25)


def test_the_catalogue_is_as_wide_as_promised():
    assert len(catalogue().document_types) >= 14
    assert len(catalogue().framings) >= 8
    assert len(catalogue().hard_kinds) >= 3
    assert len(catalogue().question_types) == 6


def test_as_many_documents_as_there_are_pairs_have_every_pair_once():
    pairs = len(ALL.document_types) * len(ALL.framings)
    slots = [ALL.slot("c", n) for n in range(pairs)]
    assert len({(s.doc_type, s.framing) for s in slots}) == pairs


@given(st.integers(1, 20), st.integers(1, 12), st.integers(1, 400), st.floats(0, 1))
def test_every_prefix_is_balanced(types, framings, documents, share):
    deck = Deck(tuple(f"t{i}" for i in range(types)), tuple(f"f{i}" for i in range(framings)), ("a", "b", "c"), share)
    slots = [deck.slot("c", n) for n in range(documents)]
    counts = Counter(s.doc_type for s in slots)
    assert max(counts.values()) - min(counts[t] for t in deck.document_types) <= 1
    whole = documents // (types * framings)
    pairs = Counter((s.doc_type, s.framing) for s in slots)
    assert all(whole <= pairs[t, f] <= whole + 1 for t in deck.document_types for f in deck.framings)
    hard = sum(bool(s.hard) for s in slots)
    assert abs(hard - documents * share) < 1 + 1e-6
    kinds = Counter(s.hard for s in slots if s.hard)
    assert not hard or max(kinds.values()) - min(kinds[k] for k in deck.hard_kinds) <= 1


@given(st.lists(st.lists(st.integers(1, 90), min_size=1, max_size=40), min_size=1, max_size=6), st.integers(0, 2**40), st.floats(0.05, 1))
def test_a_sample_of_written_documents_has_every_clause_in_its_share_of_tokens(clauses, seed, share):
    groups = [f"clause {number}" for number, sizes in enumerate(clauses) for _ in sizes]
    sizes = [size for found in clauses for size in found]
    strata = Strata(groups, sizes)
    order = stratified(strata, seed, 0)
    assert sorted(order) == list(range(len(groups)))
    taken = order[: max(1, int(share * len(groups)))]
    reached = max(sum(sizes[i] for i in taken if groups[i] == f"clause {n}") / sum(found) for n, found in enumerate(clauses))
    for number, found in enumerate(clauses):
        tokens = sum(sizes[i] for i in taken if groups[i] == f"clause {number}")
        assert tokens / sum(found) >= reached - (max(found) / sum(found) + max(max(f) / sum(f) for f in clauses))
    assert list(stratified(strata, seed, 0, from_end=True)) == list(order[::-1])
