"""Models that leave a store: they answer as they were trained, or do not leave; and they keep their chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import harness
import pytest

torch = pytest.importorskip("torch")

LORA = {
    "study: small": "study: exported",
    "method: full, learning_rate: 1.0e-3": "method: lora, lora: {rank: 4, alpha: 8}, learning_rate: 1.0e-2",
    "method: full, learning_rate: 1.0e-4": "method: lora, lora: {rank: 4, alpha: 8}, learning_rate: 1.0e-2",
    "align:\n": "align:\n  chain: new\n",
}


@pytest.fixture(scope="module")
def chained(tmp_path_factory: pytest.TempPathFactory) -> harness.Finished:
    """The small study with a new adapter beside the midtrained one."""
    folder = tmp_path_factory.mktemp("chained")
    study = folder / "chained.yaml"
    study.write_text(harness.edited(harness.SMALL, LORA))
    return harness.Finished(study, folder / "store", harness.run_study(study, folder / "store", workers=1))


def aligned(store: Path) -> dict[str, Any]:
    """The record of a model that was midtrained and aligned."""
    return next(r for r in harness.records(store, "align").values() if "model" in r["identity"]["inputs"])


def export(store: Path, digest: str, target: Path, *more: str) -> tuple[int, str, str]:
    return harness.run("model", "export", digest, target, "--store", store, "--json", *more)


def test_two_adapters_merge_into_a_directory_that_scores_as_the_store_does(chained, tmp_path):
    """The exported directory is a base model of a new study: its answers are the aligned model's."""
    record = aligned(chained.store)
    assert record["chain"] == "new" and record["reach"]["LlamaMLP"]["adapted"] == record["reach"]["LlamaMLP"]["matrices"]
    code, out, err = export(chained.store, record["digest"][:10], tmp_path / "served" / "model")
    assert code == 0, out + err
    facts = json.loads(out)
    assert facts["round_trip"]["mean_kl_nats"] < 1e-6 and facts["round_trip"]["tokens"] == 512
    served = tmp_path / "served" / "model"
    assert {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja", "specsci.json"} <= {
        p.name for p in served.iterdir()
    }
    study = tmp_path / "served" / "served.yaml"
    edits = {"study: small": "study: served", 'source: "microlab:conduct/100"': "source: ./model"}
    text = harness.edited(harness.SMALL, edits)
    study.write_text(text.partition("arms:")[0] + "arms:\n  base: {}\n" + "evals:" + text.partition("evals:")[2])
    harness.run_study(study, tmp_path / "again", workers=1)
    (again,) = [rows for rows in harness.score_rows(tmp_path / "again").values() if len(rows) > 100]
    want = scores_of(chained.store, record["digest"])
    assert [r["value"] for r in again] == pytest.approx([r["value"] for r in want], abs=1e-4)


def scores_of(store: Path, model: str) -> list[dict[str, Any]]:
    """The rows of the held-out eval of a model."""
    scored = {r["digest"] for r in harness.records(store, "score").values() if r["identity"]["inputs"].get("model") == model}
    (rows,) = [rows for name, rows in harness.score_rows(store).items() if name.split("/")[-1] in scored and len(rows) > 100]
    return rows


def test_bf16_is_written_within_its_own_tolerance_and_an_adapter_alone_is_copied(chained, tmp_path):
    digest = aligned(chained.store)["digest"]
    code, out, _ = export(chained.store, digest, tmp_path / "half", "--precision", "bf16")
    assert code == 0 and 1e-9 < json.loads(out)["round_trip"]["mean_kl_nats"] < 1e-2
    code, _, err = export(chained.store, digest, tmp_path / "part", "--adapter")
    assert code == 2 and "stands on another one (align.chain: new)" in err and not (tmp_path / "part").exists()
    (first,) = harness.records(chained.store, "midtrain").values()
    code, out, _ = export(chained.store, first["digest"], tmp_path / "adapter", "--adapter")
    assert code == 0 and json.loads(out)["round_trip"] is None
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
    base = next(iter(harness.records(chained.store, "base").values()))["digest"]
    code, _, err = export(chained.store, base, tmp_path / "none", "--adapter")
    assert code == 2 and "has no adapter" in err and not (tmp_path / "none").exists()
    code, _, err = export(chained.store, digest, tmp_path / "half")
    assert code == 2 and "is there already" in err


def test_a_model_that_would_answer_otherwise_is_not_published(chained, tmp_path, monkeypatch):
    """What is written is spoilt on the way: the round trip sees it, and nothing is left."""
    from specsci.core.errors import SpecsciError
    from specsci.models import export as module
    from specsci.store.artifact import Store

    def spoilt(model: Any, target: Path) -> None:
        with torch.no_grad():
            model.get_input_embeddings().weight.mul_(1.05)
        model.save_pretrained(target)

    monkeypatch.setattr(module, "save_model", spoilt)
    with pytest.raises(SpecsciError, match="it is not published"):
        module.export_model(Store(chained.store), Store(chained.store).record("align", aligned(chained.store)["digest"]), tmp_path / "bad")
    assert list(tmp_path.iterdir()) == []


def test_an_exported_model_is_not_served_under_another_template(chained, tmp_path):
    served = tmp_path / "served"
    assert export(chained.store, aligned(chained.store)["digest"], served)[0] == 0
    template = served / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    study = tmp_path / "s.yaml"
    study.write_text(harness.edited(harness.SMALL, {'source: "microlab:conduct/100"': "source: ./served"}))
    code, _, err = harness.run("study", "check", study)
    assert code == 2 and "is not the one that the model was trained with" in err and "s.yaml:" in err


@pytest.mark.slow
def test_the_label_of_an_exported_model_goes_on_with_what_is_made_of_it(chained, tmp_path):
    from specsci.plan.build import build_plan
    from specsci.plan.gates import findings
    from specsci.study.load import load_study

    served = tmp_path / "served"
    assert export(chained.store, aligned(chained.store)["digest"], served)[0] == 0
    card, study = served / "specsci.json", tmp_path / "s.yaml"
    study.write_text(harness.edited(harness.SMALL, {'source: "microlab:conduct/100"': "source: ./served"}).replace(
        "tokens: 2000", "tokens: 2000\n  replay_share: 0").replace("[150, 300]", "[150, 300]\n  it_mix_share: 0"))  # fmt: skip
    facts = json.loads(card.read_text())
    assert facts["access"] == "public" and build_plan(load_study(str(study))).access == "public"
    for label, found in (("confidential", "confidential"), ("internal", "internal"), ("of a later version", "confidential")):
        card.write_text(json.dumps({**facts, "access": label}))
        plan = build_plan(load_study(str(study)))
        assert {s.runtime["access"] for s in plan.steps.values() if "access" in s.runtime} == {found} == {plan.access}
        assert any(f"the base 'dev' is {found}" in f.text for f in findings(plan))
    card.write_text("{")
    code, _, err = harness.run("study", "check", study)
    assert code == 2 and "specsci.json is not valid JSON" in err and "s.yaml:" in err


def test_a_model_is_not_scored_under_another_tokenizer_than_it_was_trained_with(tmp_path):
    from specsci.core.context import StepContext
    from specsci.core.errors import StepFailed
    from specsci.evals.model import scored_model

    record = harness.record("midtrain", inputs={"tokenizer": "a" * 24})
    inputs = {"base": tmp_path, "model": tmp_path}
    context = StepContext("score", "d", {}, inputs, {"model": record}, {"tokenizer": "b" * 24}, tmp_path, tmp_path)
    with pytest.raises(StepFailed, match="trained under another tokenizer or chat template"):
        scored_model(context)
