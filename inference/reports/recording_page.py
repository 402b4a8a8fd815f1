"""Everything about one recording and its estimates on one HTML page that needs nothing beside itself."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from inference.estimate import Estimate
from inference.evaluation.predictive import share_inside
from inference.features.interface import Features
from inference.features.spectra import SpectralFeatures
from inference.reports.figures import activity_figure, posterior_figure, spectra_figure, traces_figure
from inference.reports.html import embedded, flat, rendered
from simulators.recording import Recording, Spikes

_POOR_FIT = 0.5  # of the expected share inside the band; neighbouring frequencies and channels go astray together
_AT_THE_EDGE = 0.02  # of the range: an interval that ends closer to its edge is cut off by it


@dataclass(frozen=True)
class Cell:
    """What one method says of one parameter; ``missed`` where the interval does not hold the truth."""

    value: str
    interval: str = ""
    missed: bool = False


@dataclass(frozen=True)
class Row:
    """One parameter in the table of estimates."""

    name: str
    meaning: str
    range: str
    truth: str
    cells: tuple[Cell, ...]


def write_report(
    path: str | Path,
    *,
    title: str,
    recording: Recording,
    features: Features,
    estimates: Sequence[Estimate],
    spikes: Spikes | None = None,
    counts: Recording | None = None,
    truth: Float[np.ndarray, " n_parameters"] | None = None,
    predictive: Float[np.ndarray, "draws channels frequencies"] | None = None,
    notes: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write the report: warnings, numbers, activity, recording, spectra, posteriors, provenance; parts may be missing.

    predictive: log10 spectra of simulations at draws from a posterior, in the unit of the features. notes: what else to
    know before believing the numbers. Raises ValueError for estimates of different parameters, a truth or predictive
    spectra that do not fit them, or a recording without a spectrum.
    """
    inside = None if predictive is None else share_inside(features(recording), predictive)
    figures = {
        "recording": embedded(traces_figure(recording)),
        "spectra": embedded(spectra_figure(recording, features, predictive)),
    }
    if spikes is not None or counts is not None:
        figures["activity"] = embedded(activity_figure(spikes, counts))
    if any(e.samples is not None for e in estimates):
        figures["posterior"] = embedded(posterior_figure(estimates, truth))
    page = rendered(
        "report.html.jinja",
        title=title,
        warnings=_warnings(estimates, notes, inside),
        estimates=estimates,
        rows=table_rows(estimates, truth) if estimates else [],
        truth=truth,
        recording=recording,
        seen=_described(features),
        spikes=spikes,
        inside=inside,
        draws=0 if predictive is None else len(predictive),
        figures=figures,
        provenance=list(flat(provenance or {})),
    )
    Path(path).write_text(page, encoding="utf-8")


def _described(features: Features) -> str:
    """What the figure of features shows, as a sentence."""
    if isinstance(features, SpectralFeatures):
        return f"Welch's power spectral density in segments of {features.segment_ms:g} ms."
    return f"What the estimators saw of the recording, by {features.axis.name}."


def table_rows(estimates: Sequence[Estimate], truth: Float[np.ndarray, " n_parameters"] | None = None) -> list[Row]:
    """One row a parameter: range, truth, and of each method the point and its 95 % interval.

    Digits: two of the narrowest interval's width, so that none is without meaning. Raises ValueError for a truth of
    another length.
    """
    parameters = estimates[0].parameters
    if truth is not None and truth.shape != (len(parameters),):
        raise ValueError(f"truth has shape {truth.shape}; expected {len(parameters)} values")
    rows = []
    for k, p in enumerate(parameters):
        unit = "" if p.unit == "1" else f" {p.unit}"
        decimals = _decimals(estimates, k)
        cells = tuple(_cell(e, k, None if truth is None else float(truth[k]), decimals, unit) for e in estimates)
        known = "" if truth is None else f"{truth[k]:.{decimals}f}{unit}"
        rows.append(Row(p.name, p.meaning, f"{p.low:g} … {p.high:g}{unit}", known, cells))
    return rows


def _cell(estimate: Estimate, k: int, truth: float | None, decimals: int, unit: str) -> Cell:
    value = f"{estimate.point[k]:.{decimals}f}{unit}"
    if estimate.samples is None:
        return Cell(value)
    low, high = estimate.interval(0.95)[k]
    missed = truth is not None and not low <= truth <= high
    return Cell(value, f"{low:.{decimals}f} … {high:.{decimals}f}", missed)


def _decimals(estimates: Sequence[Estimate], k: int) -> int:
    """Two digits of the narrowest interval's width; without any interval, to about a hundredth of the range."""
    widths = [float(np.ptp(e.interval(0.95)[k])) for e in estimates if e.samples is not None]
    p = list(estimates[0].parameters)[k]
    finest = min([w for w in widths if w > 0], default=(p.high - p.low) / 10)
    return min(12, max(0, 1 - math.floor(math.log10(finest))))


def _warnings(estimates: Sequence[Estimate], notes: Sequence[str], inside: tuple[float, float] | None) -> list[str]:
    warnings = [f"{e.method or 'estimate'}: {w}" for e in estimates for w in e.warnings]
    warnings += [_edge(e, k) for e in estimates if e.samples is not None for k in range(len(e.names)) if _edge(e, k)]
    if inside is not None and inside[0] < _POOR_FIT * inside[1]:
        warnings.append(
            f"Networks with the estimated parameters do not give this spectrum: {inside[0]:.0%} of it lies in their "
            f"band, {inside[1]:.0%} would be expected. The model may be wrong for this recording, and then so are the "
            f"numbers."
        )
    return warnings + list(notes)


def _edge(estimate: Estimate, k: int) -> str:
    """What to say of an interval that the edge of the parameter's range cuts off; nothing of others."""
    p = list(estimate.parameters)[k]
    low, high = estimate.interval(0.95)[k]
    margin = _AT_THE_EDGE * (p.high - p.low)
    ends = [f"{p.low:g}"] * bool(low < p.low + margin) + [f"{p.high:g}"] * bool(high > p.high - margin)
    if not ends:
        return ""
    unit = "" if p.unit == "1" else f" {p.unit}"
    return (
        f"{estimate.method or 'estimate'}: the interval of {p.name} reaches the edge ({' and '.join(ends)}{unit}) of "
        f"the range that was simulated; the true value may lie beyond it."
    )
