"""Named recipes, and where each value of a recipe in force comes from."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "msm-paper": {
        "method": "lora",
        "lora": {"rank": 64, "alpha": 128, "dropout": 0.0},
        "learning_rate": 1e-4,
        "warmup_share": 0.05,
        "weight_decay": 0.01,
        "clip_norm": 1.0,
        "epochs": 1,
        "max_length_tokens": 4096,
    },
    "qlora-1gpu": {
        "method": "qlora",
        "lora": {"rank": 64, "alpha": 128, "dropout": 0.0},
        "learning_rate": 1e-4,
        "precision": "bf16",
        "weights": "bf16",
        "optimizer": "paged_adamw",
        "max_length_tokens": 4096,
    },
    "full": {"method": "full", "learning_rate": 2e-5, "precision": "bf16", "max_length_tokens": 4096},
}
"""`msm-paper` is what the paper states (appendix B.4); the other two are ours."""

STUDY_LINE = "study line "
PAPER = {"learning_rate", "warmup_share", "weight_decay", "clip_norm", "epochs", "lora", "max_length_tokens", "method"}
"""Fields whose default is the paper's; what it leaves open (batch, packing, mask, end of text) is ours."""


def with_preset(values: Any) -> Any:
    """A recipe's values over those of the preset that it names; a mapping within goes deep."""
    if not isinstance(values, dict) or not isinstance(values.get("preset"), str) or values["preset"] not in PRESETS:
        return values
    out: dict[str, Any] = dict(PRESETS[values["preset"]])
    for key, value in values.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = {**out[key], **value} if both else value
    return out


def origin_of(field: str, given: Any, preset: str, line: int) -> str:
    """Where a recipe's value comes from: `study line N`, `preset NAME`, `paper` or `ours`.

    Args:
        given: the recipe as the study writes it.
        line: the field's line in the study, used where the study gives the field.
    """
    if isinstance(given, dict) and field in given:
        return f"{STUDY_LINE}{line}"
    if preset and field in PRESETS[preset]:
        return f"preset {preset}"
    return "paper" if field in PAPER else "ours"
