"""One rank of a stage over two processes, started by torchrun: FOLDER and how the stage is to be, as JSON.

`stop_at` ends the stage, as a kill would, after its checkpoint of the update before; `beside` puts
a frozen adapter below the one that is trained; `unpatched` leaves accelerate's state alone.
"""

import json
import os
import sys
from pathlib import Path

import torch
from tiny import beside, documents, llama, recipe, saved_base, train, word_tokenizer

from specsci.core.errors import SpecsciError
from specsci.models.hf import WeightFormat, load_model
from specsci.recipe.recipe import Runtime
from specsci.train import trainer
from specsci.train.adapters import with_adapter
from specsci.train.checks import change_by_module, snapshot
from specsci.train.distributed import is_first

folder, wanted = Path(sys.argv[1]), json.loads(sys.argv[2])
if wanted.get("unpatched"):
    trainer._shard_on_cpu = lambda args: None
torch.manual_seed(0)
with_ = recipe(**wanted["recipe"])
if with_.method == "qlora":
    base = saved_base(llama(), folder / os.environ["RANK"])
    start = load_model(base, weight_format=WeightFormat("fp32", quantised=True), trainable=True)
elif wanted.get("beside"):
    start = beside(folder / os.environ["RANK"])
else:
    start = llama()
model = with_adapter(start, with_)
before = snapshot(model)


def progress(done: int, total: int) -> None:
    if done == wanted.get("stop_at"):
        os._exit(1)


checkpoints = str(folder / "checkpoints") if wanted.get("checkpoints") else None
runtime = Runtime(devices_per_stage=2, sharding=wanted["sharding"], checkpoint_every_s=1e-9)
try:
    report = train(
        model, documents(41), word_tokenizer(), folder, with_, runtime=runtime, checkpoints=checkpoints, progress=progress
    )
    moved = change_by_module(model, before)
    said = {"losses": [p["loss"] for p in report.curve], "moved": moved}
    said |= {n: getattr(report, n) for n in ("sharding", "devices", "micro_batch_sequences", "tokens", "resumed_at_update")}
except SpecsciError as error:
    said = {"error": error.what}
if is_first():
    (folder / "report.json").write_text(json.dumps(said))
torch.distributed.barrier()
os._exit(0)
