"""What tells two Brunel networks apart: rates, irregularity and spectra, and whether two programs agree on them."""

from itertools import pairwise

import numpy as np
from jaxtyping import Float
from scipy import stats
from scipy.signal import welch

from simulators.brunel.populations import POPULATIONS, TwoPopulations
from simulators.recording import Recording, Spikes

BAND_EDGES_HZ = np.array([5.0, 15.0, 30.0, *np.arange(50.0, 501.0, 50.0)])
"""Bands over which spectra of counts in 1 ms bins are averaged; the last edge belongs to the last band."""

_SEGMENT_MS = 200.0
_BANDS = tuple(f"{low:g}-{high:g} Hz" for low, high in pairwise(BAND_EDGES_HZ))

STATISTICS = (
    *(f"{population} rate (Hz)" for population in POPULATIONS),
    "coefficient of variation of the intervals",
    *(f"log10 power of {population} counts, {band}" for population in POPULATIONS for band in _BANDS),
)
"""Names of what ``describe`` returns, in its order."""


def firing_rates(counts: Recording, network: TwoPopulations) -> Float[np.ndarray, "2"]:
    """Mean rate of a neuron of each population after the transient, in Hz."""
    sizes = [end - first for first, end in network.populations.values()]
    return 1e3 * counts.steady.sum(axis=1) / np.array(sizes) / counts.duration_ms


def interval_variation(spikes: Spikes, transient_ms: float) -> float:
    """Coefficient of variation of a neuron's inter-spike intervals, averaged over the neurons with two or more.

    Spikes of the first ``transient_ms`` are left out. 1 for a Poisson process, 0 for a clock, nan where no neuron has
    fired three times.
    """
    steady = spikes.times_ms > transient_ms
    times, senders = spikes.times_ms[steady], spikes.senders[steady]
    order = np.lexsort((times, senders))
    times, senders = times[order], senders[order]
    same_neuron = senders[1:] == senders[:-1]
    intervals, owners = np.diff(times)[same_neuron], senders[1:][same_neuron]
    _, owners, n = np.unique(owners, return_inverse=True, return_counts=True)
    mean = np.bincount(owners, intervals) / n
    deviation = np.sqrt(np.bincount(owners, (intervals - mean[owners]) ** 2) / n)
    variation = (deviation / mean)[n >= 2]
    return float(variation.mean()) if variation.size else float("nan")


def band_powers(counts: Recording) -> Float[np.ndarray, "2 bands"]:
    """log10 of the power density (counts^2/Hz) averaged over each band of ``BAND_EDGES_HZ`` (Welch, 200 ms segments).

    Raises ValueError for counts shorter than a segment or sampled too slowly for the last band.
    """
    segment = round(_SEGMENT_MS * counts.sampling_rate / 1e3)
    if counts.steady.shape[1] < segment or counts.sampling_rate < 2 * BAND_EDGES_HZ[-1]:
        raise ValueError(
            f"counts of {counts.duration_ms:g} ms at {counts.sampling_rate:g} Hz; band powers need at least "
            f"{_SEGMENT_MS:g} ms after the transient at {2 * BAND_EDGES_HZ[-1]:g} Hz: simulate longer, or in finer bins"
        )
    frequencies, power = welch(counts.steady.astype(float), counts.sampling_rate, nperseg=segment)
    band = np.digitize(frequencies, BAND_EDGES_HZ) - 1
    band[frequencies == BAND_EDGES_HZ[-1]] = len(_BANDS) - 1
    return np.log10(np.stack([power[:, band == k].mean(axis=1) for k in range(len(_BANDS))], axis=1))


def describe(spikes: Spikes, network: TwoPopulations) -> Float[np.ndarray, " statistics"]:
    """The ``STATISTICS`` of one simulation."""
    counts = network.count(spikes.times_ms, spikes.senders)
    variation = interval_variation(spikes, network.transient_ms)
    return np.array([*firing_rates(counts, network), variation, *band_powers(counts).ravel()])


def disagreements(
    reference: Float[np.ndarray, "states reference_seeds statistics"],
    other: Float[np.ndarray, "states other_seeds statistics"],
    false_alarm_rate: float,
) -> list[str]:
    """What two programs disagree on by more than their seeds do, one line each; empty where they agree.

    The last axis is what ``describe`` returns. Each statistic is tested in each state, and over all states together
    (Stouffer's sum of normal scores), which finds a small difference that many states share. Two programs that are the
    same are told apart with a probability of at most ``false_alarm_rate`` (Bonferroni over all tests); a statistic that
    is not a number counts as a disagreement. Raises ValueError for fewer than two seeds.
    """
    if min(reference.shape[1], other.shape[1]) < 2:
        raise ValueError(
            f"{reference.shape[1]} and {other.shape[1]} seeds; it takes two or more of each to know the spread"
        )
    scores = normal_scores(reference, other)
    together = scores.sum(axis=1, keepdims=True) / np.sqrt(scores.shape[1])
    scores = np.concatenate([scores, together], axis=1)
    # The negation catches what is not a number.
    different = ~(np.abs(scores) < stats.norm.isf(false_alarm_rate / 2 / scores.size))
    places = [*(f"state {k}" for k in range(len(reference))), "all states together"]
    return [
        f"{places[state]}, {STATISTICS[statistic]}: {('mean', 'spread')[test]} differs by "
        f"{scores[test, state, statistic]:.1f} standard normal deviations"
        for test, state, statistic in np.argwhere(different)
    ]


def normal_scores(
    reference: Float[np.ndarray, "states reference_seeds statistics"],
    other: Float[np.ndarray, "states other_seeds statistics"],
) -> Float[np.ndarray, "2 states statistics"]:
    """Differences of mean and of spread, as standard normal variables where the programs are the same.

    Means are compared by Student's t with the variance pooled over both programs, variances by their ratio (F), for
    statistics that are normal over seeds. Positive where ``other`` is the larger.
    """
    n, m = reference.shape[1], other.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        variance, other_variance = reference.var(axis=1, ddof=1), other.var(axis=1, ddof=1)
        pooled = ((n - 1) * variance + (m - 1) * other_variance) / (n + m - 2)
        t = (other.mean(axis=1) - reference.mean(axis=1)) / np.sqrt(pooled * (1 / n + 1 / m))
        ratio = other_variance / variance
    of_mean = np.sign(t) * stats.norm.isf(stats.t.sf(np.abs(t), n + m - 2))
    above, below = stats.f.sf(ratio, m - 1, n - 1), stats.f.cdf(ratio, m - 1, n - 1)
    of_spread = np.where(above < below, stats.norm.isf(above), stats.norm.ppf(below))
    return np.stack([of_mean, of_spread])
