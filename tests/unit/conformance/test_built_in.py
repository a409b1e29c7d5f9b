"""Every implementation in the tree passes the suite of its protocol."""

from __future__ import annotations

from typing import ClassVar

from specsci.corpus.grammar import GENERATOR
from specsci.evals.forced_choice.kind import KIND as FORCED_CHOICE
from specsci.evals.generated_choice.kind import KIND as GENERATED_CHOICE
from specsci.evals.open_answers.kind import KIND as OPEN_ANSWERS
from specsci.execute.pools.inline import KIND as INLINE
from specsci.execute.pools.local import KIND as LOCAL
from specsci.sources.registry import SOURCES
from specsci.testing.evals import EvalKindSuite
from specsci.testing.generators import GeneratorSuite
from specsci.testing.pools import PoolSuite
from specsci.testing.sources import ModelSourceSuite
from specsci.testing.stores import StoreSuite


class TestGrammar(GeneratorSuite):
    generator = GENERATOR


class TestGrammarOfAnEnglishFamily(GeneratorSuite):
    generator = GENERATOR
    family, variant = "safety", "value_augmented"


class TestForcedChoice(EvalKindSuite):
    kind = FORCED_CHOICE
    settings: ClassVar = {"kind": "forced_choice", "items": "held_out"}


class TestForcedChoiceOfTexts(EvalKindSuite):
    kind = FORCED_CHOICE
    settings: ClassVar = {"items": "capability", "format": "text"}


class TestForcedChoiceInSeveralReadouts(EvalKindSuite):
    kind = FORCED_CHOICE
    settings: ClassVar = {
        "items": "held_out",
        "more_readouts": ["debiased", "length_normalised", "prior_corrected", "statement"],
        "readout": "debiased",
    }


class TestGeneratedChoice(EvalKindSuite):
    kind = GENERATED_CHOICE
    settings: ClassVar = {"kind": "generated_choice", "items": "held_out", "max_tokens": 6, "samples": 2, "temperature": 0.8}


class TestOpenAnswers(EvalKindSuite):
    kind = OPEN_ANSWERS
    settings: ClassVar = {"kind": "open_answers", "items": "routine", "max_tokens": 6}


class TestMicrolab(ModelSourceSuite):
    source, name = SOURCES["microlab:"], "microlab:conduct/1"


class TestLocalPool(PoolSuite):
    kind = LOCAL


class TestInlinePool(PoolSuite):
    kind = INLINE


class TestStore(StoreSuite):
    pass
