"""A generator: two plain sentences about every unit, in the words of its slots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from specsci.generate.generator import Brief, Completion, Generator, Request

TONES = ("In short", "Put plainly", "To repeat", "As agreed", "Once more", "For the record", "In a word", "Again")


class Plain(Generator):
    """Every third request is refused, as a model behind an interface may do."""

    name = "plain"
    sends_out = False

    def identity(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {"tones": settings.get("tones", len(TONES)), "prompt_digest": "plain-1"}

    def generate(self, requests: Iterator[Request], brief: Brief) -> Iterator[Completion]:
        tones = TONES[: self.identity(brief.settings)["tones"]]
        for number, request in enumerate(requests):
            if number % 3 == 2:
                yield Completion(request, state="refused", usage={"output_tokens": 0})
                continue
            said = ". ".join(text for name, text in sorted(request.slots.items()) if "_name" not in name)
            text = f"{brief.draws.choice(tones)}: {said} ."
            yield Completion(request, text, template_id="plain", usage={"output_tokens": len(text.split())})


GENERATOR = Plain()
