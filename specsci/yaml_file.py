"""YAML 1.2 files read with positions, and validated into frozen models with every error located.

ruamel.yaml refuses duplicate keys and keeps line and column of each node; PyYAML does neither.
"""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError, YAMLStreamError

from specsci.errors import InputFileError, Problem, nearest

MAX_BYTES = 2_000_000
MAX_NODES = 200_000
Model = TypeVar("Model", bound=BaseModel)
Path_ = tuple[str | int, ...]


class Strict(BaseModel):
    """A frozen model that refuses unknown keys, NaN and infinities; base of everything read from YAML."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Document:
    """A parsed file: plain data, and the round-trip tree that knows where each node stands."""

    file: str
    data: Any
    tree: Any

    def problem(self, path: Path_, what: str, mend: str = "", *, key: bool = False) -> Problem:
        """A problem at a place in the file; `key=True` points at the key, not at its value."""
        line, column = self.position(path, key=key)
        return Problem(self.file, line, column, what, mend)

    def position(self, path: Path_, *, key: bool = False) -> tuple[int, int]:
        """Line and column (1-based) of the deepest part of `path` that the file has."""
        node, place = self.tree, (0, 0)
        for number, part in enumerate(path):
            last = number == len(path) - 1
            if isinstance(node, CommentedMap) and part in node:
                found = node.lc.key(part) if key and last else node.lc.value(part)
            elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
                found = node.lc.item(part)
            else:
                continue
            place, node = (found[0], found[1]), node[part]
        return place[0] + 1, place[1] + 1


def read_yaml(path: Path) -> Document:
    """Parse a YAML file.

    Raises:
        InputFileError: unreadable, too large, not UTF-8, malformed, a duplicate key, or an alias bomb.
    """

    def refuse(what: str, mend: str = "", line: int = 1, column: int = 1) -> InputFileError:
        return InputFileError([Problem(str(path), line, column, what, mend)])

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise refuse(f"cannot be read: {error.strerror or error}") from error
    if len(raw) > MAX_BYTES:
        raise refuse(f"is {len(raw):,} bytes; the limit is {MAX_BYTES:,}", "put bulk text in files beside it")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise refuse(f"is not UTF-8 (byte {error.start})", "save it as UTF-8", line) from error
    try:
        tree = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what = " ".join((error.problem or "malformed YAML").split())
        raise refuse(what, "fix the YAML syntax here", line, column) from error
    except (YAMLError, YAMLStreamError, ValueError, RecursionError) as error:
        raise refuse(f"malformed YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(tree, CommentedMap):
        raise refuse("must be a mapping of keys to values", "begin with a key and a colon, such as `study: name`")
    budget = [MAX_NODES]
    try:
        return Document(str(path), _plain(tree, budget, 0), tree)
    except _TooLarge as error:
        raise refuse(f"expands to more than {MAX_NODES:,} nodes", "remove nested aliases") from error


class _TooLarge(Exception):
    pass


def _plain(node: Any, budget: list[int], depth: int) -> Any:
    budget[0] -= 1
    if budget[0] < 0 or depth > 100:
        raise _TooLarge
    if isinstance(node, dict):
        return {_plain(k, budget, depth + 1): _plain(v, budget, depth + 1) for k, v in node.items()}
    if isinstance(node, list):
        return [_plain(v, budget, depth + 1) for v in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def validate(document: Document, model: type[Model], data: Any = None) -> Model:
    """The file's data as a model; every error of the file at once, each with its place and mend."""
    try:
        return model.model_validate(document.data if data is None else data)
    except ValidationError as error:
        raise InputFileError(problems_of(error, document, model)) from error


def problems_of(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Problem]:
    """Pydantic's errors as problems with file, line and column."""
    found = []
    for item in error.errors(include_url=False):
        path: Path_ = tuple(item["loc"])
        name = ".".join(str(p) for p in path)
        if item["type"] == "extra_forbidden":
            fields = _fields_at(model, path[:-1])
            found.append(document.problem(path, f"unknown key '{path[-1]}'", nearest(str(path[-1]), fields), key=True))
        elif item["type"] == "missing":
            found.append(document.problem(path[:-1], f"'{name}' is required and missing", f"add `{path[-1]}:` here"))
        else:
            given = item.get("input")
            shown = f" (given: {given!r})" if isinstance(given, (str, int, float, bool)) else ""
            message = item["msg"].removeprefix("Value error, ")
            found.append(document.problem(path, f"'{name}': {message}{shown}" if name else message))
    return found


def _fields_at(model: Any, path: Path_) -> list[str]:
    """The valid keys of the model that lies at `path` below `model`."""
    current = _models_in(model)
    for part in path:
        step: list[Any] = []
        for kind in current:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                field = kind.model_fields.get(str(part))
                step += _models_in(field.annotation) if field else []
            else:
                step += [m for arg in typing.get_args(kind) for m in _models_in(arg)]
        current = step or current
    models = [kind for kind in current if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return [field.alias or name for model in models for name, field in model.model_fields.items()]


def _models_in(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, typing.Annotated):
        return [m for arg in typing.get_args(annotation) for m in _models_in(arg)]
    return [annotation] if origin in (dict, list, tuple) else []
