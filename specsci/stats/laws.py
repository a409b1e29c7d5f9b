"""Tails and quantiles of the normal and Student's t law, from `scipy.special`: `scipy.stats` has the same values but takes two seconds to import.

Arguments may be arrays. Infinite degrees of freedom make t the normal law; a NaN stays one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special


def normal_quantile(p: Any) -> Any:
    """The value that a standard normal variable stays below with probability p."""
    return special.ndtri(p)


def normal_cdf(z: Any) -> Any:
    """The probability that a standard normal variable is at most z."""
    return special.ndtr(z)


def normal_tail(z: Any) -> Any:
    """The probability that a standard normal variable exceeds z."""
    return special.ndtr(-z)


def t_quantile(p: Any, freedom: Any) -> Any:
    """The value that Student's t with these degrees of freedom stays below with probability p."""
    return special.stdtrit(freedom, p)


def t_cdf(t: Any, freedom: Any) -> Any:
    """The probability that Student's t is at most t."""
    return special.stdtr(freedom, t)


def t_tail(t: Any, freedom: Any) -> Any:
    """The probability that Student's t exceeds t."""
    return special.stdtr(freedom, -t)


def normal_density(z: Any) -> Any:
    """The density of a standard normal variable at z."""
    return np.exp(-np.square(z) / 2) / math.sqrt(2 * math.pi)
