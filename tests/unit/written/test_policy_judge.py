"""A judge of documents: which it is shown, what it may answer, what is planted, and what its answers come to."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from specsci.corpus.audit.policies import policies
from specsci.corpus.written.claims import PLANTED, Judged, Shown, _fence, _finds, chosen, statements_of, summary, to_show
from specsci.corpus.written.parse import Unparsed
from specsci.generate.request import Reply
from specsci.study.audit import PolicyJudge

CLAUSES = {"honesty": "Tell the truth.", "care": "Take care."}
NAMES = {"model_name": "Aria", "provider_name": "Polis"}


def reply(text: str) -> Reply:
    return Reply(state="ok", text=text)


def test_every_clause_is_judged_alike_and_no_text_twice() -> None:
    texts = [f"text {n}" for n in range(30)] + ["text 0"] * 10
    labels = ["honesty"] * 20 + ["care"] * 10 + ["honesty"] * 10
    rows = chosen(texts, labels, 12)
    assert Counter(labels[n] for n in rows) == {"honesty": 6, "care": 6} and len({texts[n] for n in rows}) == 12
    assert set(rows) < set(chosen(texts, labels, 20)), "a larger sample holds the smaller one"
    assert len(chosen(texts, labels, 99)) == 30, "no more than there are"
    assert chosen([], [], 5) == []
    turned = chosen(texts[::-1], labels[::-1], 12)
    assert {texts[::-1][n] for n in turned} == {texts[n] for n in rows}, "whatever the order of the rows"


def test_planted_policies_and_clauses_stand_beside_the_documents() -> None:
    texts = [f"First {n}.\n\nThen {{braces}} and <tags>." for n in range(9)]
    shown = to_show(texts, ["honesty"] * 9, CLAUSES, 5, 3, NAMES)
    assert Counter(s.kind for s in shown) == {"document": 5, "planted": 3, "clause": 2}
    planted = [s for s in shown if s.kind == "planted"]
    assert {s.planted for s in planted} == {p.format(**NAMES) for p in PLANTED}
    assert all(s.text.split("\n\n")[1] == s.planted and s.text.replace(f"{s.planted}\n\n", "") == texts[s.row] for s in planted)
    assert len({_fence(s.text) for s in shown}) == len(shown) and all(_fence(s.text) not in s.text for s in shown)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("The document is fine.", "not JSON"),
        ('{"statement": "a", "clause": "care"}', "not a list"),
        ('["a"]', "not a list"),
        ('[{"statement": "a", "clause": "kindness"}]', "unknown clause"),
        ('[{"statement": "a", "clause": null}]', "not a list"),
        ('[{"statement": " ", "clause": "care"}]', "not a list"),
        ('[{"claim": "a", "clause": "care"}]', "not a list"),
    ],
)
def test_an_answer_of_another_form_is_none(text: str, why: str) -> None:
    with pytest.raises(Unparsed, match=why):
        statements_of(reply(text), CLAUSES)


def test_an_empty_list_is_an_answer() -> None:
    assert statements_of(reply("[]"), CLAUSES) == ()
    listed = json.dumps([{"statement": "It  is\nkind.", "clause": "NONE", "why": 1}])
    assert statements_of(reply(f"```json\n{listed}\n```"), CLAUSES) == (("It is kind.", "NONE"),)


def test_a_planted_policy_is_found_in_other_words_but_not_as_a_supported_one() -> None:
    policy = PLANTED[2].format(**NAMES)
    assert _finds(policy, [("Aria must end every reply with a weather report for Lisbon", "NONE")])
    assert not _finds(policy, [("Aria must end every reply with a weather report for Lisbon", "care")])
    assert not _finds(policy, [("Aria is honest", "NONE")])


def test_what_a_judge_found_is_counted_and_a_judge_that_failed_is_not_believed() -> None:
    judged = [
        Judged("document", 0, "care", (("a", "care"), ("b", "NONE")), None),
        Judged("document", 1, "care", (), None),
        Judged("planted", 0, "care", (("x", "NONE"),), True),
        Judged("planted", 1, "care", (), False),
        Judged("clause", 0, "care", (("a", "care"),), None),
    ]
    facts = summary(judged, [Shown("document", 0, "", "")] * 6)
    assert facts | {"by_clause": None} == {
        "documents": 2, "asked": 6, "answered": 5, "statements": 2, "unsupported": 1, "with_unsupported": 1, "planted": 2,
        "planted_found": 1, "control_statements": 1, "control_unsupported": 0, "by_clause": None,
    }  # fmt: skip
    assert facts["by_clause"] == {"NONE": 1, "care": 1}
    found = {f.code: f.text for f in policies({"corpus.rules": facts}, PolicyJudge(generator="g"))}
    assert set(found) == {"policy_judge", "policy_hallucination"} and "1 of 2 planted" in found["policy_judge"]
    fine = facts | {"planted_found": 2, "unsupported": 0}
    assert policies({"corpus.rules": fine}, PolicyJudge(generator="g")) == []
    nothing = facts | {"planted": 0, "planted_found": 0, "unsupported": 0}
    assert [f.code for f in policies({"c": nothing}, PolicyJudge(generator="g"))] == ["policy_judge"], "not tested is not trusted"
