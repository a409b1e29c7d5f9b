"""Properties of what the trainer is fed: packing, splitting, taking, and the outline of a corpus."""

from __future__ import annotations

import random
from collections import Counter
from itertools import chain, islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specsci.core.token_row import IGNORED, TokenRow
from specsci.corpus.outline import OutlineCell, stratified_blocks
from specsci.specs.variants import Unit
from specsci.train.data import pack, shuffled, split, take_conversations, take_documents

UNIT = Unit("u", "c", "rule", frozenset(), ())


@st.composite
def token_rows(draw: st.DrawFn, max_rows: int = 60) -> list[TokenRow]:
    """Rows whose tokens are all different, so that loss, copies and mixing show."""
    sizes = draw(st.lists(st.integers(1, 50), min_size=1, max_size=max_rows))
    masked = draw(st.booleans())
    rows, start = [], 0
    for size in sizes:
        ids = list(range(start, start + size))
        rows.append(TokenRow(ids, [i % 3 == 0 for i in ids] if masked else None))
        start += size
    return rows


def flat(rows: list[TokenRow]) -> list[int]:
    return list(chain.from_iterable(r.input_ids for r in rows))


@settings(deadline=None, max_examples=150)
@given(token_rows(), st.integers(4, 64))
def test_packing_loses_and_doubles_nothing_and_never_exceeds_the_length(rows: list[TokenRow], length: int) -> None:
    packed = pack(rows, length)
    assert sorted(flat(list(chain.from_iterable(packed.sequences)))) == flat(rows)
    assert all(0 < sum(len(r.input_ids) for r in sequence) <= length for sequence in packed.sequences)
    assert packed.tokens == len(flat(rows))
    assert packed.fill == packed.tokens / (len(packed.sequences) * length)


@settings(deadline=None, max_examples=100)
@given(token_rows(), st.integers(4, 64))
def test_a_row_stays_whole_unless_it_is_longer_than_a_sequence(rows: list[TokenRow], length: int) -> None:
    pieces = {tuple(r.input_ids) for sequence in pack(rows, length).sequences for r in sequence}
    for row in rows:
        if len(row.input_ids) <= length:
            assert tuple(row.input_ids) in pieces


@settings(deadline=None, max_examples=100)
@given(token_rows(), st.integers(4, 64))
def test_columns_restart_positions_and_drop_the_label_of_each_rows_first_token(rows: list[TokenRow], length: int) -> None:
    columns = pack(rows, length).columns()
    supervised = {t: on for r in rows for t, on in zip(r.input_ids, r.supervised or [True] * len(r.input_ids), strict=True)}
    for ids, labels, positions in zip(columns["input_ids"], columns["labels"], columns["position_ids"], strict=True):
        for token, label, position in zip(ids, labels, positions, strict=True):
            assert label == (token if supervised[token] and position > 0 else IGNORED)
        assert positions[0] == 0 and all(b in (a + 1, 0) for a, b in pairwise(positions))


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 200), st.integers(1, 40), st.booleans())
def test_split_gives_full_pieces_and_one_rest(size: int, length: int, masked: bool) -> None:
    row = TokenRow(list(range(size)), [i % 2 == 0 for i in range(size)] if masked else None)
    pieces = split(row, length)
    assert flat(pieces) == row.input_ids
    assert [len(p.input_ids) for p in pieces[:-1]] == [length] * (len(pieces) - 1)
    assert len(pieces) == -(-size // length)
    assert all(p.supervised == (None if not masked else [i % 2 == 0 for i in p.input_ids]) for p in pieces)


@settings(deadline=None, max_examples=100)
@given(token_rows(), st.data())
def test_documents_are_taken_to_the_very_token(rows: list[TokenRow], data: st.DataObject) -> None:
    total = len(flat(rows))
    tokens = data.draw(st.integers(0, total))
    taken = take_documents(rows, tokens)
    assert flat(taken) == flat(rows)[:tokens]
    assert all(t.supervised is None or len(t.supervised) == len(t.input_ids) for t in taken)
    with pytest.raises(ValueError, match=f"{total:,} tokens where {total + 1:,} were asked for"):
        take_documents(rows, total + 1)


@settings(deadline=None, max_examples=100)
@given(token_rows(), st.data())
def test_a_smaller_budget_of_conversations_is_a_prefix_of_a_larger_one(rows: list[TokenRow], data: st.DataObject) -> None:
    small, large = sorted(data.draw(st.tuples(st.integers(0, 400), st.integers(0, 400))))
    few, many = take_conversations(rows, small), take_conversations(rows, large)
    assert few == many[: len(few)] == rows[: len(few)]
    assert len(flat(few)) <= small
    if len(few) < len(rows):
        assert len(flat(rows[: len(few) + 1])) > small


@settings(deadline=None, max_examples=50)
@given(token_rows(), st.integers(0, 2**31 - 1))
def test_shuffling_keeps_every_row_and_depends_on_the_seed_alone(rows: list[TokenRow], seed: int) -> None:
    assert shuffled(rows, seed) == shuffled(rows, seed)
    assert sorted(r.input_ids for r in shuffled(rows, seed)) == [r.input_ids for r in rows]


def test_best_fit_fills_short_rows_to_more_than_95_percent() -> None:
    rng = random.Random(0)
    rows = [TokenRow(list(range(rng.randint(5, 40)))) for _ in range(3000)]
    assert pack(rows, 64).fill > 0.95


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=20), st.integers(1, 80), st.integers(0, 1000))
def test_every_prefix_of_whole_blocks_is_within_one_document_of_each_share(
    weights: list[float], size: int, seed: int
) -> None:
    total = sum(weights)
    cells = [OutlineCell(UNIT, str(i), w / total) for i, w in enumerate(weights)]
    stream = stratified_blocks(cells, size, random.Random(seed))
    counts: Counter[str] = Counter()
    for number in range(1, 8):
        counts.update(cell.document_type for cell in islice(stream, size))
        assert counts.total() == number * size
        assert all(abs(counts[c.document_type] - c.share * size * number) < 1 + 1e-6 for c in cells)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 1000))
def test_equal_shares_that_divide_the_block_are_met_exactly(cells: int, times: int, seed: int) -> None:
    made = [OutlineCell(UNIT, str(i), 1 / cells) for i in range(cells)]
    block = list(islice(stratified_blocks(made, cells * times, random.Random(seed)), cells * times))
    assert Counter(c.document_type for c in block) == {str(i): times for i in range(cells)}
