"""Which spectra to take of a circuit that nobody has looked at yet."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from inference.features.interface import features_of_all
from inference.features.spectra import SpectralFeatures
from simulators.recording import Recording

SEGMENTS_MS = (100.0, 200.0, 400.0, 800.0, 1600.0)
_WINDOWS = 4  # of a segment's length: fewer leave spectra too noisy to learn from
SIMULATIONS_TO_CHOOSE_WITH = 300
_WORTH = 0.01  # of the variance: what a longer segment must explain beyond a shorter one


def chosen_spectra(
    unit_theta: Float[np.ndarray, "simulations n_parameters"],
    recordings: Sequence[Recording],
    relative: bool = False,
    band_hz: tuple[float, float] | None = None,
) -> SpectralFeatures:
    """Spectra in segments of the length from which a linear fit explains most of theta, in cross-validation.

    Slow rhythms need long segments, broad spectra short ones, of which a recording holds more. unit_theta: in the unit
    cube; recordings: of training. Raises ValueError where a recording is too short for any segment, or a band for all.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    some = range(min(SIMULATIONS_TO_CHOOSE_WITH, len(recordings)))
    rate = recordings[0].sampling_rate
    shortest_ms = min(recordings[i].duration_ms for i in some)
    lengths = [s for s in SEGMENTS_MS if s <= shortest_ms / _WINDOWS] or [min(SEGMENTS_MS[0], shortest_ms)]
    best, explained = None, -np.inf
    for segment_ms in lengths:
        try:
            features = SpectralFeatures(rate, segment_ms, band_hz, relative)
        except ValueError:
            if segment_ms == lengths[-1] and best is None:
                raise
            continue
        x = features_of_all(features, (recordings[i] for i in some)).reshape(len(some), -1)
        fit = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 5, 11)))
        fit.fit(x, unit_theta[: len(some)])
        ridge = fit[-1]
        share = 1 - _left_out(fit[0].transform(x), unit_theta[: len(some)], float(ridge.alpha_))
        if share > explained + _WORTH:
            best, explained = features, share
    assert best is not None
    return best


def _left_out(
    x: Float[np.ndarray, "simulations features"], u: Float[np.ndarray, "simulations n_parameters"], penalty: float
) -> float:
    """Share of the variance of u that ridge regression leaves, each simulation predicted from all others."""
    u = u - u.mean(0)
    kernel = x @ x.T
    hat = np.linalg.solve(kernel + penalty * np.eye(len(x)), kernel).T
    residual = (u - hat @ u) / (1 - np.diag(hat))[:, None]
    return float(np.mean((residual**2).mean(0) / u.var(0)))
