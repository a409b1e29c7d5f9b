"""Corpora and conversations from files that a user brought, or that a language model wrote: exact, reproducible samples of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import TypeVar

import numpy as np
import pyarrow as pa

from specsci.core.context import Facts, StepContext
from specsci.core.ids import text_digest
from specsci.core.rows import ROWS, RowWriter, conversation_text
from specsci.core.token_row import TokenRow
from specsci.models.chat import conversation_rows, document_rows
from specsci.models.hf import load_tokenizer
from specsci.sources.documents import Document, DocumentFile
from specsci.sources.text_files import Passage, read_passages

BATCH = 512
CONVERSATIONS = "conversations.jsonl"
"""What a step of written conversations leaves."""
THOUGHTS = re.compile(r"^<think>.*?</think>\s*", re.DOTALL)
T = TypeVar("T")
Columns = dict[str, pa.Array]


@dataclass(frozen=True)
class Taken:
    """A document, the file that it comes from, and how often the files were read through before it."""

    document: Document
    file: str
    turn: int


class Files:
    """Several files as one list of documents."""

    def __init__(self, files: list[DocumentFile]) -> None:
        self.files = files
        self.ends = np.cumsum([len(f) for f in files])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def at(self, place: int) -> tuple[Document, str]:
        """A document and the name of its file."""
        number = int(np.searchsorted(self.ends, place, side="right"))
        file = self.files[number]
        return file[place - (int(self.ends[number]) - len(file))], file.name


def order(documents: int, seed: int, turn: int, *, from_end: bool = False) -> np.ndarray:
    """The order in which documents are taken, shape (documents,); every turn through the files has its own.

    A longer sample begins with the shorter one, and one taken `from_end` shares no document with it as long as both fit.
    """
    found = np.random.RandomState([seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF, turn]).permutation(documents)
    return found[::-1] if from_end else found


def batches(size: int, seed: int, *, from_end: bool = False) -> Iterator[tuple[int, list[int]]]:
    """Places in a list of `size` in a random order, a batch at a time and without end, each with the turn through the list."""
    for turn in count():
        places = order(size, seed, turn, from_end=from_end)
        for start in range(0, size, BATCH):
            yield turn, places[start : start + BATCH].tolist()


@dataclass(frozen=True)
class Strata:
    """Of every document: the group that it belongs to, and its size in tokens."""

    groups: list[str]
    sizes: list[int]


def stratified(strata: Strata, seed: int, turn: int, *, from_end: bool = False) -> np.ndarray:
    """An order in which every prefix holds each group's share of the tokens, to within a document; else as `order`."""
    found = order(len(strata.groups), seed, turn)
    names, codes = np.unique(np.asarray(strata.groups, dtype=object).astype(str), return_inverse=True)
    sizes = np.maximum(np.asarray(strata.sizes, dtype=float), 1.0)
    whole, passed = np.bincount(codes, weights=sizes), np.zeros(len(names))
    places = np.empty(len(sizes))
    for place in found:
        group = codes[place]
        places[place] = (passed[group] + sizes[place] / 2) / whole[group]
        passed[group] += sizes[place]
    ties = np.random.RandomState([seed & 0xFFFFFFFF, turn, 1]).random_sample(len(sizes))
    ordered = np.lexsort((ties, places))
    out: np.ndarray = ordered[::-1] if from_end else ordered
    return out


def batches_by_group(strata: Strata, seed: int, *, from_end: bool = False) -> Iterator[tuple[int, list[int]]]:
    """As `batches`, in the order of `stratified`."""
    for turn in count():
        places = stratified(strata, seed, turn, from_end=from_end)
        for start in range(0, len(strata.groups), BATCH):
            yield turn, places[start : start + BATCH].tolist()


def documents_of(
    files: Files, seed: int, *, from_end: bool = False, strata: Strata | None = None
) -> Iterator[list[Taken]]:
    """Documents in a random order, without end; those of a batch are read in the order in which they lie on the disk.

    Args:
        strata: the groups of the documents, where each should have its share of every sample.
    """
    turns = batches_by_group(strata, seed, from_end=from_end) if strata else batches(len(files), seed, from_end=from_end)
    for turn, places in turns:
        found = {place: Taken(*files.at(place), turn) for place in sorted(places)}
        yield [found[place] for place in places]


def _strata(file: DocumentFile) -> Strata:
    """The clauses of written documents, and their tokens."""
    documents = [file[place] for place in range(len(file))]
    return Strata([d.clause_id for d in documents], [int(d.more.get("tokens") or 1) for d in documents])


def run_file_corpus(context: StepContext) -> Facts:
    """Documents of files until they hold the tokens that are wanted, each with its provenance.

    Raises:
        StepFailed: a file changed after the plan was made.
        InputFileError: a row is not a document.
    """
    params = context.params
    tokenizer = load_tokenizer(context.inputs["tokenizer"])
    written = context.inputs.get("written")
    if written is not None:
        opened = [DocumentFile(written / ROWS, "the written documents", context.scratch)]
    else:
        opened = [DocumentFile(context.external(name), name, context.scratch) for name in params["files"]]
    files = Files(opened)
    strata = _strata(opened[0]) if written is not None else None
    try:
        found = _fill(
            context,
            documents_of(files, params["seed"], from_end=params.get("from_end", False), strata=strata),
            lambda batch: document_rows([t.document.text for t in batch], tokenizer),
            lambda batch: [t.document.text for t in batch],
            lambda batch: _provenance(batch, context),
        )
    finally:
        for file in opened:
            file.close()
    return {
        "documents": found.rows,
        "tokens": found.tokens,
        "characters": found.characters,
        "distinct": found.distinct,
        "documents_in_files": len(files),
        "passes": round(found.rows / len(files), 6),
    }


def run_file_conversations(context: StepContext) -> Facts:
    """Conversations of files until they hold the tokens that are wanted; a smaller AFT budget takes the first of them.

    Raises:
        StepFailed: a file changed after the plan was made.
        InputFileError: a row is not a conversation.
        UserError: the chat template does not render a conversation as it is written.
    """
    params = context.params
    tokenizer = load_tokenizer(context.inputs["tokenizer"])
    if (answers := context.inputs.get("answers")) is not None:
        name = "the written conversations"
        passages = read_passages(answers / CONVERSATIONS, name, "conversations")
        given = [(p if params["think"] else _without_thoughts(p), name) for p in passages]
    else:
        given = [(p, name) for name in params["files"] for p in read_passages(context.external(name), name, "conversations")]

    def tokenise(batch: list[tuple[Passage, str]]) -> list[TokenRow]:
        said, tools = [p.said for p, _ in batch], [p.tools for p, _ in batch]
        return conversation_rows(said, tokenizer, [f"{name}:{p.line}" for p, name in batch], tools)

    def columns(batch: list[tuple[Passage, str]]) -> Columns:
        return {
            "unit_id": pa.array([""] * len(batch), pa.string()),
            "messages": pa.array([json.dumps(p.said, ensure_ascii=False) for p, _ in batch], pa.string()),
            "tools": pa.array([json.dumps(p.tools, ensure_ascii=False) if p.tools else "" for p, _ in batch], pa.string()),
            "source_file": pa.array([name for _, name in batch], pa.string()),
            "source_row": pa.array([p.line for p, _ in batch], pa.int64()),
        }

    taken = ([given[place] for place in places] for _, places in batches(len(given), params["seed"]))
    found = _fill(context, taken, tokenise, lambda batch: [conversation_text(p.said) for p, _ in batch], columns)
    return {
        "conversations": found.rows,
        "tokens": found.tokens,
        "distinct": found.distinct,
        "conversations_in_files": len(given),
        "passes": round(found.rows / len(given), 6),
    }


def _without_thoughts(passage: Passage) -> Passage:
    """A conversation whose assistant says its answers alone."""
    said = [{**m, "content": THOUGHTS.sub("", m["content"], count=1)} if m["role"] == "assistant" else m for m in passage.said]
    return replace(passage, said=said)


@dataclass(frozen=True)
class _Filled:
    """What was written: rows, their tokens, the characters of their texts, and how many of the texts differ."""

    rows: int
    tokens: int
    characters: int
    distinct: int


def _fill(
    context: StepContext,
    taken: Iterator[list[T]],
    tokenise: Callable[[list[T]], list[TokenRow]],
    texts_of: Callable[[list[T]], list[str]],
    columns: Callable[[list[T]], Columns],
) -> _Filled:
    """Write rows batch by batch until they hold the tokens that the step wants; the last batch is cut behind the row that fills it."""
    wanted, tokens, characters, distinct = context.params["tokens"], 0, 0, set[int]()
    out = RowWriter(context.out)
    try:
        for batch in taken:
            rows = tokenise(batch)
            sums = np.cumsum([len(r.input_ids) for r in rows])
            kept = min(len(rows), int(np.searchsorted(sums, wanted - tokens)) + 1)
            texts = texts_of(batch[:kept])
            out.write(texts, rows[:kept], columns(batch[:kept]))
            tokens += int(sums[kept - 1])
            characters += sum(map(len, texts))
            distinct.update(int(text_digest(t)[:15], 16) for t in texts)
            context.progress(min(tokens, wanted), wanted)
            if tokens >= wanted:
                break
    finally:
        out.close()
    return _Filled(out.count, tokens, characters, len(distinct))


def _provenance(batch: list[Taken], context: StepContext) -> dict[str, pa.Array]:
    size, params = len(batch), context.params
    texts = {
        "clause_id": [t.document.clause_id for t in batch],
        "unit_id": [""] * size,
        "cell": [t.document.doc_type for t in batch],
        "template_id": [t.document.source for t in batch],
        "spec_digest": [context.input_digests.get("spec", "")] * size,
        "backend": [params["backend"]] * size,
        "source_file": [t.file for t in batch],
        "provenance": [json.dumps(t.document.more, ensure_ascii=False, default=str) if t.document.more else "" for t in batch],
    }
    numbers = {
        "seed": [params["seed"]] * size,
        "source_row": [t.document.row for t in batch],
        "pass": [t.turn + 1 for t in batch],
    }
    return {
        **{name: pa.array(values, pa.string()) for name, values in texts.items()},
        **{name: pa.array(values, pa.int64()) for name, values in numbers.items()},
    }
