"""Identity: canonical JSON, digests, derived seeds and safe names.

A digest is a function of values alone. Floats are written with `repr`, which round-trips; NaN,
infinities, paths, callables and any other type have no canonical form and are errors.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

DIGEST_CHARS = 24
_SAFE = re.compile(r"[a-z0-9][a-z0-9_.@-]{0,99}")


def _checked(value: Any, at: str) -> Any:
    """The value itself, with tuples as lists; raises TypeError on what cannot be an identity."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{at}: {value} is not a finite number and cannot be part of an identity")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, dict):
        if not all(isinstance(k, str) for k in value):
            raise TypeError(f"{at}: keys of an identity must be strings")
        return {k: _checked(v, f"{at}.{k}") for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_checked(v, f"{at}[{i}]") for i, v in enumerate(value)]
    raise TypeError(f"{at}: {type(value).__name__} cannot be part of an identity")


def canonical_json(value: Any) -> str:
    """One text per value: sorted keys, no spaces, UTF-8, whole floats written as integers."""
    return json.dumps(_checked(value, "identity"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: Any) -> str:
    """The first 24 hex digits (96 bits) of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:DIGEST_CHARS]


def text_digest(text: str) -> str:
    """The first 24 hex digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARS]


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def derive_seed(*parts: str | int) -> int:
    """A seed in [0, 2**31) that depends on every part: equal parts give equal seeds."""
    return int.from_bytes(hashlib.sha256(canonical_json(list(parts)).encode()).digest()[:4], "big") >> 1


def is_safe_name(name: str) -> bool:
    """Whether a name may be used in file names: lower case letters, digits, `_ . @ -`, no leading dot."""
    return bool(_SAFE.fullmatch(name)) and ".." not in name
