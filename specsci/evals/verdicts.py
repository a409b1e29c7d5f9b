"""Asking a language model for verdicts: each of a wanted form, asked for again where it is not, and written down with its request."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from specsci.core.context import Facts, StepContext
from specsci.core.errors import StepFailed
from specsci.corpus.written.parse import Unparsed
from specsci.generate.client import Client
from specsci.generate.request import Message, ModelRequest, Reply
from specsci.generate.settings import GeneratorSettings

SAMPLES = 1000
"""Sample numbers of one judgement: its attempts. A repeat begins at the next multiple."""
A = TypeVar("A")
MAIN, REPEAT, INJECTED, KNOWN = "main", "repeat", "injection", "known"

_SLOT = re.compile(r"\{\{([a-z_]+)\}\}")
_FENCED = re.compile(r"\A```(?:json)?\s*\n(.*?)\n```\Z", re.DOTALL)


def filled(text: str, slots: dict[str, str]) -> str:
    """A text with its slots filled; what a slot brings is not filled again."""
    return _SLOT.sub(lambda found: slots[found[1]], text).strip()


def fence_of(answer: str) -> str:
    """A line that an answer does not have, and whose writer could not know it."""
    return f"=====[{hashlib.sha256(f'answer {answer}'.encode('utf-8', 'surrogatepass')).hexdigest()[:20]}]====="


def one_object(text: str) -> dict[str, Any]:
    """The one JSON object of a verdict, which may stand in a code fence; raises Unparsed."""
    text = text.strip()
    found = _FENCED.match(text)
    try:
        said = json.loads(found[1] if found else text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise Unparsed("not one JSON object") from None
    if not isinstance(said, dict):
        raise Unparsed("not one JSON object")
    return said


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            raise ValueError("a key twice")
        out[key] = value
    return out


def lowest_hash(tasks: Sequence[A], count: int, key: Callable[[A], tuple[str, str, int]]) -> list[A]:
    """So many of some answers: those of the lowest hash of item, order and sample, the same questions of every model."""
    return sorted(tasks, key=lambda task: hashlib.sha256(" ".join(map(str, key(task))).encode()).hexdigest())[:count]


class Wanted(Protocol):
    """A judgement that is wanted; one that is asked for twice has the role `repeat` the second time."""

    @property
    def role(self) -> str:
        """`main`, `repeat`, `injection` or `known`."""
        ...

    def __hash__(self) -> int: ...


W = TypeVar("W", bound=Wanted)
V = TypeVar("V")


@dataclass(frozen=True)
class Verdict(Generic[V]):
    """What came of a judgement: its state, what was said where that is `ok`, why there is nothing where it is not, and the request."""

    state: str
    said: V | None
    why: str
    request_digest: str


@contextmanager
def judge_client(context: StepContext) -> Iterator[Client]:
    """The client of a step's judge; raises StepFailed where its settings are not those of the plan."""
    told = context.runtime["generator"]
    settings = GeneratorSettings.model_validate(told["settings"])
    if settings.identity() != context.params["generator"]:
        raise StepFailed("the judge's settings changed after the plan was made", hint="run the study again")
    assert context.store is not None
    with Client(context.store, told["study"], told["name"], settings, told["study_usd"]) as client:
        yield client


class Verdicts(Generic[W, V]):
    """A client at work on judgements; a verdict that is not of the wanted form is asked for again, as often as is allowed.

    Attributes:
        found: what came of each.
        asked: every request by its digest, with its reply.
    """

    def __init__(
        self, client: Client, attempts: int, progress: Any, messages: Callable[[W], list[Message]], read: Callable[[W, Reply], V]
    ) -> None:
        self.client, self.attempts, self.progress = client, attempts, progress
        self._messages, self._said = messages, read
        self.asked: dict[str, tuple[ModelRequest, Reply | None]] = {}
        self.found: dict[W, Verdict[V]] = {}

    def ask(self, wanted: Sequence[W]) -> None:
        """Ask for every judgement."""
        for attempt in range(self.attempts):
            left = [w for w in wanted if w not in self.found or self.found[w].state == "unparsed"]
            if not left:
                break
            requests = {w: self._request(w, attempt) for w in left}
            replies = self.client.ask(requests.values(), self.progress)
            for one, request in requests.items():
                self.found[one] = self._read(one, request, replies.get(request.digest))

    def _request(self, wanted: W, attempt: int) -> ModelRequest:
        first = SAMPLES if wanted.role == REPEAT else 0
        return self.client.request(self._messages(wanted), sample=first + attempt, purpose=f"judge {wanted.role}")

    def _read(self, wanted: W, request: ModelRequest, reply: Reply | None) -> Verdict[V]:
        self.asked[request.digest] = (request, reply)
        if reply is None:
            return Verdict("error", None, "no reply", request.digest)
        if reply.state not in ("ok", "unparsed"):
            return Verdict("refused" if reply.state == "refused" else "error", None, reply.error or reply.state, request.digest)
        try:
            said = self._said(wanted, reply)
        except Unparsed as error:
            self.client.ledger.mark(request.digest, str(error))
            self.asked[request.digest] = (request, replace(reply, state="unparsed", error=str(error)))
            return Verdict("unparsed", None, str(error), request.digest)
        return Verdict("ok", said, "", request.digest)

    def facts(self) -> Facts:
        """What the requests took, and what was not used."""
        replies = [reply for _, reply in self.asked.values() if reply is not None]
        lost: dict[str, int] = {}
        for verdict in self.found.values():
            if verdict.state != "ok":
                what = f"{verdict.state}: {verdict.why}"[:80]
                lost[what] = lost.get(what, 0) + 1
        usage = {
            "requests": len(self.asked),
            "input_tokens": sum(r.usage.input_tokens + r.usage.cache_write_tokens + r.usage.cache_read_tokens for r in replies),
            "output_tokens": sum(r.usage.output_tokens for r in replies),
            "usd": round(sum(r.usd or 0.0 for r in replies), 6),
        }
        return {"usage": usage, "lost": dict(sorted(lost.items())), "faults": self.client.ledger.counts()}
