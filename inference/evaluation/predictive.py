"""Posterior predictive: what recordings would the estimated parameters give?"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from inference.estimate import Estimate
from inference.estimators.gradient_fit import GradientFit
from inference.features.interface import Features
from inference.recordings.conform import resampled
from simulators.campaigns.rows import simulate_rows
from simulators.campaigns.workers import local_pool
from simulators.interface import Simulator
from simulators.recording import Recording

_LONGEST_MS = 60_000.0  # of an emulated recording


def predictive_spectra(
    estimate: Estimate,
    simulator: Simulator,
    features: Features,
    draws: int,
    rng: np.random.Generator,
    workers: int = 2,
) -> Float[np.ndarray, "draws channels values"]:
    """Spectra of recordings simulated at draws from an estimate's samples; draws whose simulation fails are left out.

    Raises ValueError if the estimate has no samples, or no simulation succeeds.
    """
    if estimate.samples is None:
        raise ValueError(f"{estimate.method} has no samples to simulate from")
    space = estimate.parameters
    chosen = estimate.samples[rng.integers(len(estimate.samples), size=draws)]
    theta = np.clip(chosen, space.low, space.high)  # rounding may leave the box
    seeds = np.random.SeedSequence(int(rng.integers(2**63))).spawn(draws)
    jobs = [(i, theta[i], seeds[i]) for i in range(draws)]
    if hasattr(simulator, "batch_size"):  # side by side they need no other processes
        size = int(simulator.batch_size)
        rows = [row for k in range(0, draws, size) for row in simulate_rows(simulator, jobs[k : k + size])]
    else:
        with local_pool(workers) as pool:
            rows = [row for done in pool.map(simulate_rows, [simulator] * draws, [[j] for j in jobs]) for row in done]
    spectra = []
    for row in rows:
        if row.recording is not None and not row.recording.is_silent():
            spectra.append(features(resampled(row.recording, features.sampling_rate)))
    if not spectra:
        raise ValueError(f"none of {draws} posterior predictive simulations succeeded; the first: {rows[0].reason}")
    return np.stack(spectra)


def emulated_spectra(
    fit: GradientFit, estimate: Estimate, recording: Recording, draws: int, rng: np.random.Generator
) -> Float[np.ndarray, "draws channels frequencies"]:
    """Spectra of recordings that the fit's emulator draws at samples of its ``estimate``, as long as the recording.

    No network is simulated: this takes a fraction of a second. Recordings are drawn as long as one minute at most; the
    bands of longer ones are a little too wide. Raises ValueError if the estimate has no samples.
    """
    if estimate.samples is None:
        raise ValueError(f"{estimate.method} has no samples to draw recordings from")
    space, features = fit.parameters, fit.features
    chosen = estimate.samples[rng.integers(len(estimate.samples), size=draws)]
    theta = np.clip(chosen, space.low, space.high)  # rounding may leave the box
    drawn = fit.draw(theta, min(recording.duration_ms, _LONGEST_MS), fit.nuisances(recording), rng)
    # As channels of one recording, whose spectra are taken at once: that is ten times faster than one after the other.
    names = tuple(f"{i}, {c}" for i, r in enumerate(drawn) for c in r.channels)
    together = replace(drawn[0], values=np.concatenate([r.values for r in drawn]), channels=names)
    absolute = replace(features, relative=False)
    power = 10 ** absolute(resampled(together, features.sampling_rate)).reshape(draws, len(fit.channels), -1)
    return np.log10(power / power.sum((1, 2), keepdims=True) if features.relative else power)


def share_inside(
    observed: Float[np.ndarray, "channels frequencies"], predictive: Float[np.ndarray, "draws _channels _frequencies"]
) -> tuple[float, float]:
    """Share of the observed spectrum inside the band of the predictive ones; and the share expected of so few draws.

    Of n draws a band from the 5 % to the 95 % quantile holds 0.9 (n - 1) / (n + 1) of further ones. Raises ValueError
    where the shapes do not fit.
    """
    if predictive.shape[1:] != observed.shape:
        raise ValueError(f"predictive spectra have shape {predictive.shape}; expected (draws, *{observed.shape})")
    low, high = np.quantile(predictive, BAND, axis=0)
    n = len(predictive)
    return float(np.mean((observed >= low) & (observed <= high))), (BAND[1] - BAND[0]) * (n - 1) / (n + 1)


BAND = (0.05, 0.95)
"""Quantiles of the posterior predictive band."""
