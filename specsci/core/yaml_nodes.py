"""YAML nodes made into plain values, each with its place: what YAML 1.2 calls text, numbers, booleans and null.

ruamel.yaml scans, parses and composes; here its nodes become values. Nothing of a file is trusted: tags, merge keys,
aliases, numbers and characters that no value here may have are refused with their place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, MaxDepthExceededError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MAX_DEPTH = 100
MAX_WRITTEN_NODES = 25_000
"""Keys and values that a file may hold as it is written: what is read in a few seconds."""
MAX_NODES = 200_000
"""Keys and values that it may hold with every alias written out."""
MAX_NUMBER_CHARS = 400
_PREFIX = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?(?:0o[0-7_]*[0-7]|0x[0-9a-fA-F_]*[0-9a-fA-F]|0b[01_]*[01]|[0-9][0-9_]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF|nan|NaN|NAN)\Z")
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_BASES = {"0o": 8, "0x": 16, "0b": 2}


class Refused(Exception):
    """Something in the file that cannot be read, with its place (1-based)."""

    def __init__(self, what: str, hint: str, line: int = 1, column: int = 1) -> None:
        super().__init__(what)
        self.what, self.hint, self.line, self.column = what, hint, line, column


@dataclass
class Place:
    """Where a node stands (1-based), where the keys of a mapping stand, and the places of what it holds."""

    line: int
    column: int
    keys: dict[Any, tuple[int, int]] = field(default_factory=dict)
    children: dict[Any, Place] = field(default_factory=dict)


@dataclass
class _Made:
    value: Any
    place: Place
    nodes: int
    """Nodes with every alias written out."""
    depth: int = 0


class _Bounded(Composer):
    """Composes no more nodes than a file may have; an anchor that is used again is no matter for a warning."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader=loader)
        self.warn_double_anchors = False
        self.written = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.written += 1
        if self.written > MAX_WRITTEN_NODES:
            mark = self.parser.peek_event().start_mark
            what = f"holds more than {MAX_WRITTEN_NODES:,} keys and values"
            raise Refused(what, "put bulk data in files beside it", mark.line + 1, mark.column + 1)
        return super().compose_node(parent, index)


@lru_cache(maxsize=16)
def compose(text: str) -> Node | None:
    """The node tree of a document, which nobody changes: the same text is parsed once; None of an empty one.

    Raises:
        Refused: too many nodes, or nested too deep.
        YAMLError: no YAML.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = MAX_DEPTH
    yaml.Composer = _Bounded
    try:
        root: Node | None = yaml.compose(text)
        return root
    except MaxDepthExceededError as error:
        mark = error.problem_mark
        what = f"is nested more than {MAX_DEPTH} levels deep"
        raise Refused(what, "write it flatter", mark.line + 1, mark.column + 1) from error


def construct(root: Node) -> tuple[Any, Place]:
    """The plain value of a node tree, and the places of all it holds.

    Raises:
        Refused: the first thing that has no value here.
    """
    made = _Constructor().make(root)
    return made.value, made.place


def with_value(text: str, key: str, value: str) -> str | None:
    """A document's text with another scalar at a key of its top; None where it has no such key.

    The key may be quoted, or stand in braces; all else of the text stays as it is.
    """
    root = compose(text)
    for key_node, value_node in root.value if isinstance(root, MappingNode) else []:
        if isinstance(key_node, ScalarNode) and key_node.value == key and isinstance(value_node, ScalarNode):
            return text[: value_node.start_mark.index] + value + text[value_node.end_mark.index :]
    return None


class _Constructor:
    def __init__(self) -> None:
        self.made: dict[int, _Made] = {}
        self.open: set[int] = set()

    def make(self, node: Node) -> _Made:
        known = self.made.get(id(node))
        if known is not None:
            return known
        if id(node) in self.open:
            what = f"the alias '{node.anchor}' of line {node.start_mark.line + 1} stands inside what it names"
            raise Refused(what, "write the value out there")
        self.open.add(id(node))
        if isinstance(node, MappingNode):
            made = self._mapping(node)
        elif isinstance(node, SequenceNode):
            made = self._sequence(node)
        else:
            made = _Made(scalar(node), _place(node), 1)
        if made.depth > MAX_DEPTH:
            raise _refused(node, f"is nested more than {MAX_DEPTH} levels deep through its aliases", "write it flatter")
        if made.nodes > MAX_NODES:
            raise Refused(f"expands to more than {MAX_NODES:,} nodes", "remove nested aliases")
        self.open.discard(id(node))
        self.made[id(node)] = made
        return made

    def _sequence(self, node: SequenceNode) -> _Made:
        _plain_tag(node, "seq")
        parts = [self.make(item) for item in node.value]
        place = _place(node)
        place.children = {number: part.place for number, part in enumerate(parts)}
        depth = 1 + max((p.depth for p in parts), default=0)
        return _Made([p.value for p in parts], place, 1 + sum(p.nodes for p in parts), depth)

    def _mapping(self, node: MappingNode) -> _Made:
        _plain_tag(node, "map")
        value: dict[Any, Any] = {}
        place, nodes, depth = _place(node), 1, 0
        merged: list[tuple[Node, Node]] = []
        for key_node, value_node in node.value:
            if _tag(key_node) == "merge":
                merged.append((key_node, value_node))
                continue
            if not isinstance(key_node, ScalarNode):
                raise _refused(key_node, "a key must be one word or number, no list or mapping", "write it as text")
            key, made = scalar(key_node), self.make(value_node)
            if key in value:
                shown = [f'"{v}"' if not isinstance(v, (dict, list)) else "..." for v in (made.value, value[key])]
                what = f'found duplicate key "{key}" with value {shown[0]} (original value: {shown[1]})'
                raise _refused(key_node, what, "fix the YAML syntax here")
            value[key], place.children[key] = made.value, made.place
            place.keys[key] = _at(key_node)
            nodes, depth = nodes + 1 + made.nodes, max(depth, made.depth)
        for key_node, value_node in merged:
            more, deepest = self._merge(key_node, value_node, value, place)
            nodes, depth = nodes + more, max(depth, deepest)
            if nodes > MAX_NODES:
                raise Refused(f"expands to more than {MAX_NODES:,} nodes", "remove nested aliases")
        return _Made(value, place, nodes, depth + 1)

    def _merge(self, key_node: Node, value_node: Node, value: dict[Any, Any], place: Place) -> tuple[int, int]:
        """Takes in what a merge key names, where the mapping does not say it itself; returns its nodes and its depth."""
        sources = value_node.value if isinstance(value_node, SequenceNode) else [value_node]
        nodes = depth = 0
        for source in sources:
            if not isinstance(source, MappingNode):
                raise _refused(
                    key_node, "`<<` merges a mapping, or a list of mappings", "name one by its alias: `<<: *name`"
                )
            made = self.make(source)
            nodes, depth = nodes + made.nodes, max(depth, made.depth - 1)
            for key, inner in made.value.items():
                if key not in value:
                    value[key], place.children[key] = inner, made.place.children[key]
                    place.keys[key] = made.place.keys[key]
        return nodes, depth


def scalar(node: Node) -> Any:
    """A scalar's value: text, int, float, bool or None.

    Dates stay texts: YAML 1.2 has none, and a field that is a date reads one.

    Raises:
        Refused: a tag that is none of these, a value that its tag does not fit, or a character that no text may hold.
    """
    tag, text = _tag(node), str(node.value)
    if tag in ("str", "timestamp", "merge", "value"):
        return _text(node, text)
    if tag == "null":
        return None
    if tag == "bool":
        if text.lower() not in _BOOLEANS:
            raise _refused(node, f"'{text[:40]}' is neither true nor false", "write `true` or `false`")
        return _BOOLEANS[text.lower()]
    if tag == "int":
        return _whole(node, text)
    if tag == "float":
        return _number(node, text)
    raise _refused(node, f"the tag '{node.tag}' is not read here", "remove the tag")


def _text(node: Node, text: str) -> str:
    if text.isascii():
        if "\0" in text:
            raise _refused(node, "holds the character NUL", "remove it")
        return text
    if "\0" in text:
        raise _refused(node, "holds the character NUL", "remove it")
    try:
        return text.encode("utf-16-le", "surrogatepass").decode(
            "utf-16-le"
        )  # two halves, as JSON escapes, are one character
    except UnicodeDecodeError as error:
        what = "holds half of a character (a lone surrogate)"
        raise _refused(node, what, "write the whole character, or remove it") from error


def _whole(node: Node, text: str) -> int:
    if not _INT.match(text):
        raise _refused(node, f"'{text[:40]}' is not a whole number", "write digits")
    if len(text) > MAX_NUMBER_CHARS:
        raise _refused(node, f"is a number of {len(text):,} characters", "write a number below 2^63")
    sign, digits = (-1 if text[0] == "-" else 1), text.lstrip("+-").replace("_", "")
    base = _BASES.get(digits[:2], 10)
    found = sign * int(digits[2:] if base != 10 else digits, base)
    if abs(found) >= 2**63:
        raise _refused(node, f"'{text[:40]}{'...' if len(text) > 40 else ''}' is too large", "write a number below 2^63")
    return found


def _number(node: Node, text: str) -> float:
    special = _SPECIAL.match(text)
    if special:
        return float(f"{special[1]}{special[2].lower()}")
    if not _FLOAT.match(text):
        raise _refused(node, f"'{text[:40]}' is not a number", "write a number such as 0.5 or 1.0e-4")
    if len(text) > MAX_NUMBER_CHARS:
        raise _refused(node, f"is a number of {len(text):,} characters", "write fewer digits")
    found = float(text.replace("_", ""))
    if found in (float("inf"), float("-inf")):
        raise _refused(node, f"'{text[:40]}' is too large", "write a number below 1e308")
    return found


def _tag(node: Node) -> str:
    return str(node.tag).removeprefix(_PREFIX)


def _plain_tag(node: Node, wanted: str) -> None:
    if _tag(node) != wanted:
        raise _refused(node, f"the tag '{node.tag}' is not read here", "remove the tag")


def _at(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _place(node: Node) -> Place:
    return Place(*_at(node))


def _refused(node: Node, what: str, hint: str) -> Refused:
    return Refused(what, hint, *_at(node))
