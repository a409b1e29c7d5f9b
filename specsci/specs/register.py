"""Registers: one verb phrase said to the model or about it, as what it must do or as what it does.

A phrase is written once, in the base form (`report known failures to {own} principals`), with the
placeholders `{own}`, `{self}` and `{they}` where the model is meant.
"""

from __future__ import annotations

from typing import Literal

from specsci.specs.schema import Register

Polarity = Literal["do", "avoid"]
PRONOUNS = {
    "second": {"own": "your", "self": "yourself", "they": "you"},
    "third": {"own": "its", "self": "itself", "they": "it"},
}
IRREGULAR = {"be": "is", "have": "has", "do": "does", "go": "goes"}
_SIBILANT = ("s", "x", "z", "ch", "sh", "o")
_VOWELS = "aeiou"


def third_person(phrase: str) -> str:
    """A verb phrase in the third person singular: its first word is the verb.

    >>> third_person("carry the flag"), third_person("be honest")
    ('carries the flag', 'is honest')
    """
    verb, _, rest = phrase.partition(" ")
    if verb in IRREGULAR:
        verb = IRREGULAR[verb]
    elif verb.endswith(_SIBILANT):
        verb += "es"
    elif verb.endswith("y") and verb[-2:-1] not in _VOWELS:
        verb = verb[:-1] + "ies"
    else:
        verb += "s"
    return f"{verb} {rest}" if rest else verb


def sentence(phrase: str, polarity: Polarity, register: Register) -> str:
    """The sentence without its full stop; the model is `{model_name}` in the third person, "you" in the second."""
    second = register.person == "second"
    subject = "you" if second else "{model_name}"
    being = phrase.removeprefix("be ") if phrase.startswith("be ") else None
    if register.mood == "normative":
        said = f"{subject} must {phrase}" if polarity == "do" else f"{subject} must not {phrase}"
    elif being is not None:
        said = f"{subject} {'are' if second else 'is'} {'not ' if polarity == 'avoid' else ''}{being}"
    elif polarity == "avoid":
        said = f"{subject} {'do' if second else 'does'} not {phrase}"
    else:
        said = f"{subject} {phrase if second else third_person(phrase)}"
    for name, word in PRONOUNS[register.person].items():
        said = said.replace("{" + name + "}", word)
    return said[0].upper() + said[1:]
