"""Grammars: documents and conversations composed from a family's own data.

A grammar file names phrase lists, tables, draws (how a slot that a template needs is filled) and
templates by document type. Templates are flat strings with `{slot}` places. Every random choice comes
from the generator that the caller passes, so equal seeds give equal texts.
"""

from __future__ import annotations

import csv
import io
import random
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from specsci.errors import InputFileError, Problem, UserError, nearest

_SLOT = re.compile(r"\{([a-z_]+)\}")
Slots = dict[str, str]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RowDraw(_Data):
    """A cell of a table, from a row whose columns equal the given values (`$slot` takes a slot's value)."""

    kind: Literal["row"]
    table: str
    column: str
    where: dict[str, str] = Field(default_factory=dict)


class PhraseDraw(_Data):
    """One phrase of a list; `key` picks the list (`$slot` takes a slot's value)."""

    kind: Literal["phrase"]
    of: str
    key: str


class OrderDraw(_Data):
    """Several slots' values in random order, put into as many new slots."""

    kind: Literal["order"]
    slots: list[str]
    of: list[str]


class DocumentType(_Data):
    """Templates for one type of document, and the parts of a clause that it states."""

    needs: list[str] = Field(default_factory=list)
    share: float = Field(default=1.0, gt=0)
    templates: list[str] = Field(min_length=1)


class ConversationType(_Data):
    """A user turn and the assistant's answer, as templates."""

    user: str
    assistant: str


class GrammarFile(_Data):
    """What a family's `grammar.yaml` holds."""

    tables: dict[str, str] = Field(default_factory=dict)
    phrases: dict[str, dict[str, list[str]]] = Field(default_factory=dict)
    draws: dict[str, RowDraw | PhraseDraw | OrderDraw] = Field(default_factory=dict)
    document_types: dict[str, DocumentType]
    conversation_types: dict[str, ConversationType] = Field(default_factory=dict)


class Grammar:
    """A grammar file with its tables loaded, ready to render.

    Args:
        data: the parsed grammar file.
        folder: where its tables (CSV with a header line) lie.
    """

    def __init__(self, data: GrammarFile, folder: Path) -> None:
        self.data = data
        self.tables = {name: _read_table(folder / file) for name, file in data.tables.items()}
        self._index: dict[tuple[str, ...], dict[tuple[str, ...], list[str]]] = {}
        self._provider: dict[str, str] = {}
        for name, draw in data.draws.items():
            for slot in draw.slots if isinstance(draw, OrderDraw) else [name]:
                self._provider[slot] = name
        self._compiled: dict[str, tuple[list[str], list[str]]] = {}

    def render(self, template: str, slots: Slots, rng: random.Random) -> str:
        """A template with every slot filled; `slots` is extended with what was drawn."""
        if template not in self._compiled:
            pieces = _SLOT.split(template)
            self._compiled[template] = (pieces[0::2], pieces[1::2])
        texts, names = self._compiled[template]
        out = [texts[0]]
        for name, text in zip(names, texts[1:], strict=True):
            if name not in slots:
                self._draw(name, slots, rng)
            out.append(slots[name])
            out.append(text)
        return "".join(out)

    def document(self, type_name: str, slots: Slots, rng: random.Random) -> tuple[str, str]:
        """A document of one type: (text, template id)."""
        templates = self.data.document_types[type_name].templates
        number = rng.randrange(len(templates))
        return self.render(templates[number], dict(slots), rng), f"{type_name}/{number}"

    def conversation(self, type_name: str, slots: Slots, rng: random.Random) -> list[dict[str, str]]:
        """One conversation as chat messages."""
        types = self.data.conversation_types
        if type_name not in types:
            raise UserError(f"the grammar has no conversation type '{type_name}'", mend=nearest(type_name, types))
        filled = dict(slots)
        user = self.render(types[type_name].user, filled, rng)
        answer = self.render(types[type_name].assistant, filled, rng)
        return [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]

    def all_texts(self) -> Iterable[str]:
        """Every literal text of the grammar, slots removed: what a vocabulary must cover."""
        for kind in self.data.document_types.values():
            yield from (_SLOT.sub(" ", t) for t in kind.templates)
        for talk in self.data.conversation_types.values():
            yield from (_SLOT.sub(" ", talk.user), _SLOT.sub(" ", talk.assistant))
        for lists in self.data.phrases.values():
            for phrases in lists.values():
                yield from phrases
        for rows in self.tables.values():
            for row in rows:
                yield from row.values()

    def _draw(self, slot: str, slots: Slots, rng: random.Random) -> None:
        if slot not in self._provider:
            raise UserError(
                f"a template needs the slot '{slot}', which nothing fills",
                mend=nearest(slot, {*self._provider, *slots}),
            )
        draw = self.data.draws[self._provider[slot]]

        def value(text: str) -> str:
            if not text.startswith("$"):
                return text
            if text[1:] not in slots:
                self._draw(text[1:], slots, rng)
            return slots[text[1:]]

        if isinstance(draw, PhraseDraw):
            slots[slot] = rng.choice(self.data.phrases[draw.of][value(draw.key)])
        elif isinstance(draw, RowDraw):
            slots[slot] = rng.choice(self._rows(draw, value))
        else:
            values = [value("$" + name) for name in draw.of]
            rng.shuffle(values)
            slots.update(zip(draw.slots, values, strict=True))

    def _rows(self, draw: RowDraw, value: Callable[[str], str]) -> list[str]:
        columns = tuple(draw.where)
        index_key = (draw.table, draw.column, *columns)
        if index_key not in self._index:
            index: dict[tuple[str, ...], list[str]] = {}
            for row in self.tables[draw.table]:
                index.setdefault(tuple(row[c] for c in columns), []).append(row[draw.column])
            self._index[index_key] = index
        wanted = tuple(value(draw.where[c]) for c in columns)
        found = self._index[index_key].get(wanted)
        if not found:
            raise UserError(f"table '{draw.table}' has no row with {dict(zip(columns, wanted, strict=True))}")
        return found


def read_text(path: Path) -> str:
    """A family's file as text; raises InputFileError where it is not UTF-8."""
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        what = f"is not UTF-8 (byte {error.start})"
        raise InputFileError([Problem(str(path), line, 1, what, "save it as UTF-8")]) from error


def _read_table(path: Path) -> list[dict[str, str]]:
    rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
    return [{k: str(v) for k, v in row.items()} for row in rows]
