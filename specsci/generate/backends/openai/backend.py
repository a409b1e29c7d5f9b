"""The `openai` backend: chat completions by the vendor's SDK, whose own retries are off."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import override

from specsci.core.extras import need
from specsci.generate.backend import Backend, BatchFacts, BatchServer
from specsci.generate.backends.sdk import clean, failures
from specsci.generate.request import CallFailed, ModelRequest, Reply, ReplyState, Usage
from specsci.generate.secrets import key_of

if TYPE_CHECKING:
    from specsci.generate.settings import GeneratorSettings

URL: Literal["/v1/chat/completions"] = "/v1/chat/completions"
MARK = "specsci"
"""The key of a batch's metadata that holds its mark."""
ENDED = ("completed", "failed", "expired", "cancelled")
STATES: dict[str, ReplyState] = {"stop": "ok", "length": "truncated", "content_filter": "refused"}
UNANSWERED: dict[str, ReplyState] = {"batch_expired": "expired", "batch_cancelled": "cancelled"}


class OpenAIServer(BatchServer):
    """Chat completions and batches of one server."""

    def __init__(self, settings: GeneratorSettings, key: str) -> None:
        import openai

        self.sdk, self.settings, self.key = openai, settings, key
        self.client = openai.AsyncOpenAI(
            api_key=key, base_url=settings.address or None, max_retries=0, default_headers=settings.headers
        )
        self.limit_name = "max_tokens" if settings.address else "max_completion_tokens"

    @override
    async def close(self) -> None:
        await self.client.close()

    def _body(self, request: ModelRequest) -> dict[str, Any]:
        named = {k: v for k, v in request.params.items() if k != "extra_body"}
        return {"model": request.model, "messages": request.chat, self.limit_name: request.max_tokens, **named}

    @override
    async def reply(self, request: ModelRequest, timeout_s: float) -> Reply:
        import httpx2

        body = {**self._body(request), **request.params.get("extra_body", {})}
        with failures(self.sdk, self.key, request):
            # by the SDK's own way to a raw answer: walking the types of messages and answers takes it 3 ms of CPU a request
            found = await self.client.post(
                "/chat/completions",
                cast_to=httpx2.Response,
                body=body,
                options={"headers": {"Idempotency-Key": request.digest}, "timeout": timeout_s},
            )
            return reply_of(found.json())

    @override
    async def create_batch(self, requests: Sequence[ModelRequest], mark: str) -> BatchFacts:
        lines = [
            {
                "custom_id": r.digest,
                "method": "POST",
                "url": URL,
                "body": {**self._body(r), **r.params.get("extra_body", {})},
            }
            for r in requests
        ]
        content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
        with failures(self.sdk, self.key, requests[0]):
            file = await self.client.files.create(file=(f"{mark}.jsonl", content), purpose="batch")
            made = await self.client.batches.create(
                input_file_id=file.id, endpoint=URL, completion_window="24h", metadata={MARK: mark}
            )
            return _facts(made)

    @override
    async def find_batch(self, batch_id: str) -> BatchFacts | None:
        try:
            with failures(self.sdk, self.key):
                return _facts(await self.client.batches.retrieve(batch_id))
        except CallFailed as error:
            if error.what.startswith("HTTP 404"):
                return None
            raise

    @override
    async def list_batches(self) -> AsyncIterator[BatchFacts]:
        with failures(self.sdk, self.key):
            async for batch in self.client.batches.list(limit=100):
                yield _facts(batch)

    @override
    async def results(self, batch_id: str) -> AsyncIterator[tuple[str, Reply]]:
        with failures(self.sdk, self.key):
            batch = await self.client.batches.retrieve(batch_id)
        for file_id in (batch.output_file_id, batch.error_file_id):
            if not file_id:
                continue
            with failures(self.sdk, self.key):
                content = (await self.client.files.content(file_id)).text
            for line in content.split("\n"):  # not splitlines: replies may hold other line ends
                if line.strip():
                    yield _result(line)

    @override
    async def delete_batch(self, batch_id: str) -> None:
        with failures(self.sdk, self.key):
            batch = await self.client.batches.retrieve(batch_id)
            for file_id in (batch.output_file_id, batch.error_file_id, batch.input_file_id):
                if file_id:
                    await self.client.files.delete(file_id)


def _facts(batch: Any) -> BatchFacts:
    counts = batch.request_counts
    return BatchFacts(
        id=batch.id,
        requests=counts.total if counts and counts.total else None,
        created_at=float(batch.created_at),
        ended=batch.status in ENDED,
        mark=(batch.metadata or {}).get(MARK, ""),
    )


def _result(line: str) -> tuple[str, Reply]:
    """One line of a batch's output."""
    try:
        row = json.loads(line)
        digest = str(row["custom_id"])
    except (ValueError, KeyError, TypeError):
        return "", Reply("error", error="a line of the batch's results is malformed")
    response, error = row.get("response") or {}, row.get("error") or {}
    if response.get("status_code") == 200:
        try:
            return digest, reply_of(response["body"])
        except (KeyError, TypeError, AttributeError, IndexError, ValueError):
            return digest, Reply("error", error="the batch's result is malformed")
    code = str(error.get("code") or response.get("status_code") or "unknown")
    return digest, Reply(UNANSWERED.get(code, "error"), error=f"the batch says: {code}")


def reply_of(found: dict[str, Any]) -> Reply:
    """A reply from a chat completion; raises KeyError, TypeError or IndexError where it is none."""
    choice = found["choices"][0]
    message, stop = choice["message"], str(choice.get("finish_reason") or "")
    usage = found.get("usage") or {}
    cached = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
    tokens = Usage(
        input_tokens=int(usage.get("prompt_tokens") or 0) - cached,
        output_tokens=int(usage.get("completion_tokens") or 0),
        cache_read_tokens=cached,
    )
    state = "refused" if message.get("refusal") else STATES.get(stop, "error")
    return Reply(
        state=state,
        text=clean(str(message.get("content") or "")),
        stop=stop,
        usage=tokens,
        model=str(found.get("model") or ""),
        error="" if state != "error" else f"the server ended with '{stop or 'no reason'}'",
    )


class OpenAIBackend(Backend):
    """Any server that speaks the OpenAI interface."""

    name = "openai"
    sends_out = True
    batches = True
    key_env = "OPENAI_API_KEY"

    @override
    def check(self, settings: GeneratorSettings) -> None:
        if settings.prompt_cache != "off":
            raise ValueError("these servers cache prompts by themselves: leave prompt_cache out")

    @override
    def open(self, settings: GeneratorSettings) -> OpenAIServer:
        key = key_of(settings, self.key_env)
        need("openai", "the backend 'openai'")
        return OpenAIServer(settings, key)


BACKEND = OpenAIBackend()
