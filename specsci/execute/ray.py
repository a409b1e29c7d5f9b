"""The Ray executor's door: says what is missing until it is built."""

from __future__ import annotations

from specsci.errors import MissingDependencyError, UserError


def require_ray() -> None:
    """Refuse a run on Ray, with what the user can do instead."""
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "the ray executor needs Ray, which is not installed", mend="pip install 'specsci[ray]', or use --executor local"
        ) from error
    raise UserError("this version of specsci runs studies on one machine", mend="use --executor local")
