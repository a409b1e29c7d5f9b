"""YAML 1.2 files read with positions, and validated into frozen models with every error located.

ruamel.yaml refuses duplicate keys and keeps line and column of each node; PyYAML does neither (see `yaml_nodes`).
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml.error import MarkedYAMLError, YAMLError, YAMLStreamError
from ruamel.yaml.nodes import MappingNode
from ruamel.yaml.reader import ReaderError

from specsci.core.errors import InputFileError, Problem, nearest
from specsci.core.user_files import read_user_text
from specsci.core.yaml_nodes import Place, Refused, compose, construct

MAX_BYTES = 2_000_000
MAX_SHOWN = 200
"""Most characters of a value that a message repeats."""
SWITCH = ("true and false are not numbers", "write the number")
"""What is said of true or false where a number is wanted, and the hint."""
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
    place: Place

    def problem(self, path: Path_, what: str, hint: str = "", *, key: bool = False) -> Problem:
        """A problem at a place in the file; `key=True` points at the key, not at its value."""
        line, column = self.position(path, key=key)
        return Problem(self.file, line, column, what, hint)

    def position(self, path: Path_, *, key: bool = False) -> tuple[int, int]:
        """Line and column (1-based) of the deepest part of `path` that the file has.

        What a merge key brings stands where it is written, in the mapping that is merged.
        """
        node, found = self.place, (1, 1)
        for number, part in enumerate(path):
            if part not in node.children:
                continue
            last = number == len(path) - 1
            inner = node.children[part]
            found = node.keys[part] if key and last and part in node.keys else (inner.line, inner.column)
            node = inner
        return found


def read_yaml(path: Path) -> Document:
    """Parse a YAML file.

    Raises:
        InputFileError: unreadable, no regular file, too large, not UTF-8, malformed, a duplicate key, a value that is none,
            or an alias bomb.
    """

    def refuse(what: str, hint: str = "", line: int = 1, column: int = 1) -> InputFileError:
        return InputFileError([Problem(str(path), line, column, what, hint)])

    text = read_user_text(path, MAX_BYTES, "put bulk text in files beside it").removeprefix("\ufeff")
    try:
        root = compose(text)
        if not isinstance(root, MappingNode):
            raise Refused("must be a mapping of keys to values", "begin with a key and a colon, such as `study: name`")
        data, place = construct(root)
    except Refused as error:
        raise refuse(error.what, error.hint, error.line, error.column) from error
    except ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        what = f"special characters are not allowed: U+{ord(text[error.position]):04X}"
        raise refuse(what, "remove it", line, column) from error
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what = " ".join((error.problem or "malformed YAML").split())
        raise refuse(what, "fix the YAML syntax here", line, column) from error
    except (YAMLError, YAMLStreamError, ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
        what = f"malformed YAML: {' '.join(str(error).split())[:200]}"
        raise refuse(what, "fix the YAML syntax") from error
    return Document(str(path), data, place)


def validate(document: Document, model: type[Model], data: Any = None) -> Model:
    """The file's data as a model; every error of the file at once, each with its place and hint."""
    data = document.data if data is None else data
    try:
        found = model.model_validate(data)
    except ValidationError as error:
        raise InputFileError(problems_of(error, document, model)) from error
    wrong = [document.problem(path, *SWITCH) for path in switches(data, found)]
    if wrong:
        raise InputFileError(wrong)
    return found


def switches(given: Any, found: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The paths at which a file has true or false and the model read from it a number: pydantic reads them as 1 and 0."""
    if isinstance(found, BaseModel):
        found = {field.alias or name: getattr(found, name) for name, field in type(found).model_fields.items()}
    if isinstance(given, bool):
        if isinstance(found, (int, float)) and not isinstance(found, bool):
            yield path
    elif isinstance(given, dict) and isinstance(found, dict):
        for key in given.keys() & found.keys():
            yield from switches(given[key], found[key], (*path, key))
    elif isinstance(given, list) and isinstance(found, (list, tuple)) and len(given) == len(found):
        for number, (inner, kept) in enumerate(zip(given, found, strict=True)):
            yield from switches(inner, kept, (*path, number))


def problems_of(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Problem]:
    """Pydantic's errors as problems with file, line and column."""
    found = []
    for item in error.errors(include_url=False):
        path: Path_ = tuple(item["loc"])
        name = ".".join(str(p) for p in path)
        if item["type"] == "extra_forbidden":
            fields = _fields_at(model, path[:-1])
            key = str(path[-1])[:MAX_SHOWN]
            found.append(document.problem(path, f"unknown key '{key}'", nearest(key, fields), key=True))
        elif item["type"] == "missing":
            found.append(document.problem(path[:-1], f"'{name}' is required and missing", f"add `{path[-1]}:` here"))
        else:
            given = item.get("input")
            given = given[:MAX_SHOWN] + "..." if isinstance(given, str) and len(given) > MAX_SHOWN else given
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
    return [field.alias or name for model in dict.fromkeys(models) for name, field in model.model_fields.items()]


def _models_in(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        others = getattr(annotation, "alternatives", None)
        return others() if others else [annotation]
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, typing.Annotated):
        return [m for arg in typing.get_args(annotation) for m in _models_in(arg)]
    return [annotation] if origin in (dict, list, tuple) else []
