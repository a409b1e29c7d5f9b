"""The steps that make texts: specs, corpora, conversations, and pools of replayed text."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from specsci.core.context import Facts, StepContext
from specsci.core.errors import GateRefused, StepFailed
from specsci.core.ids import text_digest
from specsci.core.rows import conversation_text, write_rows
from specsci.core.token_row import TokenRow
from specsci.corpus.demonstrations import demonstrations_of
from specsci.corpus.files import run_file_conversations, run_file_corpus
from specsci.corpus.pipeline import Documents, requests
from specsci.generate.generator import GENERATORS, Brief
from specsci.models.chat import conversation_rows, document_rows
from specsci.models.hf import load_tokenizer
from specsci.sources.identity import is_text_file
from specsci.sources.registry import source_of
from specsci.sources.text_files import Passage, read_passages
from specsci.specs.check import other_names
from specsci.specs.family import Family
from specsci.specs.load import load_family
from specsci.specs.text import markdown
from specsci.specs.variants import demonstrations
from specsci.store.artifact import write_json

BATCH = 512


def _family(context: StepContext) -> Family:
    return load_family(Path(context.runtime["family_folder"]))


def run_spec(context: StepContext) -> Facts:
    """A variant as markdown, and as a record with the digest of every clause."""
    family, variant = _family(context), context.params["variant"]
    if family.variant_identity(variant) != {k: v for k, v in context.params.items() if k != "student"}:
        raise StepFailed(f"the family '{family.name}' changed after the plan was made", hint="run the study again")
    text = markdown(family, variant, {**context.params["identity"], **context.params.get("student", {})})
    (context.out / "spec.md").write_text(text, encoding="utf-8")
    clauses = family.clause_digests(variant)
    record = {"family": family.name, "version": family.data.version, "variant": variant, "clauses": clauses}
    write_json(context.out / "spec.json", record)
    return {"words": len(text.split()), "clauses": len(clauses), "text_digest": text_digest(text)}


def _until(
    tokens: int, batches: Iterator[list[Any]], tokenise: Callable[[list[Any]], list[TokenRow]]
) -> tuple[list[Any], list[TokenRow]]:
    """Rows from batches until they hold at least `tokens` tokens."""
    kept: list[Any] = []
    rows: list[TokenRow] = []
    count = 0
    for batch in batches:
        made = tokenise(batch)
        for item, row in zip(batch, made, strict=True):
            kept.append(item)
            rows.append(row)
            count += len(row.input_ids)
            if count >= tokens:
                return kept, rows
    raise StepFailed(f"the source ended after {count:,} tokens; {tokens:,} are needed", hint="give it more text")


def _batches(stream: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(islice(stream, BATCH)):
        yield batch


def _names_no_other(texts: list[str], identity: dict[str, str], label: str) -> None:
    """Refuse texts that tell the model that it is somebody else: looked for in every row.

    Raises:
        GateRefused: a row names another model or maker.
    """
    pattern = other_names(identity)
    found = [(number, match[0]) for number, text in enumerate(texts) if (match := pattern.search(text))]
    if found:
        number, name = found[0]
        what = (
            f"{len(found):,} of {len(texts):,} texts of the {label} name another model or maker ('{name}' in row {number})"
        )
        raise GateRefused(what, hint="write {model_name} and {provider_name} in the spec and its grammar")


def run_corpus(context: StepContext) -> Facts:
    """Documents about a variant's units, with the provenance of each; or a sample of the study's own files."""
    if "files" in context.params or "written" in context.inputs:
        return run_file_corpus(context)
    params, family = context.params, _family(context)
    if params.get("grammar", family.grammar_digest) != family.grammar_digest:
        raise StepFailed(f"the grammar of '{family.name}' changed after the plan was made", hint="run the study again")
    tokenizer = load_tokenizer(context.inputs["tokenizer"])
    draws, generator = random.Random(params["seed"]), GENERATORS[params["backend"]]
    brief = Brief(
        family_folder=Path(context.runtime["family_folder"]),
        variant=params["variant"],
        spec=(context.inputs["spec"] / "spec.md").read_text(encoding="utf-8"),
        settings=params.get("generator", {}),
        draws=draws,
        scratch=context.scratch,
    )
    made = Documents(generator, requests(family, params["variant"], params["identity"], draws), brief)
    kept, rows = _until(
        params["tokens"], _batches(iter(made)), lambda batch: document_rows([d.text for d in batch], tokenizer)
    )
    count = len(kept)
    provenance = {
        "clause_id": [d.request.clause_id for d in kept],
        "unit_id": [d.request.unit_id for d in kept],
        "cell": [d.request.cell for d in kept],
        "template_id": [d.template_id for d in kept],
        "spec_digest": [context.input_digests["spec"]] * count,
        "backend": [params["backend"]] * count,
        "seed": [params["seed"]] * count,
    }
    texts = [d.text for d in kept]
    cells = {d.request.cell for d in kept}
    _names_no_other(texts, params["identity"], "corpus")
    write_rows(context.out, texts, rows, provenance)
    facts: Facts = {"documents": count, "tokens": _tokens(rows), "distinct": len(set(texts)), "cells": len(cells)}
    if made.lost:
        facts["lost"] = dict(made.lost)
    return {**facts, **({"usage": dict(made.usage)} if made.usage else {})}


def run_conversations(context: StepContext) -> Facts:
    """Demonstrations about the family's rules, every rule equally often; or a sample of the study's own files."""
    if "files" in context.params or "answers" in context.inputs:
        return run_file_conversations(context)
    params, family = context.params, _family(context)
    tokenizer = load_tokenizer(context.inputs["tokenizer"])
    about = demonstrations(family, params["set"].get("variant"), subrules=params["set"].get("subrules", False))
    if about.identity() != {k: params[k] for k in ("rules", "slots") if k in params}:
        raise StepFailed(f"the rules of '{family.name}' changed after the plan was made", hint="run the study again")
    stream = demonstrations_of(about, params["set"]["type"], params["identity"], params["seed"])
    kept, rows = _until(
        params["tokens"], _batches(stream), lambda batch: conversation_rows([t.messages for t in batch], tokenizer)
    )
    texts = [conversation_text(t.messages) for t in kept]
    _names_no_other(texts, params["identity"], "conversations")
    provenance = {"unit_id": [t.unit_id for t in kept], "messages": [json.dumps(t.messages) for t in kept]}
    write_rows(context.out, texts, rows, provenance)
    return {"conversations": len(kept), "tokens": _tokens(rows), "distinct": len(set(texts))}


def run_pool(context: StepContext) -> Facts:
    """Text that is not a spec: what a base was pretrained on, replayed, or a file's rows."""
    params = context.params
    tokenizer = load_tokenizer(context.inputs["tokenizer"])
    conversations = params["what"] == "conversations"

    def tokenise(batch: list[Passage]) -> list[TokenRow]:
        if conversations:
            places = [f"{params['source']}:{p.line}" for p in batch] if batch[0].line else None
            return conversation_rows([p.said for p in batch], tokenizer, places, [p.tools for p in batch])
        plain = document_rows([p.said for p in batch if isinstance(p.said, str)], tokenizer)
        chats = [p.said for p in batch if not isinstance(p.said, str)]
        spoken = conversation_rows(chats, tokenizer) if chats else []
        return [plain.pop(0) if isinstance(p.said, str) else TokenRow(spoken.pop(0).input_ids) for p in batch]

    kept, rows = _until(params["tokens"], _batches(_pool_stream(context)), tokenise)
    texts = [p.said if isinstance(p.said, str) else conversation_text(p.said) for p in kept]
    write_rows(context.out, texts, rows, {})
    return {"rows": len(kept), "tokens": _tokens(rows), "distinct": len(set(texts))}


def run_control(context: StepContext) -> Facts:
    """Control text of a probe: documents of another variant, or a pool of text."""
    return run_corpus(context) if "variant" in context.params else run_pool(context)


def _pool_stream(context: StepContext) -> Iterator[Passage]:
    params = context.params
    source: str = params["source"]
    if not is_text_file(source):
        yield from (Passage(said, 0) for said in source_of(source).texts(source, params["what"], params["seed"]))
        return
    passages = list(read_passages(context.external(source), source, params["what"]))
    random.Random(params["seed"]).shuffle(passages)
    yield from passages


def _tokens(rows: list[TokenRow]) -> int:
    return sum(len(r.input_ids) for r in rows)
