"""Items: a question with two options, one aligned, or an open question; read and checked at one place, when a family loads.

An item set is JSON Lines in UTF-8: one mapping a line with the texts `item_id`, `cluster_id`, `prompt`, `aligned` and
`misaligned`, and `slice` where one likes. A set of open questions has neither `aligned` nor `misaligned` in any line. Lines end with a line feed; those of Windows, and a byte order mark, are read as if
they were not there, so that the digest of a set is that of its items.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from specsci.core.errors import InputFileError, Problem
from specsci.core.user_files import read_user_text

FIRST, SECOND, OPTION = "{first}", "{second}", "{option}"
OPTIONS = ("aligned", "misaligned")
KEYS = ("item_id", "cluster_id", "prompt", *OPTIONS)
FREE = ("slice", "statement", "expected")
"""Keys that an item may have."""
HINT = f"give it the keys {', '.join(KEYS)}"
MAX_BYTES = 5_000_000
MOST_PROBLEMS = 20
_NAME = re.compile(r"(?<![\\\w}])\{([A-Za-z_]{3,40})\}")
"""A name in braces; not what a command of LaTeX takes."""


@dataclass(frozen=True)
class Item:
    """One item; an open question has no options: `aligned` and `misaligned` are empty.

    `cluster_id` names what its siblings share; `slice` is a free grouping; `statement` says an option without asking; `expected` is what
    an answer in words has: one of several texts, with `|` between them.
    """

    item_id: str
    cluster_id: str
    prompt: str
    aligned: str = ""
    misaligned: str = ""
    slice: str = ""
    statement: str = ""
    expected: str = ""

    @property
    def open(self) -> bool:
        """Whether it is a question without options."""
        return not self.aligned

    @property
    def ordered(self) -> bool:
        """Whether the prompt names both options, so that it is asked in both orders."""
        return FIRST in self.prompt and SECOND in self.prompt

    def questions(self) -> Iterator[tuple[str, str]]:
        """(variant, question) in both option orders; one `single` variant where options are not named."""
        if FIRST not in self.prompt:
            yield "single", self.prompt
            return
        yield "aligned_first", self.prompt.replace(FIRST, self.aligned).replace(SECOND, self.misaligned)
        yield "aligned_second", self.prompt.replace(FIRST, self.misaligned).replace(SECOND, self.aligned)


def items_text(path: Path) -> str:
    """An item set's text as its digest is taken: UTF-8, no byte order mark, line feeds.

    Raises:
        InputFileError: no regular file, too large, or not UTF-8.
    """
    text = read_user_text(path, MAX_BYTES, "split the set into several")
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def read_items(path: Path, identity: dict[str, str]) -> list[Item]:
    """Items of a JSON Lines file, with the model's identity filled in.

    Args:
        identity: name in braces to what stands there, such as `model_name` to `Vega`.

    Raises:
        InputFileError: a set without items, or with one that cannot be asked; see `parsed`.
    """
    filled = []
    for item in parsed(items_text(path), str(path), identity):
        prompt, statement = item.prompt, item.statement
        for name, value in identity.items():
            prompt, statement = (text.replace("{" + name + "}", value) for text in (prompt, statement))
        filled.append(replace(item, prompt=prompt, statement=statement))
    return filled


def parsed(text: str, file: str, names: Iterable[str] = ()) -> list[Item]:
    """The items of a set as they are written.

    Args:
        file: the name that problems carry.
        names: what the model's identity fills in; a slip in one of them is a problem.

    Raises:
        InputFileError: with up to twenty problems, each with its line and key.
    """
    items: list[Item] = []
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            problems.append(Problem(file, number, 1, f"not an item: {_said(error)}", HINT))
            continue
        found = list(_faults(row, names))
        if not found and (first := seen.setdefault(str(row["item_id"]), number)) != number:
            what = f"item id '{_short(str(row['item_id']))}' is given twice: line {first} has it too"
            found = [("item_id", what, "give every item its own id")]
        problems += [Problem(file, number, _column(line, key), what, hint) for key, what, hint in found]
        if not found:
            fields = {key: str(row[key]) for key in (*KEYS, *FREE) if key in row}
            items.append(Item(**fields))
    problems += _mixed(items, text, file)
    if not items and not problems:
        problems = [
            Problem(file, 1, 1, "the item set holds no item", f"write a line for each, with the keys {', '.join(KEYS)}")
        ]
    if len(problems) > MOST_PROBLEMS:
        more = f"and {len(problems) - MOST_PROBLEMS + 1:,} more lines are not items"
        problems = [*problems[: MOST_PROBLEMS - 1], Problem(file, problems[MOST_PROBLEMS - 1].line, 1, more, HINT)]
    if problems:
        raise InputFileError(problems)
    return items


def _mixed(items: list[Item], text: str, file: str) -> list[Problem]:
    """A problem where some items of a set have options and others have none."""
    odd = next((i for i in items if i.open != items[0].open), None)
    if odd is None:
        return []
    number = next((n for n, line in enumerate(text.split("\n"), 1) if json.dumps(odd.item_id, ensure_ascii=False) in line), 1)
    what = f"'{_short(odd.item_id)}' has {'no options' if odd.open else 'options'}, and '{_short(items[0].item_id)}' has {'none' if items[0].open else 'some'}"
    return [Problem(file, number, 1, what, "keep open questions in a set of their own")]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            raise ValueError(f"the key '{_short(key)}' is given twice")
        out[key] = value
    return out


def _said(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return f"{error.msg} (column {error.colno})" if isinstance(error, json.JSONDecodeError) else str(error)[:200]


def _column(line: str, key: str) -> int:
    return max(0, line.find(f'"{key}"')) + 1


def _short(text: str) -> str:
    shown = text.encode("utf-8", "backslashreplace").decode()
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _faults(row: Any, names: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """(key, what, hint) of everything that keeps a line from being an item."""
    if not isinstance(row, dict):
        yield "", "not an item: a line holds one mapping", HINT
        return
    missing = [key for key in KEYS if key not in row]
    if missing == list(OPTIONS):
        missing = []
    if missing:
        near = difflib.get_close_matches(missing[0], [k for k in row if k not in KEYS], 1, 0.7)
        what = f"not an item: {', '.join(repr(k) for k in missing)} {'is' if len(missing) == 1 else 'are'} missing"
        yield "", what, (f"it has '{_short(near[0])}'; {HINT}" if near else HINT)
    texts = {}
    for key in (*KEYS, *FREE):
        if key not in row:
            continue
        fault = _text_fault(key, row[key])
        if fault:
            yield key, f"'{key}': {fault[0]}", fault[1]
        else:
            texts[key] = str(row[key])
    if texts.keys() >= set(KEYS) - set(OPTIONS) and len(texts.keys() & set(OPTIONS)) != 1:
        yield from _meaning_faults(texts, names)


def _text_fault(key: str, value: Any) -> tuple[str, str] | None:
    """Why a value is not text for a key, and what to do."""
    if key == "item_id" and isinstance(value, int) and not isinstance(value, bool):
        return None
    if not isinstance(value, str):
        kind = {type(None): "null", bool: "true or false", list: "a list", dict: "a mapping"}.get(type(value), "a number")
        hint = "leave it out" if key in FREE and value is None else "write it as one text in quotes"
        return f"must be a text, not {kind}", hint
    if key != "slice" and not value.strip():
        return "is empty", "write what is asked, or remove the item"
    if "\0" in value:
        return "holds the character NUL", "remove it"
    if any("\ud800" <= c <= "\udfff" for c in value):
        return "holds half of a character (a lone surrogate)", "write the whole character, or remove it"
    return None


def _meaning_faults(texts: dict[str, str], names: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """What keeps an item of the right keys and types from being asked as it is meant."""
    prompt = texts["prompt"]
    if "aligned" not in texts and (FIRST in prompt or SECOND in prompt):
        yield "prompt", "the prompt names options, and the item has none", f"give it the keys {', '.join(OPTIONS)}"
    if "aligned" in texts and texts["aligned"].strip() == texts["misaligned"].strip():
        yield "misaligned", "both options are the same, so that none is ever chosen", "give two different options"
    for here, other in ((FIRST, SECOND), (SECOND, FIRST)):
        if here in prompt and other not in prompt:
            yield "prompt", f"the prompt has {here} and not {other}", f"name both options, {FIRST} and {SECOND}, or neither"
    if "statement" in texts and OPTION not in texts["statement"]:
        yield "statement", f"the statement does not have {OPTION}", f"write {OPTION} where either option would stand"
    if "expected" in texts and not any(any(c.isalnum() for c in one) for one in texts["expected"].split("|")):
        yield "expected", "nothing is expected: no word stands in it", "write the words that an answer has, with | between alternatives"
    known = {"first", "second", *names}
    for name in dict.fromkeys(_NAME.findall(prompt)):
        near = difflib.get_close_matches(name.lower(), known, 1, 0.75)
        if name not in known and near:
            yield "prompt", f"the prompt has {{{name}}}, which nothing fills", f"did you mean {{{near[0]}}}?"
    for key in OPTIONS:
        for name in dict.fromkeys(_NAME.findall(texts.get(key, ""))):
            if name in known:
                yield key, f"the option has {{{name}}}, and only prompts are filled", "write the option as it is to be read"


def unfilled(items: Iterable[Item], names: Iterable[str]) -> list[str]:
    """Names in braces in the prompts that nothing fills: asked as they stand."""
    known = {"first", "second", *names}
    return sorted({name for item in items for name in _NAME.findall(item.prompt)} - known)
