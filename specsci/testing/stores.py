"""The conformance suite of artefact stores: what is published is whole, and nothing else is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from specsci.core.errors import CorruptArtifact
from specsci.core.step import Step
from specsci.store.artifact import Store


class StoreSuite:
    """What every step rests on. Override `make` to test another store."""

    step = Step("spec", {"a": 1}, label="a step")

    def make(self, folder: Path) -> Store:
        """An empty store."""
        return Store(folder / "store").open()

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        """The store under test."""
        return self.make(tmp_path)

    def test_a_published_step_is_there_and_reads_back(self, store: Store) -> None:
        assert not store.has(self.step)
        self._publish(store)
        assert store.has(self.step) and store.have([self.step]) == {self.step.digest}
        record = store.verify("spec", self.step.digest)
        assert record.plain()["identity"] == self.step.identity and set(record.files) == {"text.txt"}

    def test_what_was_not_published_is_not_there(self, store: Store) -> None:
        (store.stage(self.step, "me") / "text.txt").write_text("half", encoding="utf-8")
        assert not store.has(self.step) and store.records() == []

    def test_the_first_of_two_publications_stays(self, store: Store) -> None:
        self._publish(store, "first", "a")
        self._publish(store, "second", "b")
        text = store.path("spec", self.step.digest) / "text.txt"
        assert text.read_text(encoding="utf-8") == "first"

    @pytest.mark.parametrize("change", ["edited", "cut", "gone"])
    def test_a_damaged_file_is_found(self, change: str, store: Store) -> None:
        self._publish(store)
        file = store.path("spec", self.step.digest) / "text.txt"
        if change == "gone":
            file.unlink()
        else:
            file.write_text("hellO" if change == "edited" else "he", encoding="utf-8")
        with pytest.raises(CorruptArtifact):
            store.verify("spec", self.step.digest)

    def test_what_is_quarantined_can_be_made_anew(self, store: Store) -> None:
        self._publish(store)
        store.quarantine("spec", self.step.digest)
        assert not store.has(self.step)
        self._publish(store)
        assert store.has(self.step)

    def _publish(self, store: Store, text: str = "hello", owner: str = "me") -> None:
        stage = store.stage(self.step, owner)
        (stage / "text.txt").write_text(text, encoding="utf-8")
        store.publish(self.step, stage, {})
