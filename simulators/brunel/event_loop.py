"""The numba kernels of the compiled Brunel network.

Two ideas make them fast.

*Bit-sliced delivery.* The connections of a source are one row of bits (one bit per target) instead of a list of
targets. The spikes of one step are summed for 64 targets at a time by carry-save adders, that is with a few logical
operations a word, and only then turned into counts. A pair connected more than once (about 5 % of the connections)
has its further contacts in a short list. Bit ``8 m + j`` of word ``w`` stands for neuron ``8 (j W + w) + m`` (``W``
words a row), so that shifting a whole row by ``j`` and masking leaves eight counters in the bytes of each word.

*Delivery at the moment of arrival.* Connections of one delay make one matrix of bits: what was fired ``delay`` steps
ago is added now. No buffer of future input is kept, and a refractory neuron is one whose potential is minus infinity
until it is released.
"""

import numba as nb
import numpy as np

LANES = 16  # random generators advanced side by side: one 64-bit number serves four neurons, 16 serve 64
BATCH = 248  # rows summed into one set of 8-bit counters: the largest multiple of eight below 256

_BYTE_LOW_BITS = np.uint64(0x0101010101010101)
_jit = nb.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


@nb.njit(inline="always")
def _carry_save_add(a, b, c):
    """Add three rows of bits: returns (carries, sums)."""
    half = a ^ b
    return (a & b) | (half & c), half ^ c


@_jit
def random_words(state, out):
    """Fill ``out`` (uint64, a multiple of LANES) from LANES xorshift128+ generators (Vigna 2017) and advance them."""
    for start in range(0, out.size, LANES):
        for lane in range(LANES):
            x = state[0, lane]
            y = state[1, lane]
            out[start + lane] = x + y
            x ^= x << np.uint64(23)
            state[0, lane] = y
            state[1, lane] = x ^ y ^ (x >> np.uint64(18)) ^ (y >> np.uint64(5))


@_jit
def connect(n_excitatory, n_inhibitory, in_degree_excitatory, in_degree_inhibitory, delays, state):
    """Draw the fixed in-degree connectivity, with replacement, and for each contact one of as many ``delays``.

    Returns rows (delays, N + 1, W + tail) uint64 and W: one row a source, and an empty last one. A row's first W words
    are the bits; its tail, read as uint16, is the number of repeated contacts followed by their targets.
    """
    n = n_excitatory + n_inhibitory
    degree = in_degree_excitatory + in_degree_inhibitory
    words = (n + 63) // 64
    bits = np.zeros((delays, n, words), np.uint64)
    repeats = np.empty((n * degree, 3), np.uint16)
    per_source = np.zeros((delays, n), np.int64)
    n_repeats = 0
    random = np.empty((degree + 2 * LANES - 1) // (2 * LANES) * LANES, np.uint64)
    halves = random.view(np.uint32)
    choice = np.zeros_like(random)
    choices = choice.view(np.uint32)
    for target in range(n):
        lane, within = divmod(target, 8 * words)
        word = within // 8
        bit = np.uint64(1) << np.uint64(8 * (within % 8) + lane)
        random_words(state, random)
        if delays > 1:
            random_words(state, choice)
        for k in range(degree):
            delay = np.int64(0)
            if delays > 1:
                delay = np.int64((np.uint64(choices[k]) * np.uint64(delays)) >> np.uint64(32))
            if k < in_degree_excitatory:
                source = np.int64((np.uint64(halves[k]) * np.uint64(n_excitatory)) >> np.uint64(32))
            else:
                source = np.int64((np.uint64(halves[k]) * np.uint64(n_inhibitory)) >> np.uint64(32)) + n_excitatory
            if bits[delay, source, word] & bit:
                repeats[n_repeats, 0] = delay
                repeats[n_repeats, 1] = source
                repeats[n_repeats, 2] = target
                n_repeats += 1
                per_source[delay, source] += 1
            else:
                bits[delay, source, word] |= bit
    rows = np.zeros((delays, n + 1, words + (per_source.max() + 1 + 3) // 4), np.uint64)
    rows[:, :n, :words] = bits
    tails = rows.view(np.uint16)[:, :, 4 * words :]
    for k in range(n_repeats):
        tail = tails[repeats[k, 0], repeats[k, 1]]
        tail[0] += 1
        tail[tail[0]] = repeats[k, 2]
    return rows, words


@_jit
def _add_rows(rows, sources, planes):
    """Sum the bit rows of up to BATCH sources into bit planes (8, W), plane k counting 2^k. Returns planes in use."""
    words = planes.shape[1]
    empty = rows.shape[0] - 1
    n = sources.size
    n_planes = 3
    planes[:3] = np.uint64(0)
    done = 0
    while done < n:
        used = 3
        while (1 << used) <= min(done + 8, n):
            used += 1
        if used > n_planes:
            planes[n_planes:used] = np.uint64(0)
            n_planes = used
        r0 = rows[sources[done]]
        r1 = rows[sources[done + 1] if done + 1 < n else empty]
        r2 = rows[sources[done + 2] if done + 2 < n else empty]
        r3 = rows[sources[done + 3] if done + 3 < n else empty]
        r4 = rows[sources[done + 4] if done + 4 < n else empty]
        r5 = rows[sources[done + 5] if done + 5 < n else empty]
        r6 = rows[sources[done + 6] if done + 6 < n else empty]
        r7 = rows[sources[done + 7] if done + 7 < n else empty]
        p0 = planes[0]
        p1 = planes[1]
        p2 = planes[2]
        carry = planes[8]
        for w in range(words):
            two_a, one = _carry_save_add(p0[w], r0[w], r1[w])
            two_b, one = _carry_save_add(one, r2[w], r3[w])
            four_a, two = _carry_save_add(p1[w], two_a, two_b)
            two_a, one = _carry_save_add(one, r4[w], r5[w])
            two_b, one = _carry_save_add(one, r6[w], r7[w])
            four_b, two = _carry_save_add(two, two_a, two_b)
            eight, four = _carry_save_add(p2[w], four_a, four_b)
            p0[w] = one
            p1[w] = two
            p2[w] = four
            carry[w] = eight
        for k in range(3, n_planes):
            plane = planes[k]
            for w in range(words):
                old = plane[w]
                plane[w] = old ^ carry[w]
                carry[w] &= old
        done += 8
    return n_planes


@_jit
def _count(planes, n_planes, counts):
    """Turn bit planes into one byte per neuron; ``counts`` is the (8 W,) uint64 view of those bytes."""
    words = planes.shape[1]
    for lane in range(8):
        shift = np.uint64(lane)
        out = counts[lane * words : (lane + 1) * words]
        p0 = planes[0]
        p1 = planes[1]
        p2 = planes[2]
        for w in range(words):
            out[w] = (
                ((p0[w] >> shift) & _BYTE_LOW_BITS)
                + (((p1[w] >> shift) & _BYTE_LOW_BITS) << np.uint64(1))
                + (((p2[w] >> shift) & _BYTE_LOW_BITS) << np.uint64(2))
            )
        for k in range(3, n_planes):
            plane = planes[k]
            for w in range(words):
                out[w] += ((plane[w] >> shift) & _BYTE_LOW_BITS) << np.uint64(k)


@_jit
def deliver(rows, sources, weight, planes, counts, drive):
    """Add ``weight`` times the number of contacts with ``sources`` to the drive of every neuron."""
    bytes_ = counts.view(np.uint8)
    words = planes.shape[1]
    halves = rows.view(np.uint16)
    for start in range(0, sources.size, BATCH):
        n_planes = _add_rows(rows, sources[start : start + BATCH], planes)
        _count(planes, n_planes, counts)
        for i in range(drive.size):
            drive[i] += weight * np.float32(bytes_[i])
    for source in sources:
        tail = halves[source, 4 * words :]
        for k in range(np.int64(tail[0])):
            drive[tail[1 + k]] += weight


@_jit
def release(V, step, reset, releases, n_releases):
    """Take back to reset the neurons that are refractory no longer. releases: by step, in a circle of slots."""
    slot = step % n_releases.size
    for k in range(n_releases[slot]):
        V[releases[slot, k]] = reset
    n_releases[slot] = 0


@_jit
def fire(above_words, V, step, refractory_steps, releases, n_releases, fired, n_excitatory):
    """Make neurons above threshold refractory and note them in ``fired``; returns how many fired, of both and of E.

    above_words: one byte a neuron, eight a word; V becomes minus infinity until the neuron is released.
    """
    above = above_words.view(np.uint8)
    count = 0
    count_excitatory = 0
    for w in range(above_words.size):
        if above_words[w]:
            for i in range(8 * w, 8 * w + 8):
                if above[i]:
                    V[i] = -np.inf
                    free = (step + refractory_steps[i] + 1) % n_releases.size
                    releases[free, n_releases[free]] = i
                    n_releases[free] += 1
                    fired[count] = i
                    count += 1
                    count_excitatory += i < n_excitatory
    return count, count_excitatory


@_jit
def run(
    rows, words, n_excitatory, V, decay, threshold, reset, refractory_steps, delay_steps, weight_excitatory,
    weight_inhibitory, poisson_table, steps, steps_per_bin, state, counts, record, spike_step, spike_sender,
):  # fmt: skip
    """Advance the network by ``steps``; fill ``counts`` (2, bins) and, if ``record``, the spikes. Returns their number.

    V, decay and threshold are padded to 64 W neurons; the padding's V is minus infinity, so that it never fires.
    refractory_steps: (N,); delay_steps: one for each matrix of ``rows``.
    """
    n = rows.shape[1] - 1
    drive = np.empty(64 * words, np.float32)
    random = np.empty(16 * words, np.uint64)
    uniforms = random.view(np.uint16)
    above_words = np.empty(8 * words, np.uint64)
    above = above_words.view(np.uint8)
    planes = np.zeros((9, words), np.uint64)
    byte_counts = np.empty(8 * words, np.uint64)
    slots = delay_steps.max() + 1
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
            drive[i] = weight_excitatory * np.float32(poisson_table[uniforms[i]])
        for k in range(delay_steps.size):
            arriving = (step - delay_steps[k]) % slots
            split = n_fired_excitatory[arriving]
            end = n_fired[arriving]
            deliver(rows[k], fired[arriving, :split], weight_excitatory, planes, byte_counts, drive)
            deliver(rows[k], fired[arriving, split:end], weight_inhibitory, planes, byte_counts, drive)
        now = step % slots
        for i in range(64 * words):
            v = V[i] * decay[i] + drive[i]
            V[i] = v
            above[i] = v >= threshold[i]
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
