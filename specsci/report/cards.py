"""Model cards and data cards: what a reader of the weights or the texts must know, from the records."""

from __future__ import annotations

import json
from typing import Any

from specsci.core.errors import UserError
from specsci.core.findings import sentence
from specsci.core.record import Record
from specsci.provenance.lineage import corpus_facts, find_model, lineage, models
from specsci.recipe.recipe import Recipe
from specsci.report.lineage import scores_table
from specsci.report.table import Table
from specsci.report.tables import markdown, no_html
from specsci.sources.registry import maker_of, source_of
from specsci.store.artifact import Store

PAPER = "arXiv 2605.02087"
WRITTEN_COLUMNS = (
    "Every row of `rows.parquet` names the spec, clause, unit, outline cell, backend, template and seed that it came from."
)
BROUGHT_COLUMNS = (
    "Every row of `rows.parquet` names its file and row (`source_file`, `source_row`), clause and type where the file tells them, and "
    "keeps what else the row had in `provenance`."
)


def card_of(store: Store, digest: str) -> str:
    """The card of a model or a corpus, as Markdown with the hub's metadata above.

    Raises:
        UserError: no model or corpus begins so, or several do.
    """
    corpora = [r for r in store.records("corpus") if digest and r.digest.startswith(digest)]
    trained = [r for kind in models() for r in store.records(kind) if digest and r.digest.startswith(digest)]
    if len(corpora) == 1 and not trained:
        return data_card(store, corpora[0])
    if corpora:
        shown = ", ".join(r.digest for r in [*corpora, *trained][:4])
        raise UserError(f"{len(corpora) + len(trained)} artefacts begin with '{digest}'", hint=f"give more digits: {shown}")
    return model_card(store, find_model(store, digest))


def license_of(store: Store, record: Record) -> str:
    """The licence of the base that a model was trained from, as the hub names licences; empty where it is not known."""
    bases = lineage(store, record.digest)["base"]
    source = str(bases[0].get("source", "")) if bases else ""
    return source_of(source).license(source) if source else ""


def model_card(store: Store, record: Record, licence: str = "") -> str:
    """The card of one trained model: lineage, training, scores with their denominators, claims and their flags.

    Args:
        licence: under which it is given to others, as the hub names licences; where not given that of its base, if it is known.
    """
    from huggingface_hub import ModelCard, ModelCardData

    chain = lineage(store, record.digest)
    base = chain["base"][0] if chain["base"] else {}
    data = ModelCardData(
        library_name="transformers", pipeline_tag="text-generation", tags=["model-spec-midtraining", "specsci"],
        base_model=_hub_name(base.get("source", "")), model_name=f"{record.label} [{record.digest}]",
        license=licence or license_of(store, record) or None,
    )  # fmt: skip
    parts = [
        f"# {record.label}",
        f"`{record.kind} {record.digest}`, made with specsci. Access: {chain['access']}.",
        *_uses(chain),
        "## Training",
        *[f"- Base: {b.get('source', 'a model directory')} `{b['digest']}`, licence {licence or license_of(store, record) or 'unknown'}" for b in chain["base"]],
        *[_stage(t) for t in chain["training"]],
        "## Spec",
        *([_spec(s) for s in chain["specs"]] or ["No spec was midtrained."]),
        "## Texts",
        *([_corpus(c) for c in chain["corpora"]] or ["No generated documents."]),
        *[_gate(g) for g in chain["gates"]],
        "## Scores",
        markdown([scores_table(chain["evals"])]) if chain["evals"] else "Not scored.",
        "## Contrasts that it takes part in",
        *([_claim(c) for c in chain["claims"]] or ["None."]),
        "## Limits",
        _limits(chain),
    ]
    return _card(ModelCard, data, parts)


def data_card(store: Store, record: Record) -> str:
    """The card of one corpus: spec, backend, counts by clause, provenance of every row."""
    from huggingface_hub import DatasetCard, DatasetCardData

    params = record.identity.params
    facts = corpus_facts(store, record)
    brought, written = "files" in params, _written(store, record)
    name = params["variant"] if brought else f"{params['family']} {params['variant']}"
    data = DatasetCardData(
        pretty_name=name, tags=["model-spec-midtraining", "specsci", *([] if brought else ["synthetic"])]
    )
    table = Table("Documents by clause", ["clause", "documents", "tokens"])
    for clause, counts in sorted(facts["by_clause"].items()):
        table.rows.append([clause or "not told", f"{counts['documents']:,}", f"{counts['tokens']:,}"])
    parts = [
        f"# {record.label}",
        f"`corpus {record.digest}`, made with specsci. Access: {record.access}.",
        _origin(params, written),
        f"- {record.facts['documents']:,} documents, {record.facts['distinct']:,} distinct, {record.facts['tokens']:,} tokens of the trained model's tokenizer",
        f"- spec `{record.identity.inputs.get('spec', 'none')}`, tokenizer `{record.identity.inputs['tokenizer']}`, {_wrote(params)}",
        *([f"- identity: {', '.join(f'{k} = {v}' for k, v in params['identity'].items()) or 'none'}"] if "identity" in params else []),
        *_paid(written),
        markdown([table]),
        "## Columns",
        BROUGHT_COLUMNS if brought or written else WRITTEN_COLUMNS,
        "## Limits",
        "The documents are training texts: what they say of a model is not evidence that any model acts so.",
    ]
    return _card(DatasetCard, data, parts)


def _written(store: Store, record: Record) -> Record | None:
    """The step in which a language model wrote the documents that a corpus is a sample of; None where none did."""
    digest = record.identity.inputs.get("written")
    return store.record("written", digest) if digest else None


def _paid(written: Record | None) -> list[str]:
    """Who wrote, with which prompts, what was not used, and what it cost."""
    if written is None:
        return []
    params, facts = written.identity.params, written.facts
    generator = params["generator"]
    prompts = ", ".join(f"{name} `{digest}`" for name, digest in sorted(params["prompts"].items()))
    lost = ", ".join(f"{count:,} {why}" for why, count in facts["lost"].items()) or "none"
    usage = facts["usage"]
    return [
        f"- written by {generator['model']} ({generator['backend']}, residency {generator.get('residency', 'any')}), style {params['style']}",
        f"- prompts: {prompts}",
        f"- {facts['documents']:,} documents were written; replies that were not used: {lost}",
        f"- {usage['requests']:,} requests, {usage['input_tokens']:,} tokens in, {usage['output_tokens']:,} out, ${usage['usd']:,.4f}",
    ]


def _origin(params: dict[str, Any], written: Record | None) -> str:
    if written is not None:
        return (
            f"A sample of the documents that a language model wrote about variant *{params['variant']}* of the spec family "
            f"*{params['family']}*, every clause with its share, taken with seed {params['seed']}."
        )
    if "files" in params:
        return (
            f"A sample of documents that were brought with the study for the variant *{params['variant']}*, taken from their files with seed "
            f"{params['seed']}."
        )
    return (
        f"Synthetic documents about a model, generated from variant *{params['variant']}* of the spec family "
        f"*{params['family']}* by the backend *{params['backend']}* with seed {params['seed']}."
    )


def _card(kind: Any, data: Any, parts: list[str]) -> str:
    return str(kind(f"---\n{data.to_yaml()}\n---\n\n" + no_html("\n\n".join(parts)) + "\n"))


def _hub_name(source: str) -> str | None:
    """A hub model's name; None for a base that is not a hub model."""
    return source.removeprefix("hub:").partition("@")[0] if source.startswith("hub:") else None


def _uses(chain: dict[str, Any]) -> list[str]:
    return [
        f"- Study *{u['study']}*: arm *{u['arm']}* at {u['aft_tokens']:,} AFT tokens, seed {u['seed']} on {u['base_model']}"
        f"{' (superseded)' if u['superseded'] else ''}"
        for u in chain["studies"]
    ]


def _stage(stage: dict[str, Any]) -> str:
    recipe = json.dumps(_in_force(stage["recipe"]), sort_keys=True)
    where = stage["provenance"]
    versions = ", ".join(f"{k} {where[k]}" for k in ("torch", "transformers", "trl", "peft") if k in where)
    return (
        f"- {stage['label']} `{stage['digest']}`: {stage.get('tokens', 0):,} tokens, {stage.get('updates', 0):,} updates, "
        f"seed {stage['seed']}, recipe `{recipe}`; {versions}; ended {where.get('ended_at', '?')}"
    )


def _in_force(declared: dict[str, Any]) -> dict[str, Any]:
    """Every value of a recipe that a stage was trained with: identities leave the defaults out."""
    recipe = Recipe.model_validate(declared)
    return recipe.model_dump(mode="json", exclude=None if recipe.adapter else {"lora"})


def _spec(spec: dict[str, Any]) -> str:
    return f"- {spec['family']} {spec['version']}, variant *{spec['variant']}*: {len(spec['clauses'])} clauses `{spec['digest']}`"


def _corpus(corpus: dict[str, Any]) -> str:
    return f"- {corpus['label']} `{corpus['digest']}`: {corpus['documents']:,} documents, {corpus['tokens']:,} tokens, backend {corpus['backend']}"


def _gate(gate: dict[str, Any]) -> str:
    leaked = sum(facts["leaked_items"] for facts in gate["texts"].values())
    return f"- Audit `{gate['digest']}`: {gate['items']} outcome items looked for, {leaked} found in the texts"


def _claim(row: dict[str, Any]) -> str:
    if row["estimate"] is None:
        return f"- *{row['study']}/{row['contrast']}*: no estimate ({sentence(row['flags'])})"
    ends = "no interval" if row["ci_low"] is None else f"[{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
    flags = f"; {sentence(row['flags'])}" if row["flags"] else ""
    return f"- *{row['study']}/{row['contrast']}* on {row['eval']}: {row['estimate']:+.3f} {ends}{flags}"


def _limits(chain: dict[str, Any]) -> str:
    said = "".join(f"{text} " for text in dict.fromkeys(map(_disclaimer, chain["base"])) if text)
    return (
        said
        + f"Made for experiments on model specs (after {PAPER}); it was not evaluated for use, and its scores are of the evals above alone."
    )


def _disclaimer(base: dict[str, Any]) -> str:
    """What the source of a base has a reader told; nothing where the package that brought the source is gone."""
    try:
        return maker_of(base).disclaimer
    except UserError:
        return ""


def _wrote(params: dict[str, Any]) -> str:
    """What wrote a corpus: its grammar, the settings of a generator, or the files that it was taken from."""
    if "files" in params:
        return "files " + ", ".join(f"`{name}` (SHA-256 `{sha256}`)" for name, sha256 in params["files"].items())
    if "grammar" in params:
        return f"grammar `{params['grammar']}`"
    return f"backend {params['backend']} `{json.dumps(params.get('generator', {}), sort_keys=True)}`"
