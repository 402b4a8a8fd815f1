"""What a circuit of several populations looks like: gains with their uncertainty, dipole, spectrum, spikes."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from inference.estimate import Estimate, decimals
from inference.evaluation.constraint import NOTHING, range_left
from inference.evaluation.departures import PredictiveCheck
from inference.evaluation.predictive import BAND
from inference.evaluation.rhythm import Activity
from inference.features.interface import Features
from inference.features.spectra import SpectralFeatures
from inference.recordings.conform import resampled
from inference.reports.figures import draw_raster
from inference.reports.spectral_panels import draw_spectrum
from inference.reports.style import BAND_COLOUR, INK, MUTED, legend, plain
from simulators.recording import Recording

GAINS = colormaps["PuOr_r"]  # purple below, orange above: told apart with any kind of colour vision
SIMULATED = "#D55E00"
_MASS = 0.9
_TICKS_HZ = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_PALEST = 0.25  # of a colour, where the recording constrains nothing
_NO_PAIR = "#f3f4f6"


def circuit_figure(
    estimate: Estimate,
    recording: Recording,
    features: Features,
    activity: Activity,
    check: PredictiveCheck | None = None,
) -> Figure:
    """The circuit that a recording of one channel tells of.

    Left the gains, as ``draw_gains`` has them, and the parameters that are none; right the recording, its spectrum with
    the posterior predictive band, and a run of the circuit at the estimate. Populations are those of the run's spikes.
    Raises ValueError where the check has another shape than the recording's features.
    """
    populations = tuple(activity.spikes.populations)
    others = [k for k, name in enumerate(estimate.names) if name not in _pairs(populations)]
    figure = Figure((11.0, 7.2), dpi=150, layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.1, 1.0], wspace=0.03, squeeze=False)[0]
    heights = [1.0, 0.09 * len(others)] if others else [1.0]
    panels = left.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    draw_gains(panels[0], estimate, populations)
    if others:
        _draw_ranges(panels[1], estimate, others)
    trace, spectrum, dipole, raster = right.subplots(4, 1, height_ratios=[0.8, 1.5, 0.8, 1.3])
    draw_dipole(trace, recording, "recording", INK)
    draw_power(spectrum, recording, features, check)
    simulated = resampled(activity.dipole, min(recording.sampling_rate, activity.dipole.sampling_rate))
    draw_dipole(dipole, simulated, "simulated at the posterior's median", SIMULATED)
    draw_spikes(raster, activity)
    raster.sharex(dipole)
    return figure


def activity_panels(activity: Activity, features: SpectralFeatures) -> Figure:
    """A run: its dipole above its spikes, and the spectrum of the dipole beside them."""
    figure = Figure((9.6, 4.0), dpi=150, layout="constrained")
    axes = figure.subplot_mosaic([["dipole", "power"], ["raster", "power"]], width_ratios=[1.6, 1])
    draw_dipole(axes["dipole"], activity.dipole, "", INK)
    draw_spikes(axes["raster"], activity)
    draw_power(axes["power"], resampled(activity.dipole, features.sampling_rate), features, None)
    return figure


def draw_gains(
    ax: Axes,
    estimate: Estimate,
    populations: Sequence[str],
    alternatives: Float[np.ndarray, "places n_parameters"] | None = None,
) -> None:
    """Log10 gains as a matrix, from the population of a row to that of a column; crossed out where none is estimated.

    Colour: the median, paler the less the recording constrains it. Bar: the interval that holds 90 %, over the whole
    range, with a tick where the gain changes nothing; circles: ``alternatives``. The gain of a onto b is named "a_b".
    """
    pairs, space = _pairs(populations), list(estimate.parameters)
    there = [k for k, name in enumerate(estimate.names) if name in pairs]
    most = max((max(abs(space[k].low), abs(space[k].high)) for k in there), default=1.0)
    scale = Normalize(-most, most)
    answered = estimate.has_interval
    left = range_left(estimate) if answered else np.zeros(len(space))
    for name, (row, column) in pairs.items():
        corner = column - 0.5, row - 0.5
        if name not in estimate.names:
            ax.add_patch(Rectangle(corner, 1, 1, fc=_NO_PAIR, ec="white", lw=2))
            for y in ((row - 0.28, row + 0.28), (row + 0.28, row - 0.28)):
                ax.plot((column - 0.28, column + 0.28), y, color="#c4c8cf", lw=1.2)
            continue
        k = estimate.names.index(name)
        samples = None if estimate.samples is None or not answered else estimate.samples[:, k]
        middle = float(estimate.point[k] if samples is None else np.median(samples))
        share = 1 - (1 - _PALEST) * float(left[k]) if estimate.trusted else _PALEST
        colour = _paler(GAINS(scale(middle)), share)
        ax.add_patch(Rectangle(corner, 1, 1, fc=colour, ec="white", lw=2))
        ink = _ink(colour) if estimate.trusted else MUTED
        faint = left[k] > NOTHING or not estimate.trusted
        text = f"{middle:+z.2f}" if estimate.trusted else f"({middle:+z.2f})"
        style: dict[str, Any] = dict(ha="center", va="center", color=ink, parse_math=False)
        ax.text(
            column, row - 0.16, text, fontsize=8.5 if faint else 11, fontweight="normal" if faint else "bold", **style
        )
        if left[k] > NOTHING and estimate.trusted:
            ax.text(column, row - 0.35, "unconstrained", fontsize=7.5, fontstyle="italic", **style)
        places = None if alternatives is None else alternatives[:, k]
        _draw_bar(ax, space[k].low, space[k].high, middle, samples, (column, row + 0.24), ink, places)
    n = len(populations)
    ax.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5), aspect="equal")
    ax.set_xticks(range(n), populations, parse_math=False)
    ax.set_yticks(range(n), populations, parse_math=False)
    ax.xaxis.tick_top()
    ax.text(-0.55, -0.58, "onto →\nfrom ↓", ha="right", va="bottom", fontsize=7, color=MUTED)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelcolor=INK)
    bar = ax.figure.colorbar(ScalarMappable(scale, GAINS), ax=ax, location="bottom", shrink=0.75, aspect=32, pad=0.02)
    ticks = [-most, -most / 2, 0.0, most / 2, most]
    bar.set_ticks(ticks, labels=[f"{t:+.1f}\n({_times(t)})" if t else "0" for t in ticks])
    bar.ax.tick_params(labelsize=8, length=0, labelcolor=INK)
    bar.outline.set_visible(False)
    bar.set_label("log10 gain" + (", median" if answered else ""), fontsize=9, color=INK)


def draw_dipole(ax: Axes, dipole: Recording, title: str, colour: str, window_ms: float = 1000.0) -> None:
    """The first second of a recording of one channel."""
    inside = max(2, round(1e-3 * window_ms * dipole.sampling_rate))
    values = dipole.steady[0, :inside].astype(float)
    ax.plot(1e3 * np.arange(len(values)) / dipole.sampling_rate, values, color=colour, lw=0.8)
    ax.set_xlim(0, window_ms)
    unit = "unknown scale" if dipole.unit == "1" else dipole.unit.replace("u", "µ")
    ax.set_ylabel(unit, fontsize=9, color=INK, parse_math=False)
    ax.set_title(title, fontsize=9, color=INK, loc="left", pad=3)
    ax.locator_params(axis="y", nbins=4)
    plain(ax)


def draw_spikes(ax: Axes, activity: Activity, window_ms: float = 1000.0) -> None:
    """The first second of a run's spikes, a row a cell."""
    draw_raster(ax, activity.spikes, 1e3 * activity.dipole.transient / activity.dipole.sampling_rate, window_ms)
    ax.tick_params(labelbottom=True)
    ax.set_xlim(0, window_ms)
    ax.set_xlabel("time (ms)", fontsize=9, color=INK)


def draw_power(ax: Axes, recording: Recording, features: Features, check: PredictiveCheck | None) -> None:
    """What was seen of a recording's first channel, and the band of the posterior predictive."""
    observed = features(recording)
    if check is not None and check.spectra.shape[1:] != observed.shape:
        raise ValueError(f"predictive spectra have shape {check.spectra.shape}; expected (draws, *{observed.shape})")
    quantiles = None if check is None else np.quantile(check.spectra[:, 0], [BAND[0], 0.5, BAND[1]], axis=0)
    draw_spectrum(ax, features, observed[0], quantiles)
    unit = recording.unit.replace("u", "µ")
    power = "relative power" if features.scale_free else f"power ({unit}²/Hz)"
    ax.set_ylabel(power if isinstance(features, SpectralFeatures) else unit, fontsize=9, color=INK, parse_math=False)
    ax.set_xlabel(f"{features.axis.name} ({features.axis.unit})", fontsize=9, color=INK, labelpad=1)
    if isinstance(features, SpectralFeatures):
        ax.set_xticks([f for f in _TICKS_HZ if ax.get_xlim()[0] <= f <= ax.get_xlim()[1]])
    if check is not None:
        handles = [Line2D([], [], color=INK, lw=1.1), Patch(color=BAND_COLOUR)]
        labels = ["recording", f"posterior predictive, {100 * BAND[0]:g}–{100 * BAND[1]:g} %"]
        above: dict[str, Any] = dict(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderpad=0, fontsize=8)
        legend(ax, handles, labels, **above)


def _pairs(populations: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Names of gains -> (row, column)."""
    numbered = list(enumerate(populations))
    return {f"{a}_{b}": (i, j) for (i, a), (j, b) in product(numbered, numbered)}


def _draw_bar(
    ax: Axes,
    low: float,
    high: float,
    middle: float,
    samples: Float[np.ndarray, " draws"] | None,
    centre: tuple[float, float],
    ink: str,
    alternatives: Float[np.ndarray, " places"] | None,
) -> None:
    """The range as a thin line, the interval on it as a thick one, the median as a dot, nothing changed as a tick."""
    x, y = centre

    def at(value: Any) -> Any:
        return x - 0.36 + 0.72 * (np.asarray(value) - low) / (high - low)

    ax.plot(at([low, high]), (y, y), color=ink, lw=0.6, alpha=0.5)
    if low < 0 < high:
        ax.plot(at([0.0, 0.0]), (y - 0.05, y + 0.05), color=ink, lw=0.8)
    if samples is not None:
        ends = np.quantile(samples, [(1 - _MASS) / 2, (1 + _MASS) / 2])
        ax.plot(at(ends), (y, y), color=ink, lw=3, solid_capstyle="butt", alpha=0.75)
    if alternatives is not None:
        ax.plot(at(alternatives), np.full(len(alternatives), y), "o", ms=4, mfc="none", mec=ink, mew=0.8)
    ax.plot(at(middle), y, "o", ms=5, color=ink, mec="white", mew=0.8)


def _draw_ranges(ax: Axes, estimate: Estimate, which: Sequence[int]) -> None:
    """Parameters that are no gains of a pair: the interval of each over its range."""
    for row, k in enumerate(which):
        p = list(estimate.parameters)[k]
        samples = estimate.samples[:, k] if estimate.samples is not None and estimate.has_interval else None
        middle = float(estimate.point[k] if samples is None else np.median(samples))
        unit = "" if p.unit == "1" else f" {p.unit}"
        digits = decimals([] if samples is None else [float(np.ptp(estimate.interval(_MASS)[k]))], p)
        text = f"{middle:.{digits}f}{unit}"
        _draw_bar(ax, p.low, p.high, middle, samples, (0.5, row), INK, None)
        label = f"{p.name}\n{text if estimate.trusted else f'({text})'}"
        ax.text(0.1, row, label, ha="right", va="center", fontsize=8.5, color=INK, parse_math=False)
        ax.text(0.145, row + 0.33, f"{p.low:g}", ha="center", va="center", fontsize=7, color=MUTED)
        ax.text(0.855, row + 0.33, f"{p.high:g}", ha="center", va="center", fontsize=7, color=MUTED)
    ax.set(xlim=(-0.25, 1.0), ylim=(len(which) - 0.4, -0.5))
    ax.set_axis_off()


def _paler(colour: Any, share: float) -> tuple[float, ...]:
    """A colour mixed with white, of which the share is left."""
    return tuple(1 - share * (1 - c) for c in to_rgb(colour))


def _ink(colour: tuple[float, ...]) -> str:
    """Dark on light, light on dark."""
    return INK if float(np.dot(colour, (0.299, 0.587, 0.114))) > 0.45 else "#ffffff"


def _times(log10: float) -> str:
    return f"×{10**log10:.2g}" if log10 >= 0 else f"÷{10**-log10:.2g}"
