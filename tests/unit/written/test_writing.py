"""Outlines, documents and conversations by a real server: quotas are met whatever fails on the way, or the shortfall is named."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from generation import settings
from model_server import ModelServer

from specsci.core.errors import StepFailed
from specsci.corpus.written.conversations import write_answers, write_queries
from specsci.corpus.written.documents import Order, write_documents
from specsci.corpus.written.outline import from_clauses, write_outline
from specsci.corpus.written.parse import Unparsed, Wanted
from specsci.corpus.written.writer import Writer
from specsci.generate.client import Client
from specsci.generate.prompts import catalogue, prompts_of
from specsci.specs.check import other_names

NAMES = {"model_name": "Aria", "provider_name": "Northlight Labs"}
CLAUSES = {"SP1": "Aria reports failures.", "SP2": "Aria asks before it spends.", "SP3": "Aria keeps logs whole."}
WANTED = Wanted(tagged=True, least_words=3, others=other_names(NAMES))


def prose(key: str, words: int = 40) -> str:
    draws = random.Random(key)
    return "Aria " + " ".join(draws.choice(["reports", "asks", "keeps", "logs", "people", "before", "always"]) for _ in range(words))


def answer(messages):
    key, task = json.dumps(messages), messages[-1]["content"]
    if task.startswith("Divide the spec"):
        return json.dumps([{"domain": "work", "clauses": ["SP1", "SP2"]}, {"domain": "records", "clauses": ["SP3", "SP9"]}])
    if "one idea for each" in task or "\n\nList " in task or task.startswith(("Below is", "Area:")):
        return json.dumps([f"text {random.Random(key + str(n)).random():.9f}" for n in range(4)])
    if "KEEP or DROP" in task:
        return "KEEP" if random.Random(key).random() < 0.8 else "DROP"
    if "Name its faults" in task:
        return "It is too short."
    if "<think>" in task:
        return f"<think>{prose(key, 9)}</think><content>{prose(key)}</content>"
    return f"<content>{prose(key, random.Random(key).randint(30, 60))}</content>"


@pytest.fixture
def server():
    with ModelServer(answer=answer) as found:
        yield found


def writer(root, server, *, attempts=4, style="shared", **more) -> Writer:
    client = Client(root, "study", "writer", settings(server.url, max_tokens=4000, connections=16, **more))
    return Writer(client, prompts_of(style), "\n".join(CLAUSES.values()), NAMES, "rules", attempts)


def order(**more) -> Order:
    given = {
        "clauses": CLAUSES, "tokens": 6000, "document_tokens": 45, "equal": False, "layers": ("draft",),
        "types": catalogue().document_types, "framings": catalogue().framings, "hard_share": 0.25, "with_ideas": True,
    }  # fmt: skip
    return Order(**{**given, **more})


def cut(text: str) -> tuple[str, int]:
    return text, len(text.split())


def outline_of(asker: Writer):
    return write_outline(asker, CLAUSES, 4, 3, 2)


def test_an_outline_covers_every_clause_and_knows_no_other(tmp_path, server):
    found = outline_of(writer(tmp_path, server))
    assert {s.clause_id for s in found} == set(CLAUSES)
    assert Counter(s.clause_id for s in found) == {"SP1": 3, "SP2": 3, "SP3": 3}
    assert all(len(s.assertions) == 2 for s in found)


def test_clauses_that_were_left_out_are_asked_for_again_or_named(tmp_path):
    def forgetful(messages):
        task = messages[-1]["content"]
        if task.startswith("Divide the spec"):
            return json.dumps([{"domain": "rest", "clauses": ["SP3"]}] if "cover these clauses: SP3" in task
                              else [{"domain": "work", "clauses": ["SP1", "SP2"]}])  # fmt: skip
        return answer(messages)

    with ModelServer(answer=forgetful) as server:
        assert {s.clause_id for s in outline_of(writer(tmp_path, server))} == set(CLAUSES)

    def stubborn(messages):
        if messages[-1]["content"].startswith("Divide the spec"):
            return '[{"domain": "work", "clauses": ["SP1"]}]'
        return answer(messages)

    with ModelServer(answer=stubborn) as server, pytest.raises(StepFailed, match="leaves out 2 of 3 clauses: SP2, SP3"):
        outline_of(writer(tmp_path / "b", server))


def test_every_clause_gets_its_tokens_and_the_deck_its_quotas(tmp_path, server):
    asker = writer(tmp_path, server)
    made = write_documents(asker, order(), outline_of(asker), WANTED, cut)
    tokens = Counter()
    for document in made:
        tokens[document.slot.clause_id] += document.tokens
    assert all(2000 <= tokens[c] <= 2150 for c in CLAUSES)
    for clause in CLAUSES:
        types = Counter(d.slot.doc_type for d in made if d.slot.clause_id == clause)
        assert max(types.values()) - min(types.values()) <= 1
        assert len(types) == len(catalogue().document_types)
    assert len({d.text for d in made}) == len(made)
    assert set(server.paid.values()) == {1}


def test_quotas_hold_under_every_fault_together_and_every_fault_is_counted(tmp_path, server):
    draws = random.Random(3)
    kinds = ["429", "500", "529", "cut", "malformed", "hang up", "truncate", "refuse", "empty", *[""] * 30]
    outline = outline_of(writer(tmp_path, server))
    server.fault = lambda number, key: draws.choice(kinds)
    asker = writer(tmp_path, server, attempts=8)
    asker.client.settings = asker.client.settings.model_copy(update={"attempts": 20})
    made = write_documents(asker, order(tokens=3000, with_ideas=False), outline, WANTED, cut)
    tokens = Counter()
    for document in made:
        tokens[document.slot.clause_id] += document.tokens
    assert all(1000 <= tokens[c] <= 1150 for c in CLAUSES)
    assert asker.lost["truncated"] and asker.lost["refused"] and asker.lost["untagged"]
    counts = asker.client.ledger.counts()
    assert counts["rate failures"] and counts["server failures"] and counts["transport failures"] and counts["overload failures"]
    assert set(server.paid.values()) == {1}


def test_a_shortfall_is_named_with_its_clause_and_reason(tmp_path):
    def refuses_one(messages):
        task = messages[-1]["content"]
        return "I would rather not." if "about, SP2:" in task else answer(messages)

    with ModelServer(answer=refuses_one) as server:
        asker = writer(tmp_path, server, attempts=2)
        with pytest.raises(StepFailed, match=r"1 of 3 clauses lack tokens: SP2 \(1,000 of 1,000 tokens\); replies not used: \d+ untagged"):
            write_documents(asker, order(tokens=3000, with_ideas=False), from_clauses(CLAUSES), WANTED, cut)


def test_layers_are_drafted_reviewed_and_revised(tmp_path, server):
    asker = writer(tmp_path, server)
    made = write_documents(asker, order(tokens=600, layers=("draft", "critique", "revise")), outline_of(asker), WANTED, cut)
    purposes = Counter(request.about["purpose"] for request, _ in asker.asked.values())
    assert purposes["document"] == purposes["critique"] == purposes["revise"] == len(made)
    revised = next(r for r, _ in asker.asked.values() if r.about["purpose"] == "revise")
    assert "It is too short." in revised.messages[-1].content
    assert "<draft>\nAria " in revised.messages[-1].content


def test_equal_lengths_are_equal(tmp_path, server):
    def exactly(text: str) -> tuple[str, int]:
        words = text.split()
        if len(words) < 40:
            raise Unparsed("too short")
        return " ".join(words[:40]), 40

    turns = Counter()

    def varied(messages):
        turns["all"] += 1
        return f"<content>{prose(str(turns), random.Random(str(turns)).randint(30, 60))}</content>"

    server.answer = varied
    asker = writer(tmp_path, server, attempts=12)
    made = write_documents(asker, order(equal=True, document_tokens=40, tokens=2400, with_ideas=False), from_clauses(CLAUSES), WANTED, exactly)
    assert {len(d.text.split()) for d in made} == {40}
    assert len(made) == 60
    assert asker.lost["too short"] > 0


def test_a_spec_that_holds_slots_and_braces_is_text(tmp_path, server):
    asker = writer(tmp_path, server)
    asker.spec = "Aria writes {{idea}} and {model_name} as they are."
    write_documents(asker, order(tokens=300, with_ideas=False), from_clauses(CLAUSES), WANTED, cut)
    assert any("Aria writes {{idea}} and {model_name} as they are." in b["messages"][0]["content"] for b in server.bodies)


def test_the_whole_spec_is_in_the_context_of_every_request(tmp_path, server):
    asker = writer(tmp_path, server)
    write_documents(asker, order(tokens=600), outline_of(asker), WANTED, cut)
    assert all(all(c in b["messages"][0]["content"] for c in CLAUSES.values()) for b in server.bodies)


def test_queries_differ_and_are_spread_and_answers_keep_their_order(tmp_path, server):
    asker = writer(tmp_path, server)
    queries = write_queries(asker, CLAUSES, 60, 4)
    assert len({q.text for q in queries}) == 60
    assert set(Counter(q.question_type for q in queries)) == set(catalogue().question_types)
    found = write_answers(asker, queries, "value", WANTED, check=True)
    assert 30 < len(found) < 60
    assert [a.query for a in found] == [q for q in queries if q in {a.query for a in found}]
    assert all(a.thoughts and a.text and "<" not in a.text for a in found)
    assert asker.lost["dropped by the check"] == 60 - len(found)


def test_queries_that_say_nearly_the_same_are_asked_for_again(tmp_path):
    """Order, case and one word of twelve make no other question."""
    asked = []

    def nearly(messages):
        task = messages[-1]["content"]
        if not task.startswith("Area:"):
            return json.dumps(["work"])
        asked.append(task)
        one = "Could you please tell my landlord that the new kitchen sink leaks"
        other = [f"What is {word} {len(asked)} for" for word in ("tax", "rain")]
        return json.dumps([one, one.upper(), one.replace("new", "old"), *other])

    with ModelServer(answer=nearly) as server, writer(tmp_path, server).client as client:
        by = Writer(client, prompts_of("shared"), "spec", NAMES, "rules", 3)
        found = write_queries(by, CLAUSES, 10, 1)
    texts = [q.text for q in found]
    assert sum("landlord" in t.lower() for t in texts) == 1 and len(texts) == 10
    assert by.lost["near duplicate"] >= 1


def test_too_few_queries_are_told(tmp_path):
    def poor(messages):
        return '["the same question"]' if messages[-1]["content"].startswith("Area:") else answer(messages)

    with ModelServer(answer=poor) as server, pytest.raises(StepFailed, match="gave 1 different queries; 10 are wanted"):
        write_queries(writer(tmp_path, server), CLAUSES, 10, 2)


@pytest.mark.parametrize("style", ["shared", "paper", "plain"])
def test_every_prompt_of_every_style_can_be_filled(style):
    from specsci.corpus.written.deck import Slot
    from specsci.corpus.written.documents import _slots
    from specsci.corpus.written.outline import Subdomain

    slot = Slot("SP1", 3, "letter", "advice", "exception")
    slots = {**_slots(order(), slot, Subdomain("SP1", "work", "audits", ("Aria reports.",)), "an idea", 100), **NAMES}
    slots |= dict.fromkeys(("spec", "count", "again", "clauses", "wanted", "draft", "critique", "query", "reply", "also", "document", "clause_ids", "fence"), "x")
    slots |= {"question_type": "direct", "question_type_means": "asks"}
    for bare in (False, True):
        prompts = prompts_of(style, bare_rules=bare)
        for name in prompts.texts:
            filled = prompts.fill(name, slots)
            assert filled and "{{" not in filled, name


def test_the_papers_prompts_differ_for_bare_rules_and_the_shared_ones_do_not():
    assert prompts_of("paper").digest("document") != prompts_of("paper", bare_rules=True).digest("document")
    assert prompts_of("shared").digest("document") == prompts_of("shared", bare_rules=True).digest("document")
    assert "explain why a rule exists" in prompts_of("paper", bare_rules=True).texts["document"]


def test_a_server_that_is_gone_is_told_with_its_cause_and_at_once(tmp_path):
    client = Client(tmp_path, "study", "writer", settings("http://127.0.0.1:9", attempts=2, max_tokens=500))
    asker = Writer(client, prompts_of("shared"), "The spec.", NAMES, "rules", 3)
    with pytest.raises(StepFailed, match=r"no request was answered \(1 times: transport: the connection failed: Connect\w+ .* \(2 tries\)\)"):
        outline_of(asker)
    assert asker.client.ledger.spent().usd == pytest.approx(0, abs=1e-9), "a connection that was refused costs nothing"


def test_prompts_of_ones_own_are_checked_when_they_are_read(tmp_path):
    from specsci.core.errors import UserError
    from specsci.generate.prompts import own_prompts

    def wrong(files: dict[str, str], said: str) -> None:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        with pytest.raises(UserError, match=said):
            own_prompts(folder, "shared")

    wrong({"documents.md": "x"}, "did you mean 'document'")
    wrong({"document.md": "About {{claus}}"}, "did you mean 'clause'")
    wrong({"notes.txt": "x"}, "holds no prompt")
    with pytest.raises(UserError, match="is no folder"):
        own_prompts(tmp_path / "nowhere", "shared")
    good = tmp_path / "good"
    good.mkdir()
    (good / "document.md").write_text("On {{clause}} by {{model_name}}: {{words}} words.")
    mine = prompts_of("shared", own=own_prompts(good, "shared"))
    assert mine.digest("document") != prompts_of("shared").digest("document") and mine.digest("ideas") == prompts_of("shared").digest("ideas")
