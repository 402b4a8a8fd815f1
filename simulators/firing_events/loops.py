"""The compiled steps of both networks, in place: any instant can be kept, and simulated again with other noise.

External events come by the quantiles of their Poisson distribution: a random 16-bit number looks one up.
"""

import numba as nb
import numpy as np

_jit = nb.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
_LOW = np.uint64(0xFFFF)


@nb.njit(inline="always")
def _random(state):
    """The next 64 random bits of splitmix64 (Steele et al. 2014)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@_jit
def ring(v, rest, pending, n_pending, starts, targets, n_e, weights, decay, refractory, kick, table, steps, counts,
         raster, state):  # fmt: skip
    """Advance the ring. counts: (steps, 3) of E spikes, I spikes, and E spikes of cells that an E spike reached in that
    step. v: (n,); rest: steps each cell still is refractory; pending: spikes of the step before; table: quantiles of
    the events of all cells together in a step; raster: (steps, n) or (0, 0)."""
    n = v.size
    record = raster.shape[0] > 0
    drive, excited = np.empty(n, np.float32), np.empty(n, np.bool_)
    for step in range(steps):
        drive[:] = np.float32(0)
        excited[:] = False
        for f in range(n_pending[0]):
            j = pending[f]
            excites = j < n_e
            to_e, to_i = (weights[0], weights[1]) if excites else (-weights[2], -weights[3])
            for q in range(starts[j], starts[j + 1]):
                t = targets[q]
                drive[t] += to_e if t < n_e else to_i
                excited[t] |= excites
        for _ in range(table[_random(state) & _LOW]):
            drive[((_random(state) >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32)] += kick
        above = np.int64(0)
        for j in range(n):
            x = v[j] * decay + drive[j]
            x = x if rest[j] == 0 else np.float32(0)
            rest[j] = max(rest[j] - 1, 0)
            v[j] = x
            above += x >= np.float32(1)
        spikes = excitatory = recurrent = 0
        if above:
            for j in range(n):
                if v[j] >= np.float32(1):
                    v[j] = np.float32(0)
                    rest[j] = refractory
                    pending[spikes] = j
                    spikes += 1
                    if j < n_e:
                        excitatory += 1
                        recurrent += excited[j]
                    if record:
                        raster[step, j] = 1
        n_pending[0] = spikes
        counts[step, 0] = excitatory
        counts[step, 1] = spikes - excitatory
        counts[step, 2] = recurrent


@_jit
def beat(v, current_e, current_i, jumps, n_e, decays, gains, threshold, reversal, share, table, steps,
         counts, raster, state):  # fmt: skip
    """Advance the beat network. counts: (steps, 3) of E spikes, I spikes, and E spikes of cells whose own recurrent
    excitation exceeds ``share`` (kicks a ms). jumps: (source, target) of the currents, so dense that lists would be
    slower; decays, gains: (4,) for E->E, E->I, I->E, I->I, of the currents in a step, and what a current adds to V in a
    step; table: quantiles of one cell's events in a step."""
    n = v.size
    record = raster.shape[0] > 0
    scale = np.float32(1) / (threshold + reversal)
    fired = np.empty(n, np.int64)
    kicks = np.empty((n + 3) // 4 * 4, np.float32)
    for step in range(steps):
        for j in range(0, kicks.size, 4):
            r = _random(state)
            kicks[j] = table[r & _LOW]
            kicks[j + 1] = table[(r >> np.uint64(16)) & _LOW]
            kicks[j + 2] = table[(r >> np.uint64(32)) & _LOW]
            kicks[j + 3] = table[r >> np.uint64(48)]
        above = 0
        for p in range(2):
            first, last = (0, n_e) if p == 0 else (n_e, n)
            from_e, from_i = gains[p], gains[2 + p]
            for j in range(first, last):
                pushed = kicks[j] + current_e[j] * from_e
                x = v[j] + pushed - current_i[j] * from_i * (v[j] + reversal) * scale
                v[j] = x
                above += x >= threshold
        spikes = excitatory = recurrent = 0
        if above:
            for j in range(n):
                if v[j] >= threshold:
                    v[j] = np.float32(0)
                    fired[spikes] = j
                    spikes += 1
                    if j < n_e:
                        excitatory += 1
                        recurrent += current_e[j] > share
                    if record:
                        raster[step, j] = 1
        for p in range(2):
            first, last = (0, n_e) if p == 0 else (n_e, n)
            for j in range(first, last):
                current_e[j] *= decays[p]
                current_i[j] *= decays[2 + p]
        for f in range(spikes):
            row = jumps[fired[f]]
            if fired[f] < n_e:
                for t in range(n):
                    current_e[t] += row[t]
            else:
                for t in range(n):
                    current_i[t] += row[t]
        counts[step, 0] = excitatory
        counts[step, 1] = spikes - excitatory
        counts[step, 2] = recurrent
