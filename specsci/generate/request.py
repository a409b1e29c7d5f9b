"""A request to a language model, and its reply.

A request's digest is over everything that decides the reply: backend, provider, model, messages, parameters, where it may be computed, how
long it may be kept, and which sample of equal requests it is. Equal requests are one and are paid once; requests that should
differ carry different sample numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from specsci.core.ids import canonical_json

ReplyState = Literal["ok", "refused", "truncated", "unparsed", "error", "expired", "cancelled"]
"""ok: whole. refused: the model declined. truncated: cut off at its limit. unparsed: whole, and not of the form that was asked
for. error: no usable reply came. expired, cancelled: a batch ended before the request was answered."""
PAID: tuple[ReplyState, ...] = ("ok", "refused", "truncated", "unparsed")
"""States in which the provider answered: such a request is never sent again."""


@dataclass(frozen=True)
class Message:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class ModelRequest:
    """What a language model is asked.

    Attributes:
        backend: the interface that it is asked by.
        provider: who answers: a vendor, a host, or `local`.
        max_tokens: the longest reply, in tokens.
        params: named arguments of the backend's call, such as `temperature`.
        residency: where it may be computed: `us`, `global`, `local` or `any`.
        retention: how long the provider may keep it: `standard`, `short` or `zdr` (zero data retention).
        sample: its number among requests that are equal otherwise.
        about: what it is for, such as `purpose`, `variant` and `clause_id`; decides nothing.
    """

    backend: str
    provider: str
    model: str
    messages: tuple[Message, ...]
    max_tokens: int
    params: Mapping[str, Any] = field(default_factory=dict)
    residency: str = "any"
    retention: str = "standard"
    sample: int = 0
    about: Mapping[str, str] = field(default_factory=dict, compare=False)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that the digest is over."""
        return {
            "backend": self.backend,
            "provider": self.provider,
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in self.messages],
            "max_tokens": self.max_tokens,
            "params": dict(self.params),
            "residency": self.residency,
            "retention": self.retention,
            "sample": self.sample,
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the identity, 64 hex digits: also its id in a provider's batch."""
        return hashlib.sha256(canonical_json(self.identity).encode()).hexdigest()

    @property
    def system(self) -> str:
        """The system messages, as one text."""
        return "\n\n".join(m.content for m in self.messages if m.role == "system")

    @property
    def turns(self) -> list[dict[str, str]]:
        """The messages that are not system messages."""
        return [{"role": m.role, "content": m.content} for m in self.messages if m.role != "system"]

    @property
    def chat(self) -> list[dict[str, str]]:
        """All messages."""
        return [{"role": m.role, "content": m.content} for m in self.messages]


@dataclass(frozen=True)
class Usage:
    """Tokens of a request; `input` are those that neither wrote nor read a prompt cache."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0

    def as_dict(self) -> dict[str, int]:
        """For the ledger."""
        return dict(vars(self))


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes:
        stop: why the provider says that the text ends, in its own word.
        model: who answered, as the provider says; empty where it does not.
        residency: where it was computed, as the provider says; empty where it does not.
        error: why there is no usable reply.
        latency_s: seconds from sending to the last byte; 0 in a batch.
        usd: what it cost; None where no price is known.
    """

    state: ReplyState
    text: str = ""
    stop: str = ""
    usage: Usage = Usage()
    model: str = ""
    residency: str = ""
    error: str = ""
    latency_s: float = 0.0
    usd: float | None = None


FailureKind = Literal["transport", "rate", "overload", "server", "billing", "bad request", "credentials"]
STOPS_AT_ONCE: tuple[FailureKind, ...] = ("billing", "bad request", "credentials")
"""Failures that the next request would meet as well."""
SLOWS_DOWN: tuple[FailureKind, ...] = ("rate", "overload")


class CallFailed(Exception):
    """A call that brought no reply.

    Attributes:
        retry_after_s: how long the provider asks to wait; None where it does not say.
        maybe_charged: whether the provider may have answered, and charged, although no reply arrived.
    """

    def __init__(
        self, kind: FailureKind, what: str, retry_after_s: float | None = None, *, maybe_charged: bool = False
    ) -> None:
        super().__init__(what)
        self.kind, self.what, self.retry_after_s, self.maybe_charged = kind, what, retry_after_s, maybe_charged
