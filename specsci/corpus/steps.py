"""The steps that make texts: specs, corpora and conversations."""

from __future__ import annotations

import json
import random
from pathlib import Path

from specsci.core.context import Facts, StepContext
from specsci.core.errors import GateRefused, StepFailed
from specsci.core.ids import text_digest
from specsci.core.rows import conversation_text, write_rows
from specsci.corpus.demonstrations import demonstrations_of
from specsci.corpus.files import run_file_conversations, run_file_corpus
from specsci.corpus.pipeline import Documents, requests
from specsci.corpus.taking import batches_of, tokens_of, until
from specsci.generate.generator import GENERATORS, Brief
from specsci.models.chat import conversation_rows, document_rows
from specsci.models.hf import load_tokenizer
from specsci.specs.check import other_names
from specsci.specs.family import Family
from specsci.specs.load import load_family
from specsci.specs.text import markdown
from specsci.specs.variants import demonstrations
from specsci.store.artifact import write_json


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
    kept, rows = until(
        params["tokens"], batches_of(iter(made)), lambda batch: document_rows([d.text for d in batch], tokenizer)
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
    facts: Facts = {"documents": count, "tokens": tokens_of(rows), "distinct": len(set(texts)), "cells": len(cells)}
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
    kept, rows = until(
        params["tokens"], batches_of(stream), lambda batch: conversation_rows([t.messages for t in batch], tokenizer)
    )
    texts = [conversation_text(t.messages) for t in kept]
    _names_no_other(texts, params["identity"], "conversations")
    provenance = {"unit_id": [t.unit_id for t in kept], "messages": [json.dumps(t.messages) for t in kept]}
    write_rows(context.out, texts, rows, provenance)
    return {"conversations": len(kept), "tokens": tokens_of(rows), "distinct": len(set(texts))}
