"""Posterior predictive: what recordings would the estimated parameters give?"""

import numpy as np
from jaxtyping import Float

from inference.estimate import Estimate
from inference.features import SpectralFeatures
from simulators.campaign import local_pool, simulate_rows
from simulators.interface import ForwardModel, Simulator


def predictive_spectra(
    estimate: Estimate,
    simulator: Simulator,
    forward_model: ForwardModel,
    features: SpectralFeatures,
    draws: int,
    rng: np.random.Generator,
    workers: int = 2,
) -> Float[np.ndarray, "draws channels frequencies"]:
    """Spectra of recordings simulated at draws from an estimate's samples; draws whose simulation fails are left out.

    Raises ValueError if the estimate has no samples, or no simulation succeeds.
    """
    if estimate.samples is None:
        raise ValueError(f"{estimate.method} has no samples to simulate from")
    theta = estimate.samples[rng.integers(len(estimate.samples), size=draws)]
    seeds = np.random.SeedSequence(int(rng.integers(2**63))).spawn(draws)
    jobs = [[(i, theta[i], seeds[i])] for i in range(draws)]
    with local_pool(workers) as pool:
        rows = [row for done in pool.map(simulate_rows, [simulator] * draws, jobs) for row in done]
    spectra = []
    for row in rows:
        if row.recording is not None and not row.recording.is_silent():
            spectra.append(features(forward_model.observe(row.recording, theta[row.number])))
    if not spectra:
        raise ValueError(f"none of {draws} posterior predictive simulations succeeded; the first: {rows[0].reason}")
    return np.stack(spectra)
