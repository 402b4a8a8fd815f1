"""``StatefulNeuron`` for networks of cells: a frame at a time, compiled, twice as fast as by torch on one core.

Cells lie side by side in blocks as wide as a few vector registers. A block goes through a whole frame before the next
one does, so that nothing but its state leaves the nearest caches; what is linear is folded into the weights beforehand.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numba as nb
import numpy as np
import torch
from jaxtyping import Float, Integer
from llvmlite import ir
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from surrogates.neurons.stateful import KEPT_MS, LEAST_CHANCE, StatefulNeuron

# Rows and vectors of a tile of a matrix product, and numbers in a vector: what the registers hold.
_ROWS, _VECTORS, _WIDTH = (8, 2, 16) if "+avx512f" in get_host_cpu_features() else (6, 2, 8)
_LANES = _VECTORS * _WIDTH
_ONE, _HALF = np.float32(1), np.float32(0.5)
_LEAST_CHANCE = np.float32(LEAST_CHANCE)

_jit = nb.njit(cache=True, nogil=True, error_model="numpy", fastmath=True)


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
    gates: Float[np.ndarray, "rows seen+1"]
    candidate: Float[np.ndarray, "rows given+1"]
    memory: Float[np.ndarray, "rows hidden+1"]
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
    gates: Float[np.ndarray, " gates*lanes"]
    candidate: Float[np.ndarray, " hidden*lanes"]
    memory: Float[np.ndarray, " hidden*lanes"]
    features: Float[np.ndarray, " features*lanes"]


class Stepper:
    """So many cells of a trained network, at rest at first; their weights are those of the time it is made.

    outputs: indices of those to compute; all of them unless told otherwise. Results are the network's own up to
    rounding.
    """

    def __init__(self, network: StatefulNeuron, cells: int, outputs: Sequence[int] | None = None) -> None:
        if cells < 1:
            raise ValueError(f"{cells} cells; expected at least one")
        self.outputs = tuple(range(network.outputs) if outputs is None else outputs)
        if not set(self.outputs) <= set(range(network.outputs)):
            raise ValueError(f"outputs {self.outputs}; the network has {network.outputs}, counted from 0")
        self.cells, self.synapses, self.frame = cells, network.synapses, network.frame
        self._weights = _fold(network, self.outputs)
        self._scale = (network.norm.cpu().double() / network.least_uS).numpy().astype(np.float32)
        self._kept = np.float32(math.exp(-network.bin_ms / KEPT_MS))
        blocks = -(-cells // _LANES)
        rows = self.synapses, self.synapses, len(network.leak), network.hidden, self.frame, 1
        self._state = _State(*(np.zeros((blocks, n * _LANES), np.float32) for n in rows))
        self._scratch = _scratch(self._weights)
        self._ends = np.empty((blocks, self.frame), np.int64)

    def rest(self) -> None:
        """Put all cells back to rest."""
        for field in self._state:
            field[:] = 0

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
        places, heights = np.empty(len(weights), np.int64), np.empty(len(weights), np.float32)
        wrong = _sort(cells, synapses, bins, weights, self.cells, self._scale, self._ends, places, heights)
        if wrong >= 0:
            raise ValueError(
                f"an event in cell {cells[wrong]}, synapse {synapses[wrong]}, bin {bins[wrong]}; counted from 0 there "
                f"are {self.cells} cells, {self.synapses} synapses and {self.frame} bins"
            )
        width = len(self._ends) * _LANES
        columns = np.empty(len(self._weights.columns) * width, np.float32)
        spikes = np.empty(self.frame * width, np.float32)
        # As plain tuples: numba stores named ones by their class, and a stored index outlives a change of the class.
        fixed = tuple(self._weights), tuple(self._state), tuple(self._scratch)
        _advance(*fixed, self._ends, places, heights, self._kept, columns, spikes)
        values = columns.reshape(-1, width)[self.frame : self.frame * (2 + len(self.outputs)), : self.cells]
        values = values.reshape(-1, self.frame, self.cells).transpose(2, 1, 0)
        return Stepped(spikes.reshape(-1, width)[:, : self.cells].T, values[..., 0], values[..., 1:])


def _fold(network: StatefulNeuron, outputs: Sequence[int]) -> _Weights:
    """The weights as the kernels want them; rows of the last layer by column and then bin."""
    with torch.no_grad():
        p = {k: v.detach().cpu().double().numpy() for k, v in network.state_dict().items()}
    hidden, frame = network.hidden, network.frame
    reach, leak = np.logaddexp(0, p["reach"]), np.exp(p["leak"])
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    given, own, given_bias, own_bias = (p[f"recurrent.{name}_l0"] for name in names)
    gates, last = slice(2 * hidden), slice(2 * hidden, None)
    weight, bias = p["heads.2.weight"].reshape(frame, -1, hidden), p["heads.2.bias"].reshape(frame, -1, 1)
    scaled = np.concatenate([weight, bias], 2) * np.r_[0.5, p["sd"][1:]][:, None]
    scaled[:, 1:, -1] += p["mean"][1:]
    logit, v, excess, *rest = scaled.transpose(1, 0, 2)
    scaled = np.concatenate([logit, v + excess, *(rest[k] for k in outputs)])
    factors = p["rise"], p["decay"] - p["rise"], p["decay"], 0.5 * np.exp(p["pace"])
    rise, gain, decay, pace = (factor.astype(np.float32).repeat(_LANES) for factor in factors)
    return _Weights(
        rise,
        gain,
        decay,
        pace,
        _layer(np.concatenate([(p["reversal"][:, None] * reach).T, reach.T]), np.r_[0 * leak, leak]),
        _layer(0.5 * np.concatenate([given, own], 1)[gates], 0.5 * (given_bias + own_bias)[gates]),
        _layer(given[last], given_bias[last]),
        _layer(0.5 * own[last], 0.5 * own_bias[last]),
        _layer(0.5 * p["heads.0.weight"], 0.5 * p["heads.0.bias"]),
        _layer(scaled[:, :-1], scaled[:, -1]),
    )


def _layer(weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """In whole tiles: rows of zeros follow the last."""
    rows = np.column_stack([weight, bias])
    return np.ascontiguousarray(np.pad(rows, ((0, -len(bias) % _ROWS), (0, 0))), np.float32)


def _scratch(weights: _Weights) -> _Scratch:
    layers = weights.gates, weights.candidate, weights.memory, weights.features
    rows = [len(weights.membranes), weights.gates.shape[1] - 1, *map(len, layers)]
    return _Scratch(*(np.empty(n * _LANES, np.float32) for n in rows))


@_jit
def _sort(cells, synapses, bins, weights, n_cells, scale, ends, places, heights):
    """Events by block and bin, in their order; the index of an impossible one comes back, or -1.

    ends: of each block's and bin's events; places: where in a block they go; heights: what they add there.
    """
    ends[:] = 0
    for e in range(len(cells)):
        if not (0 <= cells[e] < n_cells and 0 <= synapses[e] < len(scale) and 0 <= bins[e] < ends.shape[1]):
            return e
        ends[cells[e] // _LANES, bins[e]] += 1
    flat = ends.reshape(-1)
    total = 0
    for slot in range(flat.size):
        flat[slot], total = total, total + flat[slot]
    for e in range(len(cells)):
        block, b, s = cells[e] // _LANES, bins[e], synapses[e]
        places[ends[block, b]] = s * _LANES + cells[e] % _LANES
        heights[ends[block, b]] = weights[e] * scale[s]
        ends[block, b] += 1
    return -1


@_jit
def _advance(weights, state, scratch, ends, places, heights, kept, columns, spikes):
    """All blocks by one frame. Loops are flat, because numba counts references to each row that is cut out."""
    by_rise, gain, by_decay, pace, membranes, gates, candidate, memory, features, last = weights
    conductances, decays, potentials, hiddens, spiked, chances = state
    sums, seen, gate, new, kept_back, feature = scratch
    blocks, frame = ends.shape
    width = blocks * _LANES
    bin_size = conductances.shape[1] + 2 * potentials.shape[1]
    given, before = seen[: frame * (bin_size + _LANES)], seen[frame * (bin_size + _LANES) :]
    told = given[frame * bin_size :]
    e = 0
    for block in range(blocks):
        conductance, decay, hidden, last_spikes = conductances[block], decays[block], hiddens[block], spiked[block]
        for b in range(frame):
            while e < ends[block, b]:
                decay[places[e]] += heights[e]
                e += 1
            _conduct(by_rise, gain, by_decay, conductance, decay)
            _product(membranes, conductance, sums, 0, _LANES)
            _see(conductance, sums, pace, potentials[block], given[b * bin_size : (b + 1) * bin_size])
        # Assigned at once they would take seconds more to compile.
        for i in range(hidden.size):
            before[i] = hidden[i]
        for i in range(told.size):
            told[i] = last_spikes[i]
        _product(gates, seen, gate, 0, _LANES)
        _product(candidate, given, new, 0, _LANES)
        _product(memory, before, kept_back, 0, _LANES)
        _recur(gate, new, kept_back, before, hidden)
        _product(features, hidden, feature, 0, _LANES)
        _silu(feature)
        _product(last, feature, columns, block * _LANES, width)
        for b in range(frame):
            _spike(columns[b * width + block * _LANES :], chances[block], last_spikes, b * _LANES, kept)
        for i in range(last_spikes.size):
            b, lane = divmod(i, _LANES)
            chances[block, lane] *= _ONE - last_spikes[i]
            spikes[b * width + block * _LANES + lane] = last_spikes[i]


@_jit
def _conduct(by_rise, gain, by_decay, conductance, decay):
    """One bin. As the difference of two exponentials that are nearly equal, conductances would be inexact."""
    for i in range(decay.size):
        conductance[i] = by_rise[i] * conductance[i] + gain[i] * decay[i]
        decay[i] *= by_decay[i]


@_jit
def _see(conductance, sums, pace, potential, seen):
    """Logarithms of the conductances, then the membranes' potentials, then logarithms of their totals."""
    n, m = conductance.size, potential.size
    for i in range(n):
        seen[i] = _log(_ONE + conductance[i])
    potentials, logs, pull, total = seen[n : n + m], seen[n + m :], sums[:m], sums[m:]
    for i in range(m):
        towards = pull[i] / total[i]
        t = _tanh(pace[i] * total[i])
        potential[i] = towards + (_ONE - t) / (_ONE + t) * (potential[i] - towards)
        potentials[i] = potential[i]
        logs[i] = _log(total[i])


@_jit
def _recur(gate, candidate, memory, before, hidden):
    """One step of the gated network from its products."""
    n = hidden.size
    reset, update = gate[:n], gate[n:]
    for i in range(n):
        new = _tanh(candidate[i] + memory[i] * (_ONE + _tanh(reset[i])))
        hidden[i] = new + _HALF * (_ONE + _tanh(update[i])) * (before[i] - new)


@_jit
def _silu(x):
    for i in range(x.size):
        x[i] *= _ONE + _tanh(x[i])


@_jit
def _spike(logit, chance, spikes, first, kept):
    """As ``StatefulNeuron`` decides it, for the bin whose spikes go from ``first`` on."""
    for i in range(_LANES):
        p = _HALF + _HALF * _tanh(logit[i])
        chance[i] = kept * chance[i] + p
        spikes[first + i] = _ONE if chance[i] > _HALF and p > _LEAST_CHANCE else _ONE - _ONE
    for i in range(first):
        spikes[first + i % _LANES] *= _ONE - spikes[i]


@_jit
def _tanh(x):
    """Within 3e-7: odd over even polynomial."""
    x = min(max(x, np.float32(-7.9)), np.float32(7.9))
    s = x * x
    p = np.float32(-2.76076847742355e-16) * s + np.float32(2.00018790482477e-13)
    p = p * s + np.float32(-8.60467152213735e-11)
    p = p * s + np.float32(5.12229709037114e-08)
    p = p * s + np.float32(1.48572235717979e-05)
    p = p * s + np.float32(6.37261928875436e-04)
    p = p * s + np.float32(4.89352455891786e-03)
    q = np.float32(1.19825839466702e-06) * s + np.float32(1.18534705686654e-04)
    q = q * s + np.float32(2.26843463243900e-03)
    q = q * s + np.float32(4.89352518554385e-03)
    return x * p / q


@_jit
def _log(x):
    """Natural logarithm of a positive normal number, within 1e-7 of it: mantissa around 1 by Cephes' polynomial."""
    bits = np.float32(x).view(np.int32)
    exponent = np.int32(np.int32(bits - np.int32(0x3F3504F3)) >> np.int32(23))
    m = np.int32(bits - np.int32(exponent << np.int32(23))).view(np.float32) - _ONE
    p = np.float32(7.0376836292e-2) * m + np.float32(-1.1514610310e-1)
    p = p * m + np.float32(1.1676998740e-1)
    p = p * m + np.float32(-1.2420140846e-1)
    p = p * m + np.float32(1.4249322787e-1)
    p = p * m + np.float32(-1.6668057665e-1)
    p = p * m + np.float32(2.0000714765e-1)
    p = p * m + np.float32(-2.4999993993e-1)
    p = p * m + np.float32(3.3333331174e-1)
    s = m * m
    return m - _HALF * s + s * m * p + np.float32(0.6931471805599453) * np.float32(exponent)


@_jit
def _product(layer, x, out, first, stride):
    """out = weight x + bias for one block; rows of ``out`` are ``stride`` apart from ``first`` on."""
    for row in range(0, len(layer), _ROWS):
        _tile(layer, row, x, out, first + row * stride, stride)  # type: ignore[call-arg]


@intrinsic
def _tile(typing_context, layer, row, x, out, made, stride):
    """Some rows of a product, for one block: the sums stay in registers, which plain loops do not achieve in numba."""
    signature = nb.types.void(layer, nb.types.int64, x, out, nb.types.int64, nb.types.int64)
    word, number, vector = ir.IntType(64), ir.FloatType(), ir.VectorType(ir.FloatType(), _WIDTH)

    def generate(context, builder, signature, arguments):
        layer, x, out = (context.make_array(signature.args[k])(context, builder, arguments[k]) for k in (0, 2, 3))
        row, made, stride = (arguments[k] for k in (1, 4, 5))
        columns = builder.extract_value(layer.shape, 1)

        def at(array, offset, kind):
            place = builder.gep(array.data, [offset])
            return builder.bitcast(place, kind.as_pointer())

        def plus(offset, times, step):
            return builder.add(offset, builder.mul(step, ir.Constant(word, times)))

        def spread(array, offset):
            one = builder.insert_element(
                ir.Constant(vector, ir.Undefined), builder.load(at(array, offset, number)), ir.Constant(word, 0)
            )
            return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), _WIDTH), None))

        one = ir.Constant(word, 1)
        terms, origin = builder.sub(columns, one), builder.mul(row, columns)
        places = [(i, j) for i in range(_ROWS) for j in range(_VECTORS)]
        biases = [spread(layer, plus(builder.add(origin, terms), i, columns)) for i in range(_ROWS)]
        before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.branch(loop)

        builder.position_at_end(loop)
        k = builder.phi(word)
        sums = {place: builder.phi(vector) for place in places}
        column = builder.mul(k, ir.Constant(word, _LANES))
        given = [builder.load(at(x, plus(column, j * _WIDTH, one), vector), align=4) for j in range(_VECTORS)]
        factors = [spread(layer, plus(builder.add(origin, k), i, columns)) for i in range(_ROWS)]
        grown = {
            (i, j): builder.fadd(sums[i, j], builder.fmul(factors[i], given[j], flags=("fast",)), flags=("fast",))
            for i, j in places
        }
        following = builder.add(k, one)
        builder.cbranch(builder.icmp_signed("<", following, terms), loop, after)
        k.add_incoming(ir.Constant(word, 0), before)
        k.add_incoming(following, loop)
        for i, j in places:
            sums[i, j].add_incoming(biases[i], before)
            sums[i, j].add_incoming(grown[i, j], loop)

        builder.position_at_end(after)
        for i, j in places:
            builder.store(grown[i, j], at(out, plus(plus(made, i, stride), j * _WIDTH, one), vector), align=4)
        return context.get_dummy_value()

    return signature, generate
