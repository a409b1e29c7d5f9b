"""The grammar as a generator: documents from a family's own templates, on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from typing_extensions import override

from specsci.corpus.distinct import Fresh
from specsci.generate.generator import Brief, Completion, Generator, Request
from specsci.specs.load import load_family
from specsci.specs.variants import grammar_for


class GrammarGenerator(Generator):
    """Fills the templates of the family's grammar, drawn from the corpus's random numbers."""

    name = "grammar"
    sends_out = False
    from_grammar = True

    def identity(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The grammar's digest is all, and the corpus has it."""
        return {}

    @override
    def generate(self, requests: Iterator[Request], brief: Brief) -> Iterator[Completion]:
        grammar = grammar_for(load_family(brief.family_folder), brief.variant)
        fresh = Fresh(grammar.data.distinct)
        for request in requests:
            draw = partial(grammar.document, request.document_type, dict(request.slots), brief.draws)
            text, template = fresh(draw, lambda made: made[0], request.cell)
            yield Completion(request, text, template_id=template)


GENERATOR = GrammarGenerator()
