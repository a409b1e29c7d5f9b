"""Model directories pass the suite of model sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from specsci.microlab.pretrain import new_model
from specsci.microlab.worlds import WORLDS
from specsci.sources.registry import SOURCES
from specsci.testing.sources import ModelSourceSuite


class TestDirectory(ModelSourceSuite):
    source = SOURCES[""]

    @pytest.fixture(autouse=True)
    def _model(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        folder: Path = tmp_path_factory.mktemp("base") / "model"
        tokenizer = WORLDS["conduct"].tokenizer()
        new_model(tokenizer, 3).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        type(self).name = str(folder)
