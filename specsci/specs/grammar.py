"""Grammars: documents and conversations composed from a family's own data.

A grammar file names phrase lists, tables, draws (how a slot that a template needs is filled) and
templates by document type. Templates are strings with `{slot}` places; what fills a slot may have slots
of its own, and `{^slot}` begins with a capital. Every random choice comes from the generator that the
caller passes, so equal seeds give equal texts.

Besides its own tables a grammar knows two that each variant fills: `spec_rules`, a row per rule or
sub-rule, and `spec_sentences`, a row per sentence of its explanations, values, examples and texts.
"""

from __future__ import annotations

import csv
import io
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from specsci.core.errors import InputFileError, Problem, UserError, nearest
from specsci.core.user_files import read_user_text

_SLOT = re.compile(r"\{(\^?[a-z_]+)\}")
MAX_DEPTH = 8
MAX_BYTES = 5_000_000
MAX_TEXT_CHARS = 200_000
"""Most characters of one rendered text: phrases that hold phrases grow by powers."""
SPEC_RULES, SPEC_SENTENCES = SPEC_TABLES = ("spec_rules", "spec_sentences")
Slots = dict[str, str]
Table = dict[str, str]
"""One row of a table: column to value."""


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


class RecordDraw(_Data):
    """Several cells of one row: slot to column. `unless` leaves out rows that have one of its values."""

    kind: Literal["record"]
    table: str
    slots: dict[str, str]
    where: dict[str, str] = Field(default_factory=dict)
    unless: dict[str, str] = Field(default_factory=dict)


class SampleDraw(_Data):
    """Different entries, one for each slot: of a phrase list (`of`, `key`), or of a table's column."""

    kind: Literal["sample"]
    slots: list[str] = Field(min_length=1)
    of: str | None = None
    key: str = ""
    table: str | None = None
    column: str = "text"
    where: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_source(self) -> SampleDraw:
        if (self.of is None) == (self.table is None):
            raise ValueError("a sample is of one phrase list (`of`, `key`) or of one `table`")
        return self


class OrderDraw(_Data):
    """Several slots' values in random order, put into as many new slots."""

    kind: Literal["order"]
    slots: list[str] = Field(min_length=1)
    of: list[str] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_for_one(self) -> OrderDraw:
        if len(self.slots) != len(self.of):
            raise ValueError(f"{len(self.of)} values are put into {len(self.slots)} slots: give as many slots as values")
        return self


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
    """What a family's `grammar.yaml` holds.

    With `extends` it adds to another family's grammar, its own names first. With `distinct` no text occurs
    twice in a corpus.
    """

    extends: str | None = None
    distinct: bool = False
    tables: dict[str, str] = Field(default_factory=dict)
    phrases: dict[str, dict[str, Annotated[list[str], Field(min_length=1)]]] = Field(default_factory=dict)
    draws: dict[
        str, Annotated[RowDraw | PhraseDraw | OrderDraw | RecordDraw | SampleDraw, Field(discriminator="kind")]
    ] = Field(default_factory=dict)
    document_types: dict[str, DocumentType] = Field(default_factory=dict)
    conversation_types: dict[str, ConversationType] = Field(default_factory=dict)

    def extended(self, own: GrammarFile) -> GrammarFile:
        """This grammar with another's names over its own; phrase lists join by their keys."""
        phrases = {**self.phrases}
        for name, lists in own.phrases.items():
            phrases[name] = {**phrases.get(name, {}), **lists}
        mapped = {
            field: {**getattr(self, field), **getattr(own, field)}
            for field in ("tables", "draws", "document_types", "conversation_types")
        }
        return self.model_copy(update={**mapped, "phrases": phrases, "distinct": self.distinct or own.distinct})

    def identity(self) -> dict[str, Any]:
        """The grammar as plain values; fields that came later appear only where they are used."""
        later = {f for f in ("extends", "distinct") if not getattr(self, f)}
        out = self.model_dump(exclude=later)
        if self.distinct:  # the order decides the outline; canonical JSON forgets it
            out["document_type_order"] = list(self.document_types)
        return out


class Grammar:
    """A grammar file with its tables, ready to render.

    Args:
        data: the parsed grammar file.
        tables: name to rows, each a mapping of columns to values.
    """

    def __init__(self, data: GrammarFile, tables: dict[str, list[Table]]) -> None:
        self.data = data
        self.tables = tables
        self._index: dict[tuple[str, ...], dict[tuple[str, ...], list[Table]]] = {}
        self._provider: dict[str, str] = {}
        for name, draw in data.draws.items():
            many = isinstance(draw, (OrderDraw, RecordDraw, SampleDraw))
            for slot in draw.slots if many else [name]:  # type: ignore[union-attr]
                self._provider[slot] = name
        self._compiled: dict[str, tuple[list[str], list[str]]] = {}
        self._drawing: list[str] = []
        """Slots whose draws are under way, the outermost first."""

    def with_tables(self, tables: dict[str, list[Table]]) -> Grammar:
        """The same grammar with further tables (see SPEC_TABLES)."""
        return Grammar(self.data, {**self.tables, **tables})

    @property
    def reads_spec(self) -> bool:
        """Whether a draw takes from the tables that a variant fills."""
        return any(getattr(draw, "table", None) in SPEC_TABLES for draw in self.data.draws.values())

    def says(self, slot: str) -> bool:
        """Whether a template or a phrase holds a slot."""
        return any(f"{{{mark}{slot}}}" in text for mark in ("", "^") for text in self._raw_texts())

    def _raw_texts(self) -> Iterable[str]:
        """Templates and phrases with their slots."""
        for kind in self.data.document_types.values():
            yield from kind.templates
        for chat in self.data.conversation_types.values():
            yield from (chat.user, chat.assistant)
        for lists in self.data.phrases.values():
            for phrases in lists.values():
                yield from phrases

    def render(self, template: str, slots: Slots, rng: random.Random, depth: int = 0) -> str:
        """A template with every slot filled; `slots` is extended with what was drawn."""
        if template not in self._compiled:
            pieces = _SLOT.split(template)
            self._compiled[template] = (pieces[0::2], pieces[1::2])
        texts, names = self._compiled[template]
        out, chars = [texts[0]], len(texts[0])
        for marked, text in zip(names, texts[1:], strict=True):
            name = marked.removeprefix("^")
            if name not in slots:
                self._draw(name, slots, rng)
            value = slots[name]
            if "{" in value:
                if depth > MAX_DEPTH:
                    raise UserError(f"the slot '{name}' is filled by itself", hint="break the circle of phrases")
                value = slots[name] = self.render(value, slots, rng, depth + 1)
            out.append(value[:1].upper() + value[1:] if marked != name else value)
            out.append(text)
            chars += len(value) + len(text)
            if chars > MAX_TEXT_CHARS:
                what = f"a text grows to more than {MAX_TEXT_CHARS:,} characters at the slot '{name}'"
                raise UserError(what, hint="let its phrases hold fewer phrases")
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
            raise UserError(f"the grammar has no conversation type '{type_name}'", hint=nearest(type_name, types))
        filled = dict(slots)
        user = self.render(types[type_name].user, filled, rng)
        answer = self.render(types[type_name].assistant, filled, rng)
        return [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]

    def all_texts(self) -> Iterable[str]:
        """Every literal text of the grammar, slots removed: what a vocabulary must cover."""
        yield from (_SLOT.sub(" ", text) for text in self._raw_texts())
        for rows in self.tables.values():
            for row in rows:
                yield from row.values()

    def _draw(self, slot: str, slots: Slots, rng: random.Random) -> None:
        if slot not in self._provider:
            raise UserError(
                f"a template needs the slot '{slot}', which nothing fills",
                hint=nearest(slot, {*self._provider, *slots}),
            )
        if slot in self._drawing:
            circle = " -> ".join([*self._drawing[self._drawing.index(slot) :], slot])
            raise UserError(f"the draw of the slot '{slot}' needs itself ({circle})", hint="break the circle of draws")
        self._drawing.append(slot)
        try:
            self._fill(slot, slots, rng)
        finally:
            self._drawing.pop()

    def _fill(self, slot: str, slots: Slots, rng: random.Random) -> None:
        """Runs the draw that provides a slot; `slots` takes all that it provides."""
        draw = self.data.draws[self._provider[slot]]

        def value(text: str) -> str:
            if not text.startswith("$"):
                return text
            if text[1:] not in slots:
                self._draw(text[1:], slots, rng)
            return slots[text[1:]]

        if isinstance(draw, PhraseDraw):
            slots[slot] = rng.choice(self._phrases(draw.of, value(draw.key)))
        elif isinstance(draw, RowDraw):
            slots[slot] = _cell(rng.choice(self._rows(draw.table, draw.where, value)), draw.column, draw.table)
        elif isinstance(draw, RecordDraw):
            found = self._rows(draw.table, draw.where, value)
            if draw.unless:
                wrong = [(c, value(v)) for c, v in draw.unless.items()]
                found = [row for row in found if all(_cell(row, c, draw.table) != v for c, v in wrong)]
            if not found:
                raise UserError(f"table '{draw.table}' has no other row with {draw.where}", hint="add such a row")
            row = rng.choice(found)
            slots.update({name: _cell(row, column, draw.table) for name, column in draw.slots.items()})
        elif isinstance(draw, SampleDraw):
            slots.update(zip(draw.slots, self._sample(draw, value, rng), strict=True))
        else:
            values = [value("$" + name) for name in draw.of]
            rng.shuffle(values)
            slots.update(zip(draw.slots, values, strict=True))

    def _sample(self, draw: SampleDraw, value: Callable[[str], str], rng: random.Random) -> list[str]:
        if draw.of is not None:
            entries = self._phrases(draw.of, value(draw.key))
        else:
            table = str(draw.table)
            entries = list(dict.fromkeys(_cell(r, draw.column, table) for r in self._rows(table, draw.where, value)))
        if len(entries) < len(draw.slots):
            raise UserError(
                f"{len(draw.slots)} different entries are wanted of '{draw.of or draw.table}', which has {len(entries)}",
                hint="write more of them, or sample fewer",
            )
        return rng.sample(entries, len(draw.slots))

    def _phrases(self, name: str, key: str) -> list[str]:
        lists = self.data.phrases[name]
        if key not in lists:
            raise UserError(f"the phrases '{name}' have no list '{key}'", hint=nearest(key, lists))
        return lists[key]

    def _rows(self, table: str, where: dict[str, str], value: Callable[[str], str]) -> list[Table]:
        columns = tuple(where)
        index_key = (table, *columns)
        if index_key not in self._index:
            index: dict[tuple[str, ...], list[Table]] = {}
            for row in self.tables[table]:
                index.setdefault(tuple(_cell(row, c, table) for c in columns), []).append(row)
            self._index[index_key] = index
        wanted = tuple(value(where[c]) for c in columns)
        found = self._index[index_key].get(wanted)
        if not found:
            what = f"table '{table}' has no row with {dict(zip(columns, wanted, strict=True))}"
            raise UserError(what, hint="add such a row, or draw from another table")
        return found


def _cell(row: Table, column: str, table: str) -> str:
    if column not in row:
        raise UserError(f"table '{table}' has no column '{column}'", hint=nearest(column, row))
    return row[column]


def read_text(path: Path) -> str:
    """A family's file as text, its lines ended by a line feed; raises InputFileError where it is none, too large, or not UTF-8."""
    text = read_user_text(path, MAX_BYTES, "a spec is a document, not a data set")
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def read_table(path: Path) -> list[Table]:
    """A CSV file with a header line.

    Raises:
        InputFileError: a line with more or fewer cells than the header.
    """
    try:
        reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
        twice = [name for name, times in Counter(reader.fieldnames or []).items() if times > 1]
        if twice:
            problem = Problem(str(path), 1, 1, f"the column '{twice[0]}' is there twice", "give every column its own name")
            raise InputFileError([problem])
        rows: list[dict[str, Any]] = list(reader)
    except csv.Error as error:
        raise InputFileError(
            [Problem(str(path), 1, 1, f"is not valid CSV: {error}", "shorten its cells, check its quotes")]
        ) from error
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            what = "has more or fewer cells than the header"
            raise InputFileError([Problem(str(path), number, 1, what, "quote cells that hold a comma")])
    return [{k: str(v) for k, v in row.items()} for row in rows]
