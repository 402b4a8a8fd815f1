"""What a recording, its spectra and its estimates look like.

Every function returns a matplotlib Figure of its own, outside of pyplot: nothing is shown, kept or left open.
"""

from collections.abc import Sequence
from contextlib import suppress
from itertools import cycle
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from inference.estimate import Estimate
from inference.evaluation.departures import PredictiveCheck
from inference.features.interface import Features
from inference.reports.spectral_panels import draw_spectra
from inference.reports.style import INK, legend, plain, short
from simulators.recording import Recording, Spikes
from simulators.units import factor

METHOD_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Okabe and Ito (2008): told apart with any kind of colour vision."""


MOST_PAIRED = 6
"""Parameters whose pairs can be told apart on a page."""

_RASTER_NEURONS = 100
_SUMMARY_CHANNELS = 6
_SUMMARY_BANDS = 4  # channels, each with the band drawn relative to its median as well


def activity_figure(spikes: Spikes | None, counts: Recording | None, window_ms: float = 300.0) -> Figure:
    """Raster of about a hundred neurons, and the populations' activity below, from the end of the transient.

    Without counts they are counted from the spikes, in 1 ms; without spikes there is no raster and no rate, only
    spikes per bin. Raises ValueError where both are missing.
    """
    if counts is None:
        if spikes is None:
            raise ValueError("there are neither spikes nor counts to draw")
        counts = _counted(spikes, window_ms)
    figure = Figure((9.0, 4.6 if spikes is not None else 2.2), dpi=160, layout="constrained")
    panels = ["raster", "rate"] if spikes is not None else ["rate"]
    axes = figure.subplot_mosaic([[p] for p in panels], height_ratios=[2.2, 1][-len(panels) :], sharex=True)
    if spikes is not None:
        draw_raster(axes["raster"], spikes, 1e3 * counts.transient / counts.sampling_rate, window_ms)
    _draw_rates(axes["rate"], counts, spikes, window_ms)
    axes["rate"].set(xlim=(0, window_ms), xlabel="time (ms)")
    return figure


def traces_figure(recording: Recording, window_ms: float = 1000.0) -> Figure:
    """Each channel around its mean, the first on top, all on one scale, from the end of the transient."""
    figure = Figure((9.0, 1.2 + 0.5 * recording.values.shape[0]), dpi=160, layout="constrained")
    _draw_traces(figure.subplots(), recording, window_ms)
    return figure


def spectra_figure(
    recording: Recording,
    features: Features,
    check: PredictiveCheck | None = None,
) -> Figure:
    """One panel a channel: its spectrum and, if given, the band of the posterior predictive spectra.

    Below it both relative to the band's median: spectra fall by so many decades that the band is a line in the first.
    Raises ValueError where the spectra have another shape than the features, or the recording has no spectrum.
    """
    n = recording.values.shape[0]
    columns = min(3, n)
    rows = -(-n // columns)
    figure = Figure((9.0, 0.7 + (1.9 if check is None else 3.0) * rows), dpi=160, layout="constrained")
    draw_spectra(figure, recording, features, check, range(n), columns)
    return figure


def posterior_figure(estimates: Sequence[Estimate], truth: Float[np.ndarray, " n_parameters"] | None = None) -> Figure:
    """Marginals on the diagonal, pairs of parameters below; a method without samples is a line and a diamond.

    Of more than six parameters the marginals alone. Values outside the range of the parameters are on grey.

    Raises ValueError for no estimates, or estimates of different parameters.
    """
    names = _shared_names(estimates)
    n = len(names)
    if n > MOST_PAIRED:
        return _marginals_figure(estimates, truth)
    figure = Figure((1.4 + 2.3 * n, 0.9 + 2.1 * n), dpi=160, layout="constrained")
    grid = figure.subplots(n, n, squeeze=False, sharex="col")
    limits = [_limits(estimates, truth, k) for k in range(n)]
    for row in range(n):
        for column in range(n):
            ax = grid[row, column]
            if row < column:
                ax.set_axis_off()
                continue
            if row == column:
                _draw_marginal(ax, estimates, truth, row, limits[row])
            else:
                _draw_pair(ax, estimates, truth, (column, row))
                ax.set_ylim(limits[row])
            ax.set_xlim(limits[column])
            ax.tick_params(labelleft=column == 0 < row)
            if row == n - 1:
                ax.set_xlabel(_label(estimates[0], column), parse_math=False)
            if column == 0 < row:
                ax.set_ylabel(_label(estimates[0], row), parse_math=False)
    _method_legend(figure, estimates, truth, loc="upper right" if n > 1 else "outside upper right")
    return figure


def _marginals_figure(estimates: Sequence[Estimate], truth: Float[np.ndarray, " n_parameters"] | None) -> Figure:
    n, columns = len(estimates[0].names), 4
    rows = -(-n // columns)
    figure = Figure((9.0, 0.6 + 1.3 * rows), dpi=160, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for k, ax in enumerate(grid[:n]):
        _draw_marginal(ax, estimates, truth, k, _limits(estimates, truth, k))
        ax.set_xlabel(_label(estimates[0], k), parse_math=False, fontsize=9, labelpad=1)
    for ax in grid[n:]:
        ax.set_axis_off()
    _method_legend(figure, estimates, truth, loc="outside upper right")
    return figure


def summary_figure(
    recording: Recording,
    features: Features,
    estimates: Sequence[Estimate],
    *,
    truth: Float[np.ndarray, " n_parameters"] | None = None,
    check: PredictiveCheck | None = None,
) -> Figure:
    """The whole story in 1600 x 700 pixels: traces, spectra, posteriors. Raises ValueError as the other figures do."""
    names = _shared_names(estimates)
    figure = Figure((32 / 3, 14 / 3), dpi=150, layout="constrained")
    left, middle, right = figure.subfigures(1, 3, squeeze=False, width_ratios=[1.05, 1.15, 0.9], wspace=0.03)[0]
    _draw_traces(left.subplots(), recording, 600.0)
    left.suptitle("Recording", fontweight="bold", color=INK)
    n = recording.values.shape[0]
    most = _SUMMARY_CHANNELS if check is None else _SUMMARY_BANDS
    shown = np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))
    draw_spectra(middle, recording, features, check, shown, columns=min(2, n))
    middle.suptitle("Spectra", fontweight="bold", color=INK)
    for k, ax in enumerate(right.subplots(len(names), 1, squeeze=False)[:, 0]):
        _draw_marginal(ax, estimates, truth, k, _limits(estimates, truth, k))
        ax.set_xlabel(_label(estimates[0], k), parse_math=False, labelpad=1)
    right.suptitle("Parameters", fontweight="bold", color=INK)
    _method_legend(right, estimates, truth, loc="outside lower center")
    return figure


def quantity(value: float, unit: str) -> str:
    """A value with its unit; a voltage with the prefix that makes it a number of 1 or more."""
    with suppress(ValueError):  # no voltage
        for prefixed in ("V", "mV", "uV", "nV"):
            scaled = value * factor(unit, prefixed)
            if abs(scaled) >= 1 - 1e-9:
                return f"{scaled:.3g} {prefixed.replace('u', 'µ')}"
    return f"{value:.3g}" if unit == "1" else f"{value:.3g} {unit}"


def draw_raster(ax: Axes, spikes: Spikes, start_ms: float, window_ms: float) -> None:
    """Neurons evenly spaced in their population, populations in proportion to their sizes but with ten or more."""
    total = sum(end - first for first, end in spikes.populations.values())
    row = 0
    ticks = []
    for (name, (first, end)), colour in zip(spikes.populations.items(), cycle(METHOD_COLOURS[::5]), strict=False):
        size = min(end - first, max(10, round(_RASTER_NEURONS * (end - first) / total)))
        neurons = np.linspace(first, end - 1, size).round().astype(int)
        times = spikes.times_ms - start_ms
        seen = (times >= 0) & (times <= window_ms) & np.isin(spikes.senders, neurons)
        rows = row + np.searchsorted(neurons, spikes.senders[seen])
        ax.scatter(times[seen], rows, s=7, marker="|", linewidths=1.1, color=colour, rasterized=True)
        ticks.append((row + (size - 1) / 2, name if size == end - first else f"{name}\n({size} of {end - first:,})"))
        row += size
    ax.set_ylim(row, -1)
    ax.set_yticks([place for place, _ in ticks], [label for _, label in ticks], parse_math=False)
    plain(ax, left=False)
    ax.tick_params(length=0, labelbottom=False)


def _draw_rates(ax: Axes, counts: Recording, spikes: Spikes | None, window_ms: float) -> None:
    values, bin_ms = counts.steady.astype(float), 1e3 / counts.sampling_rate
    if spikes is not None and set(counts.channels) <= set(spikes.populations):
        sizes = np.array([np.diff(spikes.populations[name])[0] for name in counts.channels])
        values = values * 1e3 / (bin_ms * sizes[:, None])
        ax.set_ylabel("rate (Hz)")
    else:
        ax.set_ylabel(f"spikes per {bin_ms:g} ms")
    times = counts.times_ms[counts.transient :]
    inside = times < window_ms
    for name, row, colour in zip(counts.channels, values, cycle(METHOD_COLOURS[::5]), strict=False):
        ax.plot(times[inside], row[inside], lw=1, color=colour, label=name, alpha=0.9)
    ax.set_ylim(0, 1.05 * max(1.0, float(values[:, inside].max(initial=0))))
    plain(ax)
    if spikes is None:  # a raster has named its colours already
        legend(ax, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(values), fontsize=9, borderpad=0)


def _counted(spikes: Spikes, window_ms: float) -> Recording:
    """Spikes of each population in bins of 1 ms."""
    edges = np.arange(0.0, window_ms + 1.0)
    values = np.stack([np.histogram(spikes.of(name).times_ms, edges)[0] for name in spikes.populations])
    return Recording(values, 1000.0, "1", tuple(spikes.populations))


def _draw_traces(ax: Axes, recording: Recording, window_ms: float) -> None:
    samples = max(2, round(window_ms * recording.sampling_rate / 1e3))
    values = recording.steady[:, :samples].astype(float)
    values = values - values.mean(axis=1, keepdims=True)
    times = 1e3 * np.arange(values.shape[1]) / recording.sampling_rate
    low, high = np.quantile(values, [0.002, 0.998], axis=1)
    spacing = float((high - low).max()) * 0.8 or 1.0
    places = -spacing * np.arange(len(values))
    for place, row in zip(places, values, strict=True):
        ax.plot(times, place + row, lw=0.7, color=INK, rasterized=True)
    ax.set_yticks(places, [short(c) for c in recording.channels], parse_math=False)
    ax.set(xlabel="time (ms)", xlim=(0, times[-1]))
    ax.set_ylim(places[-1] - 0.8 * spacing, 0.8 * spacing)
    plain(ax, left=False)
    ax.tick_params(axis="y", length=0)
    _scale_bar(ax, spacing, recording.unit)


def _scale_bar(ax: Axes, spacing: float, unit: str) -> None:
    """A bar of 1, 2 or 5 times a power of ten, right of the lowest trace."""
    power = 10.0 ** np.floor(np.log10(spacing))
    length = power * max(m for m in (1, 2, 5) if m * power <= spacing)
    bottom = ax.get_ylim()[0] + 0.1 * spacing
    right = ax.get_yaxis_transform()
    ax.plot([1.02, 1.02], [bottom, bottom + length], transform=right, color=INK, lw=2.5, clip_on=False)
    style: dict[str, Any] = dict(va="center", ha="left", fontsize=9, color=INK, rotation=90, parse_math=False)
    ax.text(1.035, bottom + length / 2, quantity(length, unit), transform=right, **style)


def _draw_marginal(
    ax: Axes,
    estimates: Sequence[Estimate],
    truth: Float[np.ndarray, " n_parameters"] | None,
    k: int,
    limits: tuple[float, float],
) -> None:
    bins = np.linspace(*limits, 46)
    for estimate, colour in zip(estimates, cycle(METHOD_COLOURS), strict=False):
        if estimate.samples is None:
            ax.axvline(estimate.point[k], color=colour, lw=2, ls="-" if estimate.trusted else ":")
        elif estimate.has_interval:
            style: dict[str, Any] = dict(bins=bins, density=True, color=colour)
            if estimate.trusted:
                ax.hist(estimate.samples[:, k], histtype="stepfilled", alpha=0.25, **style)
            ax.hist(estimate.samples[:, k], histtype="step", lw=1.4, ls="-" if estimate.trusted else ":", **style)
    if truth is not None:
        ax.axvline(truth[k], color=INK, lw=1.4, ls=(0, (4, 2)))
    prior = list(estimates[0].parameters)[k]
    for edge, side in ((prior.low, limits[0]), (prior.high, limits[1])):
        if limits[0] < edge < limits[1]:
            ax.axvspan(edge, side, color="#e5e7eb", lw=0, zorder=0)
    ax.set_xlim(limits)
    ax.set_yticks([])
    ax.locator_params(axis="x", nbins=5)
    plain(ax, left=False)


def _draw_pair(
    ax: Axes,
    estimates: Sequence[Estimate],
    truth: Float[np.ndarray, " n_parameters"] | None,
    pair: tuple[int, int],
) -> None:
    x, y = pair
    for estimate, colour in zip(estimates, cycle(METHOD_COLOURS), strict=False):
        if estimate.samples is not None:
            if not estimate.has_interval:
                continue
            some = estimate.samples[:: max(1, len(estimate.samples) // 1000)]
            ax.scatter(
                some[:, x],
                some[:, y],
                s=4,
                color=colour,
                alpha=0.35 if estimate.trusted else 0.1,
                lw=0,
                rasterized=True,
            )
        else:
            ax.scatter(
                estimate.point[x], estimate.point[y], s=45, marker="D", color=colour, ec="white", lw=0.8, zorder=3
            )
    if truth is not None:
        ax.axvline(truth[x], color=INK, lw=1, ls=(0, (4, 2)))
        ax.axhline(truth[y], color=INK, lw=1, ls=(0, (4, 2)))
    ax.locator_params(nbins=4)
    plain(ax)


def _limits(
    estimates: Sequence[Estimate], truth: Float[np.ndarray, " n_parameters"] | None, k: int
) -> tuple[float, float]:
    """What has to be seen of parameter ``k``: the samples but for a thousandth, the points and the truth."""
    seen = [[e.point[k]] for e in estimates if e.samples is None or e.has_interval]
    seen += [
        np.quantile(e.samples[:, k], [0.0005, 0.9995]) for e in estimates if e.samples is not None and e.has_interval
    ]
    seen += [] if truth is None else [[truth[k]]]
    values = np.concatenate(seen)
    prior = list(estimates[0].parameters)[k]
    margin = 0.08 * np.ptp(values) or 0.05 * (prior.high - prior.low)
    return float(values.min() - margin), float(values.max() + margin)


def _shared_names(estimates: Sequence[Estimate]) -> tuple[str, ...]:
    if not estimates:
        raise ValueError("there are no estimates to draw")
    different = {estimate.names for estimate in estimates}
    if len(different) > 1:
        raise ValueError(f"estimates of different parameters cannot share a figure: {different}")
    return different.pop()


def _method_legend(
    figure: Figure | SubFigure,
    estimates: Sequence[Estimate],
    truth: Float[np.ndarray, " n_parameters"] | None,
    loc: str,
) -> None:
    handles: list[Any] = [
        Patch(color=colour, alpha=0.8) for _, colour in zip(estimates, cycle(METHOD_COLOURS), strict=False)
    ]
    labels = [(e.method or "estimate") + ("" if e.trusted else " (not to be trusted)") for e in estimates]
    if truth is not None:
        handles.append(Line2D([], [], color=INK, ls=(0, (4, 2))))
        labels.append("truth")
    legend(figure, handles, labels, loc=loc, fontsize=9, ncols=1 if "upper" in loc else 2)


def _label(estimate: Estimate, k: int) -> str:
    name, unit = estimate.names[k], estimate.units[k]
    return name if unit == "1" else f"{name} ({unit})"
