"""What tells two Brunel networks apart: rates, irregularity and spectra, and whether two programs agree on them."""

from itertools import pairwise

import numpy as np
from jaxtyping import Float
from scipy import stats
from scipy.signal import welch

from simulators.brunel.model import BrunelNetwork
from simulators.recording import Recording, Spikes

BAND_EDGES_HZ = np.array([5.0, 15.0, 30.0, *np.arange(50.0, 501.0, 50.0)])
"""Bands over which spectra of counts in 1 ms bins are averaged; the last edge belongs to the last band."""

_SEGMENT_MS = 200.0
_POPULATIONS = ("excitatory", "inhibitory")
_BANDS = tuple(f"{low:g}-{high:g} Hz" for low, high in pairwise(BAND_EDGES_HZ))

STATISTICS = (
    *(f"{population} rate (Hz)" for population in _POPULATIONS),
    "coefficient of variation of the intervals",
    *(f"log10 power of {population} counts, {band}" for population in _POPULATIONS for band in _BANDS),
)
"""Names of what ``describe`` returns, in its order."""


def firing_rates(counts: Recording, network: BrunelNetwork) -> Float[np.ndarray, "2"]:
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


def describe(spikes: Spikes, network: BrunelNetwork) -> Float[np.ndarray, " statistics"]:
    """The ``STATISTICS`` of one simulation."""
    counts = network.count(spikes.times_ms, spikes.senders)
    variation = interval_variation(spikes, network.transient_ms)
    return np.array([*firing_rates(counts, network), variation, *band_powers(counts).ravel()])


def disagreements(
    reference: Float[np.ndarray, "reference_seeds statistics"],
    other: Float[np.ndarray, "other_seeds statistics"],
    false_alarm_rate: float,
) -> list[str]:
    """Statistics on which two programs differ by more than their seeds do; empty where the programs agree.

    Rows are what ``describe`` returns for several seeds. Each statistic is tested twice: for equal means (Student's t,
    variance pooled over both programs) and, since pooling takes it for granted, for equal variances (F). Two
    programs that are the same come out as different with a probability of at most ``false_alarm_rate`` (Bonferroni over
    all tests). A statistic that is not a number in any row counts as different. Raises ValueError for fewer than two
    seeds.
    """
    n, m = len(reference), len(other)
    if min(n, m) < 2:
        raise ValueError(f"{n} and {m} seeds; two or more of each are needed to know the spread between them")
    means, variances = zip(*((x.mean(axis=0), x.var(axis=0, ddof=1)) for x in (reference, other)), strict=True)
    pooled = ((n - 1) * variances[0] + (m - 1) * variances[1]) / (n + m - 2)
    t = (means[1] - means[0]) / np.sqrt(pooled * (1 / n + 1 / m))
    p_mean = 2 * stats.t.sf(np.abs(t), n + m - 2)
    ratio = variances[1] / variances[0]
    p_spread = 2 * np.minimum(stats.f.sf(ratio, m - 1, n - 1), stats.f.cdf(ratio, m - 1, n - 1))
    # The negation catches what is not a number.
    different = ~(np.minimum(p_mean, p_spread) > false_alarm_rate / (2 * reference.shape[1]))
    return [
        f"{STATISTICS[k]}: {means[0][k]:.4g} +- {variances[0][k] ** 0.5:.2g} in the reference, "
        f"{means[1][k]:.4g} +- {variances[1][k] ** 0.5:.2g} in the other "
        f"(equal means: p = {p_mean[k]:.1g}, equal spread: p = {p_spread[k]:.1g})"
        for k in np.flatnonzero(different)
    ]
