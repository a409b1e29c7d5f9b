"""The steps that hold text which no spec made: what a base was pretrained on, a file's rows, or a mix of several files."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from specsci.core.context import Facts, StepContext
from specsci.core.errors import StepFailed
from specsci.core.rows import conversation_text, write_rows
from specsci.core.token_row import TokenRow
from specsci.corpus.steps import run_corpus
from specsci.corpus.taking import batches_of, tokens_of, until
from specsci.models.chat import conversation_rows, document_rows
from specsci.models.hf import load_tokenizer
from specsci.sources.identity import is_text_file
from specsci.sources.registry import source_of
from specsci.sources.text_files import Passage, read_passages


@dataclass(frozen=True)
class Piece:
    """A passage and the file that it comes from; of a model source's own text the file is empty."""

    passage: Passage
    file: str

    @property
    def text(self) -> str:
        """What it says, as one text."""
        said = self.passage.said
        return said if isinstance(said, str) else conversation_text(said)


def run_pool(context: StepContext) -> Facts:
    """Text that is not a spec: what a base was pretrained on, a file's rows, or a mix of files by their shares of the tokens."""
    params = context.params
    tokenise = _tokeniser(load_tokenizer(context.inputs["tokenizer"]), conversations=params["what"] == "conversations")
    if "mix" in params:
        kept, rows = _mixed(context, tokenise)
        files = {"source_file": pa.array([p.file for p in kept], pa.string())}
    else:
        kept, rows = until(params["tokens"], batches_of(_pieces(context, params["source"])), tokenise)
        files = {}
    texts = [p.text for p in kept]
    write_rows(context.out, texts, rows, files)
    facts: Facts = {"rows": len(kept), "tokens": tokens_of(rows), "distinct": len(set(texts))}
    if files:
        counts = {file: tokens_of([r for p, r in zip(kept, rows, strict=True) if p.file == file]) for file in params["mix"]}
        facts["file_tokens"] = counts
    return facts


def run_control(context: StepContext) -> Facts:
    """Control text of a probe: documents of another variant, or a pool of text."""
    return run_corpus(context) if "variant" in context.params else run_pool(context)


def _tokeniser(tokenizer: Any, *, conversations: bool) -> Callable[[list[Piece]], list[TokenRow]]:
    def tokenise(batch: list[Piece]) -> list[TokenRow]:
        if conversations:
            places = [f"{p.file}:{p.passage.line}" for p in batch] if batch[0].file else None
            said, tools = [p.passage.said for p in batch], [p.passage.tools for p in batch]
            return conversation_rows(said, tokenizer, places, tools)
        plain = document_rows([p.passage.said for p in batch if isinstance(p.passage.said, str)], tokenizer)
        chats = [p.passage.said for p in batch if not isinstance(p.passage.said, str)]
        spoken = conversation_rows(chats, tokenizer) if chats else []
        return [plain.pop(0) if isinstance(p.passage.said, str) else TokenRow(spoken.pop(0).input_ids) for p in batch]

    return tokenise


def _pieces(context: StepContext, source: str) -> Iterator[Piece]:
    """The passages of a source in a random order, each once; a model source's own text never ends."""
    what, seed = context.params["what"], context.params["seed"]
    if not is_text_file(source):
        yield from (Piece(Passage(said, 0), "") for said in source_of(source).texts(source, what, seed))
        return
    passages = list(read_passages(context.external(source), source, what))
    random.Random(seed).shuffle(passages)
    yield from (Piece(passage, source) for passage in passages)


def _mixed(context: StepContext, tokenise: Callable[[list[Piece]], list[TokenRow]]) -> tuple[list[Piece], list[TokenRow]]:
    """Rows of several files, in whose every prefix each file has its share of the tokens, to within a row.

    Raises:
        StepFailed: a file has less than its share.
    """
    wanted, mix = context.params["tokens"], context.params["mix"]
    streams = {file: _tokenised(_pieces(context, file), tokenise) for file in mix}
    taken = dict.fromkeys(mix, 0)
    kept: list[Piece] = []
    rows: list[TokenRow] = []
    while sum(taken.values()) < wanted:
        file = min(mix, key=lambda name: taken[name] / mix[name]["share"])
        found = next(streams[file], None)
        if found is None:
            need = round(wanted * mix[file]["share"])
            raise StepFailed(
                f"'{file}' ended after {taken[file]:,} tokens; its share is {need:,} of {wanted:,}",
                hint="give it more rows, or a smaller share",
            )
        kept.append(found[0])
        rows.append(found[1])
        taken[file] += len(found[1].input_ids)
    return kept, rows


def _tokenised(pieces: Iterator[Piece], tokenise: Callable[[list[Piece]], list[TokenRow]]) -> Iterator[tuple[Piece, TokenRow]]:
    for batch in batches_of(pieces):
        yield from zip(batch, tokenise(batch), strict=True)
