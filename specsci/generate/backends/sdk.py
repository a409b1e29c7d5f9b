"""What the two vendors' SDKs have in common: their errors, and what a server says when it refuses a call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from time import time
from types import ModuleType
from typing import Any

from specsci.generate.request import CallFailed, FailureKind, ModelRequest
from specsci.generate.secrets import said

MOST_RETRY_AFTER_S = 3600.0
OVERLOADED = (503, 529)
BILLING_CODES = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
BILLING_WORDS = ("credit balance", "billing", "insufficient_quota", "quota")


@contextmanager
def failures(sdk: ModuleType, key: str, request: ModelRequest | None = None) -> Iterator[None]:
    """Turn what an SDK raises into `CallFailed`, without keys and without the request's texts."""
    try:
        yield
    except sdk.APIStatusError as error:
        found = _failure(error.status_code, error.body, dict(error.response.headers))
        text = f"HTTP {error.status_code}: {said(_message(error), key, request)}"
        raise CallFailed(found, text, _retry_after_s(dict(error.response.headers))) from None
    except sdk.APITimeoutError:
        raise CallFailed("transport", "no answer in time", maybe_charged=True) from None
    except sdk.APIConnectionError as error:
        cause = error.__cause__ or error
        name = type(cause).__name__
        text = f"the connection failed: {said(f'{name} {cause}', key, request)}"
        raise CallFailed("transport", text, maybe_charged=not name.startswith("Connect")) from None
    except sdk.APIError as error:
        raise CallFailed("server", said(str(error), key, request)) from None
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, TypeError, ValueError) as error:
        # the SDKs hand on whatever a server sent: a body that is no JSON, or not of the form that they declare
        raise CallFailed("server", f"the answer is malformed ({type(error).__name__})", maybe_charged=True) from None


def _failure(status: int, body: Any, headers: dict[str, str]) -> FailureKind:
    about = body.get("error", body) if isinstance(body, dict) else {}
    about = about if isinstance(about, dict) else {}
    code, message = str(about.get("code") or about.get("type") or ""), str(about.get("message", "")).lower()
    if status == 402 or code in BILLING_CODES or (status in (400, 403) and any(word in message for word in BILLING_WORDS)):
        return "billing"
    if status in (401, 403):
        return "credentials"
    if status == 429:
        return "rate"
    if status in OVERLOADED or code == "overloaded_error":
        return "overload"
    if status in (408, 409, 425) or status >= 500:
        return "server"
    return "bad request"


def _message(error: Any) -> str:
    body = error.body
    about = body.get("error", body) if isinstance(body, dict) else body
    message = about.get("message") if isinstance(about, dict) else None
    return str(message or error.message)


def _retry_after_s(headers: dict[str, str]) -> float | None:
    """Seconds that a server asks to wait; None where it does not say, or not in a form that can be read."""
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        if "retry-after-ms" in lower:
            return _bounded(float(lower["retry-after-ms"]) / 1000)
        if "retry-after" not in lower:
            return None
        try:
            return _bounded(float(lower["retry-after"]))
        except ValueError:
            return _bounded(parsedate_to_datetime(lower["retry-after"]).timestamp() - time())
    except (ValueError, TypeError, OverflowError):
        return None


def _bounded(seconds: float) -> float | None:
    return min(max(seconds, 0.0), MOST_RETRY_AFTER_S) if seconds == seconds else None


def clean(text: str) -> str:
    """A text that can be written: half characters, which JSON can spell, are replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")
