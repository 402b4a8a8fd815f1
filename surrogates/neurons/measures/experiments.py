"""Experiments on a single cell or its surrogate (Olah et al. 2022, figs. 1-4), told only how to get answers to events.

So that a cell in NEURON and a surrogate can be compared, both are given the same events: those that draw them stand
apart from what is measured.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Real
from scipy.optimize import curve_fit
from scipy.signal import lfilter
from scipy.stats import linregress

from simulators.cells.cell import Cell
from simulators.cells.inputs import InputProtocol, Synapse, SynapticEvents
from simulators.cells.simulator import CellSimulator
from simulators.interface import ParameterSpace
from simulators.recording import Recording

Respond = Callable[[Sequence[SynapticEvents], float], list[Recording]]
"""What one does for each list of events, from rest, for so many ms: recordings of V (mV), spikes and other channels.

``TrainedNeuron.respond`` is one.
"""

_CELLS_AT_ONCE = 100
_ONSET_MS = 50.0  # of the first event: by then a cell that was not quite at rest is


def in_neuron(cell: Cell, sample_ms: float = 1.0, dt_ms: float = 0.025) -> Respond:
    """The cell itself, in NEURON."""

    def respond(events: Sequence[SynapticEvents], duration_ms: float) -> list[Recording]:
        simulator = CellSimulator(cell, duration_ms=duration_ms, sample_ms=sample_ms, dt_ms=dt_ms)
        parts = [events[k : k + _CELLS_AT_ONCE] for k in range(0, len(events), _CELLS_AT_ONCE)]
        return [recording for part in parts for recording in simulator.respond(part)]

    return respond


def events_of(
    times_ms: Sequence[float] | Real[np.ndarray, " events"], synapse: int, weight_uS: float
) -> SynapticEvents:
    """Equal events at one synapse."""
    n = len(times_ms)
    return SynapticEvents(np.asarray(times_ms, float), np.full(n, synapse), np.full(n, float(weight_uS)))


def together(parts: Sequence[SynapticEvents]) -> SynapticEvents:
    """The events of all parts."""
    times, synapses, weights = zip(*((e.times_ms, e.synapses, e.weights_uS) for e in parts), strict=True)
    return SynapticEvents(np.concatenate(times), np.concatenate(synapses), np.concatenate(weights))


@dataclass(frozen=True)
class QuantalCurve:
    """Responses to single events. amplitude_mV: peak above rest; fired: whether there was a spike.

    slope (mV/nS, with its standard error) and r: of a straight line through the sizes that do not fire, up to
    ``fitted_nS``; threshold_mV: the highest V of a response without a spike, NaN if none fires or all do.
    """

    sizes_nS: Float[np.ndarray, " sizes"]
    amplitude_mV: Float[np.ndarray, " sizes"]
    fired: Bool[np.ndarray, " sizes"]
    slope: float
    slope_error: float
    r: float
    threshold_mV: float


def quantal_curve(
    respond: Respond, sizes_nS: Float[np.ndarray, " sizes"], fitted_nS: float = 3.5, synapse: int = 0
) -> QuantalCurve:
    """One event of each size, on a cell at rest."""
    recordings = respond([events_of([_ONSET_MS], synapse, 1e-3 * size) for size in sizes_nS], _ONSET_MS + 50.0)
    before = round(_ONSET_MS * recordings[0].sampling_rate / 1e3)
    v = np.stack([r.values[0] for r in recordings])
    peak = v[:, before:].max(1)
    fired = np.array([r.values[1, before:].sum() > 0 for r in recordings])
    amplitude = (peak - v[:, before - 1]).astype(float)
    small = ~fired & (sizes_nS <= fitted_nS + 1e-9)
    slope = error = r = float("nan")
    if small.sum() > 2:
        line = linregress(sizes_nS[small], amplitude[small])
        slope, error, r = float(line.slope), float(line.stderr), float(line.rvalue)
    threshold = float(peak[~fired].max()) if fired.any() and not fired.all() else float("nan")
    return QuantalCurve(sizes_nS, amplitude, fired, slope, error, r, threshold)


def trains(
    intervals_ms: Sequence[float], pulses: int, weight_uS: float, synapses: Sequence[int] = (0,)
) -> list[SynapticEvents]:
    """For each interval a train of so many pulses, each an event at all of the synapses."""
    times = [_ONSET_MS + interval * np.arange(pulses) for interval in intervals_ms]
    return [together([events_of(t, synapse, weight_uS) for synapse in synapses]) for t in times]


def scattered(
    events: SynapticEvents, synapse: int, mean_uS: float, sd_uS: float, rng: np.random.Generator
) -> SynapticEvents:
    """The same events with random quanta at one synapse: normal, and never negative."""
    weights = np.where(
        events.synapses == synapse, np.maximum(rng.normal(mean_uS, sd_uS, len(events)), 0.0), events.weights_uS
    )
    return SynapticEvents(events.times_ms, events.synapses, weights)


def balanced(
    synapses: Sequence[Synapse],
    rates_hz: Float[np.ndarray, " rates"],
    ratio: float,
    repeats: int,
    duration_ms: float,
    rng: np.random.Generator,
) -> list[SynapticEvents]:
    """Excitation at each rate ``repeats`` times, ``ratio`` times as often as inhibition, at distinct milliseconds.

    Excitation goes to the first excitatory synapse, inhibition to the first inhibitory one. Raises ValueError if there
    are more events of a kind than milliseconds.
    """
    first = [next(k for k, s in enumerate(synapses) if s.inhibitory == inhibitory) for inhibitory in (False, True)]
    found = []
    for rate in np.repeat(rates_hz, repeats):
        parts = []
        for k, hz in zip(first, (rate, rate / ratio), strict=True):
            n = round(hz * duration_ms / 1e3)
            if n > duration_ms:
                raise ValueError(f"{n} events do not fit into {duration_ms:g} distinct milliseconds")
            parts.append(events_of(rng.choice(int(duration_ms), n, replace=False), k, synapses[k].weight_uS))
        found.append(together(parts))
    return found


def firing_rates(respond: Respond, events: Sequence[SynapticEvents], duration_ms: float) -> Float[np.ndarray, " lists"]:
    """Spikes a second in answer to each list of events."""
    return np.array([r.values[1].sum() for r in respond(events, duration_ms)]) / (1e-3 * duration_ms)


class Logistic(NamedTuple):
    """top / (1 + exp(-(x - middle) / width)): normalisation by division, where firing saturates."""

    top: float
    middle: float
    width: float

    def __call__(self, x: Float[np.ndarray, " xs"]) -> Float[np.ndarray, " xs"]:
        """The curve at each x."""
        return self.top / (1 + np.exp(-(x - self.middle) / self.width))


def fit_logistic(x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"]) -> Logistic:
    """Least squares. A cell that never fires has top 0."""
    span = float(np.ptp(x))
    if not y.any():
        return Logistic(0.0, float(x.mean()), span)
    bounds = ([0.0, float(x.min()) - span, span / 1e3], [10 * float(y.max()), float(x.max()) + span, 10 * span])
    start = (float(y.max()), float(x.mean()), span / 6)

    def curve(x: np.ndarray, top: float, middle: float, width: float) -> np.ndarray:
        return Logistic(top, middle, width)(x)

    return Logistic(*(float(p) for p in curve_fit(curve, x, y, p0=start, bounds=bounds)[0]))


def agreement(predicted: Float[np.ndarray, " points"], true: Float[np.ndarray, " points"]) -> float:
    """R2; NaN where what is true does not change."""
    spread = np.square(true - true.mean()).sum()
    return float(1 - np.square(predicted - true).sum() / spread) if spread > 0 else float("nan")


@dataclass(frozen=True)
class Drift:
    """Does a free-running surrogate get worse with time?

    explained: share of V's variance, of all runs together, in each stretch; difference_mV: mean absolute, likewise.
    Slopes are per second, with standard errors over runs and stretches.
    """

    explained: Float[np.ndarray, " stretches"]
    difference_mV: Float[np.ndarray, " stretches"]
    explained_slope: tuple[float, float]
    difference_slope: tuple[float, float]


def drift(
    predicted: Float[np.ndarray, "runs bins"],
    true: Float[np.ndarray, "runs bins"],
    bin_ms: float,
    stretch_ms: float = 5000.0,
) -> Drift:
    """Of V (mV). Raises ValueError for less than two whole stretches."""
    width = round(stretch_ms / bin_ms)
    stretches = true.shape[1] // width
    if stretches < 2:
        raise ValueError(f"runs of {true.shape[1] * bin_ms:g} ms have no two stretches of {stretch_ms:g} ms")
    size = (len(true), stretches, width)
    p, q = (v[:, : stretches * width].reshape(size).astype(float) for v in (predicted, true))
    # Each stretch by the variance of all: quiet ones would otherwise count for much more than loud ones.
    unexplained = np.square(p - q).mean(2) / q.var(2).mean()
    difference = np.abs(p - q).mean(2)
    seconds = np.tile(1e-3 * stretch_ms * (np.arange(stretches) + 0.5), len(true))
    lines = [linregress(seconds, y.ravel()) for y in (1 - unexplained, difference)]
    slopes = [(float(line.slope), float(line.stderr)) for line in lines]
    return Drift(1 - unexplained.mean(0), difference.mean(0), slopes[0], slopes[1])


def coincidence_window_ms(
    respond: Respond, synapses: Sequence[int], weight_uS: float, intervals_ms: Sequence[float]
) -> float:
    """Longest of the intervals at which two pulses together fire a cell that one alone does not.

    Each pulse is an event at all of the synapses. Only intervals before the first that does not fire count. NaN if one
    pulse alone fires; 0 if no pair does.
    """
    single, pairs = trains([0.0], 1, weight_uS, synapses), trains(intervals_ms, 2, weight_uS, synapses)
    duration_ms = _ONSET_MS + max(intervals_ms) + 50.0
    alone, *fired = (r.values[1].sum() > 0 for r in respond(single + pairs, duration_ms))
    if alone:
        return float("nan")
    n = [*fired, False].index(False)
    return float(intervals_ms[n - 1]) if n else 0.0


class Deviation(NamedTuple):
    """Mean of control minus changed V (mV) where the control is below, and above, rest: means and standard deviations
    over runs."""

    below: tuple[float, float]
    above: tuple[float, float]


def deviation(
    control: Float[np.ndarray, "runs bins"], changed: Float[np.ndarray, "runs bins"], rest_mV: float
) -> Deviation:
    """Of two answers to the same events."""
    found = []
    for where in (control < rest_mV, control >= rest_mV):
        means = [float((c - d)[w].mean()) for c, d, w in zip(control, changed, where, strict=True) if w.any()]
        found.append((float(np.mean(means)), float(np.std(means))) if means else (float("nan"), float("nan")))
    return Deviation(*found)


def conductances(
    events: Float[np.ndarray, "runs bins synapses"], synapses: Sequence[Synapse], bin_ms: float
) -> Float[np.ndarray, "runs bins synapses"]:
    """Conductance (uS) of each synapse at the end of each bin, from events (uS) that come as the bins begin."""
    found = np.empty(events.shape)
    for k, s in enumerate(synapses):
        peak = s.rise_ms * s.decay_ms / (s.decay_ms - s.rise_ms) * np.log(s.decay_ms / s.rise_ms)
        norm = 1 / (np.exp(-peak / s.decay_ms) - np.exp(-peak / s.rise_ms))
        rise, decay = np.exp(-bin_ms / s.rise_ms), np.exp(-bin_ms / s.decay_ms)
        now = norm * events[..., k].astype(float)
        found[..., k] = lfilter([decay], [1, -decay], now) - lfilter([rise], [1, -rise], now)
    return found


@dataclass(frozen=True)
class Jittered:
    """Events of a protocol, each of which comes one step (ms) earlier or later.

    The events themselves are those that the protocol draws with the same generator.
    """

    protocol: InputProtocol
    step_ms: float = 0.025

    @property
    def parameters(self) -> ParameterSpace:
        return self.protocol.parameters

    def draw(
        self,
        theta: Float[np.ndarray, " n_parameters"],
        synapses: Sequence[Synapse],
        duration_ms: float,
        rng: np.random.Generator,
    ) -> SynapticEvents:
        events = self.protocol.draw(theta, synapses, duration_ms, rng)
        moved = events.times_ms + self.step_ms * rng.choice((-1.0, 1.0), len(events))
        return SynapticEvents(np.maximum(moved, 0.0), events.synapses, events.weights_uS)
