"""The compiled circuit: one loop over steps, in the order that NEURON's fixed step has.

V is stepped implicitly, with conductances of the step before; then gates and synapses by their exponentials at the new
V. A spike found at the end of a step arrives ``delay`` steps after that end.
"""

import math

import numba as nb
import numpy as np

from simulators.ei_circuit.membranes import TABLE_MV, TABLE_STEPS

_LOW, _HIGH = TABLE_MV
_PER_MV = TABLE_STEPS / (_HIGH - _LOW)
_jit = nb.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


@_jit
def _deliver(spikers, starts, targets, population, weights, g):
    """Add the conductances that these spikes open."""
    for j in spikers:
        source = population[j]
        for k in range(g.shape[0]):
            row = weights[source, :, k]
            if row.any():
                for q in range(starts[j], starts[j + 1]):
                    g[k, targets[q]] += row[population[targets[q]]]


@_jit
def _unblocked(v, magnesium, block):
    """Share of blocked synapses that is open, of each kind that magnesium blocks (Jahr and Stevens 1990)."""
    for k in range(magnesium.size):
        if magnesium[k] > 0:
            for j in range(v.size):
                block[k, j] = 1 / (1 + magnesium[k] / 3.57 * math.exp(-0.062 * v[j]))


@_jit
def _step_gates(v, gates, table):
    """Gates of cells of one membrane, after their V."""
    for j in range(v.size):
        y = (v[j] - _LOW) * _PER_MV
        i = min(max(int(y), 0), TABLE_STEPS - 1)
        y = min(max(y - i, 0.0), 1.0)
        for c in range(3):
            towards = table[i, 2 * c] + y * (table[i + 1, 2 * c] - table[i, 2 * c])
            step = table[i, 2 * c + 1] + y * (table[i + 1, 2 * c + 1] - table[i, 2 * c + 1])
            gates[c, j] += step * (towards - gates[c, j])


@_jit
def run(
    v, gates, bounds, population, tables, membranes, starts, targets, weights, decay, reversal, magnesium,
    event_steps, event_cells, event_weights, delay, dt, steps, every, seen, record, spike_steps, spikers,
):  # fmt: skip
    """Advance by ``steps``; a row for every ``every`` of them. Returns lfp, counts, mean V, and the number of spikes.

    v: (cells,); gates: (3, cells); tables: (populations, voltages, 6); membranes: (populations, 7), maximal
    conductances and reversals of sodium, potassium and leak, and the current; weights: (source, target, synapse);
    event_weights: by population, into the first synapse; seen: population whose synaptic currents make the lfp.
    """
    n, kinds, populations = v.size, decay.size, bounds.size - 1
    g = np.zeros((kinds, n))
    block = np.ones((kinds, n))
    _unblocked(v, magnesium, block)
    total, pull = np.empty(n), np.empty(n)
    above = v >= 0.0
    queue = np.empty((delay + 2, n), np.int64)
    queued = np.zeros(delay + 2, np.int64)
    rows = (steps + every - 1) // every
    lfp, counts, mean_v = np.zeros(rows), np.zeros((populations, rows), np.int64), np.zeros((populations, rows))
    next_event, spikes = 0, 0
    first, last = bounds[seen], bounds[seen + 1]
    for step in range(steps):
        row = step // every
        slot = step % (delay + 2)
        _deliver(queue[slot, : queued[slot]], starts, targets, population, weights, g)
        queued[slot] = 0
        while next_event < event_steps.size and event_steps[next_event] == step:
            j = event_cells[next_event]
            g[0, j] += event_weights[population[j]]
            next_event += 1
        total[:] = 1 / dt
        pull[:] = 0.0
        field = 0.0
        for k in range(kinds):
            for j in range(n):
                open_ = g[k, j] * block[k, j]
                total[j] += open_
                pull[j] += open_ * reversal[k]
            for j in range(first, last):
                field += g[k, j] * block[k, j] * abs(v[j] - reversal[k])
        lfp[row] += field / ((last - first) * every)
        for p in range(populations):
            gna, gk, gl, ena, ek, el, current = membranes[p]
            summed = 0.0
            for j in range(bounds[p], bounds[p + 1]):
                m, h, w = gates[0, j], gates[1, j], gates[2, j]
                na, po = gna * m * m * m * h, gk * w * w * w * w
                pulled = v[j] / dt + na * ena + po * ek + gl * el + pull[j] + current
                v[j] = pulled / (total[j] + na + po + gl)
                summed += v[j]
            mean_v[p, row] += summed / ((bounds[p + 1] - bounds[p]) * every)
            cells = slice(bounds[p], bounds[p + 1])
            _step_gates(v[cells], gates[:, cells], tables[p])
        _unblocked(v, magnesium, block)
        for k in range(kinds):
            for j in range(n):
                g[k, j] *= decay[k]
        arriving = (step + delay + 1) % (delay + 2)
        for j in range(n):
            now = v[j] >= 0.0
            if now and not above[j]:
                queue[arriving, queued[arriving]] = j
                queued[arriving] += 1
                counts[population[j], row] += 1
                if record:
                    spike_steps[spikes] = step
                    spikers[spikes] = j
                spikes += 1
            above[j] = now
    return lfp, counts, mean_v, spikes
