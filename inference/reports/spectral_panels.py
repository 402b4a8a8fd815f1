"""Panels of spectra, one a channel: the recording, the band of the posterior predictive, and both relative to it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter

from inference.evaluation.departures import PredictiveCheck
from inference.evaluation.predictive import BAND
from inference.features.interface import Features
from inference.features.spectra import SpectralFeatures
from inference.reports.style import BAND_COLOUR, INK, legend, plain, short
from simulators.recording import Recording


def draw_spectra(
    figure: Figure | SubFigure,
    recording: Recording,
    features: Features,
    check: PredictiveCheck | None,
    channels: Sequence[int] | np.ndarray | range,
    columns: int,
) -> None:
    """Some channels' spectra, measured and, where there is a check, predicted with their band; a panel each."""
    observed = features(recording)
    if check is not None and check.spectra.shape[1:] != observed.shape:
        raise ValueError(f"predictive spectra have shape {check.spectra.shape}; expected (draws, *{observed.shape})")
    quantiles = None if check is None else np.quantile(check.spectra, [BAND[0], 0.5, BAND[1]], axis=0)
    spectral = isinstance(features, SpectralFeatures)
    relative = spectral and quantiles is not None
    rows = -(-len(channels) // columns)
    grid = figure.subplots(
        rows * (1 + relative), columns, squeeze=False, sharex=True, height_ratios=[1.6, 1][: 1 + relative] * rows
    )
    upper, lower = grid[:: 1 + relative].ravel(), grid[1::2].ravel() if relative else np.array([])
    for ax, k in zip(upper, channels, strict=False):
        draw_spectrum(ax, features, observed[k], None if quantiles is None else quantiles[:, k])
        ax.set_title(short(recording.channels[k]), fontsize=9, color=INK, pad=3, parse_math=False)
    for ax, k in zip(lower, channels, strict=False):
        assert quantiles is not None
        draw_spectrum(ax, features, observed[k] - quantiles[1, k], quantiles[:, k] - quantiles[1, k])
    for axes in (upper, lower):
        _same_height(axes, len(channels), columns)
    for i, ax in enumerate(lower if relative else upper):
        if len(channels) - columns <= i < len(channels):
            ax.tick_params(labelbottom=True)
            ax.set_xlabel(f"{features.axis.name} ({features.axis.unit})", fontsize=9, color=INK)
    for ax in [a for axes in (upper, lower) for a in axes[len(channels) :]]:
        ax.set_axis_off()
    if relative:
        _label_factors(lower[: len(channels)])
        lower[0].set_ylabel("÷ median", fontsize=8, color=INK)
    figure.supylabel(_spectral_unit(recording, features), fontsize=10, color=INK, parse_math=False)
    if check is not None:
        handles = [Line2D([], [], color=INK, lw=1.1), Patch(color=BAND_COLOUR)]
        made = "posterior predictive" + (", emulated" if check.emulated else "")
        labels = ["recording", f"{made}, {100 * BAND[0]:g}–{100 * BAND[1]:g} %"]
        legend(figure, handles, labels, loc="outside lower center", ncols=2, fontsize=9)


def draw_spectrum(
    ax: Axes,
    features: Features,
    observed: Float[np.ndarray, " values"],
    quantiles: Float[np.ndarray, "3 values"] | None,
) -> None:
    """One channel's features and their band, spectra on logarithmic axes from the lowest frequency of the features."""
    axis, spectral = features.axis, isinstance(features, SpectralFeatures)

    def shown(y: np.ndarray) -> np.ndarray:
        return 10**y if spectral else y

    if quantiles is not None:
        ax.fill_between(axis.values, *shown(quantiles[[0, 2]]), color=BAND_COLOUR, lw=0)
    (ax.loglog if spectral else ax.plot)(axis.values, shown(observed), color=INK, lw=1.1)
    if spectral:
        lowest, highest = axis.values[axis.values > 0][[0, -1]]
        ax.set_xlim(lowest, highest)
        decades = 10.0 ** np.arange(np.ceil(np.log10(lowest)), np.log10(highest))
        # A label where the axis begins, unless it would run into the next one.
        first = [] if decades.size and decades[0] < 1.6 * lowest else [lowest]
        ax.set_xticks([*first, *decades])
        ax.xaxis.set_major_formatter("{x:.3g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.yaxis.set_minor_formatter(NullFormatter())
    plain(ax)


def _label_factors(axes: np.ndarray) -> None:
    """Ticks between the powers of ten as well, where all lies within one or two of them."""
    for ax in axes:
        low, high = ax.get_ylim()
        if high / low < 50:
            ax.yaxis.set_major_locator(
                LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if high / low < 5 else (1.0, 2.0, 5.0))
            )
            ax.yaxis.set_major_formatter("{x:g}")


def _same_height(axes: np.ndarray, n: int, columns: int) -> None:
    """One scale for the first ``n`` of some panels; only those at the left say it."""
    if not axes.size:
        return
    ends = np.array([ax.get_ylim() for ax in axes[:n]])
    for i, ax in enumerate(axes[:n]):
        ax.set_ylim(ends[:, 0].min(), ends[:, 1].max())
        ax.tick_params(labelleft=i % columns == 0, labelbottom=False)


def _spectral_unit(recording: Recording, features: Features) -> str:
    unit = recording.unit.replace("u", "µ")
    if not isinstance(features, SpectralFeatures):
        return unit
    return "relative power" if features.scale_free else f"power ({unit}²/Hz)"
