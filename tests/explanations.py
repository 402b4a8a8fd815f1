"""Answers of 'explain' that nothing was fitted for, to show."""

import numpy as np

from inference.estimate import Estimate
from inference.evaluation.departures import Departure, PredictiveCheck
from inference.explaining.comparison import BACKGROUND
from inference.explaining.explain import EXPLAINED, Explained
from inference.explaining.fits import Explanation
from inference.explaining.spectra import FEATURES, RATE_HZ
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording

N = 1400
RNG = np.random.default_rng(0)
SPACE = ParameterSpace((Parameter("J", "mV", 0.1, 0.3, "of a synapse"), Parameter("g", "1", 4.0, 6.0, "of inhibition")))
SPECTRA = FEATURES(Recording(RNG.standard_normal((1, N)), RATE_HZ, "1", ("signal",)))
MAINS = Departure(48.0, 52.0, ("signal",), 10.0, True)
LOW = Departure(12.0, 28.0, ("signal",), 0.1, True)


def estimate(trusted: bool = True, spread: float = 0.01) -> Estimate:
    samples = np.clip(
        np.array([0.1234, 5.4321]) + spread * np.array([0.2, 2.0]) * np.random.default_rng(1).normal(size=(500, 2)),
        SPACE.low,
        SPACE.high,
    )
    warnings = () if trusted else ("the posterior is far from normal",)
    return Estimate(SPACE, samples.mean(0), samples, "gradient fit", warnings, trusted)


def explanation(name, fits, departures=(), made=None, inside=0.9) -> Explanation:
    check = PredictiveCheck(SPECTRA + 0.1 * RNG.standard_normal((20, *SPECTRA.shape)), True, inside, 0.9, departures)
    return Explanation(name, 0.0 if fits else 50.0, 10.0, 0.25, check, made)


def explained(status=EXPLAINED, best="ab", fitting=("ab", "ac"), made=None, departures=(), inside=0.9, name="r.npz"):
    made = estimate() if made is None else made
    found = tuple(
        explanation(n, n in fitting, () if n in fitting else departures, made if n != BACKGROUND else None, inside)
        for n in ("ab", "ac", "d", BACKGROUND)
    )
    chosen = next((e for e in found if e.name == best), None)
    seen = FEATURES(Recording(RNG.standard_normal((1, N)), RATE_HZ, "1", ("signal",)))
    probabilities = {"ab": 0.6, "ac": 0.36, "d": 0.03, BACKGROUND: 0.01}
    circuits = {"ab": "a", "ac": "a", "d": "d", BACKGROUND: BACKGROUND}
    return Explained(
        name, "Cz", seen, FEATURES, status, "A sentence that says it.", "Try this.", chosen, found, probabilities,
        circuits=circuits,
    )  # fmt: skip
