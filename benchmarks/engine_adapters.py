"""Eight adapters asked on one engine, each loaded and probed there, beside eight starts of the same engine with one adapter each.

    SPECSCI_STORE=STORE VLLM_PYTHON=/path/to/python python -m benchmarks --only engine_adapters

STORE holds a finished study whose models are adapters over one base.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.common import Options, Result, Row
from specsci.core.record import Record
from specsci.models.hf import ADAPTER, MODEL, TOKENIZER, load_tokenizer
from specsci.models.serve.probe import check_keys, probe
from specsci.models.serve.reference import Reference, read_reference, reference_of
from specsci.models.serve.server import Server
from specsci.store.artifact import Store

ADAPTERS, PROMPTS, TOKENS, PORT, READY_S = 8, 12, 16, 8131, 300.0
PARAMS = {"max_tokens": TOKENS, "temperature": 0.0}


def run(options: Options) -> Result:
    store, python = Store(Path(os.environ["SPECSCI_STORE"])), os.environ["VLLM_PYTHON"]
    base, adapters = _adapters(store)
    base_place = store.path("base", base)
    tokenizer_place = next(store.path("tokenizer", r.digest) for r in store.records("tokenizer"))
    tokenizer = load_tokenizer(tokenizer_place)
    prompts = [tuple(tokenizer(f"Question {n}: what is {n} and {n + 7} together? Answer:")["input_ids"]) for n in range(PROMPTS)]
    places = {r.digest: store.path(r.kind, r.digest) for r in adapters}
    references = {d: read_reference(p) or _reference(base_place, p, tokenizer) for d, p in places.items()}
    rank = max(json.loads((p / ADAPTER / "adapter_config.json").read_text())["r"] for p in places.values())
    command = _command(python, base_place, tokenizer_place, base, max(8, rank))

    began = time.perf_counter()
    answers, distances = {}, []
    with _engine(command) as server:
        start_s = time.perf_counter() - began
        for name, place in places.items():
            check_keys(base_place, place)
            server.load(name, place / ADAPTER)
            distances.append(probe(server, base, name, place / ADAPTER, references[name]))
            answers[name] = server.generate(name, prompts, [str(n) for n in range(PROMPTS)], PARAMS, [tokenizer.eos_token_id])
    ours_s = time.perf_counter() - began

    began, same = time.perf_counter(), 0
    for name, place in places.items():
        with _engine([*command, "--lora-modules", f"{name}={place / ADAPTER}"]) as server:
            found = server.generate(name, prompts, [str(n) for n in range(PROMPTS)], PARAMS, [tokenizer.eos_token_id])
            same += sum(a == b for a, b in zip(found, answers[name], strict=True))
    peer_s = time.perf_counter() - began
    what = f"{ADAPTERS} adapters, {PROMPTS} answers of {TOKENS} tokens each"
    rows = [Row(what, f"{ours_s:.1f} s, one engine (start {start_s:.1f} s), every adapter probed", "", None, f"{ADAPTERS} engines: {peer_s:.1f} s", f"{peer_s / ours_s:.1f} times faster")]
    worst = {key: max(d[key] for d in distances) for key in ("own_nats", "reloaded_nats")}
    least = min(d["base_nats"] for d in distances)
    return Result(
        rows,
        [
            f"{same} of {ADAPTERS * PROMPTS} answers are the same token for token on both.",
            f"Probes: at most {worst['own_nats']:.6f} nats from the trainer's log-probabilities, {worst['reloaded_nats']:.6f} after evict and reload; the base is at least {least:.3f} away.",
            f"vLLM {_version(python)}, float32.",
        ],
    )


def _adapters(store: Store) -> tuple[str, list[Record]]:
    """The base that most adapters stand on, and the first eight of them."""
    found = [r for kind in ("align", "midtrain") for r in store.records(kind) if (store.path(kind, r.digest) / ADAPTER).is_dir()]
    base, _ = Counter(r.identity.inputs["base"] for r in found).most_common(1)[0]
    mine = sorted((r for r in found if r.identity.inputs["base"] == base), key=lambda r: r.digest)[:ADAPTERS]
    if len(mine) < ADAPTERS:
        raise RuntimeError(f"the store has {len(mine)} adapters over one base, and {ADAPTERS} are wanted")
    return base, mine


def _reference(base: Path, trained: Path, tokenizer: object) -> Reference:
    from specsci.evals.reader import PROBE_TEXT
    from specsci.models.hf import load_model

    return reference_of(load_model(base, trained).eval(), tokenizer(PROBE_TEXT)["input_ids"])  # type: ignore[operator]


def _command(python: str, base: Path, tokenizer: Path, name: str, rank: int) -> list[str]:
    return [
        python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(base / MODEL), "--tokenizer", str(tokenizer / TOKENIZER), "--served-model-name", name,
        "--host", "127.0.0.1", "--port", str(PORT), "--dtype", "float32", "--generation-config", "vllm", "--enable-lora", "--max-lora-rank", str(rank), "--max-loras", str(ADAPTERS),
        "--max-cpu-loras", str(4 * ADAPTERS), "--max-model-len", "1024", "--enforce-eager",
    ]  # fmt: skip


@contextmanager
def _engine(command: list[str]) -> Iterator[Server]:
    more = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    process = subprocess.Popen(command, env={**os.environ, **more}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(process)
        with Server(f"http://127.0.0.1:{PORT}") as server:
            yield server
    finally:
        process.terminate()
        process.wait(60)


def _wait(process: subprocess.Popen[bytes]) -> None:
    until = time.perf_counter() + READY_S
    while time.perf_counter() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the engine ended with {process.returncode}")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/v1/models", timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise RuntimeError("the engine did not start in time")


def _version(python: str) -> str:
    return subprocess.run([python, "-c", "import vllm; print(vllm.__version__)"], capture_output=True, text=True, check=True).stdout.split()[-1]
