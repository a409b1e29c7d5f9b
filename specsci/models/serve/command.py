"""The command that serves a study's base model with vLLM, so that its adapters can be loaded one after another."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from specsci.core.errors import UserError
from specsci.models.hf import MODEL, TOKENIZER
from specsci.plan.plan import Plan
from specsci.store.artifact import Store

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM keeps room for."""
CPU = {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
"""What vLLM's build for CPUs is told where the environment does not say otherwise; a build for GPUs reads none of it."""


@dataclass(frozen=True)
class ServeCommand:
    """A program with its arguments, and what its environment has beside this one's."""

    arguments: tuple[str, ...]
    environment: dict[str, str]

    def shown(self) -> str:
        """As a line for a shell."""
        import shlex

        return " ".join([*(f"{k}={shlex.quote(v)}" for k, v in self.environment.items()), shlex.join(self.arguments)])


def serve_command(
    plan: Plan, store: Store, base: str, *, python: str, host: str, port: int, adapters: int, length: int, more: tuple[str, ...] = ()
) -> ServeCommand:
    """How to serve a base of a plan.

    Args:
        adapters: how many adapters may be asked in one batch.
        length: the most positions of a conversation; 0 for the model's own.

    Raises:
        UserError: the study names no such base, or it does not lie in the store yet.
    """
    study = plan.loaded.study
    if base not in study.base_models:
        raise UserError(f"the study has no base model '{base}'", hint=f"one of {', '.join(study.base_models)}")
    scored = next((c for c in plan.scored if c.cell.replicate.base_model == base and c.digest in plan.steps), None)
    if scored is None:
        raise UserError(f"no replicate of the study has the base model '{base}'", hint="name one that a replicate has")
    steps = {kind: plan.steps[scored.digest].inputs[kind] for kind in ("base", "tokenizer")}
    folders = {kind: store.path(kind, digest) for kind, digest in steps.items()}
    if not all((folder / "record.json").is_file() for folder in folders.values()):
        raise UserError(f"the base '{base}' does not lie in this store yet", hint="begin the study's run: its first steps put it there")
    recipes = [stage.recipe for stage in (study.midtrain, study.align) if stage and stage.recipe.adapter]
    rank = max((r.lora.rank for r in recipes), default=RANKS[2])
    dtype = {"fp32": "float32", "bf16": "bfloat16"}[recipes[0].weights if recipes else "fp32"]
    allowed = next((r for r in RANKS if r >= rank), rank)
    arguments = (
        python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folders["base"] / MODEL), "--tokenizer", str(folders["tokenizer"] / TOKENIZER),
        "--served-model-name", steps["base"], "--host", host, "--port", str(port), "--dtype", dtype, "--generation-config", "vllm", "--enable-lora", "--max-lora-rank", str(allowed),
        "--max-loras", str(adapters), "--max-cpu-loras", str(4 * adapters), *(("--max-model-len", str(length)) if length else ()), *more,
    )  # fmt: skip
    told = {key: value for key, value in CPU.items() if key not in os.environ}
    return ServeCommand(arguments, {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "HF_HUB_OFFLINE": "1", **told})


def run(command: ServeCommand) -> None:
    """Become the server: this process ends where that one does.

    Raises:
        UserError: the program cannot be started.
    """
    program = Path(command.arguments[0])
    try:
        os.execvpe(str(program), list(command.arguments), {**os.environ, **command.environment})  # noqa: S606 - no shell is wanted
    except OSError as error:
        raise UserError(f"{program} cannot be started ({error.strerror})", hint="name a Python that has vLLM with --python") from error
