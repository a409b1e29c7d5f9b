"""specsci: experiments on model specs, from one study file to an answer with its denominators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from specsci.core.version import __version__

if TYPE_CHECKING:
    from specsci.api import load_study, open_store

__all__ = ["__version__", "load_study", "open_store"]


def __getattr__(name: str) -> Any:
    """The API, imported when it is first used: `import specsci` alone is fast."""
    if name in ("load_study", "open_store"):
        from specsci import api

        return getattr(api, name)
    raise AttributeError(f"module 'specsci' has no attribute '{name}'")
