"""All diagnostics of some estimators on one set of simulated recordings, and a page that says what they found."""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from jaxtyping import Float
from rich.progress import track
from scipy import stats

from inference.estimate import Estimate
from inference.estimators.base import BaseEstimator
from inference.estimators.gradient_fit import GradientFit
from inference.evaluation.calibration import (
    Finding,
    Misspecification,
    expected_coverage,
    local_agreement,
    rank_calibration,
    recovery,
)
from inference.evaluation.predictive import predictive_spectra, share_inside
from simulators.interface import ParameterSpace, Simulator
from simulators.recording import Recording

_DRAWS = 200  # of each posterior: enough to rank a truth among
_LOCAL = 15  # recordings at which the posterior is tested locally
STRANGE = 40
"""Recordings to which the test for misspecification is put."""

_AT_ONCE = 16  # recordings that a gradient fit descends on together
_SIGNIFICANT = 0.05
_COMPONENTS = 8


def estimated(
    estimator: BaseEstimator, recordings: Sequence[Recording], progress: bool = True
) -> list[Estimate | None]:
    """The estimate of every recording; None where the estimator refused it."""

    groups = [recordings[i : i + _AT_ONCE] for i in range(0, len(recordings), _AT_ONCE)]
    bar = track(groups, estimator.kind, disable=not progress, transient=True)
    return [estimate for group in bar for estimate in _estimated_group(estimator, group)]


def _estimated_group(estimator: BaseEstimator, recordings: Sequence[Recording]) -> list[Estimate | None]:
    if isinstance(estimator, GradientFit):
        with suppress(ValueError):  # one that is refused, or of another length: each is asked alone
            return list(estimator.estimate_each(recordings))
    return [_estimate(estimator, recording) for recording in recordings]


def _estimate(estimator: BaseEstimator, recording: Recording) -> Estimate | None:
    try:
        return estimator.estimate(recording)
    except ValueError:
        return None


def posterior_findings(
    space: ParameterSpace,
    theta: Float[np.ndarray, "recordings n_parameters"],
    estimates: Sequence[Estimate | None],
    spectra: Float[np.ndarray, "recordings features"],
    seed: int = 0,
) -> list[Finding]:
    """Ranks, coverage, local agreement and recovery. spectra: one row a recording, for the local test."""
    rng = np.random.default_rng(seed)
    samples = np.full((len(theta), _DRAWS, len(space)), np.nan)
    points = np.full(theta.shape, np.nan)
    for i, estimate in enumerate(estimates):
        if estimate is not None and estimate.samples is not None:
            samples[i] = estimate.samples[rng.integers(len(estimate.samples), size=_DRAWS)]
            points[i] = estimate.point
    asked = rng.choice(len(theta), min(_LOCAL, len(theta) // 4), replace=False).tolist()
    return [
        rank_calibration(space, theta, samples),
        expected_coverage(space, theta, samples, seed),
        local_agreement(space, theta, samples, principal(spectra), asked),
        recovery(space, theta, points),
    ]


def principal(x: Float[np.ndarray, "rows features"]) -> Float[np.ndarray, "rows components"]:
    """Principal components of the rows that are finite; the others stay without."""
    from sklearn.decomposition import PCA

    keep = np.isfinite(x).all(1)
    n = min(_COMPONENTS, keep.sum(), x.shape[1])
    out = np.full((len(x), n), np.nan)
    out[keep] = PCA(n, whiten=True, random_state=0).fit_transform(x[keep])
    return out


def misspecification_finding(
    simulated: Float[np.ndarray, "simulations features"], recorded: Float[np.ndarray, "recordings features"]
) -> Finding:
    """Does the test for recordings of another kind leave those of this kind alone?"""
    test = Misspecification(simulated)
    asked = recorded[np.isfinite(recorded).all(1)]
    flagged = float(np.mean([test.p_value(x) < _SIGNIFICANT for x in asked]))
    allowed = stats.binom.ppf(0.999, len(asked), _SIGNIFICANT) / len(asked)
    good = bool(flagged <= allowed)
    text = f"{flagged:.0%} of {len(asked)} recordings are called unlike the simulations (chance: up to {allowed:.0%})"
    return Finding("misspecification", "quiet" if good else "raises its hand", good, text, {"flagged": flagged})


def predictive_finding(
    answered: Sequence[tuple[Estimate, Recording]],
    estimator: BaseEstimator,
    simulator: Simulator,
    draws: int = 24,
    seed: int = 0,
) -> Finding:
    """Posterior predictive check: do simulations at draws from the posterior give features like the recording's?"""
    rng = np.random.default_rng(seed)
    shares = []
    for estimate, recording in answered:
        predicted = predictive_spectra(estimate, simulator, estimator.features, draws, rng)
        shares.append(share_inside(estimator.features(estimator.ready(recording)), predicted))
    inside, expected = np.mean(shares, axis=0)
    good = bool(inside > expected - 0.15)
    text = (
        f"{inside:.0%} of the spectra of {len(shares)} recording{'s' * (len(shares) > 1)} lie in the band of networks "
        f"drawn from the posterior, {expected:.0%} would be expected"
    )
    verdict = "explains" if good else "does not explain"
    return Finding("posterior predictive check", verdict, good, text, {"inside": float(inside)})
