"""The `anthropic` backend: messages and message batches by the vendor's SDK, whose own retries are off.

The interface of 2026-10 has no temperature, top_p or top_k: what differs between samples is their number in the identity alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from specsci.core.extras import need
from specsci.generate.backend import Backend, BatchFacts, BatchServer
from specsci.generate.backends.sdk import clean, failures
from specsci.generate.request import CallFailed, ModelRequest, Reply, ReplyState, Usage
from specsci.generate.secrets import key_of

if TYPE_CHECKING:
    from specsci.generate.settings import GeneratorSettings

STATES: dict[str, ReplyState] = {
    "end_turn": "ok",
    "stop_sequence": "ok",
    "max_tokens": "truncated",
    "model_context_window_exceeded": "truncated",
    "refusal": "refused",
}
REMOVED = ("temperature", "top_p", "top_k")


class AnthropicServer(BatchServer):
    """Messages and message batches of one account."""

    def __init__(self, settings: GeneratorSettings, key: str) -> None:
        import anthropic

        self.sdk, self.settings, self.key = anthropic, settings, key
        self.client = anthropic.AsyncAnthropic(
            api_key=key, base_url=settings.address or None, max_retries=0, default_headers=settings.headers
        )

    @override
    async def close(self) -> None:
        await self.client.close()

    def _params(self, request: ModelRequest) -> dict[str, Any]:
        named = {k: v for k, v in request.params.items() if k != "extra_body"}
        out: dict[str, Any] = {"model": request.model, "max_tokens": request.max_tokens, "messages": request.turns, **named}
        if request.residency in ("us", "global"):
            out["inference_geo"] = request.residency
        if request.system and self.settings.prompt_cache != "off":
            marked = {"type": "ephemeral", "ttl": self.settings.prompt_cache}
            out["system"] = [{"type": "text", "text": request.system, "cache_control": marked}]
        elif request.system:
            out["system"] = request.system
        return out

    @override
    async def reply(self, request: ModelRequest, timeout_s: float) -> Reply:
        with failures(self.sdk, self.key, request):
            found = await self.client.messages.create(
                **self._params(request),
                extra_body=request.params.get("extra_body"),
                extra_headers={"Idempotency-Key": request.digest},
                timeout=timeout_s,
            )
            return reply_of(found.model_dump())

    @override
    async def create_batch(self, requests: Sequence[ModelRequest], mark: str) -> BatchFacts:
        entries: list[Any] = [
            {"custom_id": r.digest, "params": {**self._params(r), **r.params.get("extra_body", {})}} for r in requests
        ]
        with failures(self.sdk, self.key, requests[0]):
            return _facts(await self.client.messages.batches.create(requests=entries))

    @override
    async def find_batch(self, batch_id: str) -> BatchFacts | None:
        try:
            with failures(self.sdk, self.key):
                return _facts(await self.client.messages.batches.retrieve(batch_id))
        except CallFailed as error:
            if error.what.startswith("HTTP 404"):
                return None
            raise

    @override
    async def list_batches(self) -> AsyncIterator[BatchFacts]:
        with failures(self.sdk, self.key):
            async for batch in self.client.messages.batches.list(limit=100):
                yield _facts(batch)

    @override
    async def results(self, batch_id: str) -> AsyncIterator[tuple[str, Reply]]:
        with failures(self.sdk, self.key):
            rows = await self.client.messages.batches.results(batch_id)
        with failures(self.sdk, self.key):
            async for row in rows:
                yield row.custom_id, _result(row.result.model_dump())

    @override
    async def delete_batch(self, batch_id: str) -> None:
        with failures(self.sdk, self.key):
            await self.client.messages.batches.delete(batch_id)


def _facts(batch: Any) -> BatchFacts:
    counts = batch.request_counts
    whole = counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired
    return BatchFacts(
        id=batch.id,
        requests=whole or None,
        created_at=batch.created_at.timestamp(),
        ended=batch.processing_status == "ended",
    )


def _result(result: dict[str, Any]) -> Reply:
    kind = result.get("type")
    if kind == "succeeded":
        try:
            return reply_of(result["message"])
        except (KeyError, TypeError, AttributeError, ValueError):
            return Reply("error", error="the batch's result is malformed")
    if kind == "expired":
        return Reply("expired", error="the batch expired")
    if kind == "canceled":
        return Reply("cancelled", error="the batch was cancelled")
    about = (result.get("error") or {}).get("error") or {}
    return Reply("error", error=f"the batch says: {about.get('type', 'unknown')}")


def reply_of(found: dict[str, Any]) -> Reply:
    """A reply from a message; raises KeyError or TypeError where it is none."""
    stop = str(found["stop_reason"] or "")
    usage = found["usage"]
    tokens = Usage(
        input_tokens=int(usage.get("input_tokens") or 0),
        output_tokens=int(usage.get("output_tokens") or 0),
        cache_write_tokens=int(usage.get("cache_creation_input_tokens") or 0),
        cache_read_tokens=int(usage.get("cache_read_input_tokens") or 0),
    )
    state = STATES.get(stop, "error")
    return Reply(
        state=state,
        text=clean("".join(part["text"] for part in found["content"] if part.get("type") == "text")),
        stop=stop,
        usage=tokens,
        model=str(found.get("model") or ""),
        residency=str(usage.get("inference_geo") or ""),
        error="" if state != "error" else f"the server ended with '{stop or 'no reason'}'",
    )


class AnthropicBackend(Backend):
    """The vendor's own interface."""

    name = "anthropic"
    sends_out = True
    batches = True
    key_env = "ANTHROPIC_API_KEY"
    reports_residency = True

    @override
    def check(self, settings: GeneratorSettings) -> None:
        for name in REMOVED:
            if name in settings.params:
                raise ValueError(f"the interface has no '{name}' any more: leave it out of params")

    @override
    def open(self, settings: GeneratorSettings) -> AnthropicServer:
        key = key_of(settings, self.key_env)
        need("anthropic", "the backend 'anthropic'")
        return AnthropicServer(settings, key)


BACKEND = AnthropicBackend()
