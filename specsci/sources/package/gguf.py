"""Real weights that come inside a Python package as a GGUF file, written out once in the Hugging Face layout.

transformers dequantises a GGUF file (llama's attention rows are permuted back) but will not save the
result; its state is therefore moved into a plain model of the same configuration.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from specsci.core.errors import CorruptArtifact, MissingDependencyError
from specsci.core.ids import digest, file_sha256
from specsci.sources.package.known import Package

GGUF_ONLY = ("quantization_config", "_model_name_or_path", "dtype", "torch_dtype", "transformers_version")


def package_file(package: Package) -> Path:
    """The installed GGUF file of a package, its digest checked.

    Raises:
        MissingDependencyError: the package is not installed.
        CorruptArtifact: the file is another one.
    """
    spec = find_spec(package.module)
    where = Path(next(iter(spec.submodule_search_locations or []))) / package.file if spec else None
    if where is None or not where.is_file():
        raise MissingDependencyError(f"the weights of 'package:{package.name}' are not installed", hint=package.install)
    if file_sha256(where) != package.sha256:
        raise CorruptArtifact(
            f"'{package.file}' is not the registered file", digest=package.sha256, where=str(where), hint=package.install
        )
    return where


def write_model(package: Package, target: Path) -> dict[str, Any]:
    """Dequantise a package's weights into a model directory (bf16 safetensors).

    Returns:
        Facts: the digests of source and result, and the number of parameters.

    Raises:
        CorruptArtifact: the result is not the registered one, so that it would be another base model.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    file = _readable(package)
    quantised: Any = AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype=torch.float32)
    values = {k: v for k, v in quantised.config.to_dict().items() if k not in GGUF_ONLY}
    config = AutoConfig.for_model(values.pop("model_type"), **values)
    model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(quantised.state_dict())
    model.to(torch.bfloat16).save_pretrained(target, safe_serialization=True)
    made = file_sha256(target / "model.safetensors")
    if made != package.weights_sha256:
        raise CorruptArtifact(
            f"'{package.file}' gave weights with SHA-256 {made[:12]}, registered are {package.weights_sha256[:12]}",
            digest=package.weights_sha256,
            hint="install the versions of constraints.txt (transformers, gguf, safetensors)",
        )
    parameters = sum(p.numel() for p in model.parameters())
    return {"parameters": parameters, "source_sha256": package.sha256, "weights_sha256": made}


def write_tokenizer(package: Package, target: Path) -> str:
    """Save a package's tokenizer; returns the digest of its vocabulary and chat template."""
    from transformers import AutoTokenizer

    file = _readable(package)
    tokenizer: Any = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
    tokenizer.save_pretrained(target)
    return digest({"vocabulary": tokenizer.get_vocab(), "template": tokenizer.chat_template})


def _readable(package: Package) -> Path:
    if find_spec("gguf") is None:
        raise MissingDependencyError("reading GGUF weights needs the package 'gguf'", hint=package.install)
    return package_file(package)
