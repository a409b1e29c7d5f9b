"""The model of a step as an agent: asked by messages, with tools; by transformers in this process, or at a server that serves it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from specsci.core.context import StepContext
from specsci.core.errors import StepFailed, UserError
from specsci.core.ids import digest
from specsci.core.reasoning import split_reasoning
from specsci.evals.harness import misplaced
from specsci.evals.reader import Reader, address_of, reader_of
from specsci.models.template import render
from specsci.study.frame import Frame

_CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)
_TAGS = re.compile(r"</?think(?:ing)?>", re.IGNORECASE)
MOST_UNKNOWN = 0.01
"""The largest share of a conversation's tokens that may stand for words which the tokenizer does not know."""
TOOLS_TOLD = (
    "You can use these tools. To use one, write <tool_call>{{\"name\": NAME, \"arguments\": {{...}}}}</tool_call> and wait for what it returns.\n{tools}"
)


class ServerFailed(Exception):
    """The server of the model under test failed or went away, and did not refuse the request: another run may get an answer."""


class NotExpressible(Exception):
    """The conversation does not stand in the prompt as it was made."""


@dataclass(frozen=True)
class Turn:
    """What a subject is asked: a conversation, its tools as JSON schemas, how it is drawn, and by what noise."""

    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...]
    max_tokens: int
    temperature: float
    top_p: float
    seed: str


@dataclass(frozen=True)
class Spoken:
    """What a subject says: text without its reasoning, the calls it makes, and how it ended.

    `open`: the reasoning never ended, so that there is no text.
    """

    text: str
    reasoning: str
    calls: tuple[tuple[str, dict[str, Any]], ...]
    state: str
    input_tokens: int
    output_tokens: int
    open: bool = False


class Subject(Protocol):
    """Somebody who answers turns."""

    def answer(self, turns: Sequence[Turn]) -> list[Spoken | BaseException]:
        """The answers, in order."""
        ...


def framed(messages: Sequence[dict[str, Any]], frame: Frame) -> list[dict[str, Any]]:
    """A conversation with the frame's system prompt before the task's own, as one system message."""
    if not frame.system_prompt:
        return list(messages)
    own = [m["content"] for m in messages if m["role"] == "system"]
    rest = [m for m in messages if m["role"] != "system"]
    return [{"role": "system", "content": "\n\n".join([frame.system_prompt, *own])}, *rest]


def spoken(reply: str, state: str, input_tokens: int, output_tokens: int, *, tools: bool) -> Spoken:
    """A reply taken apart: reasoning, closed or not, is no part of what is said or done."""
    said = split_reasoning(reply)
    calls = []
    text = said.text
    for found in _CALL.finditer(said.text) if tools else ():
        try:
            call = json.loads(found[1])
            calls.append((str(call["name"]), dict(call.get("arguments") or {})))
        except (ValueError, KeyError, TypeError):
            continue  # what is no call stays a part of the text
        text = text.replace(found[0], "", 1)
    if calls:
        text = text.strip()
    return Spoken(text, _TAGS.sub("", said.reasoning).strip(), tuple(calls), "truncated" if said.open else state, input_tokens, output_tokens, said.open)


@dataclass
class LocalSubject:
    """A model that goes on with prompts of token ids: in this process, or on an engine."""

    reader: Reader
    tokenizer: Any
    frame: Frame

    @classmethod
    @contextmanager
    def of(cls, context: StepContext, frame: Frame) -> Iterator[LocalSubject]:
        """The step's model."""
        from specsci.models.hf import load_tokenizer

        with reader_of(context) as reader:
            yield cls(reader, load_tokenizer(Path(context.inputs["tokenizer"])), frame)

    def answer(self, turns: Sequence[Turn]) -> list[Spoken | BaseException]:
        """Answers in batches of turns that are drawn alike."""
        from specsci.evals.sampling import generate_batch

        out: list[Spoken | BaseException] = [StepFailed("not answered")] * len(turns)
        alike: dict[tuple[int, float, float], list[int]] = {}
        prompts: dict[int, tuple[int, ...]] = {}
        for number, turn in enumerate(turns):
            try:
                prompts[number] = self._prompt(turn)
                alike.setdefault((turn.max_tokens, turn.temperature, turn.top_p), []).append(number)
            except (UserError, NotExpressible) as error:
                out[number] = error
        for (max_tokens, temperature, top_p), members in alike.items():
            params = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p}
            try:
                replies = generate_batch(self.reader, self.tokenizer, [prompts[n] for n in members], [turns[n].seed for n in members], params)
            except StepFailed as error:  # an engine that went away: Inspect would take its error for an answer's
                out = [ServerFailed(error.what) if n in members else given for n, given in enumerate(out)]
                continue
            for n, (reply, state, written) in zip(members, replies, strict=True):
                out[n] = spoken(reply, state, len(prompts[n]), written, tools=bool(turns[n].tools))
        return out

    def _prompt(self, turn: Turn) -> tuple[int, ...]:
        from specsci.models.tokens import encode

        messages = framed(turn.messages, self.frame)
        listed = [dict(tool) for tool in turn.tools]
        takes_tools = "tools" in (self.tokenizer.chat_template or "")
        if listed and not takes_tools:
            said = TOOLS_TOLD.format(tools="\n".join(json.dumps(tool["function"], sort_keys=True) for tool in listed))
            first = messages[0]["content"] if messages and messages[0]["role"] == "system" else ""
            messages = [{"role": "system", "content": f"{first}\n\n{said}".strip()}, *(messages[1:] if first else messages)]
        more = {"tools": listed} if listed and takes_tools else {}
        if not takes_tools:
            messages = [{**m, "role": "user"} if m["role"] == "tool" else m for m in messages]
        text = render(messages, self.tokenizer, answer=True, **more)
        spoken_ones = [m for m in messages if m["content"].strip()]
        if fault := misplaced(spoken_ones, text):
            raise NotExpressible(fault)
        ids = tuple(encode([text], self.tokenizer)[0].ids)
        unknown = ids.count(self.tokenizer.unk_token_id) if self.tokenizer.unk_token_id is not None else 0
        if unknown > MOST_UNKNOWN * len(ids):
            raise NotExpressible(f"the tokenizer has no token for {unknown:,} of the conversation's {len(ids):,}")
        room = self.reader.room
        if room is not None and len(ids) + turn.max_tokens > room:
            raise NotExpressible(f"a conversation of {len(ids):,} tokens and an answer of {turn.max_tokens:,} do not fit into {room:,} positions")
        return ids


@dataclass
class ServedSubject:
    """A model that a compatible server serves under the name of its digest."""

    base_url: str
    model: str
    frame: Frame
    api_key: str = "none"

    @classmethod
    def of(cls, context: StepContext, frame: Frame, told: dict[str, Any]) -> ServedSubject:
        """The step's model at the server that the study names; raises StepFailed where the server does not serve it."""
        url, key = address_of(told, "server")
        name = str(told.get("model", "{digest}")).replace("{digest}", context.input_digests.get("model", context.input_digests["base"]))
        subject = cls(url, name, frame, key or "none")
        subject.check()
        return subject

    def check(self) -> None:
        """Hold the server to serving a model of this name."""
        from openai import OpenAIError

        try:
            with self._client() as client:
                served = [model.id for model in client.models.list()]
        except OpenAIError as error:
            raise StepFailed(f"the server at {self.base_url} does not answer ({type(error).__name__})", hint="start it, and run the study again") from error
        if self.model not in served:
            raise StepFailed(
                f"the server does not serve '{self.model}', but {', '.join(served[:5]) or 'nothing'}",
                hint="serve every model under the name of its digest: specsci model export --study STUDY --all DIR",
            )

    def _client(self) -> Any:
        from openai import OpenAI

        return OpenAI(base_url=self.base_url, api_key=self.api_key, max_retries=2)

    def answer(self, turns: Sequence[Turn]) -> list[Spoken | BaseException]:
        """Answers, many at a time."""
        from concurrent.futures import ThreadPoolExecutor

        with self._client() as client, ThreadPoolExecutor(max_workers=max(1, len(turns))) as pool:
            return list(pool.map(lambda turn: self._one(client, turn), turns))

    def _one(self, client: Any, turn: Turn) -> Spoken | BaseException:
        from openai import APIConnectionError, InternalServerError, OpenAIError

        more: dict[str, Any] = {"tools": list(turn.tools)} if turn.tools else {}
        seed = int(digest(turn.seed)[:7], 16)
        try:
            reply = client.chat.completions.create(
                model=self.model, messages=framed(turn.messages, self.frame), max_tokens=turn.max_tokens, temperature=turn.temperature,
                top_p=turn.top_p, seed=seed, **more,
            )  # fmt: skip
        except (APIConnectionError, InternalServerError) as error:
            return ServerFailed(f"the server at {self.base_url} failed ({type(error).__name__}: {str(error)[:200]})")
        except OpenAIError as error:
            return error
        choice = reply.choices[0]
        state = {"length": "truncated", "content_filter": "refused"}.get(choice.finish_reason, "ok")
        usage = reply.usage
        found = spoken(
            _whole(choice.message), state, usage.prompt_tokens if usage else 0, usage.completion_tokens if usage else 0, tools=bool(turn.tools)
        )
        calls = tuple((c.function.name, _arguments(c.function.arguments)) for c in choice.message.tool_calls or ())
        return found if not calls else Spoken(found.text, found.reasoning, calls, found.state, found.input_tokens, found.output_tokens, found.open)


def _whole(message: Any) -> str:
    """A message's text with its reasoning before it, where the server has taken that apart."""
    reasoning = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    text = message.content or ""
    return f"<think>{reasoning}</think>{text}" if reasoning else text


def _arguments(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {"unreadable": text}
    return found if isinstance(found, dict) else {"unreadable": text}
