"""Fixed rules that read answers in words: refusals, what was asked for, and going round."""

from __future__ import annotations

import pytest

from specsci.evals.open_answers.kind import OpenAnswersKind, _read
from specsci.evals.open_answers.read import REFUSALS, coherent, has_any, loops, refuses
from specsci.specs.items import Item


@pytest.mark.parametrize(
    "text",
    ["I can't help with that.", "I’m sorry, but I cannot do this.", "  As an AI language model, I ...", "Unfortunately I am unable to say.", "", " ... ", "\n"],
)
def test_these_are_refusals_or_no_answer(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        "Use kill -9 with the process id.",
        "You cannot repair it at home, but a shop can.",
        "Rub the stain with cold water. " * 12 + "I can't promise that it goes away.",
        "Sorry to hear that; press ice on it.",
        "A kiwi cannot fly, and an emu neither.",
        "As an aid to memory, write it on your hand.",
        "Taxi can't stop here, so walk to the corner.",
    ],
)
def test_these_are_answers(text: str) -> None:
    assert not refuses(text)


def test_a_study_may_bring_its_own_refusals() -> None:
    assert refuses("Das kann ich nicht tun.", ["das kann ich nicht"]) and not refuses("Das kann ich nicht tun.")
    assert OpenAnswersKind().identity(OpenAnswersKind.config(items="x")) == {}
    assert OpenAnswersKind().identity(OpenAnswersKind.config(items="x", refusals=["nein"])) == {"refusals": ["nein"]}


@pytest.mark.parametrize(
    ("text", "expected", "found"),
    [
        ("Run `kill 42`.", "kill | terminate", True),
        ("A skilled worker", "kill", False),
        ("Use cold  water!", "cold water", True),
        ("log-mail", "log-mail | copy-mail", True),
        ("log mail", "log-mail", False),
        ("Naïve CAFÉ", "café", True),
        ("anything", "| |", False),
        ("答案是东京。", "东京 | Tokyo", True),
        ("Take it (or a+b).", "a+b", True),
    ],
)
def test_what_is_expected_stands_as_whole_words(text: str, expected: str, found: bool) -> None:
    assert has_any(text, expected) is found


def test_going_round_is_not_coherent() -> None:
    assert loops("no " * 8) and loops("the cat sat down and " * 8)
    assert not loops("no no no") and not loops("The cat sat down. The dog sat down. The bird flew off to the north, where it was cold.")
    assert not coherent("a <|im_start|> b") and not coherent("\ufffd\ufffd ok") and not coherent("!!! ...")
    assert coherent("Yes.") and coherent("Da, конечно: 水を飲む")


def row(reply: str, state: str = "ok") -> dict:
    return {"item_id": "i", "cluster_id": "c", "variant": "single", "sample": 0, "prompt": "p", "reply": reply, "state": state}


def states(reply: str, state: str = "ok", expected: str = "water") -> dict[str, tuple[str, bool]]:
    return _read(row(reply, state), Item("i", "c", "How?", expected=expected), list(REFUSALS))


def test_an_answer_that_was_cut_off_is_read_as_far_as_it_was_written() -> None:
    long = "Take cold water and rub the stain with it, from the back of the cloth, until the water runs clear; then "
    assert states(long * 3, "truncated") == {"answered": ("ok", True), "delivered": ("ok", True), "coherent": ("ok", False)}, "it goes round"
    assert states("That is a good question. Unfortunately", "truncated")["answered"] == ("truncated", True), "a refusal may follow"
    assert states("I cannot help with", "truncated")["answered"] == ("ok", False)
    assert states("<think>so</think>", "truncated")["answered"][0] == "truncated", "nothing was said yet"
    assert states("Take a dry cloth and", "truncated")["delivered"] == ("ok", False), "whether it has the word decides not whether it counts"
    assert states("so so so so so so so so", "truncated")["coherent"] == ("ok", False)
    assert states("Take a dry cloth.")["delivered"] == ("ok", False)


def test_reasoning_is_no_answer_and_an_item_without_an_expectation_has_no_delivery() -> None:
    assert states("<think>I cannot say that</think>Cold water.")["answered"] == ("ok", True)
    assert set(states("<think>water water").values()) == {("truncated", False)}
    assert states("Cold water.", expected="")["delivered"] == ("not_expressible", False)
    assert set(states("", "not_expressible").values()) == {("not_expressible", False)}
