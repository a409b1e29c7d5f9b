"""TRL's trainer as a stage uses it: over several ranks, in an order that does not depend on their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from inspect import signature
from typing import Any

import torch
from accelerate.data_loader import SeedableRandomSampler
from peft import PeftModel, load_peft_weights, set_peft_model_state_dict
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.nn.functional import cross_entropy
from torch.utils.data import Sampler
from transformers import TrainerCallback
from trl.trainer.sft_trainer import SFTTrainer

from specsci.core.errors import SpecsciError
from specsci.core.token_row import IGNORED
from specsci.train.apart import Rows, rows_apart
from specsci.train.distributed import world_size


def fill_of(sequences: int, sequences_per_update: int) -> int:
    """Empty sequences that bring a last update to full size, so that ranks share it evenly; none for one process."""
    return -sequences % sequences_per_update if world_size() > 1 else 0


def filled(columns: dict[str, list[Any]], fill: int, pad_token_id: int) -> dict[str, list[Any]]:
    """Columns of a dataset with `fill` sequences of one unsupervised token at the end."""
    empty = {"input_ids": [pad_token_id], "labels": [IGNORED], "position_ids": [0]}
    return {name: column + [empty[name]] * fill for name, column in columns.items()} if fill else columns


class OrderThenFill(Sampler[int]):
    """The order in which one process would see the sequences, then the empty ones.

    Ranks take micro batches from it in turn, so that an update sees the same sequences however many share it.
    """

    def __init__(self, sequences: int, fill: int, seed: int) -> None:
        self.order = SeedableRandomSampler(range(sequences), data_seed=seed, generator=torch.Generator())
        self.sequences, self.fill = sequences, fill

    def __iter__(self) -> Iterator[int]:
        yield from self.order
        yield from range(self.sequences, self.sequences + self.fill)

    def __len__(self) -> int:
        return self.sequences + self.fill

    def set_epoch(self, epoch: int) -> None:
        """Called by accelerate's data loader."""
        self.order.set_epoch(epoch)


class EpochOrder(TrainerCallback):
    """Tells the order which epoch begins: a resumed stage's data loader wraps it too deep for the trainer to do so."""

    def __init__(self, order: OrderThenFill) -> None:
        self.order = order

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called before an epoch's first batch is drawn."""
        self.order.set_epoch(int(state.epoch or 0))


class EveryWeight(TrainerCallback):
    """Checks that the optimizer has every trained weight of the model once. A missing one would silently stay as it is."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Called when the model is sharded and nothing is trained yet."""
        trained = {id(p): name for name, p in given["model"].named_parameters() if p.requires_grad}
        found = Counter(id(p) for group in given["optimizer"].param_groups for p in group["params"])
        wrong = [name for at, name in trained.items() if found[at] != 1]
        if wrong or len(found) != len(trained):
            raise SpecsciError(
                f"the optimizer does not hold the model's {len(trained)} trained weights once each: "
                + (f"{len(wrong)} are wrong, such as '{wrong[0]}'" if wrong else f"it has {len(found)}"),
                hint="set runtime.devices_per_stage: 1, and report this: another model would be trained than was asked for",
            )


class StageTrainer(SFTTrainer):
    """TRL's trainer, sharding on a CPU too, with gradients that are summed in fp32.

    accelerate leaves FSDP to accelerators and falls back to DDP on a CPU without a word. Here a CPU takes it as well, over
    gloo, so that the path of a GPU node is the one that the tests run.

    `apart`: the rows of a packed sequence are run one by one, for models in which they would see each other.
    """

    def __init__(self, *args: Any, order: OrderThenFill | None = None, apart: bool = False, **more: Any) -> None:
        self._order, self.apart = order, apart
        super().__init__(*args, **more)
        bare: Any = self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model
        takes = signature(type(bare).forward).parameters
        self.whole_logits = self.args.use_cpu and "logits_to_keep" in takes and not self.aux_loss_enabled

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return self._order or super()._get_train_sampler(train_dataset)

    def create_accelerator_and_postprocess(self) -> None:
        """Called by the trainer's constructor."""
        if self.args.fsdp_plugin_args is not None:
            if self.args.bf16:  # accelerate's own policy would round the loss and the sums of gradients to bf16
                policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
                self.args.fsdp_plugin_args["mixed_precision_policy"] = policy
            if self.args.use_cpu:
                _shard_on_cpu(self.args)
        super().create_accelerator_and_postprocess()

    def _plain_loss(self, *given: Any) -> Any:
        loss: Any = super().compute_loss
        return loss(*given)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """TRL's loss. Its tiles spare a GPU's memory; on a CPU they cost more than the logits of the supervised tokens."""
        if self.apart:
            return self._loss_apart(model, inputs, num_items_in_batch)
        if return_outputs or num_items_in_batch is None or not self.whole_logits:
            return self._plain_loss(model, inputs, return_outputs, num_items_in_batch)
        targets = inputs["labels"][:, 1:]
        kept = (targets != IGNORED).any(0).nonzero().flatten()
        given = {name: value for name, value in inputs.items() if name != "labels"}
        logits = model(**given, use_cache=False, logits_to_keep=kept).logits
        if logits.shape[1] != len(kept):  # a model of its own makes that takes the argument and ignores it
            self.whole_logits = False
            return self._plain_loss(model, inputs, return_outputs, num_items_in_batch)
        wanted = targets[:, kept].flatten()
        loss = cross_entropy(logits.float().flatten(0, 1), wanted, ignore_index=IGNORED, reduction="sum")
        return loss * self.accelerator.num_processes / torch.as_tensor(num_items_in_batch).clamp(min=1)

    def _loss_apart(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any) -> torch.Tensor:
        """The loss of a packed batch, each of its rows run by itself: what packing gives where rows never see each other."""
        batches = rows_apart(inputs, in_one=self.accelerator.num_processes > 1)
        whole = sum(batch.tokens for batch in batches)
        losses = [self._loss_of_rows(model, batch, batch.tokens / whole, num_items_in_batch) for batch in batches]
        return torch.stack(losses).sum()

    def _loss_of_rows(self, model: Any, rows: Rows, share: float, num_items_in_batch: Any) -> torch.Tensor:
        more = {"output_router_logits": True} if self.aux_loss_enabled else {}
        outputs = model(input_ids=rows.input_ids, attention_mask=rows.attention_mask, use_cache=False, **more)
        logits, wanted = outputs.logits[:, :-1].float(), rows.labels[:, 1:]
        loss: torch.Tensor = cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="sum")
        items = (rows.labels != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        loss = loss * self.accelerator.num_processes / torch.as_tensor(items).clamp(min=1)
        if self.aux_loss_enabled:
            steps = self.current_gradient_accumulation_steps if num_items_in_batch is not None else 1
            loss = loss + self.router_aux_loss_coef * outputs.aux_loss * share / steps
        return loss

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Called on resuming: of two adapters the trainer itself would load the frozen one, and train that on."""
        adapted = model or self.model
        if self.is_fsdp_enabled or len(getattr(adapted, "peft_config", ())) < 2:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        weights = load_peft_weights(resume_from_checkpoint, device="cpu")
        found: Any = set_peft_model_state_dict(adapted, weights, adapter_name="default")
        wrong = [*found.unexpected_keys, *(name for name in found.missing_keys if ".default." in name)]
        if wrong:
            raise SpecsciError(f"{resume_from_checkpoint} holds another adapter: '{wrong[0]}' differs")


def _shard_on_cpu(args: Any) -> None:
    """Set the state that accelerate sets by itself on a GPU, before it is read for the first time."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    plugin = FullyShardedDataParallelPlugin(**args.fsdp_plugin_args)
    state = Accelerator(cpu=True, mixed_precision="bf16" if args.bf16 else "no").state
    for shared in (PartialState._shared_state, AcceleratorState._shared_state):
        shared["distributed_type"] = DistributedType.FSDP
    state.fsdp_plugin = plugin


def sharding_of(trainer: Any) -> str:
    """How the ranks really share the work: `none`, `ddp` or `fsdp2`."""
    from accelerate.utils import DistributedType

    kind = trainer.accelerator.distributed_type
    if kind == DistributedType.NO:
        return "none"
    if kind == DistributedType.FSDP:
        return "fsdp2" if trainer.accelerator.is_fsdp2 else "fsdp1"
    return "ddp" if kind in (DistributedType.MULTI_GPU, DistributedType.MULTI_CPU) else str(kind)


def check_sharding(found: str, ranks: int, expected: str, devices: int) -> None:
    """Hold the sharding in use against the declared one.

    Raises:
        SpecsciError: it is another, or the ranks are not as many as declared.
    """
    if (found, ranks) != (expected, devices):
        raise SpecsciError(
            f"the stage runs as {found} over {ranks} processes where the study declares {expected} over {devices}",
            hint="`specsci doctor` says what this machine has; set runtime.devices_per_stage and runtime.sharding to that",
        )
