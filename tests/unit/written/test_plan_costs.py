"""What a plan says of requests, tokens, dollars and hours, against a calculation by hand."""

from __future__ import annotations

import math

import pytest

from specsci.generate.settings import GeneratorSettings
from specsci.plan.written import asked_for_answers, asked_for_documents, asked_for_queries, cost_of
from specsci.study.texts import WrittenConversations, WrittenCorpus


def test_forty_million_tokens_for_five_variants_against_a_hand_calculation() -> None:
    """Five variants of 8 M tokens; 12 clauses; a spec of 3,000 tokens; documents of 3,100 tokens; drafts that are revised."""
    texts = WrittenCorpus(generator="w", document_tokens=3100, layers=["draft", "critique", "revise"], subdomains=5)
    outline, documents = asked_for_documents(texts, 8_000_000, 12, 3000)
    # 8 M / 12 clauses = 666,667 tokens each, 216 documents of 3,100; 12 x 216 = 2,592 documents
    assert math.ceil(666_667 / 3100) == 216
    # outline: 1 call for domains, 12 for subdomains, 12 x 5 for assertions, each 3,350 in and 250 out
    assert (outline.requests, outline.input_tokens, outline.output_tokens) == (73, 73 * 3350, 73 * 250)
    # ideas: 60 places x 18 types = 1,080 groups (more than 2,592 / 10), 45 tokens an idea
    ideas = (1080, 1080 * 3350, 2592 * 45)
    drafts = (2592, 2592 * 3350, 2592 * 3100)
    reviews = (2592, 2592 * (3350 + 3100), 2592 * 200)
    revisions = (2592, 2592 * (3350 + 3100 + 200), 2592 * 3100)
    by_hand = tuple(map(sum, zip(ideas, drafts, reviews, revisions, strict=True)))
    assert (documents.requests, documents.input_tokens, documents.output_tokens) == by_hand == (8856, 46_256_400, 16_705_440)
    opus = GeneratorSettings(backend="anthropic", model="claude-opus-4-6", max_usd=9000, connections=50)
    cost = cost_of(outline, opus), cost_of(documents, opus)
    # per variant: (244,550 + 46,256,400) x $5 + (18,250 + 16,705,440) x $25, per million
    online = (244_550 + 46_256_400) * 5e-6 + (18_250 + 16_705_440) * 25e-6
    assert sum(c["usd_online"] for c in cost) == pytest.approx(online) and 5 * online == pytest.approx(3252.985, abs=0.01)
    assert sum(c["usd_batch"] for c in cost) == pytest.approx(online / 2)
    assert cost[1]["api_h"] == pytest.approx(16_705_440 / (50 * 50) / 3600)
    batch = cost_of(documents, opus.model_copy(update={"mode": "batch", "residency": "us"}))
    assert batch["usd_api"] == pytest.approx((46_256_400 * 5e-6 + 16_705_440 * 25e-6) / 2 * 1.1) and batch["api_h"] == 24


def test_ten_thousand_conversations_against_a_hand_calculation() -> None:
    texts = WrittenConversations(generator="w", variant="rules", queries=10_000, answers="value")
    queries, answers = asked_for_queries(texts, 3000), asked_for_answers(texts, 3000)
    assert (queries.requests, queries.output_tokens) == (501, 250 + 10_000 * 40)
    # an answer and its check: 3,390 in and 700 out, 4,090 in and 2 out
    assert (answers.requests, answers.input_tokens, answers.output_tokens) == (20_000, 10_000 * (3390 + 4090), 10_000 * 702)


def test_a_price_that_is_not_known_is_said_to_be_unknown() -> None:
    asked = asked_for_queries(WrittenConversations(generator="w", variant="rules"), 100)
    cost = cost_of(asked, GeneratorSettings(backend="openai", model="gpt-77"))
    assert cost["price_unknown"] == 1 and "usd_online" not in cost
    here = cost_of(asked, GeneratorSettings(backend="hf", model="dir"))
    assert here["usd_online"] == 0
