"""A generator at work on one variant: requests with the whole spec in the context, and replies read strictly.

A reply that is refused, cut off or not of the wanted form is asked for again under the next sample number, as often as the study
allows; each such reply is counted by its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from specsci.core.errors import StepFailed
from specsci.corpus.written.parse import Unparsed
from specsci.generate.client import Client
from specsci.generate.prompts import Prompts
from specsci.generate.request import Message, ModelRequest, Reply

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
SAMPLES = 1000
"""Sample numbers of one text: its attempts. A further text on the same prompt begins at the next multiple."""
UNNAMED = {"model_name": "the model", "provider_name": "its developer"}
"""What stands for persona placeholders that a family does not have."""
AGAIN = "\n\nThese are there already; give others: {there}."
MOST_SHOWN = 60


@dataclass
class Writer:
    """Asks a client in a style's words.

    Attributes:
        names: the persona placeholders.
        attempts: how often a text is asked for.
        lost: replies that were not used, by reason.
        asked: every request that was needed, with its reply: what the corpus cost.
    """

    client: Client
    prompts: Prompts
    spec: str
    names: Mapping[str, str]
    variant: str
    attempts: int
    progress: Callable[[int, int], None] = lambda done, total: None
    lost: Counter[str] = field(default_factory=Counter)
    asked: dict[str, tuple[ModelRequest, Reply | None]] = field(default_factory=dict)

    def texts(
        self, prompt: str, wanted: Mapping[K, Mapping[str, Any]], read: Callable[[Reply], T], *, first_sample: Mapping[K, int] | None = None,
        about: Mapping[K, Mapping[str, str]] | None = None, max_tokens: int | None = None,
    ) -> dict[K, T]:  # fmt: skip
        """What was written for each key, as far as something was.

        Args:
            wanted: the prompt's slots by key.
            read: takes a whole reply; raises Unparsed.
            first_sample: where sample numbers of a key begin; 0 where not given.
        """
        found: dict[K, T] = {}
        for attempt in range(self.attempts):
            missing = {key: slots for key, slots in wanted.items() if key not in found}
            if not missing:
                break
            requests = {
                key: self._request(
                    prompt, slots, (first_sample or {}).get(key, 0) * SAMPLES + attempt, (about or {}).get(key, {}), max_tokens
                )
                for key, slots in missing.items()
            }
            replies = self.client.ask(requests.values(), self.progress)
            self._nothing_came(requests.values(), replies)
            for key, request in requests.items():
                reply = replies.get(request.digest)
                self.asked[request.digest] = (request, reply)
                if (made := self._read(request, reply, read)) is not None:
                    found[key] = made
        return found

    def _nothing_came(self, requests: Iterable[ModelRequest], replies: Mapping[str, Reply]) -> None:
        """Raises StepFailed where not one of several tries brought a reply: more of them would not either."""
        if replies:
            return
        said = self.client.ledger.failures([r.digest for r in requests])
        why = "; ".join(f"{count:,} times: {text}" for text, count in list(said.items())[:3])
        raise StepFailed(f"no request was answered ({why or 'no reason was given'})", hint="look at the server; the same command goes on")

    def _request(
        self, prompt: str, slots: Mapping[str, Any], sample: int, about: Mapping[str, str], max_tokens: int | None
    ) -> ModelRequest:
        names = {**UNNAMED, **self.names}
        system = self.prompts.fill("system", {**names, "spec": self.spec})
        asked = self.prompts.fill(prompt, {**names, **slots})
        messages = [Message("system", system), Message("user", asked)]
        return self.client.request(
            messages, sample=sample, max_tokens=max_tokens, purpose=prompt, variant=self.variant, **about
        )

    def _read(self, request: ModelRequest, reply: Reply | None, read: Callable[[Reply], T]) -> T | None:
        """What a reply holds; None where it cannot be used, which is counted."""
        if reply is None:
            self.lost["error"] += 1
            return None
        if reply.state not in ("ok", "unparsed"):
            self.lost[reply.state] += 1
            return None
        try:
            return read(reply)
        except Unparsed as error:
            self.lost[str(error)] += 1
            self.client.ledger.mark(request.digest, str(error))
            self.asked[request.digest] = (request, replace(reply, state="unparsed", error=str(error)))
            return None

    def spent(self) -> dict[str, float]:
        """What the requests took: numbers for the record."""
        replies = [reply for _, reply in self.asked.values() if reply is not None]
        return {
            "requests": len(self.asked),
            "input_tokens": sum(r.usage.input_tokens + r.usage.cache_write_tokens + r.usage.cache_read_tokens for r in replies),
            "output_tokens": sum(r.usage.output_tokens for r in replies),
            "usd": round(sum(r.usd or 0.0 for r in replies), 6),
        }

    def facts(self) -> dict[str, Any]:
        """What a record says of the requests: what they took, what was not used, and what went wrong on the way."""
        return {"usage": self.spent(), "lost": dict(sorted(self.lost.items())), "faults": self.client.ledger.counts()}


def again(there: Iterable[str]) -> str:
    """The words by which a prompt asks for more of what it gave; empty where nothing is there."""
    listed = list(there)[-MOST_SHOWN:]
    return AGAIN.format(there="; ".join(listed)) if listed else ""


