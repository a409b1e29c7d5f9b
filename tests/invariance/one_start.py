"""A stage, or one rank of a sharded one under torchrun, that starts from a step's inputs: FOLDER with `base` and `first`, the chain
(`full` for all weights of the base), and how the stage is to be, as JSON.

Writes what of the model it has, the main memory that this took, in bytes, and the losses of its training.
"""

import json
import os
import sys
from pathlib import Path

import psutil
import torch
from tiny import documents, recipe, train, word_tokenizer

from specsci.core.context import StepContext
from specsci.recipe.recipe import Runtime
from specsci.train import steps
from specsci.train.adapters import trainable_parameters, with_adapter
from specsci.train.distributed import world_size

folder, chain, ranks, rank = Path(sys.argv[1]), sys.argv[2], world_size(), os.environ.get("RANK", "0")
inputs = {"base": folder / "base"} if chain == "full" else {"base": folder / "base", "model": folder / "first"}
recipe = recipe(**json.loads(sys.argv[3]))
runtime = Runtime(devices_per_stage=ranks)
context = StepContext(
    "align", "d", {"chain": "continue" if chain == "full" else chain}, inputs, {}, {}, folder / "out", folder
)
memory = psutil.Process().memory_info
before = memory().rss
torch.manual_seed(3)
model = with_adapter(steps._start(context, recipe, runtime), recipe)
said = {
    "took": memory().rss - before,
    "parameters": {n: [*p.shape, str(p.dtype)] for n, p in model.named_parameters()},
    "trainable": trainable_parameters(model),
    "buffers": {n: b.tolist() for n, b in model.named_buffers()},
}
report = train(model, documents(41), word_tokenizer(), folder, recipe, runtime=runtime)
said["losses"] = [p["loss"] for p in report.curve]
(folder / f"start-{ranks}-{rank}.json").write_text(json.dumps(said))
if ranks > 1:
    torch.distributed.barrier()
os._exit(0)
