"""From a measured dipole to the gains of the cortical column, and what the recording does not tell."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from inference.estimate import Estimate
from inference.estimators.base import BaseEstimator
from inference.estimators.load import load_estimator
from inference.features.interface import shown
from inference.recordings.conform import notched
from inference.recordings.files import read_recording
from inference.reports.circuit_figure import circuit_figure
from inference.reports.play import Play, play_of
from inference.reports.verdict import REFUSED
from inference.workflows.column import rhythm_study
from inference.workflows.column_rhythm import activities
from inference.workflows.infer import AnsweredWindow, answered
from inference.workflows.play import chosen_fit
from inference.workflows.shipped import SHIPPED
from simulators.recording import Recording
from simulators.units import factor
from surrogates.network.column import SurrogateColumn

SHIPPED_POSTERIOR = SHIPPED / "column_rhythm.safetensors"
UNKNOWN_SCALE = ("1", "a.u.", "au")
_LONGEST_S = 5.0  # of the columns that are simulated for the predictive band
_DRAWS, _FEWEST, _SEED = 64, 8, 0


def column_posterior(path: Path | None = None) -> BaseEstimator:
    """The posterior of the column's gains in a file, or the shipped one.

    Raises ValueError for a file of other parameters, and where none ships.
    """
    if path is None and not SHIPPED_POSTERIOR.is_file():
        raise ValueError("no posterior of the column ships with this version; name one with --model")
    estimator = load_estimator(path or SHIPPED_POSTERIOR)
    wanted = rhythm_study().parameters
    if estimator.parameters.names != wanted.names:
        raise ValueError(
            f"{path} is of {', '.join(estimator.parameters.names)}; the column's parameters are "
            f"{', '.join(wanted.names)}"
        )
    return estimator


def infer_column(
    path: Path, estimator: BaseEstimator, notch: float | None = None, neuron: int = 0, **reading: Any
) -> AnsweredWindow:
    """The answer to one recording of a dipole, held against columns of surrogates simulated at the posterior.

    neuron: draws at which NEURON's column is simulated instead. reading: what ``read_recording`` takes. Raises
    ValueError for a file that cannot be read or answered, and for a unit that is no current dipole's: a scale that is
    unknown has the unit "1".
    """
    if 0 < neuron < _FEWEST:
        raise ValueError(f"{neuron} columns are no band; take {_FEWEST} or more")
    measured = read_recording(path, **reading)
    _refuse_no_dipole(measured)
    if notch is not None:
        measured = notched(measured, notch)
    fast = _column(estimator).lasting(min(measured.duration_ms / 1e3, _LONGEST_S))
    window = answered(
        str(path), 0, 0.0, measured, [estimator], simulator=fast.column if neuron else fast, draws=neuron or _DRAWS
    )
    if not window.estimates:
        raise ValueError(f"cannot answer for {path}: {window.answers[0].reason}")
    return window


def column_figure(window: AnsweredWindow) -> Figure:
    """The circuit that was found, with a column of surrogates simulated at the median of its posterior."""
    assert window.measured is not None
    assert window.seen_by is not None
    estimate = _found(window)
    middle = estimate.point if estimate.samples is None else np.median(estimate.samples, axis=0)
    run = activities(_column(window.seen_by), middle, [_SEED])[0]
    ready = window.seen_by.ready(window.measured)
    return circuit_figure(estimate, ready, shown(window.seen_by.features), run, window.check)


def column_play(window: AnsweredWindow) -> Play | None:
    """Sliders at the gains that were found, by the emulator of ``circuitsbi explain``, which sees 10 to 200 Hz.

    None for a recording that is too slow or too short for it, and for a posterior over other ranges.
    """
    assert window.measured is not None
    fit = chosen_fit(circuit="column")
    measured, estimate = replace(window.measured, unit=fit.unit), _found(window)
    ranges, learned = ([(p.name, p.low, p.high) for p in space] for space in (estimate.parameters, fit.parameters))
    if ranges != learned:
        return None
    try:
        suited = fit.suited(measured)
        made = play_of(suited, suited.ready(measured), estimate)
    except ValueError:
        return None
    return replace(made, warnings=(*([suited.caution] if suited.caution else []), *made.warnings))


def _found(window: AnsweredWindow) -> Estimate:
    """Not to be trusted where the verdict is that."""
    return replace(window.estimates[0], trusted=window.verdict.status != REFUSED)


def _column(estimator: BaseEstimator) -> SurrogateColumn:
    """The column of the study, over the estimator's ranges."""
    fast = rhythm_study().simulator
    assert isinstance(fast, SurrogateColumn)
    return replace(fast, column=replace(fast.column, free=tuple(estimator.parameters)))


def _refuse_no_dipole(recording: Recording) -> None:
    if recording.unit in UNKNOWN_SCALE:
        return
    try:
        factor(recording.unit, "nAm")
    except ValueError as error:
        raise ValueError(
            f"the unit is '{recording.unit}', which is no current dipole's ({error}). Give a dipole in nAm or fAm, or "
            f"with --unit 1 a source of unknown scale"
        ) from error
