"""The spectrum of a recording in the predictive band of every circuit, and of a background alone."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter

from inference.evaluation.predictive import BAND
from inference.explaining.explain import Explained
from inference.explaining.fits import Explanation
from inference.reports.style import BAND_COLOUR, INK, MUTED, legend, plain, short

_TICKS_HZ = (10.0, 20.0, 50.0, 100.0, 200.0)
_COLUMNS = 3
_REFUSED, _DEPARTS = "#d1d5db", "#fde2bd"


def explained_figure(one: Explained, titled: bool = True) -> Figure:
    """A panel each, in the order of ``ranked``. titled: says which recording it is of, and the verdict."""
    shown = ranked(one)
    rows = -(-len(shown) // _COLUMNS)
    figure = Figure((9.0, 0.9 + 2.3 * rows), dpi=160, layout="constrained")
    axes = figure.subplots(rows, _COLUMNS, squeeze=False, sharex=True, sharey=True).ravel()
    for k, (ax, explanation) in enumerate(zip(axes, shown, strict=False)):
        _draw(ax, one, explanation)
        if k + _COLUMNS >= len(shown):
            ax.tick_params(labelbottom=True)
            ax.set_xlabel("frequency (Hz)", fontsize=9, color=INK)
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    figure.supylabel("share of the power", fontsize=10, color=INK)
    if titled:
        title = f"{Path(one.recording).name}, {one.channel}: {one.status}"
        figure.suptitle(title, fontsize=10, color=INK, parse_math=False)
    handles = [
        Line2D([], [], color=INK, lw=1.2), Patch(color=BAND_COLOUR), Patch(color=_REFUSED), Patch(color=_DEPARTS)
    ]  # fmt: skip
    labels = ["recording", "circuit that fits", "that does not", "where the recording leaves it furthest"]
    legend(figure, handles, labels, loc="outside lower center", ncols=4, fontsize=9)
    return figure


def ranked(one: Explained) -> list[Explanation]:
    """Those that fit first, of these the most probable, and of those that do not the nearest to it."""
    told = one.probabilities
    return sorted(one.explanations, key=lambda e: (not e.fits, -told.get(e.name, 0.0), e.misfit - e.worst))


def _draw(ax: Axes, one: Explained, explanation: Explanation) -> None:
    f = one.features.frequencies
    low, middle, high = 10 ** np.quantile(explanation.check.spectra[:, 0], [BAND[0], 0.5, BAND[1]], axis=0)
    half = (f[1] - f[0]) / 2
    for departure in explanation.check.departures:
        ax.axvspan(departure.low_hz - half, departure.high_hz + half, color=_DEPARTS, lw=0)
    ax.fill_between(f, low, high, color=BAND_COLOUR if explanation.fits else _REFUSED, lw=0)
    ax.loglog(f, middle, color="white", lw=0.8)
    ax.loglog(f, 10 ** one.spectrum[0], color=INK, lw=1.2)
    ax.set_xlim(f[0], f[-1])
    ticks = [hz for hz in _TICKS_HZ if f[0] <= hz <= f[-1]]
    ax.set_xticks(ticks, [f"{hz:g}" for hz in ticks])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_locator(LogLocator(numticks=6))
    ax.yaxis.set_minor_formatter(NullFormatter())
    title = short(explanation.name) if explanation.fits else f"{short(explanation.name)}: does not"
    ax.set_title(title, fontsize=10, color=INK if explanation.fits else MUTED, pad=3, parse_math=False)
    plain(ax)
