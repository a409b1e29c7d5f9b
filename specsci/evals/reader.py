"""Who answers prompts of token ids: the step's model in this process, or an engine that serves it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from specsci.core.context import StepContext
from specsci.core.errors import StepFailed
from specsci.models.hf import ADAPTER, MODEL, pad_id

LOCAL_BATCH, ENGINE_BATCH = 32, 256


class Reader(Protocol):
    """A model that goes on with prompts."""

    @property
    def stops(self) -> frozenset[int]:
        """The tokens that end an answer."""
        ...

    @property
    def room(self) -> int | None:
        """The most tokens of a prompt and its answer; None where it is not known."""
        ...

    @property
    def batch(self) -> int:
        """How many prompts it is best given at once."""
        ...

    def generate(self, prompts: Sequence[tuple[int, ...]], seeds: Sequence[str], params: dict[str, Any]) -> list[list[int]]:
        """The tokens of each answer, the token that ended it included; each is drawn by its own seed."""
        ...


@dataclass
class LocalReader:
    """A model in this process."""

    model: Any
    tokenizer: Any
    batch: int = LOCAL_BATCH

    @property
    def stops(self) -> frozenset[int]:
        """The model's own ends, and the tokenizer's end of text."""
        return ends_of(self.model.generation_config, self.tokenizer)

    @property
    def room(self) -> int | None:
        """The model's positions."""
        return getattr(self.model.config, "max_position_embeddings", None)

    def generate(self, prompts: Sequence[tuple[int, ...]], seeds: Sequence[str], params: dict[str, Any]) -> list[list[int]]:
        """See `Reader`."""
        import torch
        from transformers import LogitsProcessorList

        from specsci.evals.forward import padded
        from specsci.generate.backends.hf.sampling import SeededSampling

        pad = pad_id(self.tokenizer)
        device = next(self.model.parameters()).device
        ids, mask = padded(list(prompts), pad, left=True)
        drawn = {"temperature": params["temperature"], "top_p": params.get("top_p", 1.0)}
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=ids.to(device), attention_mask=mask.to(device), max_new_tokens=params["max_tokens"], do_sample=False, use_cache=True,
                temperature=None, top_p=None, top_k=None, pad_token_id=pad, eos_token_id=sorted(self.stops),
                logits_processor=LogitsProcessorList([SeededSampling(list(seeds), [drawn] * len(prompts))]),
            )  # fmt: skip
        rows: list[list[int]] = out[:, ids.shape[1] :].tolist()
        return rows


@dataclass
class EngineReader:
    """A model that an engine serves under a name."""

    server: Any
    name: str
    stops: frozenset[int]
    room: int | None
    batch: int = ENGINE_BATCH

    def generate(self, prompts: Sequence[tuple[int, ...]], seeds: Sequence[str], params: dict[str, Any]) -> list[list[int]]:
        """See `Reader`."""
        made: list[list[int]] = self.server.generate(self.name, prompts, seeds, params, sorted(self.stops))
        return made


def ends_of(generation: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end an answer, by a model's generation settings and its tokenizer."""
    told = getattr(generation, "eos_token_id", None)
    own = told if isinstance(told, list) else [told]
    return frozenset(int(t) for t in (*own, tokenizer.eos_token_id) if t is not None)


@contextmanager
def reader_of(context: StepContext) -> Iterator[Reader]:
    """Who answers for the model of a step: the engine that the study names for its base, else this process.

    Raises:
        StepFailed: the model cannot be served, or is served as another.
    """
    from specsci.evals.model import scored_model
    from specsci.models.hf import load_tokenizer

    tokenizer = load_tokenizer(Path(context.inputs["tokenizer"]))
    if not context.params.get("engine"):
        yield LocalReader(scored_model(context), tokenizer)
        return
    from specsci.models.generation import generation_of
    from specsci.models.serve.adapters import served
    from specsci.models.serve.server import Server

    base = (context.input_digests["base"], Path(context.inputs["base"]))
    adapter = _adapter(context)
    url, key = address_of(context.runtime.get("engine", {}), "engine")
    with Server(url, key) as server, served(server, base, adapter, lambda: _reference(context, tokenizer)) as name:
        room = server.models()[base[0]].get("max_model_len")
        yield EngineReader(server, name, ends_of(generation_of(base[1] / MODEL), tokenizer), room if isinstance(room, int) else None)


def _adapter(context: StepContext) -> tuple[str, Path] | None:
    """The step's model as an adapter over its base; None for the base.

    Raises:
        StepFailed: its weights were all trained, or its adapter stands on another.
    """
    if "model" not in context.inputs:
        return None
    folder = Path(context.inputs["model"])
    if not (folder / ADAPTER).is_dir() or "below" in context.inputs:
        raise StepFailed("an engine serves one adapter over a base, and this model is none", hint="leave out `engines` for this base")
    return context.input_digests["model"], folder


def address_of(told: dict[str, Any], what: str) -> tuple[str, str]:
    """The address and the key of a server that a study names; raises StepFailed where the variable that should hold the address is empty."""
    url = told.get("base_url") or os.environ.get(told.get("base_url_env") or "", "")
    if not url:
        raise StepFailed(f"no {what} is named: {told.get('base_url_env') or 'base_url'} is empty", hint="export its address")
    return url, os.environ.get(told.get("api_key_env") or "", "")


def _reference(context: StepContext, tokenizer: Any) -> Any:
    """What the trainer computes: kept beside the adapter, else by the model loaded here, as for a base."""
    from specsci.evals.model import scored_model
    from specsci.models.serve.reference import read_reference, reference_of

    kept = read_reference(Path(context.inputs["model"])) if "model" in context.inputs else None
    if kept is not None:
        return kept
    return reference_of(scored_model(context), tokenizer(PROBE_TEXT)["input_ids"])


PROBE_TEXT = (
    "A model is asked what it would do, and says why. People who read its answer later should be able to check each step, correct what is "
    "wrong and stop what should not go on; and where two things matter at once, the answer says which of them gave way."
)
"""What a model without a reference of its own is compared on."""
