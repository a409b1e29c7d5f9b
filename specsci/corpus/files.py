"""A corpus of documents that a user brought: an exact, reproducible sample of files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa

from specsci.core.context import Facts, StepContext
from specsci.core.ids import text_digest
from specsci.core.rows import RowWriter, conversation_text
from specsci.core.token_row import TokenRow
from specsci.models.chat import conversation_rows, document_rows
from specsci.models.hf import load_tokenizer
from specsci.sources.documents import Document, DocumentFile
from specsci.sources.text_files import read_passages

BATCH = 512
FROM_END = "from_end"
"""Of a step's `params`: documents are taken from the end of the order, so that they are others than a corpus takes."""


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


def batches(files: Files, seed: int, *, from_end: bool = False) -> Iterator[list[Taken]]:
    """Documents in a random order, without end, read in the order of the disk a batch at a time."""
    for turn in count():
        places = order(len(files), seed, turn, from_end=from_end)
        for start in range(0, len(places), BATCH):
            wanted = places[start : start + BATCH].tolist()
            found = {place: Taken(*files.at(place), turn) for place in sorted(wanted)}
            yield [found[place] for place in wanted]


def run_file_corpus(context: StepContext) -> Facts:
    """Documents of files until they hold the tokens that are wanted, each with its provenance.

    Raises:
        StepFailed: a file changed after the plan was made.
        InputFileError: a row is not a document.
    """
    params = context.params
    tokenizer = load_tokenizer(context.inputs["tokenizer"])
    opened = [DocumentFile(context.external(name), name, context.scratch) for name in params["files"]]
    files, out = Files(opened), RowWriter(context.out)
    tokens = characters = 0
    distinct: set[int] = set()
    try:
        for batch in batches(files, params["seed"], from_end=params.get(FROM_END, False)):
            rows = document_rows([t.document.text for t in batch], tokenizer)
            kept = _needed(rows, params["tokens"] - tokens)
            batch, rows = batch[:kept], rows[:kept]
            out.write([t.document.text for t in batch], rows, _provenance(batch, context))
            tokens += sum(len(r.input_ids) for r in rows)
            characters += sum(len(t.document.text) for t in batch)
            distinct.update(int(text_digest(t.document.text)[:15], 16) for t in batch)
            context.progress(min(tokens, params["tokens"]), params["tokens"])
            if tokens >= params["tokens"]:
                break
    finally:
        out.close()
        for file in opened:
            file.close()
    return {
        "documents": out.count,
        "tokens": tokens,
        "characters": characters,
        "distinct": len(distinct),
        "documents_in_files": len(files),
        "passes": round(out.count / len(files), 6),
    }


def run_file_conversations(context: StepContext) -> Facts:
    """Conversations of files until they hold the tokens that are wanted; budgets nest, as a smaller one is the beginning of a larger.

    Raises:
        StepFailed: a file changed after the plan was made.
        InputFileError: a row is not a conversation.
        UserError: the chat template does not say a conversation as it is written.
    """
    params = context.params
    tokenizer = load_tokenizer(context.inputs["tokenizer"])
    found = [
        (passage, name)
        for name in params["files"]
        for passage in read_passages(context.external(name), name, "conversations")
    ]
    out, tokens, distinct = RowWriter(context.out), 0, set[str]()
    try:
        for turn in count():
            places = order(len(found), params["seed"], turn).tolist()
            for start in range(0, len(places), BATCH):
                batch = [found[place] for place in places[start : start + BATCH]]
                rows = conversation_rows([p.said for p, _ in batch], tokenizer, [f"{name}:{p.line}" for p, name in batch])
                kept = _needed(rows, params["tokens"] - tokens)
                texts = [conversation_text(p.said) for p, _ in batch[:kept]]
                provenance = {
                    "unit_id": pa.array([""] * kept, pa.string()),
                    "messages": pa.array([json.dumps(p.said, ensure_ascii=False) for p, _ in batch[:kept]], pa.string()),
                    "source_file": pa.array([name for _, name in batch[:kept]], pa.string()),
                    "source_row": pa.array([p.line for p, _ in batch[:kept]], pa.int64()),
                }
                out.write(texts, rows[:kept], provenance)
                tokens += sum(len(r.input_ids) for r in rows[:kept])
                distinct.update(text_digest(t) for t in texts)
                if tokens >= params["tokens"]:
                    break
            if tokens >= params["tokens"]:
                break
    finally:
        out.close()
    return {
        "conversations": out.count,
        "tokens": tokens,
        "distinct": len(distinct),
        "conversations_in_files": len(found),
        "passes": round(out.count / len(found), 6),
    }


def _needed(rows: list[TokenRow], tokens: int) -> int:
    """How many of the rows it takes to hold so many tokens; all of them where they do not."""
    sums = np.cumsum([len(r.input_ids) for r in rows])
    return min(len(rows), int(np.searchsorted(sums, tokens)) + 1)


def _provenance(batch: list[Taken], context: StepContext) -> dict[str, pa.Array]:
    size, params = len(batch), context.params
    texts = {
        "clause_id": [t.document.clause_id for t in batch],
        "unit_id": [""] * size,
        "cell": [t.document.doc_type for t in batch],
        "template_id": [t.document.source for t in batch],
        "spec_digest": [context.input_digests.get("spec", "")] * size,
        "backend": ["files"] * size,
        "source_file": [Path(t.file).as_posix() for t in batch],
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
