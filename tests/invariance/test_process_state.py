"""A stage leaves the process as it found it: the next step must not compute by what the last one set."""

from __future__ import annotations

import numpy as np
import torch

from specsci.train.stage import flushed_denormals

DENORMAL = 1e-40


def halved() -> tuple[float, float]:
    """A denormal number halved by torch and by NumPy."""
    return float(torch.tensor([DENORMAL]) * 0.5), float(np.float32(DENORMAL) * np.float32(0.5))


def test_denormals_are_flushed_inside_a_stage_and_kept_after_it() -> None:
    before = halved()
    with flushed_denormals():
        assert halved()[0] == 0.0
    assert halved() == before and min(before) > 0.0
