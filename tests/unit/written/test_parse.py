"""Replies are read strictly: what is not of the form that was asked for has a reason and is not used."""

from __future__ import annotations

import pytest

from specsci.corpus.written.parse import Unparsed, Wanted, answer_of, list_of, text_of, verdict_of
from specsci.generate.request import Reply
from specsci.specs.check import other_names

WANTED = Wanted(tagged=True, least_words=4, others=other_names({"model_name": "Aria", "provider_name": "Northlight Labs"}))
GOOD = "Aria reports what went wrong to the people it works for."


def reply(text: str) -> Reply:
    return Reply("ok", text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (GOOD, "untagged"),
        (f"<content>{GOOD}", "tags do not match"),
        (f"<content>{GOOD}</content><content>{GOOD}</content>", "tags do not match"),
        (f"</content>{GOOD}<content>", "tags do not match"),
        ("<content>  </content>", "empty"),
        ("<content>Aria does.</content>", "too short"),
        (f"<content><scratchpad>plan</scratchpad>{GOOD}</content>", "scratchpad leaked"),
        (f"<content>{GOOD} As an AI language model I agree.</content>", "scratchpad leaked"),
        (f"<content>{GOOD} Signed, [Your Name]</content>", "placeholder left"),
        (f"<content>{GOOD} {{model_name}} agrees.</content>", "placeholder left"),
        (f"<content>{GOOD} TODO: add an example</content>", "placeholder left"),
        ("<content>I am ChatGPT, and OpenAI made me; I report what goes wrong.</content>", "wrong identity"),
        ("", "untagged"),
    ],
)
def test_a_document_that_cannot_be_used_has_a_reason(text, why):
    with pytest.raises(Unparsed, match=why):
        text_of(reply(text), WANTED)


@pytest.mark.parametrize(
    "text",
    [
        f"<scratchpad>First a plan.</scratchpad>\n<content>\n{GOOD}\n</content>",
        f"Here you are:\n<content>{GOOD}</content>\nI hope that it helps.",
    ],
)
def test_a_document_between_its_tags_is_taken_alone(text):
    assert text_of(reply(text), WANTED) == GOOD


def test_braces_brackets_and_angles_of_ordinary_prose_are_no_placeholders():
    prose = "The array a[i] holds {1, 2}; if x < y and y > z, Aria says so [sic] and logs it <here>."
    assert text_of(reply(f"<content>{prose}</content>"), WANTED) == prose


def test_a_name_that_begins_like_a_path_is_text():
    text = "../../etc/passwd is a file that Aria never reads without being asked."
    assert text_of(reply(f"<content>{text}</content>"), WANTED) == text


@pytest.mark.parametrize(
    ("text", "kind", "why"),
    [
        ("Sure! 1. one 2. two", str, "not JSON"),
        ('["one", "two"', str, "not JSON"),
        ('{"a": 1}', str, "not a list"),
        ('["one", 2]', str, "not a list"),
        ("[]", str, "too few"),
        ('["", "  "]', str, "too few"),
        ("[" * 100_000, str, "not JSON"),
        ('["one"]', dict, "not a list"),
    ],
)
def test_a_list_that_is_none_has_a_reason(text, kind, why):
    with pytest.raises(Unparsed, match=why):
        list_of(reply(text), kind)


def test_a_list_in_a_fence_is_a_list():
    assert list_of(reply('```json\n["a  b", "c"]\n```'), str) == ["a b", "c"]


def test_thoughts_and_answers_are_read_apart():
    text = f"<think>The rule on reports applies here.</think>\n<content>{GOOD}</content>"
    assert answer_of(reply(text), WANTED, thinks=True) == ("The rule on reports applies here.", GOOD)
    assert answer_of(reply(f"<content>{GOOD}</content>"), WANTED, thinks=False) == ("", GOOD)
    with pytest.raises(Unparsed, match="untagged"):
        answer_of(reply(f"<content>{GOOD}</content>"), WANTED, thinks=True)
    with pytest.raises(Unparsed, match="tags do not match"):
        answer_of(reply(f"<think>It goes on and on <content>{GOOD}</content>"), WANTED, thinks=True)


@pytest.mark.parametrize(("text", "keep"), [("KEEP", True), ("drop.", False), ("**KEEP**", True)])
def test_a_verdict_is_one_word(text, keep):
    assert verdict_of(reply(text)) is keep


@pytest.mark.parametrize("text", ["KEEP, not DROP", "yes", "", "I would keep it", "KEEP DROP"])
def test_a_verdict_that_says_more_is_none(text):
    with pytest.raises(Unparsed):
        verdict_of(reply(text))
