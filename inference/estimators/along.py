"""What a posterior learns beside the parameters, so that recordings can share it: the gain, the depth, a background.

Of relative spectra the gain is learned as the power at a gain of one: what a recording has more is its gain.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from inference.estimate import Estimate
from inference.features.interface import Features
from inference.features.spectra import SpectralFeatures
from inference.features.timed import TimedSpectra
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording
from surrogates.spectra.background import Background

LOG_GAIN = "log_gain"
POWER = "log10_power"
DEPTH = "depth"
EXPONENT = "background_exponent"
EXPONENT_PRIOR = Background.MEAN[0], Background.SD[0]
_ROOM = 0.05  # of the range of powers, beyond those of simulations


def tells_gain(features: Features) -> bool:
    """Whether a posterior by these features can learn the gain: they are spectra that do not tell the power."""
    return isinstance(features, SpectralFeatures | TimedSpectra) and features.scale_free


def log_power(recording: Recording, features: Features) -> float:
    """log10 of the sum of the densities that the features see, in unit^2/Hz."""
    spectra = features.spectra if isinstance(features, TimedSpectra) else features
    assert isinstance(spectra, SpectralFeatures)
    return float(np.log10(spectra.power(recording).sum()))


def power_parameter(powers: Sequence[float]) -> Parameter:
    """The log power of simulations at a gain of one, as one more number to learn."""
    room = _ROOM * max(float(np.ptp(powers)), 1e-3)
    return Parameter(POWER, "1", min(powers) - room, max(powers) + room, "of the recording at a gain of one")


def apart(estimate: Estimate, along: Sequence[Parameter], recording: Recording, features: Features) -> Estimate:
    """With what was learned along, the last columns of its samples, as nuisances; of a power the log gain.

    recording: as the estimator sees it.
    """
    if not along or estimate.samples is None:
        return estimate
    n = len(estimate.parameters) - len(along)
    nuisances = dict(zip((p.name for p in along), estimate.samples[:, n:].T, strict=True))
    # The power has no prior of its own, the exponent a normal one.
    ranges = {p.name: (p.low, p.high) for p in along if p.name not in (POWER, EXPONENT)}
    if POWER in nuisances:
        more = log_power(recording, features) - nuisances.pop(POWER)
        nuisances[LOG_GAIN] = np.log(10) / 2 * more
    return replace(
        estimate, parameters=ParameterSpace(tuple(estimate.parameters)[:n]), point=estimate.point[:n],
        samples=estimate.samples[:, :n], nuisances=nuisances, nuisance_ranges=ranges,
        nuisance_priors={p.name: EXPONENT_PRIOR for p in along if p.name == EXPONENT},
    )  # fmt: skip
