"""Everything about one recording and its estimates on one HTML page that needs nothing beside itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from inference.estimate import Estimate, decimals
from inference.evaluation.constraint import in_words, range_left, trade_offs
from inference.evaluation.departures import PredictiveCheck, predictive_check
from inference.features.interface import Features
from inference.features.spectra import SpectralFeatures
from inference.reports.figures import MOST_PAIRED, activity_figure, posterior_figure, spectra_figure, traces_figure
from inference.reports.html import embedded, flat, rendered
from inference.reports.play import Play, play_of, playable
from inference.reports.verdict import REFUSED, Verdict
from inference.reports.verdict import verdict as verdict_on
from simulators.recording import Recording, Spikes


@dataclass(frozen=True)
class Cell:
    """What one method says of one parameter; ``missed`` where the interval does not hold the truth.

    left: how much of the range is, in words.
    """

    value: str
    interval: str = ""
    missed: bool = False
    trusted: bool = True
    left: str = ""


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
    check: PredictiveCheck | None = None,
    verdict: Verdict | None = None,
    notes: Sequence[str] = (),
    circuit: Figure | None = None,
    fit: Any = None,
    play: Play | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write the report: verdict, circuit, numbers, activity, recording, spectra, posteriors, details, provenance.

    Parts may be missing.

    predictive: log10 spectra of simulations at draws from a posterior, in the unit of the features; check: what came of
    holding the recording against such spectra, instead of these. verdict: made from the estimates unless given. notes:
    what else to know before believing the numbers. circuit: a figure of the circuit with its parameters; with it the
    table says how much of each range is left, and which parameters make up for one another. fit: the estimator that the
    check is of; with a gradient fit the page has sliders for the parameters, at its estimate; play: other sliders.
    Raises ValueError for estimates of different parameters, a truth or predictive spectra that do not fit them, or a
    recording without a spectrum.
    """
    if check is None and predictive is not None:
        check = predictive_check(recording, features, predictive)
    if verdict is None and estimates:
        verdict = verdict_on(estimates, notes, check)
    if verdict is not None and verdict.status == REFUSED:
        # One method that finds the recording unlike the circuit is enough: the others' numbers look like its own.
        estimates = [replace(e, trusted=False) for e in estimates]
    figures = {
        "recording": embedded(traces_figure(recording)),
        "spectra": embedded(spectra_figure(recording, features, check)),
    }
    if spikes is not None or counts is not None:
        figures["activity"] = embedded(activity_figure(spikes, counts))
    if any(e.has_interval for e in estimates):
        figures["posterior"] = embedded(posterior_figure(estimates, truth))
    if circuit is not None:
        figures["circuit"] = embedded(circuit)
    page = rendered(
        "report.html.jinja",
        title=title,
        verdict=verdict,
        estimates=estimates,
        rows=table_rows(estimates, truth, with_range=circuit is not None) if estimates else [],
        pairs=trade_offs(estimates[0]) if estimates and circuit is not None and estimates[0].trusted else [],
        truth=truth,
        recording=recording,
        seen=_described(features),
        paired=bool(estimates) and len(estimates[0].names) <= MOST_PAIRED,
        spikes=spikes,
        check=check,
        figures=figures,
        play=play or played(fit, recording, estimates),
        provenance=list(flat(provenance or {})),
    )
    Path(path).write_text(page, encoding="utf-8")


def played(fit: Any, recording: Recording, estimates: Sequence[Estimate]) -> Play | None:
    """Sliders at the estimate of a gradient fit; None of any other estimator, or where it gave no estimate."""
    own = [e for e in estimates if e.method == "gradient fit"]
    return play_of(fit, recording, own[0]) if own and playable(fit) else None


def _described(features: Features) -> str:
    """What the figure of features shows, as a sentence."""
    if isinstance(features, SpectralFeatures):
        return f"Welch's power spectral density in segments of {features.segment_ms:g} ms."
    return f"What the estimators saw of the recording, by {features.axis.name}."


def table_rows(
    estimates: Sequence[Estimate], truth: Float[np.ndarray, " n_parameters"] | None = None, with_range: bool = False
) -> list[Row]:
    """One row a parameter: range, truth, and of each method the point and its 95 % interval.

    with_range: also how much of the range is left. Numbers not to be trusted stand in brackets. Digits: two of the
    narrowest interval's width, so that none is without meaning. Raises ValueError for a truth of another length.
    """
    parameters = estimates[0].parameters
    if truth is not None and truth.shape != (len(parameters),):
        raise ValueError(f"truth has shape {truth.shape}; expected {len(parameters)} values")
    rows = []
    for k, p in enumerate(parameters):
        unit = "" if p.unit == "1" else f" {p.unit}"
        digits = decimals((float(np.ptp(e.interval(0.95)[k])) for e in estimates if e.samples is not None), p)
        true_value = None if truth is None else float(truth[k])
        cells = tuple(_cell(e, k, true_value, digits, unit, with_range) for e in estimates)
        known = "" if truth is None else f"{truth[k]:.{digits}f}{unit}"
        rows.append(Row(p.name, p.meaning, f"{p.low:g} … {p.high:g}{unit}", known, cells))
    return rows


def _cell(estimate: Estimate, k: int, truth: float | None, digits: int, unit: str, with_range: bool) -> Cell:
    trusted = estimate.trusted
    if estimate.samples is not None and not estimate.has_interval:
        return Cell("–", "no posterior", trusted=trusted)  # no draw fell into the parameter space: no point either
    value = f"{estimate.point[k]:z.{digits}f}{unit}"
    if not trusted:
        value = f"({value})"
    if estimate.samples is None:
        return Cell(value, trusted=trusted)
    low, high = estimate.interval(0.95)[k]
    interval = f"{low:z.{digits}f} … {high:z.{digits}f}"
    missed = truth is not None and not low <= truth <= high
    left = in_words(range_left(estimate)[k]) if with_range and trusted else ""
    return Cell(value, interval if trusted else f"({interval})", missed, trusted, left)
