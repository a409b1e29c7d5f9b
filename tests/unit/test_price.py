"""What a plan costs: every number against one worked by hand, and `unknown` where nobody can know."""

from __future__ import annotations

import json
import re
from pathlib import Path

import harness
import pytest
from click.testing import CliRunner

from specsci.cli.main import cli
from specsci.core.errors import UserError
from specsci.core.shipped import shipped
from specsci.plan import price
from specsci.plan.build import build_plan
from specsci.plan.gates import findings
from specsci.plan.price import Place, Speeds, estimate, place_of
from specsci.report.plan import as_dict, lines
from specsci.study.load import load_study

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(price, "visible_gpus", lambda: ())
    monkeypatch.setattr(price, "cores", lambda: 2)


@pytest.fixture
def hub_study(tmp_path):
    """The paper's spec ablation with one hub model and other run settings: `hub_study(name, runtime)` writes it."""
    text = (shipped("studies") / "paper_fig7_spec_ablation.yaml").read_text()
    copied = tmp_path / "text"
    copied.mkdir()
    for file in (shipped("studies") / "text").iterdir():
        (copied / file.name).write_bytes(file.read_bytes())

    def write(name: str, runtime: str) -> Path:
        new = re.sub(
            r"    base_models:\n      qwen25_32b.*?    midtrain:",
            f'    base_models:\n      big: {{source: "hub:org/{name}@{COMMIT}"}}\n    replicates:\n'
            "      - {seed: 1, base_model: big}\n      - {seed: 2, base_model: big}\n    midtrain:",
            text,
            flags=re.S,
        )
        new = new.replace("runtime: {devices_per_stage: 1}", f"runtime: {{{runtime}}}")
        path = tmp_path / "s.yaml"
        path.write_text(new)
        return path

    return write


def planned(path: Path):
    return build_plan(load_study(str(path), "paper"))


def training_flop(plan) -> float:
    """Adapters over frozen weights: forward, and the gradients of activations (see test_flop_count for the counting of products)."""
    return sum(4 * 32e9 * s.cost["tokens"] for s in plan.steps.values() if s.kind in ("midtrain", "align"))


def test_work_for_a_gpu_is_not_priced_as_that_of_a_cpu(hub_study, no_gpu) -> None:
    plan = planned(hub_study("Model-32B", "usd_per_h: 2.5"))
    found = as_dict(plan, set(), [])["estimate"]
    assert found["usd"] is None and found["wall_h"] is None and found["core_seconds"] is None and found["device"] is None
    training = training_flop(plan) / (989e12 * 0.4) / 3600
    assert training < found["h100_h"] < 1.2 * training
    text = "\n".join(lines(plan, set(), findings(plan)))
    assert "estimate: time unknown (the device is not known)" in text and "price unknown" in text
    said = re.search(r"\$([\d,.]+) if an H100 costs \$2.5 an hour", text)
    assert said and float(said[1].replace(",", "")) == pytest.approx(found["h100_h"] * 2.5, abs=0.02)
    assert "core-seconds" not in text and "days" not in text


def test_a_named_gpu_is_priced_by_its_peak_and_the_stated_share(hub_study, no_gpu) -> None:
    plan = planned(hub_study("Model-32B", "usd_per_h: 2.5"))
    h100 = as_dict(plan, set(), [], device="H100")["estimate"]
    assert h100["usd"] == pytest.approx(2.5 * h100["worker_h"], abs=0.01) and h100["device"] == "H100"
    assert h100["worker_h"] == pytest.approx(h100["h100_h"], rel=0.01), "all but the making of texts"
    a100 = as_dict(plan, set(), [], device="A100")["estimate"]
    assert a100["worker_h"] == pytest.approx(h100["worker_h"] * 989 / 312, rel=0.01)
    with pytest.raises(UserError, match="the peak of the device 'H1000' is not known"):
        place_of(plan, "H1000")


def test_several_devices_of_a_stage_share_its_time_and_the_price_is_a_workers(hub_study, no_gpu) -> None:
    one = planned(hub_study("Model-32B", "usd_per_h: 2.5"))
    four = planned(hub_study("Model-32B", "usd_per_h: 10, devices_per_stage: 4"))
    steps = [s for s in one.steps.values() if s.kind == "midtrain"]
    flop = sum(s.cost["flop"] for s in steps)
    alone = estimate(one, steps, place_of(one, "H100"))
    shared = estimate(four, [s for s in four.steps.values() if s.kind == "midtrain"], place_of(four, "H100"))
    assert alone.worker_s == pytest.approx(flop / (989e12 * 0.4)) and shared.worker_s == pytest.approx(alone.worker_s / 4)
    assert shared.usd == pytest.approx(alone.usd) == pytest.approx(flop / (989e12 * 0.4) / 3600 * 2.5)


def test_a_gpu_without_a_known_peak_and_a_size_that_no_name_tells_are_unknown(hub_study, no_gpu, monkeypatch) -> None:
    plan = planned(hub_study("Model-32B", "usd_per_h: 2.5"))
    monkeypatch.setattr(price, "visible_gpus", lambda: ("0", "1"))
    monkeypatch.setattr(price, "gpu_name", lambda: "Foo 9000")
    found = as_dict(plan, set(), [])["estimate"]
    assert found["device"] == "Foo 9000" and found["usd"] is None and found["basis"] == "the device is not known"
    monkeypatch.setattr(price, "gpu_name", lambda: "NVIDIA A100-SXM4-80GB")
    known = as_dict(plan, set(), [])["estimate"]
    assert known["wall_h"] == pytest.approx(known["worker_h"] / 2, abs=0.001) and known["usd"] > 0
    nameless = planned(hub_study("Model-of-somebody", "usd_per_h: 2.5, device: cpu"))
    unknown = as_dict(nameless, set(), [])["estimate"]
    for name in ("usd", "flop", "h100_h", "wall_h", "core_seconds", "gib"):
        assert unknown[name] is None, name
    text = "\n".join(lines(nameless, set(), []))
    assert "time unknown (a model's size is not known)" in text and "disk unknown (a base's size is not known)" in text


def test_cpu_work_is_priced_by_the_hours_of_its_workers(plan_of, no_gpu) -> None:
    plan = plan_of(("threads_per_worker: 1", "threads_per_worker: 1, usd_per_h: 3, device: cpu"))
    core_s = sum(s.cost.get("core_seconds", 0.05) for s in plan.steps.values())
    found = as_dict(plan, set(), [])["estimate"]
    assert found["core_seconds"] == pytest.approx(core_s, abs=0.1)
    assert found["usd"] == pytest.approx(core_s / 3600 * 3, abs=0.01)
    assert found["wall_h"] == pytest.approx(core_s / 3600 / 2, abs=0.001)
    whole = estimate(plan, list(plan.steps.values()), Place("cpu", workers=1, threads=2))
    models = sum(s.cost["core_seconds"] for s in plan.steps.values() if "flop" in s.cost)
    worker_s = models / 2 + (core_s - models)
    assert whole.usd == pytest.approx(worker_s / 3600 * 3), "both cores share the arithmetic, not the making of texts"


def test_without_a_price_it_is_unknown_and_a_declared_zero_is_zero(plan_of, no_gpu) -> None:
    silent = plan_of()
    assert as_dict(silent, set(), [])["estimate"]["usd"] is None
    text = "\n".join(lines(silent, set(), []))
    assert "price unknown (runtime.usd_per_h is not set)" in text and "$" not in text
    free = plan_of(("threads_per_worker: 1", "threads_per_worker: 1, usd_per_h: 0"))
    assert as_dict(free, set(), [])["estimate"]["usd"] == 0
    assert "$0.00" in "\n".join(lines(free, set(), []))


def test_power_costs_nothing_that_is_not_known(plan_of, hub_study, no_gpu) -> None:
    from specsci.plan.power import contrast_power, power_lines

    plan = planned(hub_study("Model-32B", "usd_per_h: 2.5"))
    found = contrast_power(plan, {}, 0.02)
    assert all(c.more_usd is None and c.more_hours is None for c in found)
    assert all("an unknown time more, price unknown" in line for line in power_lines(found)[1:])
    priced = contrast_power(plan, {}, 0.02, device="H100")
    whole = estimate(plan, list(plan.steps.values()), place_of(plan, "H100"))
    for c in priced:
        assert c.more_usd == pytest.approx((c.half_takes - 2) / 2 * whole.usd, abs=0.01)


def test_disk_holds_base_copies_adapters_and_checkpoints(hub_study, no_gpu) -> None:
    plan = planned(hub_study("Model-32B", "usd_per_h: 2.5"))
    found = as_dict(plan, set(), [])["estimate"]["gib_by_use"]
    assert found["bases"] == pytest.approx(32e9 * 2 / 2**30, rel=1e-4), "one copy of 16-bit weights"
    trained = [s for s in plan.steps.values() if s.kind in ("midtrain", "align")]
    adapter = 0.02 * 32e9
    assert found["models"] == pytest.approx(len(trained) * adapter * 4 / 2**30, rel=1e-4)
    assert found["checkpoints"] == pytest.approx(2 * adapter * 12 / 2**30, rel=1e-4), "two of weights and both Adam states"
    done = {s.digest for s in plan.steps.values() if s.kind == "base"}
    assert as_dict(plan, done, [])["estimate"]["gib_by_use"]["bases"] == 0


def test_a_directory_base_is_copied_byte_for_byte(tiny, no_gpu) -> None:
    plan = build_plan(load_study(str(tiny)))
    bases = [s for s in plan.steps.values() if s.kind == "base"]
    found = estimate(plan, bases, place_of(plan))
    assert found.gib["bases"] == pytest.approx(sum(4 * s.cost["parameters"] for s in bases) / 2**30)


def record_of(step, device: object, **facts):
    known = {"busy_s": 5.0, "device_name": device, **facts}
    return harness.record(step.kind, step.digest, identity=step.identity, **known)


def test_what_earlier_steps_took_goes_before_a_model_of_the_device(hub_study, no_gpu) -> None:
    plan = planned(hub_study("Model-32B", "usd_per_h: 2.5"))
    first, *others = plan.of_kind("midtrain")
    facts = {"tokens": 1000, "train_s": 4.0, "method": "lora", "devices": 1}
    speeds = Speeds(plan, [record_of(first, "NVIDIA H200", **facts)])
    found = estimate(plan, others, place_of(plan), speeds)
    seconds = sum(s.cost["tokens"] * 4.0 / 1000 + 1.0 for s in others)
    assert (found.device, found.basis) == ("NVIDIA H200", "measured")
    assert found.worker_s == pytest.approx(seconds) and found.usd == pytest.approx(seconds / 3600 * 2.5)
    other = Speeds(plan, [record_of(first, "NVIDIA H200", **{**facts, "method": "full"})])
    assert estimate(plan, others, place_of(plan, "A100"), other).basis == "modelled", "another method says nothing"


def test_records_without_the_facts_tell_nothing(hub_study, no_gpu) -> None:
    plan = planned(hub_study("Model-32B", "usd_per_h: 2.5"))
    step = plan.of_kind("midtrain")[0]
    facts = {"tokens": 1000, "train_s": 4.0, "method": "lora", "devices": 1}
    for change in ({"busy_s": None}, {"tokens": None}, {"tokens": "x"}, {"train_s": 0}, {"provenance": "x", "tokens": 0}):
        speeds = Speeds(plan, [record_of(step, "NVIDIA H200", **{**facts, **change}), harness.record("score", provenance="x")])
        assert [k for k in speeds.known if k[1] == "train"] == []
    odd = record_of(step, [], **{**facts, "method": ["lora"], "devices": {}})
    assert estimate(plan, [step], place_of(plan, "H100"), Speeds(plan, [odd])).basis == "modelled"


def test_the_command_prices_for_a_device_and_reads_what_the_store_has(hub_study, tmp_path, no_gpu, monkeypatch) -> None:
    path = hub_study("Model-32B", "usd_per_h: 2.5")
    command = ["study", "plan", str(path), "--profile", "paper", "--store", str(tmp_path / "none"), "--json"]
    free = json.loads(CliRunner().invoke(cli, command).stdout)["estimate"]
    assert free["usd"] is None
    named = json.loads(CliRunner().invoke(cli, [*command, "--device", "h100"]).stdout)["estimate"]
    assert named["usd"] == pytest.approx(named["worker_h"] * 2.5, abs=0.01)


def test_a_small_models_speed_on_a_gpu_is_not_made_up(plan_of, no_gpu) -> None:
    found = as_dict(plan_of(), set(), [], device="H100")["estimate"]
    assert found["wall_h"] is None and found["basis"].startswith("how fast a GPU trains so small a model")


def test_a_gpus_name_and_peak(tmp_path, monkeypatch) -> None:
    from specsci.core import machine

    for number, name in enumerate(("NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3")):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "information").write_text(f"Model: \t\t {name}\nIRQ: 1\n")
    monkeypatch.setattr(machine, "GPUS", tmp_path)
    assert machine.gpu_name() == "NVIDIA H100 80GB HBM3"
    assert machine.peak_flop_per_s(machine.gpu_name()) == 989e12
    assert machine.peak_flop_per_s("NVIDIA L40S") == 362e12 and machine.peak_flop_per_s("NVIDIA L4") == 121e12
    assert machine.peak_flop_per_s("NVIDIA GeForce RTX 4090") == 165e12 and machine.peak_flop_per_s("") is None
    (tmp_path / "1" / "information").write_text("Model: \t\t NVIDIA A10\n")
    assert machine.gpu_name() == "", "two kinds: nobody knows which a step gets"
