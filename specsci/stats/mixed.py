"""Models of single answers: logistic and linear mixed models with effects of replicate and item, and GEE as a check."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from specsci.stats.contrast import ContrastResult
from specsci.stats.laws import t_quantile, t_tail

Array = np.ndarray
FEWEST_GROUPS = 2
PRIOR_SD = 2.0
"""Prior standard deviation of each arm's log odds in the mixed logistic model."""
START_SD = math.exp(-0.5)
"""Where the variational fit starts, at a mean of 0: the same place every time."""


def mixed_logistic(
    aligned: Array, arm: Array, replicate: Array, item: Array, weights: Array, confidence: float = 0.95
) -> ContrastResult:
    """A contrast of log odds from a logistic model with crossed random effects of replicate and item (variational Bayes).

    Args:
        aligned: 0 or 1 per answer, shape (answers,).
        arm: index into `weights` per answer.
        replicate, item: labels per answer.

    The effect is one for all replicates: where it differs between them, the interval is too narrow for others.
    """
    from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM

    weights = np.asarray(weights, float)
    fixed = np.eye(len(weights))[np.asarray(arm, int)]
    random, idents = _indicators(replicate, item)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = BinomialBayesMixedGLM(np.asarray(aligned, float), fixed, random, idents, fe_p=PRIOR_SD)
        start = np.zeros(model.k_fep + model.k_vcp + model.k_vc)
        fitted = model.fit_vb(mean=start, sd=np.full(len(start), START_SD))
    said = f"mixed logistic, variational Bayes, prior SD {PRIOR_SD:g} on each arm's log odds"
    result = _of(fitted.fe_mean, np.diag(np.square(fitted.fe_sd)), weights, confidence, said)
    return replace(result, n=len(np.unique(replicate)))


def mixed_linear(values: Array, arm: Array, replicate: Array, weights: Array, confidence: float = 0.95) -> ContrastResult:
    """A contrast of means from a linear mixed model: every replicate has its own arm effects, drawn around the common ones.

    Args:
        values: answers (0 or 1) or values per item, shape (answers,).
        arm: index into `weights` per answer.
        replicate: label per answer.

    Random effects of the arms by replicate let the effect differ between bases, so that the interval (a t over the
    replicates) is for replicates to come. Fitted by REML (statsmodels MixedLM).

    Raises:
        ValueError: fewer than two replicates, or the fit does not converge.
    """
    from statsmodels.regression.mixed_linear_model import MixedLM

    weights, groups = np.asarray(weights, float), np.unique(replicate, return_inverse=True)[1]
    count = int(groups.max()) + 1
    if count < FEWEST_GROUPS:
        raise ValueError("a mixed model needs at least two replicates")
    fixed = np.eye(len(weights))[np.asarray(arm, int)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model: Any = MixedLM(np.asarray(values, float), fixed, groups, exog_re=fixed)
            fitted = model.fit(reml=True)
        except np.linalg.LinAlgError as error:
            raise ValueError(f"the mixed model cannot be fitted: {error}") from error
    if not fitted.converged or not np.isfinite(fitted.bse_fe).all():
        raise ValueError("the mixed model did not converge")
    k = len(weights)
    result = _of(
        fitted.fe_params, np.asarray(fitted.cov_params())[:k, :k], weights, confidence, "linear mixed model, REML", count - 1
    )
    return replace(result, n=count, method="linear mixed model, random arm effects by replicate, REML (rate scale)")


def gee_logistic(aligned: Array, arm: Array, group: Array, weights: Array, confidence: float = 0.95) -> ContrastResult:
    """A contrast of log odds by generalised estimating equations: answers of a group may depend on each other in any way.

    The sandwich variance is Mancl and DeRouen's bias-reduced one, and the reference distribution a t over the groups.

    Raises:
        ValueError: fewer than two groups.
    """
    from statsmodels.genmod.cov_struct import Independence
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_estimating_equations import GEE

    weights, groups = np.asarray(weights, float), np.unique(group, return_inverse=True)[1]
    count = int(groups.max()) + 1
    if count < FEWEST_GROUPS:
        raise ValueError("estimating equations need at least two groups")
    order = np.argsort(groups, kind="stable")
    fixed = np.eye(len(weights))[np.asarray(arm, int)]
    model: Any = GEE(
        np.asarray(aligned, float)[order], fixed[order], groups[order], family=Binomial(), cov_struct=Independence()
    )
    fitted = model.fit(cov_type="bias_reduced")
    result = _of(fitted.params, fitted.cov_params(), weights, confidence, f"GEE over {count} groups", count - 1)
    return result


def _indicators(*factors: Array) -> tuple[sparse.csr_array, Array]:
    """A column for every level of every factor, shape (answers, levels), and the factor that each column is of, (levels,)."""
    columns, of = [], []
    for number, labels in enumerate(factors):
        index = np.unique(labels, return_inverse=True)[1]
        place = (np.ones(len(index)), (np.arange(len(index)), index))
        columns.append(sparse.csr_array(place))
        of += [number] * columns[-1].shape[1]
    return sparse.hstack(columns, format="csr"), np.array(of)


def _of(
    means: Array, covariance: Array, weights: Array, confidence: float, method: str, freedom: float = math.inf
) -> ContrastResult:
    estimate = float(weights @ means)
    se = math.sqrt(float(weights @ np.asarray(covariance) @ weights))
    statistic = estimate / se if se > 0 else math.nan
    p = float(2 * t_tail(abs(statistic), freedom)) if se > 0 else math.nan
    half = float(t_quantile(0.5 + confidence / 2, freedom)) * se
    n = int(freedom) + 1 if math.isfinite(freedom) else 0
    said = method + " (logit scale)"
    return ContrastResult(estimate, se, statistic, p, estimate - half, estimate + half, n, said, (), freedom)
