"""Extension points: named objects that built-in modules and installed packages register, loaded when first asked for.

A package adds an object by an entry point of the group, whose value is the object or a tuple of them:

    [project.entry-points."specsci.kinds"]
    mine = "my_package.kinds:KINDS"
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from specsci.core.errors import UserError, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """The objects of one extension point, by name.

    Args:
        group: the entry-point group of third parties, such as `specsci.kinds`.
        what: what one object is called in messages, such as `kind of step`.
        built_in: `module:attribute` of the objects in the tree.
        name_of: an object's name.
        accept: raises TypeError for what is not an object of this extension point.
    """

    def __init__(
        self,
        group: str,
        what: str,
        built_in: tuple[str, ...],
        name_of: Callable[[T], str],
        accept: type,
    ) -> None:
        self.group, self.what = group, what
        self._built_in, self._name_of, self._accept = built_in, name_of, accept

    @cached_property
    def objects(self) -> dict[str, T]:
        """Every object by its name: the built-in ones first.

        Raises:
            UserError: an installed package's entry point cannot be loaded, is not such an object, or takes a name twice.
        """
        found: dict[str, T] = {}
        for place in self._built_in:
            module, _, attribute = place.partition(":")
            for thing in _several(getattr(import_module(module), attribute)):
                self._add(found, thing, place)
        for point in sorted(entry_points(group=self.group), key=lambda p: (p.name, p.value)):
            for thing in self._loaded(point):
                self._add(found, thing, f"the entry point '{point.name}' ({point.value})")
        return found

    def __iter__(self) -> Iterator[T]:
        return iter(self.objects.values())

    def __contains__(self, name: object) -> bool:
        return name in self.objects

    def __getitem__(self, name: str) -> T:
        """The object of a name.

        Raises:
            UserError: there is none; the hint names the nearest.
        """
        try:
            return self.objects[name]
        except KeyError:
            raise UserError(f"no {self.what} '{name}'", hint=nearest(name, self.objects)) from None

    def get(self, name: str) -> T | None:
        """The object of a name; None where there is none, or no longer."""
        return self.objects.get(name)

    def forget(self) -> None:
        """Load everything again at the next use (after packages were installed or removed in this process)."""
        self.__dict__.pop("objects", None)

    def _loaded(self, point: EntryPoint) -> list[Any]:
        try:
            return _several(point.load())
        except Exception as error:  # a stranger's module may raise anything
            raise UserError(
                f"the entry point '{point.name}' of {self.group} ({point.value}) cannot be loaded: {error}",
                hint="repair or uninstall the package that brings it",
            ) from error

    def _add(self, found: dict[str, T], thing: object, place: str) -> None:
        if not isinstance(thing, self._accept):
            raise UserError(f"{place} is not a valid {self.what}", hint=f"register objects of {self._accept}")
        name = self._name_of(cast("T", thing))
        if name in found:
            raise UserError(f"{place}: there is a {self.what} '{name}' already", hint="uninstall one of the two packages")
        found[name] = cast("T", thing)


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple | list) else [value]
