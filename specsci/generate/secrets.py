"""API keys: read from the environment when they are needed, and kept out of everything that is written or shown."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from specsci.core.errors import UserError

if TYPE_CHECKING:
    from specsci.generate.request import ModelRequest
    from specsci.generate.settings import GeneratorSettings

LONGEST_SAID = 300
"""Characters of a server's message that are shown."""
SHARED = 24
"""Characters that a message and a request must have in common for the message to count as repeating the request."""
_KEYS = re.compile(r"(?i)\b(sk-[\w*-]{6,}|bearer\s+\S+|x-api-key\S*\s*[:=]\s*\S+)")
NO_KEY = "none"
"""What is sent where a server wants no key; the SDKs want some text."""


def key_of(settings: GeneratorSettings, usual: str) -> str:
    """The API key of a generator.

    Args:
        usual: the environment variable that the vendor's users set.

    Raises:
        UserError: it is not set.
    """
    name = settings.api_key_env or usual
    key = os.environ.get(name, "").strip() if name else ""
    if key:
        return key
    if settings.address and not settings.api_key_env:
        return NO_KEY
    raise UserError(
        f"the environment variable {name} is not set: the backend '{settings.backend}' needs an API key",
        hint=f"export {name}=..., or name another variable with api_key_env",
    )


def redacted(text: str, key: str = "") -> str:
    """A text without keys, on one line and not too long."""
    if key and key != NO_KEY:
        text = text.replace(key, "[key]")
    text = " ".join(_KEYS.sub("[key]", text).split())
    return text if len(text) <= LONGEST_SAID else text[:LONGEST_SAID] + "..."


def said(text: str, key: str, request: ModelRequest | None) -> str:
    """What a server said, without keys; not shown where it repeats the request, whose texts may be confidential."""
    if request is not None and _repeats(text, request):
        return "(the server's message repeats the request, and is not shown)"
    return redacted(text, key)


def _repeats(text: str, request: ModelRequest) -> bool:
    whole = "\n".join(m.content for m in request.messages)
    shown = text[: 4 * LONGEST_SAID]
    return any(shown[i : i + SHARED] in whole for i in range(max(0, len(shown) - SHARED + 1)))
