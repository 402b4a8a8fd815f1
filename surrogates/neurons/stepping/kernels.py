"""What ``stepping.Stepper`` does to blocks of cells, compiled.

All of it is in one file, and takes all constants as arguments: numba's cache sees no change in any other file.
"""

import numba as nb
import numpy as np
from llvmlite import ir
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

# Rows and vectors of a tile of a matrix product, and numbers in a vector: what the registers hold.
ROWS, _VECTORS, _WIDTH = (8, 2, 16) if "+avx512f" in get_host_cpu_features() else (6, 2, 8)
LANES = _VECTORS * _WIDTH
_ONE, _HALF = np.float32(1), np.float32(0.5)

_jit = nb.njit(cache=True, nogil=True, error_model="numpy", fastmath=True)


@_jit
def scatter(cells, synapses, bins, weights, n_cells, scale, incoming):
    """Add events to what arrives in each block's bins; the index of an impossible one comes back, or -1."""
    for e in range(len(cells)):
        if not (0 <= cells[e] < n_cells and 0 <= synapses[e] < len(scale) and 0 <= bins[e] < incoming.shape[1]):
            return e
    for e in range(len(cells)):
        place = synapses[e] * LANES + cells[e] % LANES
        incoming[cells[e] // LANES, bins[e], place] += weights[e] * scale[synapses[e]]
    return -1


@_jit
def advance(weights, state, scratch, incoming, rule, columns, spikes):
    """All blocks by one frame; ``incoming`` (blocks, bins, synapses of all lanes) is used up.

    Loops are flat, because numba counts references to each row that is cut out.
    """
    by_rise, gain, by_decay, pace, membranes, kept, written, inner, write, features, last = weights
    conductances, decays, potentials, hiddens, spiked, chances = state
    sums, seen, drive, new, feature = scratch
    blocks, frame = incoming.shape[:2]
    width = blocks * LANES
    bin_size = conductances.shape[1] + 2 * potentials.shape[1]
    own_spikes, leaked = seen[frame * bin_size :], seen[frame * (bin_size + LANES) :]
    for block in range(blocks):
        conductance, decay, hidden, last_spikes = conductances[block], decays[block], hiddens[block], spiked[block]
        for b in range(frame):
            arriving = incoming[block, b]
            for i in range(decay.size):
                decay[i] += arriving[i]
                arriving[i] = _ONE - _ONE
            _conduct(by_rise, gain, by_decay, conductance, decay)
            _product(membranes, conductance, sums, 0, LANES)
            _see(conductance, sums, pace, potentials[block], seen[b * bin_size : (b + 1) * bin_size])
        # Assigned at once they would take seconds more to compile.
        for i in range(hidden.size):
            leaked[i] = kept[i] * hidden[i]
        for i in range(last_spikes.size):
            own_spikes[i] = last_spikes[i]
        _product(inner, seen, drive, 0, LANES)
        _silu(drive)
        _product(write, drive, new, 0, LANES)
        for i in range(hidden.size):
            hidden[i] = leaked[i] + written[i] * _tanh(new[i])
        _product(features, hidden, feature, 0, LANES)
        _silu(feature)
        _product(last, feature, columns, block * LANES, width)
        for b in range(frame):
            _spike(columns[b * width + block * LANES :], chances[block], last_spikes, b * LANES, rule)
        for i in range(last_spikes.size):
            b, lane = divmod(i, LANES)
            chances[block, lane] *= _ONE - last_spikes[i]
            spikes[b * width + block * LANES + lane] = last_spikes[i]


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
def _silu(x):
    for i in range(x.size):
        x[i] *= _ONE + _tanh(x[i])


@_jit
def _spike(logit, chance, spikes, first, rule):
    """As ``StatefulNeuron`` decides it, for the bin whose spikes go from ``first`` on."""
    kept, least = rule
    for i in range(LANES):
        p = _HALF + _HALF * _tanh(logit[i])
        chance[i] = kept * chance[i] + p
        spikes[first + i] = _ONE if chance[i] > _HALF and p > least else _ONE - _ONE
    for i in range(first):
        spikes[first + i % LANES] *= _ONE - spikes[i]


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
    for row in range(0, len(layer), ROWS):
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
        places = [(i, j) for i in range(ROWS) for j in range(_VECTORS)]
        biases = [spread(layer, plus(builder.add(origin, terms), i, columns)) for i in range(ROWS)]
        before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.branch(loop)

        builder.position_at_end(loop)
        k = builder.phi(word)
        sums = {place: builder.phi(vector) for place in places}
        column = builder.mul(k, ir.Constant(word, LANES))
        given = [builder.load(at(x, plus(column, j * _WIDTH, one), vector), align=4) for j in range(_VECTORS)]
        factors = [spread(layer, plus(builder.add(origin, k), i, columns)) for i in range(ROWS)]
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


@_jit
def run_network(populations, sizes, outputs, links, gains, plasticity, drives, frames, bin_ms, spiked, summed, volts):
    """Copies of a circuit side by side: every frame of all cells, whose spikes then go into the rings of what arrives.

    populations: for each weights, state, scratch, ring (frames ahead, blocks, bins, synapses of all lanes), rule,
    columns, spikes; sizes: cells of each in one copy; outputs: whether its first output is to be summed; links: by
    source cell. spiked: (copies, cells, bins); summed: (copies, populations, bins); volts: as spiked, or empty.
    """
    d_start, d_cell, d_bin, d_place, d_height = drives
    copies = len(gains)
    for f in range(frames):
        for p in range(len(populations)):
            weights, state, scratch, ring, rule, columns, spikes = populations[p]
            arriving = ring[f % len(ring)]
            for e in range(d_start[p, f], d_start[p, f + 1]):
                arriving[d_cell[e] // LANES, d_bin[e], d_place[e] + d_cell[e] % LANES] += d_height[e]
            advance(weights, state, scratch, arriving, rule, columns, spikes)
        first = 0
        for p in range(len(populations)):
            ring, columns, spikes = populations[p][3], populations[p][5], populations[p][6]
            frame, width, n = ring.shape[2], ring.shape[1] * LANES, sizes[p]
            for b in range(frame):
                now = f * frame + b
                for cell in range(copies * n):
                    copy, i = divmod(cell, n)
                    if outputs[p]:
                        summed[copy, p, now] += columns[(2 * frame + b) * width + cell]
                    if len(volts):
                        volts[copy, first + i, now] = columns[(frame + b) * width + cell]
                    if spikes[b * width + cell] > 0:
                        spiked[copy, first + i, now] = 1
                        _send(populations, sizes, links, gains, plasticity, copy, first + i, f, b, now * bin_ms)
            first += n


@_jit
def _send(populations, sizes, links, gains, plasticity, copy, source, f, b, time_ms):
    """One spike to all that it reaches. With a delay between two bins it is shared between them in proportion."""
    start, populations_of, cells, places, heights, bins, parts, groups, kinds = links
    for k in range(start[source], start[source + 1]):
        p = populations_of[k]
        ring, cell = populations[p][3], copy * sizes[p] + cells[k]
        block, place = cell // LANES, places[k] + cell % LANES
        height = heights[k] * gains[copy, groups[k]]
        if kinds[k] >= 0:
            height *= _efficacy(plasticity, kinds[k], copy, source, time_ms)
        frame, late = ring.shape[2], b + bins[k]
        ring[(f + late // frame) % len(ring), block, late % frame, place] += height * (_ONE - parts[k])
        if parts[k] > 0:
            late += 1
            ring[(f + late // frame) % len(ring), block, late % frame, place] += height * parts[k]


@_jit
def _efficacy(plasticity, kind, copy, source, time_ms):
    """What a spike releases of all there is (Tsodyks and Markram 1997, 1998), once for all links of a kind."""
    use, recovery_ms, facilitation_ms, used, left, last_ms, released = plasticity
    if last_ms[kind, copy, source] != time_ms:
        since = time_ms - last_ms[kind, copy, source]
        u, x = used[kind, copy, source], left[kind, copy, source]
        x = _ONE - (_ONE - x) * np.float32(np.exp(-since / recovery_ms[kind]))
        if facilitation_ms[kind] > 0:
            u *= np.float32(np.exp(-since / facilitation_ms[kind]))
        else:
            u = _ONE - _ONE
        u += use[kind] * (_ONE - u)
        released[kind, copy, source] = u * x
        used[kind, copy, source], left[kind, copy, source] = u, x - u * x
        last_ms[kind, copy, source] = time_ms
    return released[kind, copy, source]
