"""The compiled loop of the network with alpha-shaped synapses; spikes are delivered as in ``brunel.event_loop``.

A refractory neuron is one whose potential is minus infinity until it is released. The order of a step is that of NEST's
iaf_psc_alpha: potential, currents, what arrives, threshold.
"""

import numba as nb
import numpy as np

from simulators.brunel.event_loop import deliver, fire, random_words, release

_jit = nb.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


@_jit
def run(
    rows, words, n_excitatory, V, current, slope, propagators, threshold, reset, refractory_steps, delay_steps,
    jump, inhibition, poisson_table, steps, steps_per_bin, state, counts, record, spike_step,
    spike_sender,
):  # fmt: skip
    """Advance the network by ``steps``; fill ``counts`` (2, bins) and, if ``record``, the spikes. Returns their number.

    V, current and slope (of the synaptic current) are padded to 64 W neurons, in the precision that is wanted; the
    padding's V is minus infinity, so that it never fires. jump: of the slope at an excitatory event; inhibition: of
    inhibitory events, in excitatory ones (-g). refractory_steps: (N,). All scalars have the precision of V.
    """
    n = rows.shape[0] - 1
    slope_keeps, current_keeps, slope_to_current, slope_to_V, current_to_V, V_keeps = propagators
    drive = np.empty(64 * words, V.dtype)  # in excitatory events
    one = np.ones(1, V.dtype)[0]
    random = np.empty(16 * words, np.uint64)
    uniforms = random.view(np.uint16)
    above_words = np.empty(8 * words, np.uint64)
    above = above_words.view(np.uint8)
    planes = np.zeros((9, words), np.uint64)
    byte_counts = np.empty(8 * words, np.uint64)
    slots = delay_steps + 1
    fired = np.empty((slots, n), np.int32)
    n_fired = np.zeros(slots, np.int64)
    n_fired_excitatory = np.zeros(slots, np.int64)
    release_slots = refractory_steps.max() + 2
    releases = np.empty((release_slots, n), np.int32)
    n_releases = np.zeros(release_slots, np.int64)
    total = 0
    for step in range(steps):
        release(V, step, reset, releases, n_releases)
        random_words(state, random)
        for i in range(64 * words):
            drive[i] = poisson_table[uniforms[i]]
        arriving = (step - delay_steps) % slots
        split = n_fired_excitatory[arriving]
        end = n_fired[arriving]
        deliver(rows, fired[arriving, :split], one, planes, byte_counts, drive)
        deliver(rows, fired[arriving, split:end], inhibition, planes, byte_counts, drive)
        for i in range(64 * words):
            a = slope[i]
            b = current[i]
            v = V_keeps * V[i] + slope_to_V * a + current_to_V * b
            V[i] = v
            current[i] = slope_to_current * a + current_keeps * b
            slope[i] = slope_keeps * a + jump * drive[i]
            above[i] = v >= threshold
        now = step % slots
        count, count_excitatory = fire(
            above_words, V, step, refractory_steps, releases, n_releases, fired[now], n_excitatory
        )
        n_fired[now] = count
        n_fired_excitatory[now] = count_excitatory
        counts[0, step // steps_per_bin] += count_excitatory
        counts[1, step // steps_per_bin] += count - count_excitatory
        if record:
            for k in range(count):
                spike_step[total + k] = step
                spike_sender[total + k] = fired[now, k]
        total += count
    return total
