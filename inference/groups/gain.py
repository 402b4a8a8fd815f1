"""The gain of a recording by a posterior that sees relative spectra, so that recordings of one amplifier can share it.

Such a posterior learns the power at a gain of one beside the parameters; what a recording has more is its gain.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from inference.estimate import Estimate
from inference.features.spectra import SpectralFeatures
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording

LOG_GAIN = "log_gain"
POWER = "log10_power"
_ROOM = 0.05  # of the range of powers, beyond those of simulations


def with_power(
    parameters: ParameterSpace,
    theta: Float[np.ndarray, "simulations n_parameters"],
    recordings: Sequence[Recording],
    features: SpectralFeatures,
) -> tuple[ParameterSpace, Float[np.ndarray, "simulations n_parameters_and_one"]]:
    """Parameters and thetas with the log power of each simulation as one more, for a posterior to learn.

    Raises ValueError for features that are not relative: these tell the power anyway.
    """
    if not features.relative:
        raise ValueError("the gain is known to features that are not relative")
    powers = np.array([log_power(recording, features) for recording in recordings])
    room = _ROOM * np.ptp(powers)
    power = Parameter(POWER, "1", powers.min() - room, powers.max() + room, "of the recording at a gain of one")
    return ParameterSpace((*parameters, power)), np.column_stack([theta, powers])


def log_power(recording: Recording, features: SpectralFeatures) -> float:
    """log10 of the sum of the densities that the features see, in unit^2/Hz."""
    return float(np.log10(features.power(recording).sum()))


def with_gain(estimate: Estimate, recording: Recording, features: SpectralFeatures) -> Estimate:
    """Without the power among the parameters, and with draws of the log gain instead.

    recording: as the estimator sees it. Raises ValueError for an estimate without draws of the power.
    """
    if estimate.samples is None or estimate.names[-1] != POWER:
        raise ValueError(f"the {estimate.method or 'estimate'} has not learned the power; train it with 'with_power'")
    gain = np.log(10) / 2 * (log_power(recording, features) - estimate.samples[:, -1])
    space = ParameterSpace(tuple(estimate.parameters)[:-1])
    return replace(
        estimate, parameters=space, point=estimate.point[:-1], samples=estimate.samples[:, :-1],
        nuisances={**estimate.nuisances, LOG_GAIN: gain},
    )  # fmt: skip
