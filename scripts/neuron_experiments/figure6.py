"""Figure 6 and its supplement: layers on top of a surrogate, and what can be read back from indicators."""

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.signal import find_peaks

from neuron_experiments.figure1 import active_runs, percent
from neuron_experiments.rows import Row
from neuron_experiments.study import Study, console
from simulators.cells.cell import Cell, LiveCell, Output
from simulators.cells.inputs import Synapse
from simulators.cells.point import AMPA, GABA, PointCell
from simulators.cells.simulator import CellSimulator
from surrogates.indicators.formulas import gcamp6f, spikes_from_gcamp6f, voltage_dye, voltage_from_dye
from surrogates.indicators.izhikevich import fit_firing, fit_izhikevich
from surrogates.indicators.networks import CALCIUM_MS, DYE_MS, fit_indicator
from surrogates.neurons.measures.experiments import conductances, events_of
from surrogates.neurons.measures.scores import correlation, match_spikes, variance_explained
from surrogates.neurons.training.data import Runs, respond

_BIN_MS = 0.5
_SETTLED_MS = 20.0
_ONSET_MS = 50.0
_UNIT = 17.0  # from nA to the model's current, which the published parameters leave open
FAST_SPIKING = PointCell(
    leak_S_per_cm2=1e-4,
    celsius=16.0,
    synapses=(replace(AMPA, weight_uS=2.5e-4), replace(GABA, weight_uS=8e-4)),
)
"""A small leak and fast channels: 120 Hz and more under steady currents, from its first spikes on."""


@dataclass(frozen=True)
class Clamped:
    """A cell into whose soma a steady current (nA) flows from ``_ONSET_MS`` on."""

    cell: Cell
    current_nA: float

    @property
    def synapses(self) -> tuple[Synapse, ...]:
        return self.cell.synapses

    @property
    def outputs(self) -> tuple[Output, ...]:
        return self.cell.outputs

    @property
    def threshold_mV(self) -> float:
        return self.cell.threshold_mV

    @property
    def celsius(self) -> float:
        return self.cell.celsius

    def build(self) -> LiveCell:
        from neuron import h

        live = self.cell.build()
        clamp = h.IClamp(live.soma)
        clamp.delay, clamp.dur, clamp.amp = _ONSET_MS, 1e9, self.current_nA
        return live._replace(alive=(live.alive, clamp))


def izhikevich(
    study: Study, currents: int = 28, runs: int = 17, duration_ms: float = 500.0, generations: int = 100, **fit: Any
) -> list[Row]:
    """6. The layer is the published one; under synaptic currents, their unit and zero are fitted too."""
    rng = np.random.default_rng([study.seed, 60])
    counts = firing_layer(currents, rng, generations)
    learned, unseen = synaptic(runs, duration_ms, rng), synaptic(runs, duration_ms, rng)
    # Without a spike, c and d tell nothing; unit and zero of the current are to be found in their place.
    said = fit_izhikevich(*learned, rng, free=("a", "b", "dt", "gain", "offset"), **fit).layer.simulate(unseen[0])
    explained = 100 * variance_explained(torch.from_numpy(said), torch.from_numpy(unseen[1]))
    note = "the published layer; under synaptic currents with their unit and zero fitted too"
    given = f"{note}; current of the synapses in NEURON, {runs} unseen runs without a spike"
    return [
        Row(
            "6C", "Izhikevich layer, steady currents: r of spike counts", 0.982, counts, note=note + "; unseen currents"
        ),
        Row("6E-F", "Izhikevich layer, synaptic currents: r", 0.999, correlation(said, unseen[1]), note=given),
        Row("6E-F", "Izhikevich layer, synaptic currents: variance explained, %", 96.9, explained, note=given),
    ]


def firing_layer(currents: int, rng: np.random.Generator, generations: int) -> float:
    """r of spike counts at every other current, of a layer that was fitted to the counts at the rest of them."""
    silent = events_of([], 0, 0.0)
    amounts = np.linspace(0.05, 0.7, currents)
    cells = [CellSimulator(Clamped(FAST_SPIKING, a), duration_ms=350.0, sample_ms=_BIN_MS) for a in amounts]
    true = _counts(np.stack([cell.respond([silent])[0].values[0] for cell in cells]).astype(float))
    given = np.zeros((currents, cells[0].samples))
    given[:, round(_ONSET_MS / _BIN_MS) :] = _UNIT * amounts[:, None]
    layer = fit_firing(given[::2], true[::2], rng, generations=generations)
    return correlation(_counts(layer.simulate(given[1::2])), true[1::2])


def _counts(v: np.ndarray) -> np.ndarray:
    return np.array([len(find_peaks(trace, height=-20.0)[0]) for trace in v])


def synaptic(runs: int, duration_ms: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Synaptic current (in the layer's unit) and V of the fast-spiking cell in NEURON, by the published protocol.

    The current is the mean over each sample, V is at its end. The first 20 ms, in which the cell finds its rest, are
    left out.
    """
    simulator = CellSimulator(FAST_SPIKING, duration_ms=duration_ms, sample_ms=_BIN_MS)
    thetas = simulator.parameters.sample(runs, rng)
    drawn = respond(simulator, [simulator.events(theta, rng) for theta in thetas])
    v = drawn.target.v.numpy().astype(float)
    conductance = conductances(drawn.events.numpy(), FAST_SPIKING.synapses, _BIN_MS)
    reversal = np.array([s.reversal_mV for s in FAST_SPIKING.synapses])
    current = _UNIT * (conductance * (reversal - v[..., None])).sum(2)
    settled = round(_SETTLED_MS / _BIN_MS)
    return (current[:, settled - 1 : -1] + current[:, settled:]) / 2, v[:, settled:]


def indicators(study: Study, runs: int = 12, duration_ms: float = 10_000.0, noise: float = 0.03) -> list[Row]:
    """6-S1. The layers on top of the default surrogate against those on top of NEURON, and their inversion."""
    learned = study.unseen(study.simulator("point", duration_ms=duration_ms), f"indicators_{duration_ms:g}", runs, 6)
    unseen = active_runs(study, runs, duration_ms)
    rng = np.random.default_rng([study.seed, 61])
    return [*_calcium(study, learned, unseen, noise, rng), *_dye(study, learned, unseen, noise, rng)]


_CALCIUM_BIN_MS = 5.0


def _calcium(study: Study, learned: Runs, unseen: Runs, noise: float, rng: np.random.Generator) -> list[Row]:
    step = round(_CALCIUM_BIN_MS)

    def fluorescence(spikes: torch.Tensor, noise: float = 0.0) -> np.ndarray:
        return gcamp6f(spikes.numpy().astype(int), 1.0, noise=noise, rng=rng)

    def coarse(v: torch.Tensor) -> np.ndarray:
        """The highest V of each 5 ms: no spike is lost, and the published 3 s are 600 samples."""
        return v.numpy().reshape(len(v), -1, step).max(2)

    window = min(round(CALCIUM_MS / _CALCIUM_BIN_MS), learned.target.v.shape[1] // step)
    pairs = [(coarse(r.target.v), fluorescence(r.target.spikes)[:, step - 1 :: step]) for r in (learned, unseen)]
    encoder = _trained(study, *pairs[0], window, both_ways=False)
    with torch.no_grad():
        encoded = encoder(torch.from_numpy(pairs[1][0]).float()).numpy()
    surrogate = fluorescence(study.answer(study.default("point"), unseen).spikes)
    true = fluorescence(unseen.target.spikes)
    rows = [
        Row(
            "6-S1",
            "GCaMP6f dF/F on unseen runs: r",
            None,
            correlation(encoded, pairs[1][1]),
            correlation(surrogate, true),
            note=f"LSTM encoder of V, {study.minutes:g} min; default: the formula on the surrogate's spikes",
        )
    ]
    for sigma in (0.0, noise):
        read = spikes_from_gcamp6f(fluorescence(unseen.target.spikes, sigma), 1.0, noise=sigma)
        for tolerance in (10.0, 25.0):
            found = match_spikes(torch.from_numpy(read).float(), unseen.target.spikes, 1.0, tolerance)
            for name in ("precision", "recall"):
                what = f"spikes from GCaMP6f, noise {sigma:g}, within {tolerance:g} ms: {name}, %"
                rows.append(Row("6-S1", what, None, None, percent(found, name), note="inversion of the formula"))
    return rows


def _dye(study: Study, learned: Runs, unseen: Runs, noise: float, rng: np.random.Generator) -> list[Row]:
    v, other = (r.target.v.numpy().astype(float) for r in (unseen, learned))
    window = min(round(DYE_MS), v.shape[1])
    encoder = _trained(study, other, voltage_dye(other, 1.0), window, both_ways=False)
    decoder = _trained(study, voltage_dye(other, 1.0, noise=noise, rng=rng), other, window, both_ways=True)
    noisy = voltage_dye(v, 1.0, noise=noise, rng=rng)
    with torch.no_grad():
        encoded = encoder(torch.from_numpy(v).float()).numpy()
        decoded = decoder(torch.from_numpy(noisy).float()).numpy()
    surrogate = voltage_dye(study.answer(study.default("point"), unseen).v.numpy().astype(float), 1.0)
    back = voltage_from_dye(noisy, 1.0, noise=noise)
    note = f"LSTM encoder and decoder, {study.minutes:g} min each"
    return [
        Row(
            "6-S1",
            "voltage dye dF/F on unseen runs: r",
            None,
            correlation(encoded, voltage_dye(v, 1.0)),
            correlation(surrogate, voltage_dye(v, 1.0)),
            note=note + "; default: the formula on the surrogate's V",
        ),
        Row(
            "6-S1",
            f"V from the dye, noise {noise:g}: r",
            None,
            correlation(decoded, v),
            correlation(back, v),
            note=note + "; default: inverse filter",
        ),
    ]


def _trained(study: Study, given: np.ndarray, wanted: np.ndarray, window: int, both_ways: bool):
    """As many updates as the study's minutes hold."""
    start = time.perf_counter()
    probe = 2
    fit_indicator(given, wanted, window, both_ways=both_ways, updates=probe, seed=study.seed)
    updates = max(probe, round(60 * study.minutes * probe / (time.perf_counter() - start)))
    console.print(f"training an LSTM on {window} samples, {updates} updates")
    return fit_indicator(given, wanted, window, both_ways=both_ways, updates=updates, seed=study.seed)
