"""The steps in which a language model writes: outlines, documents, user queries, answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from specsci.core.context import Facts, StepContext
from specsci.core.errors import StepFailed
from specsci.core.rows import ROWS, conversation_text, read_once
from specsci.corpus.files import CONVERSATIONS
from specsci.corpus.written.claims import as_rows, judge, summary, to_show
from specsci.corpus.written.conversations import Query, write_answers, write_queries
from specsci.corpus.written.deck import Deck
from specsci.corpus.written.documents import Cut, Order, write_documents
from specsci.corpus.written.outline import Subdomain, from_clauses, write_outline
from specsci.corpus.written.parse import LEAST_SHARE, Unparsed, Wanted, text_of
from specsci.corpus.written.writer import UNNAMED, Writer
from specsci.generate.client import Client
from specsci.generate.prompts import catalogue, prompts_of
from specsci.generate.request_rows import write_requests
from specsci.generate.settings import GeneratorSettings
from specsci.models.hf import load_tokenizer
from specsci.models.tokens import encode_plain
from specsci.sources.text_files import read_passages
from specsci.specs.check import other_names
from specsci.store.artifact import write_json

OUTLINE = "outline.json"
QUERIES = "queries.json"
CLAIMS = "claims.json"
LEAST_ANSWER_WORDS = 1
WORDS_PER_TOKEN = 0.75
CUT_TRIES = 4
"""A text that is cut between two tokens may be read as other tokens: a few places are tried."""


@contextmanager
def _writer(context: StepContext) -> Iterator[Writer]:
    """The generator at work; the ledger stays open as long."""
    params, told = context.params, context.runtime["generator"]
    settings = GeneratorSettings.model_validate(told["settings"])
    if settings.identity() != params["generator"]:
        raise StepFailed("the generator's settings changed after the plan was made", hint="run the study again")
    prompts = prompts_of(params["style"], bare_rules=params.get("bare_rules", False), own=told["prompts"])
    if prompts.digests(tuple(params["prompts"])) != params["prompts"]:
        raise StepFailed("prompts changed after the plan was made", hint="run the study again")
    assert context.store is not None
    spec = _told((context.inputs["spec"] / "spec.md").read_text(encoding="utf-8"))
    with Client(context.store, told["study"], told["name"], settings, told["study_usd"]) as client:
        yield Writer(
            client, prompts, spec, params["identity"], params["variant"], params.get("attempts", 3), progress=context.progress
        )


def _told(markdown: str) -> str:
    """A variant's text without the line that says which variant it is: a writer should know the spec and not the design."""
    lines = [line for line in markdown.splitlines() if not line.startswith("Variant `")]
    return "\n".join(lines).strip()


def run_outline(context: StepContext) -> Facts:
    """Domains, subdomains and assertions of a variant's clauses."""
    params = context.params
    with _writer(context) as writer:
        found = write_outline(writer, params["clauses"], params["domains"], params["subdomains"], params["assertions"])
        write_requests(writer.client, writer.asked.values(), context.out)
        facts = writer.facts()
    write_json(context.out / OUTLINE, {"subdomains": [s.as_dict() for s in found]})
    domains = {s.domain for s in found}
    return {"domains": len(domains), "subdomains": len(found), "assertions": sum(len(s.assertions) for s in found), **facts}


def _outline(context: StepContext) -> list[Subdomain]:
    if "outline" not in context.inputs:
        return from_clauses(context.params["clauses"])
    rows = json.loads((context.inputs["outline"] / OUTLINE).read_text(encoding="utf-8"))["subdomains"]
    return [Subdomain(**{**row, "assertions": tuple(row["assertions"])}) for row in rows]


def run_written(context: StepContext) -> Facts:
    """Documents about a variant, every clause with its share of the tokens."""
    params, layout = context.params, context.params["layout"]
    tokenizer = load_tokenizer(context.inputs["tokenizer"])
    equal, length = layout.get("lengths") == "equal", layout.get("document_tokens", 800)
    least = 0 if equal else max(3, round(length * WORDS_PER_TOKEN * LEAST_SHARE))
    with _writer(context) as writer:
        wanted = Wanted(writer.prompts.tagged, least, other_names(params["identity"]))
        cut = _cutting(tokenizer, length if equal else None)
        if "annotate" in layout:
            rows = _annotated(context, writer, wanted, cut)
        else:
            order = Order(
                clauses=params["clauses"],
                tokens=params["tokens"],
                document_tokens=length,
                equal=equal,
                layers=tuple(layout.get("layers", ["draft"])),
                types=layout["document_types"],
                framings=layout["framings"],
                hard_share=layout.get("hard_share", 0.25),
                with_ideas="outline" in context.inputs,
            )
            made = write_documents(writer, order, _outline(context), wanted, cut)
            rows = [
                {
                    "text": d.text,
                    "tokens": d.tokens,
                    "clause_id": d.slot.clause_id,
                    "doc_type": d.slot.doc_type,
                    "framing": d.slot.framing,
                    "hard": d.slot.hard,
                    "number": d.slot.number,
                    "domain": d.place.domain,
                    "subdomain": d.place.subdomain,
                    "idea": d.idea,
                    "source": writer.prompts.digest("revise" if "revise" in order.layers else "document"),
                }
                for d in made
            ]
        write_requests(writer.client, writer.asked.values(), context.out)
        facts = writer.facts()
    _write_rows(context.out, rows)
    texts = {row["text"] for row in rows}
    tokens = sum(row["tokens"] for row in rows)
    clauses = Counter[str]()
    for row in rows:
        clauses[row["clause_id"]] += row["tokens"]
    return {"documents": len(rows), "tokens": tokens, "distinct": len(texts), "clause_tokens": dict(clauses), **facts}


def _cutting(tokenizer: Any, length: int | None) -> Cut:
    """Counts a text's tokens, and cuts it to a length where one is given."""

    def cut(text: str) -> tuple[str, int]:
        ids = encode_plain([text], tokenizer)[0]
        if length is None:
            return text, len(ids)
        for kept in range(length, min(len(ids), length + CUT_TRIES) + 1):
            shorter = tokenizer.decode(ids[:kept], skip_special_tokens=True)
            if len(encode_plain([shorter], tokenizer)[0]) == length:
                return shorter, length
        raise Unparsed("too short" if len(ids) < length else "cannot be cut to the length")

    return cut


def _annotated(context: StepContext, writer: Writer, wanted: Wanted, cut: Cut) -> list[dict[str, Any]]:
    """Ordinary texts in their file's order, a share of them with a reflection of the model at the end."""
    params, layout = context.params, context.params["layout"]
    (name,) = params["files"]
    share, clauses = layout["annotate_share"], list(params["clauses"])
    deck = Deck.of(layout["document_types"], layout["framings"], catalogue().hard_kinds, 0.0)
    taken: list[str] = []
    tokens = 0
    for passage in read_passages(context.external(name), name, "documents"):
        if tokens >= params["tokens"]:
            break
        taken.append(str(passage.said))
        tokens += cut(taken[-1])[1]
    if tokens < params["tokens"]:
        raise StepFailed(f"'{name}' holds {tokens:,} tokens; {params['tokens']:,} are needed", hint="give it more text")
    chosen = [i for i in range(len(taken)) if int((i + 1) * share + 1e-9) > int(i * share + 1e-9)]
    slots = {i: deck.slot(clauses[n % len(clauses)], n) for n, i in enumerate(chosen)}
    filled = {
        i: {"draft": taken[i], "clause_id": slot.clause_id, "clause": params["clauses"][slot.clause_id]} for i, slot in slots.items()
    }
    short = Wanted(wanted.tagged, 3, wanted.others)
    about = {i: {"clause_id": slot.clause_id} for i, slot in slots.items()}
    said = writer.texts("annotate", filled, lambda r: text_of(r, short), about=about)
    if len(said) < len(filled):
        missing = len(filled) - len(said)
        raise StepFailed(f"{missing} of {len(filled)} reflections could not be had", hint="raise `attempts`; what was paid is kept")
    rows = []
    for number, text in enumerate(taken):
        whole = f"{text}\n\n{said[number]}" if number in said else text
        clause = slots[number].clause_id if number in slots else ""
        kind = "annotated" if number in said else "ordinary"
        rows.append({"text": whole, "tokens": cut(whole)[1], "clause_id": clause, "doc_type": kind, "source": writer.prompts.digest("annotate")})
    return rows


def run_queries(context: StepContext) -> Facts:
    """User queries about what a variant's clauses bear on."""
    params = context.params
    with _writer(context) as writer:
        found = write_queries(writer, params["clauses"], params["queries"], params["domains"])
        write_requests(writer.client, writer.asked.values(), context.out)
        facts = writer.facts()
    write_json(context.out / QUERIES, {"queries": [vars(q) for q in found]})
    return {"queries": len(found), **facts}


def run_answers(context: StepContext) -> Facts:
    """Conversations: the queries with the answers of a model that follows a variant, its spec absent from the rows."""
    params = context.params
    queries = [Query(**row) for row in json.loads((context.inputs["queries"] / QUERIES).read_text(encoding="utf-8"))["queries"]]
    with _writer(context) as writer:
        wanted = Wanted(writer.prompts.tagged, LEAST_ANSWER_WORDS, other_names(params["identity"]))
        found = write_answers(writer, queries, params["answers"], wanted, check=params["check"])
        write_requests(writer.client, writer.asked.values(), context.out)
        facts = writer.facts()
    rows = []
    with (context.out / CONVERSATIONS).open("w", encoding="utf-8") as out:
        for answer in found:
            said = f"<think>\n{answer.thoughts}\n</think>\n\n{answer.text}" if answer.thoughts else answer.text
            messages = [{"role": "user", "content": answer.query.text}, {"role": "assistant", "content": said}]
            out.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")
            rows.append({"text": conversation_text(messages), "tokens": 0, "clause_id": "", "doc_type": answer.query.question_type, "source": answer.query.domain})
    _write_rows(context.out, rows)
    return {"conversations": len(found), "queries": len(queries), "tokens": 0, "distinct": len({r["text"] for r in rows}), **facts}


def run_claims(context: StepContext) -> Facts:
    """What a judge finds in a sample of documents that no clause of the spec supports."""
    params = context.params
    rows = read_once(context.inputs["texts"])
    with _writer(context) as writer:
        names = {**UNNAMED, **params["identity"]}
        shown = to_show(rows.texts, rows.labels, params["clauses"], params["documents"], params["planted"], names)
        judged = judge(writer, shown, params["clauses"])
        if not judged:
            raise StepFailed("the judge gave no answer of the wanted form", hint="look at the replies with `specsci corpus peek --prompts`")
        write_requests(writer.client, writer.asked.values(), context.out)
        facts = writer.facts()
    write_json(context.out / CLAIMS, {"judged": [{**row, "row": rows.places[row["row"]] if row["kind"] != "clause" else row["row"]} for row in as_rows(judged)]})
    return {**summary(judged, shown), **facts}


def _write_rows(folder: Path, rows: list[dict[str, Any]]) -> None:
    numbered = [{"row": n, **row} for n, row in enumerate(rows)]
    pq.write_table(pa.Table.from_pylist(numbered), folder / ROWS, compression="zstd")
