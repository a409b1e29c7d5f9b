"""Generation settings that come with a model, put so that the model can be saved.

`save_pretrained` refuses settings that contradict each other, after a stage has been trained. Sampling settings beside
`do_sample: false` decide nothing; they are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

SAMPLING = ("temperature", "top_p", "top_k", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff")
BEAMS = ("early_stopping", "length_penalty")
TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")


def generation_of(folder: Path) -> Any:
    """The generation settings of a model directory; None where it has none."""
    from transformers import GenerationConfig

    return GenerationConfig.from_pretrained(folder, local_files_only=True) if (folder / "generation_config.json").is_file() else None


def settle_generation(model: Any) -> list[str]:
    """Leave out of a model's generation settings what could not be saved; the names of what was left out."""
    config = getattr(model, "generation_config", None)
    if config is None or _can_be_saved(config):
        return []
    from transformers import GenerationConfig

    plain, left_out = GenerationConfig(), []
    if isinstance(config.pad_token_id, int) and config.pad_token_id < 0:
        config.pad_token_id = None
        left_out.append("pad_token_id")
    for names in (SAMPLING, BEAMS):
        if _can_be_saved(config):
            break
        given = [n for n in names if getattr(config, n, None) not in (None, getattr(plain, n, None))]
        for name in given:
            setattr(config, name, getattr(plain, name, None))
        left_out += given
    if not _can_be_saved(config):
        ids = {n: v for n in TOKENS if _is_token(v := getattr(config, n, None))}
        left_out = sorted({*left_out, *config.to_diff_dict()} - {*TOKENS, "transformers_version"})
        model.generation_config = GenerationConfig(**ids)
    return left_out


def _is_token(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(isinstance(v, int) and v >= 0 for v in values)


def _can_be_saved(config: Any) -> bool:
    try:
        config.validate(strict=True)
    except (ValueError, TypeError):
        return False
    return True
