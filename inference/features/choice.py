"""Which spectra to take of a circuit that nobody has looked at yet."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from inference.features.cross_spectra import CrossSpectra
from inference.features.interface import features_of_all
from inference.features.spectra import SpectralFeatures
from simulators.recording import Recording

SEGMENTS_MS = (100.0, 200.0, 400.0, 800.0, 1600.0)
_WINDOWS = 4  # of a segment's length: fewer leave spectra too noisy to learn from
SIMULATIONS_TO_CHOOSE_WITH = 300
_ENOUGH = 100  # simulations, to tell features apart that differ little
_LESS = 0.9  # of the variance that powers leave unexplained: what cross-spectra may leave
_WORTH = 0.01  # of the variance: what a longer segment must explain beyond a shorter one


def chosen_spectra(
    unit_theta: Float[np.ndarray, "simulations n_parameters"],
    recordings: Sequence[Recording],
    relative: bool = False,
    band_hz: tuple[float, float] | None = None,
    segment_ms: float | None = None,
) -> SpectralFeatures:
    """Spectra, or cross-spectra, from which a linear fit explains most of theta, in cross-validation.

    Slow rhythms need long segments, broad spectra short ones, of which a recording holds more; where channels see the
    same sources, how they go together tells more than their powers. unit_theta: in the unit cube; recordings: of
    training; segment_ms: where the length is given. Raises ValueError where a recording is too short for any segment,
    or a band for all.
    """
    some = [recordings[i] for i in range(min(SIMULATIONS_TO_CHOOSE_WITH, len(recordings)))]
    unit_theta = unit_theta[: len(some)]
    rate = some[0].sampling_rate
    shortest_ms = min(recording.duration_ms for recording in some)
    lengths = [s for s in SEGMENTS_MS if s <= shortest_ms / _WINDOWS] or [min(SEGMENTS_MS[0], shortest_ms)]
    best, explained = None, -np.inf
    if segment_ms is not None:
        lengths = [segment_ms]
    for length in lengths:
        try:
            features = SpectralFeatures(rate, length, band_hz, relative)
        except ValueError:
            if length == lengths[-1] and best is None:
                raise
            continue
        share = _explained(features, some, unit_theta)
        if share > explained + _WORTH:
            best, explained = features, share
    assert best is not None
    if len(some[0].channels) == 1 or len(some) < _ENOUGH:
        return best
    together = CrossSpectra.principal(best, some)
    left = 1 - _explained(together, some, unit_theta)
    return together if left < _LESS * (1 - explained) else best


def _explained(
    features: SpectralFeatures,
    recordings: Sequence[Recording],
    unit_theta: Float[np.ndarray, "simulations n_parameters"],
) -> float:
    """Share of the variance of theta that a linear fit explains, each simulation predicted from all others."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = features_of_all(features, recordings).reshape(len(recordings), -1)
    fit = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 5, 11)))
    fit.fit(x, unit_theta)
    return 1 - _left_out(fit[0].transform(x), unit_theta, float(fit[-1].alpha_))


def _left_out(
    x: Float[np.ndarray, "simulations features"], u: Float[np.ndarray, "simulations n_parameters"], penalty: float
) -> float:
    """Share of the variance of u that ridge regression leaves, each simulation predicted from all others."""
    u = u - u.mean(0)
    kernel = x @ x.T
    hat = np.linalg.solve(kernel + penalty * np.eye(len(x)), kernel).T
    residual = (u - hat @ u) / (1 - np.diag(hat))[:, None]
    return float(np.mean((residual**2).mean(0) / u.var(0)))
