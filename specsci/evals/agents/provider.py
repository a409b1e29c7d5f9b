"""specsci as a provider of models in Inspect: `specsci/NAME` is the model of a step, or a generator of the study through its ledger."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageTool,
    ContentReasoning,
    ContentText,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    modelapi,
)
from inspect_ai.model._model_output import ChatCompletionChoice
from inspect_ai.tool import ToolCall, ToolChoice, ToolInfo
from typing_extensions import override

from specsci.core.ids import digest
from specsci.evals.agents.batcher import Batcher
from specsci.evals.agents.subject import Spoken, Subject, Turn
from specsci.generate.client import Client
from specsci.generate.request import Message, ModelRequest, Reply

MODELS: dict[str, Any] = {}
"""The models that are at work in this process, by what stands behind `specsci/`."""


@modelapi(name="specsci")
def specsci_api() -> type[ModelAPI]:
    """Registers the provider."""
    return SpecsciAPI


class SpecsciAPI(ModelAPI):
    """Hands a conversation to one of MODELS."""

    def __init__(self, model_name: str, base_url: str | None = None, api_key: str | None = None, config: GenerateConfig = GenerateConfig(), **more: Any) -> None:  # noqa: B008
        super().__init__(model_name, base_url, api_key, [], config)
        if model_name not in MODELS:
            raise RuntimeError(f"'specsci/{model_name}' is no model of a step or generator that is at work here")
        self.worker = MODELS[model_name]

    @override
    async def generate(self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig) -> ModelOutput:
        output: ModelOutput = await self.worker.output(input, [] if tool_choice == "none" else tools, config)
        return output

    @override
    def max_connections(self) -> int:
        return 64


@dataclass
class SubjectWorker:
    """The model under test."""

    name: str
    subject: Subject
    drawn: dict[str, Any]
    batcher: Batcher[Turn, Spoken] = field(init=False)

    def __post_init__(self) -> None:
        self.batcher = Batcher(self.subject.answer)
        self.asked: dict[str, int] = {}

    async def output(self, messages: list[ChatMessage], tools: list[ToolInfo], config: GenerateConfig) -> ModelOutput:
        """One reply; its noise is that of the conversation and of how often it was asked, so that a run is drawn alike again."""
        said = tuple(_plain(m) for m in messages)
        listed = tuple(_schema(t) for t in tools)
        key = digest({"messages": list(said), "tools": list(listed)})
        number = self.asked[key] = self.asked.get(key, 0) + 1
        turn = Turn(said, listed, self.drawn["max_tokens"], self.drawn["temperature"], self.drawn.get("top_p", 1.0), f"{key} {number}")
        found = await self.batcher.ask(turn)
        usage = ModelUsage(input_tokens=found.input_tokens, output_tokens=found.output_tokens, total_tokens=found.input_tokens + found.output_tokens)
        parts = [*([ContentReasoning(reasoning=found.reasoning)] if found.reasoning else []), ContentText(text=found.text)]
        calls = [ToolCall(id=uuid.uuid4().hex[:8], function=name, arguments=arguments, type="function") for name, arguments in found.calls]
        stop = {"truncated": "max_tokens", "refused": "content_filter"}.get(found.state, "tool_calls" if calls else "stop")
        message = ChatMessageAssistant(content=parts, tool_calls=calls or None, model=self.name, source="generate")
        return ModelOutput(model=self.name, choices=[ChatCompletionChoice(message=message, stop_reason=stop)], usage=usage)

    def stop(self) -> None:
        """End the thread."""
        self.batcher.stop()


class GeneratorWorker:
    """A generator of the study: its caps, residency and ledger hold for every request."""

    def __init__(self, name: str, open_client: Any) -> None:
        self.name, self._open = name, open_client
        self._client: Client | None = None
        self.asked: dict[str, tuple[ModelRequest, Reply | None]] = {}
        self.facts: dict[str, Any] = {}
        self.batcher: Batcher[tuple[tuple[Message, ...], int | None, int], Reply] = Batcher(self._answer, close=self._end)
        self._counts: dict[str, int] = {}

    @property
    def client(self) -> Client:
        """Opened in the thread that uses it: the ledger's connection belongs to one."""
        if self._client is None:
            self._client = self._open()
        return self._client

    def _answer(self, asked: Sequence[tuple[tuple[Message, ...], int | None, int]]) -> list[Reply | BaseException]:
        requests = [self.client.request(messages, sample=sample, max_tokens=most, purpose="judge in a task") for messages, most, sample in asked]
        replies = self.client.ask(requests)
        self.asked |= {r.digest: (r, replies.get(r.digest)) for r in requests}
        self.facts = {"faults": self.client.ledger.counts()}
        return [replies.get(r.digest) or RuntimeError("the judge did not answer") for r in requests]

    def _end(self) -> None:
        if self._client is not None:
            self._client.close()

    async def output(self, messages: list[ChatMessage], tools: list[ToolInfo], config: GenerateConfig) -> ModelOutput:
        """One reply; a question that is asked again is another sample of it."""
        said = tuple(Message(m["role"] if m["role"] in ("system", "assistant") else "user", m["content"]) for m in map(_plain, messages))
        key = digest([[m.role, m.content] for m in said])
        number = self._counts[key] = self._counts.get(key, -1) + 1
        reply = await self.batcher.ask((said, config.max_tokens, number))
        if reply.state == "error":
            raise RuntimeError(f"the judge failed: {reply.error}")
        stop = {"truncated": "max_tokens", "refused": "content_filter"}.get(reply.state, "stop")
        usage = ModelUsage(
            input_tokens=reply.usage.input_tokens, output_tokens=reply.usage.output_tokens,
            total_tokens=reply.usage.input_tokens + reply.usage.output_tokens,
        )  # fmt: skip
        message = ChatMessageAssistant(content=reply.text, model=self.name, source="generate")
        return ModelOutput(model=self.name, choices=[ChatCompletionChoice(message=message, stop_reason=stop)], usage=usage)

    def stop(self) -> None:
        """End the thread and close the ledger."""
        self.batcher.stop()


def _plain(message: ChatMessage) -> dict[str, Any]:
    """A message as a template takes it; an assistant's calls are written out, reasoning is left out."""
    text = message.text
    if isinstance(message, ChatMessageAssistant):
        for call in message.tool_calls or ():
            text += "\n<tool_call>" + json.dumps({"name": call.function, "arguments": call.arguments}) + "</tool_call>"
        return {"role": "assistant", "content": text.strip()}
    if isinstance(message, ChatMessageTool):
        return {"role": "tool", "content": message.error.message if message.error else text}
    return {"role": message.role, "content": text}


def _schema(tool: ToolInfo) -> dict[str, Any]:
    return {"type": "function", "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters.model_dump(exclude_none=True)}}
