"""A recording's spectra and the band of its answer, as results keep them and a page of many recordings shows them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, NullFormatter

from inference.evaluation.departures import PredictiveCheck
from inference.evaluation.predictive import BAND
from inference.features.interface import Features
from inference.features.spectra import SpectralFeatures
from inference.reports.style import BAND_COLOUR, INK, MUTED, plain, short
from simulators.recording import Recording

if TYPE_CHECKING:
    import xarray

GROUP = "predicted"
MOST = 60
"""Recordings that a figure shows."""

_COLUMNS = 6
_REFUSED = "#d1d5db"


class Predicted(NamedTuple):
    """log10 spectra, mean over channels: a recording's, and the ends of the band that its answer gives."""

    frequencies: Float[np.ndarray, " frequencies"]
    measured: Float[np.ndarray, " frequencies"]
    low: Float[np.ndarray, " frequencies"]
    high: Float[np.ndarray, " frequencies"]


def predicted_dataset(ready: Recording, features: Features, check: PredictiveCheck) -> "xarray.Dataset | None":
    """Of every channel, log10 of the power and the band of 5 to 95 %; None for what are no spectra."""
    if not isinstance(features, SpectralFeatures):
        return None
    import xarray

    low, high = np.quantile(check.spectra, BAND, axis=0)
    each = {"measured": features(ready), "low": low, "high": high}
    unit = "log10 of the share of the power" if features.relative else f"log10 {ready.unit}^2/Hz"
    dims, coords = ("channel", "frequency"), {"channel": list(ready.channels), "frequency": features.frequencies}
    return xarray.Dataset({name: (dims, values, {"units": unit}) for name, values in each.items()}, coords)


def predicted_of(dataset: "xarray.Dataset") -> Predicted:
    """The inverse, as a mean over channels. Raises KeyError or ValueError for a dataset of something else."""
    mean = {name: dataset[name].values.astype(float).mean(0) for name in ("measured", "low", "high")}
    found = Predicted(dataset["frequency"].values.astype(float), **mean)
    if len({v.shape for v in found}) > 1 or not all(np.isfinite(v).all() for v in found):
        raise ValueError("its spectra are not finite, or not of the same frequencies")
    return found


def predicted_figure(recordings: Sequence[tuple[str, Predicted, bool]]) -> Figure:
    """A small panel a recording, with its name and whether it counts; of very many the first ones."""
    shown = recordings[:MOST]
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure((1.7 * columns + 0.5, 1.45 * rows + 0.3), dpi=130, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for ax, (name, one, counts) in zip(axes, shown, strict=False):
        seen = one.frequencies > 0
        f, measured, low, high = (v[seen] for v in one)
        ax.fill_between(f, low, high, color=BAND_COLOUR if counts else _REFUSED, lw=0)
        ax.plot(f, measured, color=INK if counts else MUTED, lw=0.7)
        ax.set_xscale("log")
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        ax.set_title(short(name, 24), fontsize=7, color=INK if counts else MUTED, pad=2, parse_math=False)
        plain(ax)
        ax.tick_params(labelsize=6)
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    figure.supxlabel("frequency (Hz)", fontsize=8, color=INK)
    figure.supylabel("log10 power, mean over channels", fontsize=8, color=INK)
    return figure
