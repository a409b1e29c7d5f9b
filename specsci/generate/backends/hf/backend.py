"""The `hf` backend: a model in this process, by transformers, on the CPU or a GPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from specsci.core.errors import StepFailed, UserError
from specsci.core.extras import need
from specsci.generate.backend import Backend, Engine
from specsci.generate.backends.hf.prefix import PrefixCache
from specsci.generate.request import ModelRequest, Reply, Usage

if TYPE_CHECKING:
    from specsci.generate.settings import GeneratorSettings

BATCH_SEQUENCES = 8
PARAMS = ("temperature", "top_p")
ENGINE = ("batch_sequences", "dtype", "device")


class HFEngine(Engine):
    """A causal model with its chat template."""

    def __init__(self, settings: GeneratorSettings) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        engine = settings.engine
        self.device = engine.get("device") or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(settings.model)
            self.model = AutoModelForCausalLM.from_pretrained(settings.model, dtype=engine.get("dtype", "auto"))
        except (OSError, ValueError) as error:
            raise UserError(f"the model '{settings.model}' cannot be loaded: {error}", hint="name a directory or a hub model") from error
        if not self.tokenizer.chat_template:
            raise UserError(f"the tokenizer of '{settings.model}' has no chat template", hint="take a model that was tuned on chats")
        self.tokenizer.pad_token_id = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self._end
        self.model.to(self.device).eval()
        self.prefixes = PrefixCache(self.model)
        self.batch = int(engine.get("batch_sequences", BATCH_SEQUENCES))

    @property
    def _end(self) -> int:
        ends = self.model.generation_config.eos_token_id
        return int(ends[0] if isinstance(ends, list) else ends if ends is not None else self.tokenizer.eos_token_id)

    @override
    def replies(self, requests: Iterable[ModelRequest]) -> Iterator[tuple[str, Reply]]:
        by_length = iter(sorted(requests, key=lambda r: (sum(len(m.content) for m in r.messages), r.digest)))
        while batch := list(islice(by_length, self.batch)):
            yield from self._answer(batch)

    def _answer(self, batch: list[ModelRequest]) -> Iterator[tuple[str, Reply]]:
        import torch
        from transformers import LogitsProcessorList

        from specsci.generate.backends.hf.sampling import SeededSampling

        prompts = [
            self.tokenizer.apply_chat_template(r.chat, add_generation_prompt=True, tokenize=False) for r in batch
        ]
        rows = self.tokenizer(prompts, add_special_tokens=False)["input_ids"]
        shared, cache = self.prefixes.take(rows)
        given = self._padded(rows, shared)
        width = given["input_ids"].shape[1]
        longest = max(r.max_tokens for r in batch)
        room = getattr(self.model.config, "max_position_embeddings", None)
        if room is not None and width >= room:
            raise StepFailed(f"a prompt of {width:,} tokens leaves no room in {room:,} positions", hint="take a model with a longer context")
        most = longest if room is None else min(longest, room - width)
        chosen = SeededSampling([r.digest for r in batch], [dict(r.params) for r in batch])
        with torch.inference_mode():
            found = self.model.generate(
                **given, max_new_tokens=most, do_sample=False, temperature=None, top_p=None, top_k=None,
                logits_processor=LogitsProcessorList([chosen]), pad_token_id=self.tokenizer.pad_token_id, past_key_values=cache,
            )  # fmt: skip
        for request, row, prompt in zip(batch, found.tolist(), rows, strict=True):
            yield request.digest, self._reply(request, row[width:], len(prompt))

    def _padded(self, rows: list[list[int]], shared: int) -> dict[str, Any]:
        """Prompts of one length: what they share, then padding, then the rest of each."""
        import torch

        longest, pad = max(map(len, rows)), self.tokenizer.pad_token_id
        ids = [[*row[:shared], *[pad] * (longest - len(row)), *row[shared:]] for row in rows]
        mask = [[*[1] * shared, *[0] * (longest - len(row)), *[1] * (len(row) - shared)] for row in rows]
        return {name: torch.tensor(values, device=self.device) for name, values in (("input_ids", ids), ("attention_mask", mask))}

    def _reply(self, request: ModelRequest, made: list[int], prompt_tokens: int) -> Reply:
        ends = self.model.generation_config.eos_token_id
        stops = {*(ends if isinstance(ends, list) else [ends]), self.tokenizer.eos_token_id} - {None}
        at = next((i for i, token in enumerate(made) if token in stops), None)
        whole = at is not None and at < request.max_tokens
        kept = made[:at] if whole else made[: request.max_tokens]
        return Reply(
            state="ok" if whole else "truncated",
            text=self.tokenizer.decode(kept, skip_special_tokens=True).strip(),
            stop="stop" if whole else "length",
            usage=Usage(prompt_tokens, len(kept) + int(whole)),
            model=request.model,
            residency="local",
        )


class HFBackend(Backend):
    """transformers in this process."""

    name = "hf"
    sends_out = False
    reports_residency = True

    @override
    def check(self, settings: GeneratorSettings) -> None:
        _known(settings.params, PARAMS, "params")
        _known(settings.engine, ENGINE, "engine")
        if settings.residency not in ("any", "local"):
            raise ValueError(f"the backend 'hf' runs here: residency is local, not {settings.residency}")

    @override
    def open(self, settings: GeneratorSettings) -> HFEngine:
        need("torch", "the backend 'hf'")
        need("transformers", "the backend 'hf'")
        return HFEngine(settings)


def _known(given: dict[str, Any], names: tuple[str, ...], what: str) -> None:
    for name in given:
        if name not in names:
            raise ValueError(f"'{name}' is no setting of {what} here: {', '.join(names)}")


BACKEND = HFBackend()
