"""The frame of a question: what a harness condition and an arm's prompt put around it, resolved to texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Frame:
    """What stands around a question.

    Attributes:
        prompt: the arm's text before every question; in chats a part of the system prompt.
        system: the condition's own part of the system prompt.
        history: messages before the question.
        turns: messages that are put in, each with the number of messages before it (`after`), the system prompt not counted.
        agent: what the condition does to a model that acts with tools.
    """

    prompt: str = ""
    system: str = ""
    history: tuple[Mapping[str, str], ...] = ()
    turns: tuple[Mapping[str, Any], ...] = ()
    agent: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, data: Mapping[str, Any] | None) -> Frame:
        """A frame from its JSON; the empty frame of None."""
        given = dict(data or {})
        return cls(
            given.get("prompt", ""), given.get("system", ""), tuple(given.get("history", ())), tuple(given.get("turns", ())), given.get("agent")
        )

    def __bool__(self) -> bool:
        return self != NONE

    @property
    def system_prompt(self) -> str:
        """The whole system prompt; empty where there is none."""
        return "\n\n".join(text for text in (self.prompt, self.system) if text)

    def messages(self, question: str) -> list[dict[str, Any]]:
        """The conversation that asks a question."""
        said: list[dict[str, Any]] = [dict(m) for m in self.history] + [{"role": "user", "content": question}]
        for number, turn in enumerate(self.turns):
            said.insert(turn["after"] + number, {"role": turn["role"], "content": turn["text"]})
        system = self.system_prompt
        return [{"role": "system", "content": system}, *said] if system else said

    def plain(self, text: str) -> str | None:
        """A plain text that goes on from a prompt; None where the frame needs the turns of a chat."""
        if self.system or self.history or self.turns:
            return None
        return f"{self.prompt}\n\n{text}" if self.prompt else text


NONE = Frame()
"""Nothing around the question."""
FILE = "frame.json"
ROLE = "harness"
"""The input of a step that asks within a frame."""
CHARACTERS_PER_TOKEN = 4.5


def frame_tokens(data: Mapping[str, Any]) -> float:
    """About the tokens of a frame, for estimates."""
    frame = Frame.of(data)
    texts = [frame.system_prompt, *(m["content"] for m in frame.history), *(t["text"] for t in frame.turns)]
    return sum(map(len, texts)) / CHARACTERS_PER_TOKEN
