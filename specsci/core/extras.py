"""Optional parts of an installation: which extra brings a module that is missing."""

from __future__ import annotations

from importlib.util import find_spec

from specsci.core.errors import MissingDependencyError

EXTRAS = {
    "train": (
        "torch", "transformers", "tokenizers", "huggingface_hub", "httpx", "trl", "peft", "accelerate", "bitsandbytes", "datasets",
        "safetensors",
    ),
    "plots": ("seaborn", "matplotlib"),
    "api": ("openai", "anthropic"),
    "vllm": ("vllm",),
    "embeddings": ("sentence_transformers",),
    "evals": ("inspect_ai", "inspect_evals"),
    "ray": ("ray",),
    "s3": ("s3fs", "fsspec"),
    "tune": ("optuna",),
    "smollm2": ("gguf",),
    "track": ("tensorboard", "mlflow", "wandb"),
}  # fmt: skip
"""Extra to the modules that it installs."""


def extra_of(module: str) -> str | None:
    """The extra that installs a module; None where none does."""
    top = module.partition(".")[0]
    return next((extra for extra, modules in EXTRAS.items() if top in modules), None)


def missing(module: str, what: str) -> MissingDependencyError:
    """The error that tells how to install a module.

    Args:
        what: what needs it, as a sentence begins: `training and scoring`.
    """
    extra = extra_of(module)
    how = f"pip install 'specsci[{extra}]'" if extra else f"pip install {module}"
    return MissingDependencyError(f"{what} needs {module.partition('.')[0]}, which is not installed", hint=how)


def need(module: str, what: str) -> None:
    """Go on where a module is installed.

    Raises:
        MissingDependencyError: it is not; the hint says how to install it.
    """
    if find_spec(module.partition(".")[0]) is None:
        raise missing(module, what)
