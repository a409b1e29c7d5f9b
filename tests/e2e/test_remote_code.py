"""A base model that brings its own Python code: refused as it comes, trained and loaded again where the study trusts it."""

from __future__ import annotations

import json
from pathlib import Path

import harness
import pytest
import torch
from tiny import documents, llama, lora, recipe, train, word_tokenizer

from specsci.core.context import StepContext
from specsci.core.errors import SpecsciError, StepFailed, UserError
from specsci.models.hf import WeightFormat, load_model, save_model
from specsci.models.remote_code import carry_code
from specsci.models.steps import run_base
from specsci.sources.identity import base_identity
from specsci.sources.registry import source_of
from specsci.study.schema import BaseModelSource
from specsci.train.adapters import with_adapter

CODE = """
from pathlib import Path

from transformers import LlamaConfig, LlamaForCausalLM

Path(__file__).with_name("ran").touch()


class OwnConfig(LlamaConfig):
    model_type = "own_llama"


class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model directory with code of its own."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = tmp_path / "given"
    torch.manual_seed(0)
    llama().save_pretrained(folder, safe_serialization=True)
    word_tokenizer().save_pretrained(folder)
    (folder / "own_code.py").write_text(CODE)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own_llama", "architectures": ["OwnModel"]}
    config["auto_map"] = {"AutoConfig": "own_code.OwnConfig", "AutoModelForCausalLM": "own_code.OwnModel"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def base_of(given: Path, out: Path, **params: object) -> Path:
    out.mkdir()
    declared = {"files": base_identity(str(given), given.parent).base["files"], **params}
    context = StepContext(
        kind="base", digest="d", params=declared, inputs={}, records={}, input_digests={}, out=out, scratch=out,
        runtime={},
        outside=str(given),
    )  # fmt: skip
    run_base(context)
    return out


def test_code_that_nobody_trusted_does_not_run(given, tmp_path):
    with pytest.raises(SpecsciError, match="brings Python code of its own, which is not run") as caught:
        base_of(given, tmp_path / "base")
    assert "trust_remote_code: true under the base model" in caught.value.hint
    with pytest.raises(SpecsciError, match="brings Python code of its own, which is not run") as caught:
        load_model(tmp_path / "base")
    assert "trust_remote_code: true under the base model" in caught.value.hint
    assert not list(tmp_path.rglob("ran")), "the module was never imported"


def test_trusted_code_runs_and_goes_with_what_is_trained(given, tmp_path):
    base = base_of(
        given, tmp_path / "base", trust_remote_code=True, files=base_identity(str(given), given.parent).base["files"]
    )
    model = load_model(base, trainable=True)
    assert type(model).__name__ == "OwnModel"
    train(with_adapter(model, recipe()), documents(20), word_tokenizer(), tmp_path, recipe())
    trained = tmp_path / "trained"
    save_model(model, trained / "model")
    carry_code(base, trained, "model")
    again = load_model(base, trained)
    assert type(again).__name__ == "OwnModel"
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(again.get_parameter(name), parameter)


def test_code_that_was_changed_or_lies_elsewhere_is_not_taken(given, tmp_path):
    (given / "parts").mkdir()
    (given / "own_code.py").rename(given / "parts" / "own_code.py")
    files = base_identity(str(given), given.parent).base["files"]
    assert "parts/own_code.py" in files, "the code in folders is identity too"
    (given / "parts" / "own_code.py").write_text(CODE + "\n")
    with pytest.raises(StepFailed, match=r"own_code\.py' changed after the plan was made"):
        base_of(given, tmp_path / "changed", trust_remote_code=True, files=files)
    config = json.loads((given / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "somebody/else--own_code.OwnModel"}
    (given / "config.json").write_text(json.dumps(config))
    with pytest.raises(StepFailed, match="takes its code from another repository"):
        base_of(
            given,
            tmp_path / "elsewhere",
            trust_remote_code=True,
            files=base_identity(str(given), given.parent).base["files"],
        )


def test_a_trusted_model_is_merged_and_held_otherwise_with_its_code(given, tmp_path):
    base = base_of(
        given, tmp_path / "base", trust_remote_code=True, files=base_identity(str(given), given.parent).base["files"]
    )
    adapted = with_adapter(load_model(base, trainable=True), lora())
    train(adapted, documents(20), word_tokenizer(), tmp_path, lora())
    save_model(adapted, tmp_path / "first" / "adapter")
    merged = load_model(base, below=tmp_path / "first", weight_format=WeightFormat("bf16"), scratch=tmp_path)
    assert type(merged).__name__ == "OwnModel" and merged.dtype == torch.bfloat16


def test_trust_is_part_of_the_identity_and_needs_a_pin(given):
    identity = base_identity(str(given), given.parent).base
    assert "own_code.py" in identity["files"]
    assert source_of(str(given)).trusting(str(given), identity) == {**identity, "trust_remote_code": True}
    pinned = f"hub:org/own@{'a' * 40}"
    assert source_of(pinned).trusting(pinned, {"hub": "org/own"})["trust_remote_code"] is True
    for source, why in (("hub:org/own@main", "only when it is pinned"), ("microlab:conduct/100", "brings no code")):
        with pytest.raises(UserError, match=why):
            source_of(source).trusting(source, {"source": source})
    assert BaseModelSource(source=pinned).trust_remote_code is False


def test_a_study_that_trusts_a_branch_is_refused_at_its_line(tmp_path):
    study = tmp_path / "study.yaml"
    trusted = '{source: "hub:org/own@main", trust_remote_code: true}'
    study.write_text(harness.edited(harness.SMALL, {'{source: "microlab:conduct/100"}': trusted}))
    code, _, err = harness.run("study", "plan", study)
    assert code == 2 and "study.yaml:11:" in err and "only when it is pinned to a commit" in err
