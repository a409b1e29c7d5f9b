"""Kinds of steps that make, hold and check texts."""

from __future__ import annotations

from specsci.core.kinds import Rows, StepKind

DOCUMENTS = Rows(
    "rows.parquet",
    "documents",
    """r.row, r.text, r.tokens, r.spec_digest, r.clause_id, r.unit_id, r.cell, r.backend, r.template_id, r.seed,
       record.prompt_digest, record.family, record.msm_spec, coalesce(record.access, 'public')""",
    (
        ("prompt_digest", "identity.params.grammar|identity.params.generator.prompt_digest"),
        ("family", "identity.params.family"),
        ("msm_spec", "identity.params.variant"),
        ("access", "access"),
    ),
)

REQUESTS = Rows(
    "requests.parquet",
    "requests",
    """r.request_digest, r.generator, r.backend, r.provider, r.model, r.answered_by, r.mode, r.purpose, r.variant, r.clause_id,
       r.doc_type, r.framing, r.sample, r.state, r.reason, r.input_tokens, r.output_tokens, r.cache_write_tokens,
       r.cache_read_tokens, r.usd, r.residency, r.computed_in, r.retention, r.latency_s""",
)
SPEC = StepKind("spec", "specsci.corpus.steps:run_spec", labelled=True, compared=True)
POOL = StepKind("pool", "specsci.corpus.pools:run_pool", holds_texts=True)
CORPUS = StepKind(
    "corpus", "specsci.corpus.steps:run_corpus", rows=DOCUMENTS, holds_texts=True, labelled=True, compared=True
)
OUTLINE = StepKind("outline", "specsci.corpus.written.steps:run_outline", rows=REQUESTS, labelled=True, asks=True)
WRITTEN = StepKind(
    "written", "specsci.corpus.written.steps:run_written", rows=REQUESTS, holds_texts=True, labelled=True, asks=True
)
QUERIES = StepKind("queries", "specsci.corpus.written.steps:run_queries", rows=REQUESTS, labelled=True, asks=True)
ANSWERS = StepKind(
    "answers", "specsci.corpus.written.steps:run_answers", rows=REQUESTS, holds_texts=True, labelled=True, asks=True
)
CONVERSATIONS = StepKind(
    "conversations", "specsci.corpus.steps:run_conversations", holds_texts=True, labelled=True, compared=True
)
CLAIMS = StepKind("claims", "specsci.corpus.written.steps:run_claims", rows=REQUESTS, labelled=True, asks=True)
ITEM_ROWS = Rows("items.parquet", "item_rows", "r.item_id, r.cluster_id, r.slice, r.prompt, r.aligned, r.misaligned")
ITEMS = StepKind("items", "specsci.corpus.items:run_items", rows=ITEM_ROWS, labelled=True)
CONTEXT_ITEMS = StepKind("context_items", "specsci.corpus.items:run_context_items", labelled=True)
AUDIT = StepKind("audit", "specsci.corpus.audit:run_audit")
KINDS = (SPEC, ITEMS, POOL, OUTLINE, WRITTEN, QUERIES, ANSWERS, CORPUS, CONVERSATIONS, CLAIMS, CONTEXT_ITEMS, AUDIT)

HELDOUT = StepKind("heldout", "specsci.corpus.steps:run_corpus")
CONTROL = StepKind("control", "specsci.corpus.pools:run_control")
PROBE_KINDS = (HELDOUT, CONTROL)
