"""The conformance suite of generators.

class TestMine(GeneratorSuite):
    generator = MyGenerator()
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from specsci.core.ids import digest
from specsci.core.shipped import find_family
from specsci.generate.generator import Generator
from specsci.specs.load import load_family
from specsci.testing.corpora import documents_of

WANTED = 40


class GeneratorSuite:
    """What a corpus rests on, whoever writes it.

    Attributes:
        generator: the one under test.
        settings: what a study would say of it.
        family, variant, identity: what is written about, and the values of persona placeholders.
        reproducible: whether the same corpus comes out the same again; a model behind an interface need not.
    """

    generator: ClassVar[Generator]
    settings: ClassVar[dict[str, Any]] = {}
    family: ClassVar[str] = "microlab_conduct"
    variant: ClassVar[str] = "rules"
    identity: ClassVar[dict[str, str]] = {}
    reproducible: ClassVar[bool] = True

    def _documents(self, scratch: Path, seed: int = 7) -> Any:
        family = load_family(find_family(self.family))
        return documents_of(
            self.generator, family, self.variant, {**family.data.identity, **self.identity}, seed, scratch, self.settings
        )

    def test_documents_answer_distinct_requests_about_units_of_the_spec(self, tmp_path: Path) -> None:
        made = list(islice(iter(self._documents(tmp_path)), WANTED))
        assert len(made) == WANTED, "requests never end, and neither do documents"
        assert len({d.request.id for d in made}) == WANTED, "one completion answers one request"
        assert all(d.text.strip() for d in made), "a document has a text"
        assert {d.request.cell for d in made} > {made[0].request.cell}, (
            "documents are about more than one cell of the outline"
        )

    def test_the_same_corpus_comes_out_the_same_again(self, tmp_path: Path) -> None:
        if not self.reproducible:
            return
        first, again, other = ([d.text for d in islice(iter(self._documents(tmp_path, seed)), WANTED)] for seed in (7, 7, 8))
        assert first == again, "the seed decides everything that is drawn"
        assert first != other, "another seed is another corpus"

    def test_the_identity_is_plain_values_and_names_no_place(self) -> None:
        found = self.generator.identity(self.settings)
        assert digest(found) == digest(self.generator.identity(self.settings)), "an identity has one digest"
        assert str(Path.home()) not in str(found), "an identity holds no path of this machine"

    def test_it_says_whether_texts_leave_this_machine(self) -> None:
        assert isinstance(self.generator.sends_out, bool), "a confidential family rests on this"
        assert self.generator.name and self.generator.name == self.generator.name.strip()
