"""The oldest versions that pyproject.toml allows, as constraints for pip: `python -m specsci.testing.oldest [pyproject.toml]`."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

EXTRAS = ("train", "plots")
_LOWEST = re.compile(r"^(?P<name>[\w.\-]+)>=(?P<version>[0-9.]+)")


def oldest(project: dict[str, dict[str, list[str]]]) -> list[str]:
    """A constraint to the patch releases of each lower bound, of what is required and of the extras that train and draw."""
    optional = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(r for extra in EXTRAS for r in optional[extra])]
    found = [match for match in map(_LOWEST.match, wanted) if match]
    return [f"{m['name']}~={'.'.join([*m['version'].split('.'), '0', '0'][:3])}" for m in found]


if __name__ == "__main__":
    file = Path(sys.argv[1] if len(sys.argv) > 1 else "pyproject.toml")
    sys.stdout.write("\n".join(oldest(tomllib.loads(file.read_text(encoding="utf-8"))["project"])) + "\n")
