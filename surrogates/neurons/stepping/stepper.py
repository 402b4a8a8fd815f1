"""``StatefulNeuron`` for networks of cells: a frame at a time, compiled, twice as fast as by torch on one core.

Cells lie side by side in blocks as wide as a few vector registers. A block goes through a whole frame before the next
one does, so that nothing but its state leaves the nearest caches; what is linear is folded into the weights beforehand.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Integer

from surrogates.neurons.architectures.memory import STEP, LeakyMemory
from surrogates.neurons.architectures.stateful import KEPT_MS, LEAST_CHANCE, StatefulNeuron
from surrogates.neurons.stepping.kernels import LANES, ROWS, advance, scatter


class FrameEvents(NamedTuple):
    """Synaptic events of one frame, in any order; those of one synapse in one bin add up.

    bins: in the frame, from 0; weights_uS: peak conductances.
    """

    cells: Integer[np.ndarray, " events"]
    synapses: Integer[np.ndarray, " events"]
    bins: Integer[np.ndarray, " events"]
    weights_uS: Float[np.ndarray, " events"]

    @classmethod
    def of(cls, weights_uS: Float[np.ndarray, "cells frame synapses"]) -> "FrameEvents":
        """The same from summed weights in every bin of every synapse."""
        cells, bins, synapses = np.nonzero(weights_uS)
        return cls(cells, synapses, bins, weights_uS[cells, bins, synapses])


class Stepped(NamedTuple):
    """What the cells did in one frame. spikes: number in each bin; v: of the soma, mV; outputs: in the cell's units."""

    spikes: Float[np.ndarray, "cells frame"]
    v: Float[np.ndarray, "cells frame"]
    outputs: Float[np.ndarray, "cells frame n_outputs"]


class _Weights(NamedTuple):
    """rise, gain, decay: of the synapses; pace: of the membranes. The rest are layers, whose last column is added;
    membranes: pulls, totals.

    Whatever a tanh stands for is scaled for it: sigmoid(x) = (1 + tanh(x / 2)) / 2.
    """

    rise: Float[np.ndarray, " synapses*lanes"]
    gain: Float[np.ndarray, " synapses*lanes"]
    decay: Float[np.ndarray, " synapses*lanes"]
    pace: Float[np.ndarray, " membranes*lanes"]
    membranes: Float[np.ndarray, "rows synapses+1"]
    kept: Float[np.ndarray, " hidden*lanes"]
    written: Float[np.ndarray, " hidden*lanes"]
    inner: Float[np.ndarray, "rows seen+1"]
    write: Float[np.ndarray, "rows inner+1"]
    features: Float[np.ndarray, "rows hidden+1"]
    columns: Float[np.ndarray, "rows hidden+1"]


class _State(NamedTuple):
    """As ``stateful.State``, of all blocks."""

    conductance: Float[np.ndarray, "blocks synapses*lanes"]
    decay: Float[np.ndarray, "blocks synapses*lanes"]
    potential: Float[np.ndarray, "blocks membranes*lanes"]
    hidden: Float[np.ndarray, "blocks hidden*lanes"]
    spikes: Float[np.ndarray, "blocks frame*lanes"]
    chance: Float[np.ndarray, "blocks lanes"]


class _Scratch(NamedTuple):
    """Of one block. seen: all that the network sees, its own state last."""

    membranes: Float[np.ndarray, " membranes*lanes"]
    seen: Float[np.ndarray, " seen*lanes"]
    drive: Float[np.ndarray, " inner*lanes"]
    written: Float[np.ndarray, " hidden*lanes"]
    features: Float[np.ndarray, " features*lanes"]


class Stepper:
    """So many cells of a trained network, at rest at first; their weights are those of the time it is made.

    outputs: indices of those to compute; all of them unless told otherwise. scale: from the weight of an event at each
    synapse to what it adds to the state. Results are the network's own up to
    rounding. Raises TypeError for a network without compiled steps, ValueError for no cell or an output it has not.
    """

    def __init__(self, network: StatefulNeuron, cells: int, outputs: Sequence[int] | None = None) -> None:
        if not isinstance(network, StatefulNeuron):
            raise TypeError(
                f"expected a StatefulNeuron, not a {type(network).__name__}: a trained one has it as .network"
            )
        if cells < 1:
            raise ValueError(f"{cells} cells; expected at least one")
        if not isinstance(network.memory, LeakyMemory):
            raise TypeError(f"networks with a {type(network.memory).__name__} have no compiled steps")
        self.outputs = tuple(range(network.outputs) if outputs is None else outputs)
        if not set(self.outputs) <= set(range(network.outputs)):
            raise ValueError(f"outputs {self.outputs}; the network has {network.outputs}, counted from 0")
        self.cells, self.synapses, self.frame = cells, network.synapses, network.frame
        self._weights = _fold(network, self.outputs)
        self.scale = (network.norm.cpu().double() / network.least_uS).numpy().astype(np.float32)
        self._rule = np.float32(math.exp(-network.bin_ms / KEPT_MS)), np.float32(LEAST_CHANCE)
        blocks = -(-cells // LANES)
        rows = self.synapses, self.synapses, len(network.leak), network.hidden, self.frame, 1
        self._state = _State(*(np.zeros((blocks, n * LANES), np.float32) for n in rows))
        self._scratch = _scratch(self._weights)
        self._incoming = np.zeros((blocks, self.frame, self.synapses * LANES), np.float32)

    def rest(self) -> None:
        """Put all cells back to rest."""
        for field in self._state:
            field[:] = 0

    def for_network(self, slots: int) -> tuple:
        """What ``run_network`` takes of a population, whose ring holds what arrives in so many frames."""
        width = len(self._incoming) * LANES
        ring = np.zeros((slots, *self._incoming.shape), np.float32)
        columns = np.empty(len(self._weights.columns) * width, np.float32)
        spikes = np.empty(self.frame * width, np.float32)
        # As plain tuples: numba stores named ones by their class, and a stored index outlives a change of the class.
        fixed = tuple(self._weights), tuple(self._state), tuple(self._scratch)
        return *fixed, ring, self._rule, columns, spikes

    def step(self, events: FrameEvents | Float[np.ndarray, "cells frame synapses"]) -> Stepped:
        """The next frame of every cell. Raises ValueError for events at places that are not there."""
        if not isinstance(events, FrameEvents):
            if events.shape != (self.cells, self.frame, self.synapses):
                expected = self.cells, self.frame, self.synapses
                raise ValueError(f"events of {events.shape}; expected (cells, frame, synapses) = {expected}")
            events = FrameEvents.of(events)
        # One type of array is compiled for, no other.
        cells, synapses, bins = (np.ascontiguousarray(index, np.int64) for index in events[:3])
        weights = np.ascontiguousarray(events.weights_uS, np.float32)
        if weights.min(initial=0) < 0 or not np.isfinite(weights.max(initial=0)):
            raise ValueError("weights of events have to be finite and not negative")
        if not len(cells) == len(synapses) == len(bins) == len(weights):
            raise ValueError(f"{len(cells)} cells, {len(synapses)} synapses, {len(bins)} bins, {len(weights)} weights")
        wrong = scatter(cells, synapses, bins, weights, self.cells, self.scale, self._incoming)
        if wrong >= 0:
            raise ValueError(
                f"an event in cell {cells[wrong]}, synapse {synapses[wrong]}, bin {bins[wrong]}; counted from 0 there "
                f"are {self.cells} cells, {self.synapses} synapses and {self.frame} bins"
            )
        width = len(self._incoming) * LANES
        columns = np.empty(len(self._weights.columns) * width, np.float32)
        spikes = np.empty(self.frame * width, np.float32)
        # As plain tuples: numba stores named ones by their class, and a stored index outlives a change of the class.
        fixed = tuple(self._weights), tuple(self._state), tuple(self._scratch)
        advance(*fixed, self._incoming, self._rule, columns, spikes)
        values = columns.reshape(-1, width)[self.frame : self.frame * (2 + len(self.outputs)), : self.cells]
        values = values.reshape(-1, self.frame, self.cells).transpose(2, 1, 0)
        return Stepped(spikes.reshape(-1, width)[:, : self.cells].T, values[..., 0], values[..., 1:])


def _fold(network: StatefulNeuron, outputs: Sequence[int]) -> _Weights:
    """The weights as the kernels want them; rows of the last layer by column and then bin."""
    with torch.no_grad():
        p = {k: v.detach().cpu().double().numpy() for k, v in network.state_dict().items()}
    hidden, frame = network.hidden, network.frame
    reach, leak = np.logaddexp(0, p["reach"]), np.exp(p["leak"])
    inner = np.concatenate([p["memory.read.weight"], p["memory.recall.weight"]], 1)
    kept = np.exp(-np.exp(p["memory.pace"]))
    weight, bias = p["heads.2.weight"].reshape(frame, -1, hidden), p["heads.2.bias"].reshape(frame, -1, 1)
    scaled = np.concatenate([weight, bias], 2) * np.r_[0.5, p["sd"][1:]][:, None]
    scaled[:, 1:, -1] += p["mean"][1:]
    logit, v, excess, *rest = scaled.transpose(1, 0, 2)
    scaled = np.concatenate([logit, v + excess, *(rest[k] for k in outputs)])
    factors = p["rise"], p["decay"] - p["rise"], p["decay"], 0.5 * np.exp(p["pace"]), kept, STEP * (1 - kept)
    rise, gain, decay, pace, kept, written = (factor.astype(np.float32).repeat(LANES) for factor in factors)
    return _Weights(
        rise,
        gain,
        decay,
        pace,
        _layer(np.concatenate([(p["reversal"][:, None] * reach).T, reach.T]), np.r_[0 * leak, leak]),
        kept,
        written,
        _layer(0.5 * inner, 0.5 * p["memory.read.bias"]),
        _layer(p["memory.write.weight"], p["memory.write.bias"]),
        _layer(0.5 * p["heads.0.weight"], 0.5 * p["heads.0.bias"]),
        _layer(scaled[:, :-1], scaled[:, -1]),
    )


def _layer(weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """In whole tiles: rows of zeros follow the last."""
    rows = np.column_stack([weight, bias])
    return np.ascontiguousarray(np.pad(rows, ((0, -len(bias) % ROWS), (0, 0))), np.float32)


def _scratch(weights: _Weights) -> _Scratch:
    layers = weights.inner, weights.write, weights.features
    rows = [len(weights.membranes), weights.inner.shape[1] - 1, *map(len, layers)]
    return _Scratch(*(np.empty(n * LANES, np.float32) for n in rows))
