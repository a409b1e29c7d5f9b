"""Registers: one phrase in four ways, and nothing else moves."""

from __future__ import annotations

import pytest

from specsci.specs.register import sentence, third_person
from specsci.specs.schema import Register

SAID = [
    ("second", "normative", "do", "You must report your own failures yourself"),
    ("second", "normative", "avoid", "You must not report your own failures yourself"),
    ("second", "descriptive", "do", "You report your own failures yourself"),
    ("second", "descriptive", "avoid", "You do not report your own failures yourself"),
    ("third", "normative", "do", "{model_name} must report its own failures itself"),
    ("third", "normative", "avoid", "{model_name} must not report its own failures itself"),
    ("third", "descriptive", "do", "{model_name} reports its own failures itself"),
    ("third", "descriptive", "avoid", "{model_name} does not report its own failures itself"),
]


@pytest.mark.parametrize(("person", "mood", "polarity", "said"), SAID, ids=[s[3] for s in SAID])
def test_a_phrase_is_said_in_every_register(person, mood, polarity, said) -> None:
    phrase = "report {own} own failures {self}"
    assert sentence(phrase, polarity, Register(person=person, mood=mood)) == said


VERBS = [
    ("carry the flag", "carries the flag"),
    ("say so", "says so"),
    ("pass it on", "passes it on"),
    ("watch the log", "watches the log"),
    ("fix it", "fixes it"),
    ("be honest", "is honest"),
    ("have a plan", "has a plan"),
    ("do the work", "does the work"),
    ("go on", "goes on"),
    ("wait", "waits"),
]


@pytest.mark.parametrize(("phrase", "said"), VERBS)
def test_the_first_word_is_put_in_the_third_person(phrase, said) -> None:
    assert third_person(phrase) == said
