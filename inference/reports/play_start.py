"""Where the sliders of a page to play with begin: at an estimate, with the gain and the background that were found."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from inference.estimate import Estimate
from inference.estimators.gradient_fit import GradientFit
from inference.reports.play_numbers import ONE_SIDED, counted, emulated_powers
from simulators.recording import Recording
from surrogates.spectra.background import Background, ChannelNoise
from surrogates.spectra.likelihood import SpectralModel

AT_HZ = 10.0
"""Where a background's level is taken."""

_MOST_SAMPLES = 400  # of a posterior that are looked at
_TINY = 1e-300


@dataclass(frozen=True)
class FoundBackground:
    """One-sided densities, exponent and knee (Hz) as ``Background`` has them; rhythms: height over level, Hz, width."""

    level: float
    exponent: float
    knee: float
    white: float
    rhythms: list[list[float]]

    def density(self, frequencies: Float[np.ndarray, " bands"]) -> Float[np.ndarray, " bands"]:
        """In unit^2/Hz (one-sided)."""
        bend = self.knee**self.exponent
        shape = (AT_HZ**self.exponent + bend) / (frequencies**self.exponent + bend)
        for height, place, width in self.rhythms:
            shape = shape + height * np.exp(-(((frequencies - place) / width) ** 2) / 2)
        return self.level * shape + self.white


@dataclass(frozen=True, eq=False)
class Start:
    """theta: of all the emulator's parameters; mean: the posterior's, where theta is a sample that fits much better.

    gain: of power, None where the page is to make the emulator as strong as the recording; reference: power density
    (one-sided) near 10 Hz, a geometric mean over the channels.
    """

    theta: Float[np.ndarray, " n_parameters"]
    mean: Float[np.ndarray, " n_parameters"] | None
    gain: float | None
    background: FoundBackground | None
    reference: float


def start_of(fit: GradientFit, recording: Recording | None, estimate: Estimate | None, duration_ms: float) -> Start:
    """At the estimate, or in the middle of the ranges; known parameters at their values.

    Where parameters make up for one another a posterior's mean may fit worse than any of its samples. If it is less
    likely than the best of them by more nats than there are parameters, the sliders begin there. A recording is one
    that the fit is ``ready`` for; a fit with noise is asked for it. Raises ValueError as ``counted``.
    """
    model = fit.model
    transform, kept = counted(model, recording, duration_ms)
    nuisances = fit.nuisances(recording) if recording is not None and model.noise else None
    background = None if nuisances is None or model.noise is None else background_of(model.noise, nuisances)
    gain: float | None = 1.0
    if model.gain and recording is not None:
        gain = None if nuisances is None else float(torch.exp(2 * nuisances[0]))
    theta = _all_parameters(model, None if estimate is None else estimate.point[None])[0]
    centres = model.emulator.bands.centres[kept]
    observed, mean = None, None
    if recording is not None:
        observed = ONE_SIDED * transform.averaged(np.abs(transform.values.T) ** 2)[kept].T
        if estimate is not None and estimate.has_interval and estimate.samples is not None:
            some = estimate.samples[:: max(1, len(estimate.samples) // _MOST_SAMPLES)]
            tried = np.concatenate([theta[None], _all_parameters(model, some)])
            own = 0.0 if background is None else background.density(centres)
            losses = _losses(model, tried, kept, observed, transform.samples[kept], gain, own)
            if losses[0] - losses.min() > len(model.parameters):
                theta, mean = tried[losses.argmin()], theta
    near = int(np.abs(centres - AT_HZ).argmin())
    power = (emulated_powers(model, theta[None], kept)[0] if observed is None else observed)[:, near]
    return Start(theta, mean, gain, background, float(np.exp(np.log(np.maximum(power, _TINY)).mean())))


def background_of(noise: ChannelNoise, nuisances: Float[Tensor, " nuisances"]) -> FoundBackground:
    """What a fit says of the channels' noise; a noise floor is a background without a knee."""
    own = nuisances[-noise.size :].double()
    if not isinstance(noise, Background):
        white, pink = (ONE_SIDED * own.exp()).tolist()
        return FoundBackground(pink / AT_HZ, 1.0, 0.0, white, [])
    level, exponent, knee, white = own[: noise.APERIODIC].tolist()
    density = ONE_SIDED * math.exp(level)
    rhythms = own[noise.APERIODIC :].exp().reshape(-1, 3).tolist()
    return FoundBackground(density, exponent, math.exp(knee), density * math.exp(white), rhythms)


def _all_parameters(
    model: SpectralModel, free: Float[np.ndarray, "batch free"] | None
) -> Float[np.ndarray, "batch n_parameters"]:
    """With the known ones; within the ranges, which rounding may leave."""
    space = model.emulator.parameters
    theta = np.tile((space.low + space.high) / 2, (1 if free is None else len(free), 1))
    if free is not None:
        theta[:, [space.names.index(name) for name in model.parameters.names]] = free
    for name, value in model.known.items():
        theta[:, space.names.index(name)] = value
    return np.clip(theta, space.low, space.high)


def _losses(
    model: SpectralModel,
    theta: Float[np.ndarray, "batch n_parameters"],
    kept: Bool[np.ndarray, " bands"],
    observed: Float[np.ndarray, "channels kept"],
    samples: Float[np.ndarray, " kept"],
    gain: float | None,
    own: Float[np.ndarray, " kept"] | float,
) -> Float[np.ndarray, " batch"]:
    """Negative log likelihood (Whittle 1953) of the channels' powers, a mean over the channels, which go together."""
    power = emulated_powers(model, theta, kept)
    if gain is None:
        logs = np.log(np.maximum(observed, _TINY)) - np.log(power)
        power = power * np.exp(logs.mean((1, 2), keepdims=True))
    total = power * (gain or 1.0) + own
    return (samples * (observed / total + np.log(total))).sum(2).mean(1)
