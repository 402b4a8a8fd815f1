"""From files to answers: one file is a batch of one. What fails is an answer that says why."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.progress import track

from inference.estimate import Estimate
from inference.estimators.base import BaseEstimator
from inference.estimators.gradient_fit import GradientFit
from inference.evaluation.departures import PredictiveCheck, predictive_check
from inference.evaluation.predictive import emulated_spectra, predictive_spectra
from inference.features.interface import shown
from inference.features.spectra import SpectralFeatures
from inference.recordings.conform import detrended, notched
from inference.recordings.dataset import Listed, read_listed
from inference.recordings.quality import quality_warnings
from inference.reports.answers import Answer
from inference.reports.play import Play
from inference.reports.recording_page import write_report
from inference.reports.verdict import Verdict, verdict
from simulators.interface import Simulator
from simulators.recording import Recording

_DRAWS = 64  # emulated recordings to a band


@dataclass(frozen=True, eq=False)
class AnsweredWindow:
    """One window of a recording, what each method answers, and what to make of that.

    measured: None where there is none, since the file could not be read. seen_by: the estimator whose features the
    check is of, and a page shows.
    """

    recording: str
    start_s: float
    measured: Recording | None
    answers: tuple[Answer, ...]
    verdict: Verdict
    seen_by: BaseEstimator | None = None
    check: PredictiveCheck | None = None

    @property
    def estimates(self) -> list[Estimate]:
        """Of the methods that answered."""
        return [a.estimate for a in self.answers if a.estimate is not None]


def infer(
    paths: Sequence[Path | Listed],
    estimators: Sequence[BaseEstimator],
    window_s: float | None = None,
    notch: float | None = None,
    progress: bool = True,
    **reading: Any,
) -> Iterator[Answer]:
    """Answers of every estimator for every window of every file; ``reading`` goes to ``read_listed``.

    Trials are windows of one recording, each answered by itself; their starts count as if they followed each other.

    window_s: length of windows that follow each other; None takes a recording as one. notch: line noise to filter out
    before (Hz). Raises ValueError for a window that is not positive, or estimators of different parameters; whatever
    goes wrong with a file or a window is its answer's reason, and the others are answered all the same.
    """
    for window in answered_windows(paths, estimators, window_s, notch, progress, **reading):
        yield from window.answers


def answered_windows(
    paths: Sequence[Path | Listed],
    estimators: Sequence[BaseEstimator],
    window_s: float | None = None,
    notch: float | None = None,
    progress: bool = True,
    elsewhere: Callable[[Recording], str] | None = None,
    detrend: bool = False,
    **reading: Any,
) -> Iterator[AnsweredWindow]:
    """As ``infer``, a window at a time. elsewhere: what to say of other ranges, asked where an estimator refuses.

    detrend: whether a straight line is subtracted from each channel of a window.
    """
    if window_s is not None and not window_s > 0:
        raise ValueError(f"windows of {window_s:g} s hold nothing; give a positive length")
    if len({e.parameters.names for e in estimators}) > 1:
        kinds = "; ".join(f"{e.kind}: {', '.join(e.parameters.names)}" for e in estimators)
        raise ValueError(f"the estimators are of different parameters ({kinds}); take those of one 'circuitsbi train'")
    for path in track(paths, "recordings", disable=not progress, transient=True):
        one = path if isinstance(path, Listed) else Listed(path)
        for window in _answered_recording(one, estimators, window_s, notch, elsewhere, detrend, reading):
            yield replace(window, answers=tuple(replace(a, labels=one.labels) for a in window.answers))


def _answered_recording(
    one: Listed,
    estimators: Sequence[BaseEstimator],
    window_s: float | None,
    notch: float | None,
    elsewhere: Callable[[Recording], str] | None,
    detrend: bool,
    reading: Mapping[str, Any],
) -> Iterator[AnsweredWindow]:
    name = str(one.path)
    try:
        any_unit = any(e.features.scale_free for e in estimators)
        trials, notes = read_listed(one, any_unit=any_unit, notch=notch, **reading)
        trials = trials if notch is None else [notched(trial, notch) for trial in trials]
        pieces = [
            (number * trial.duration_ms / 1e3 + start_s, detrended(piece) if detrend else piece)
            for number, trial in enumerate(trials)
            for start_s, piece in windows(trial, window_s)
        ]
    except Exception as error:
        reason = _reason(error)
        failed = verdict([], reasons=[reason])
        yield AnsweredWindow(name, 0.0, None, (Answer(name, 0, 0.0, "", None, reason, verdict=failed),), failed)
        return
    for number, (start_s, piece) in enumerate(pieces):
        window = answered(name, number, start_s, piece, estimators, elsewhere)
        yield replace(window, answers=tuple(replace(a, notes=notes) for a in window.answers))


def answered(
    name: str,
    number: int,
    start_s: float,
    measured: Recording,
    estimators: Sequence[BaseEstimator],
    elsewhere: Callable[[Recording], str] | None = None,
    simulator: Simulator | None = None,
    draws: int = _DRAWS,
) -> AnsweredWindow:
    """One window, asked of all estimators.

    simulator: runs at so many draws from the first posterior, to hold the window against what it makes; without one the
    gradient fit's emulator draws that.
    """
    about = quality_warnings(measured, _band_of(estimators))
    answers, check, seen_by = [], None, None
    for learned in estimators:
        estimate, reason = None, ""
        try:
            estimator = learned.suited(measured)
            estimate = estimator.estimate(measured)
            if check is None:
                seen_by, check = estimator, _checked(estimator, estimate, measured, simulator, draws)
        except Exception as error:  # a fault of ours too: one recording never ends a batch
            reason = _reason(error)
        answers.append(Answer(name, number, start_s, learned.kind, estimate, reason, about))
    estimates = [a.estimate for a in answers if a.estimate is not None]
    refused = any(not e.trusted for e in estimates)
    hint = elsewhere(measured) if refused and elsewhere is not None else ""
    together = verdict(estimates, about, check, [a.reason for a in answers if a.reason], hint)
    answers = [replace(a, verdict=together) for a in answers]
    return AnsweredWindow(name, start_s, measured, tuple(answers), together, seen_by, check)


def _band_of(estimators: Sequence[BaseEstimator]) -> tuple[float, float]:
    """Lowest and highest frequency (Hz) that any of them looks at."""
    seen = [e.features for e in estimators]
    bands = [f.band if isinstance(f, SpectralFeatures) else (0.0, math.inf) for f in seen]
    return min((low for low, _ in bands), default=0.0), max((high for _, high in bands), default=math.inf)


def _checked(
    estimator: BaseEstimator, estimate: Estimate, measured: Recording, simulator: Simulator | None, draws: int
) -> PredictiveCheck | None:
    """The recording beside spectra that are simulated, or that the gradient fit's emulator draws; None for neither."""
    rng = np.random.default_rng(0)  # the same band whenever this recording is asked about
    ready = estimator.ready(measured)
    if simulator is not None and estimate.has_interval:
        spectra = predictive_spectra(estimate, simulator, estimator.features, draws, rng)
        return predictive_check(ready, estimator.features, spectra)
    if not isinstance(estimator, GradientFit):
        return None
    spectra = emulated_spectra(estimator, estimate, ready, draws, rng)
    return predictive_check(ready, estimator.features, spectra, emulated=True)


def write_page(
    path: Path, title: str, window: AnsweredWindow, circuit: Figure | None = None, play: Play | None = None
) -> None:
    """The HTML report of an answered window. Raises ValueError for one without an answer.

    circuit: a figure of the circuit that was found; with it, the page says how much the recording tells of each
    parameter. play: sliders, by default those of a gradient fit.
    """
    if window.measured is None or window.seen_by is None:
        raise ValueError(f"{window.recording} has no answer to report: {window.verdict.sentence}")
    write_report(
        path,
        title=title,
        recording=window.seen_by.ready(window.measured),
        features=shown(window.seen_by.features),
        estimates=window.estimates,
        check=window.check,
        verdict=window.verdict,
        circuit=circuit,
        fit=window.seen_by,
        play=play,
        provenance={"recording": window.recording, "from (s)": f"{window.start_s:g}", **window.seen_by.about},
    )


def _reason(error: Exception) -> str:
    if isinstance(error, ValueError | ImportError | OSError):
        return str(error)
    if isinstance(error, MemoryError):
        return "it needs more memory than there is; cut it into windows (--window)"
    return f"the calculation failed ({type(error).__name__}: {error}); check the recording, and report it if it is fine"


def windows(recording: Recording, window_s: float | None) -> Iterator[tuple[float, Recording]]:
    """Start (s) and recording of each whole window after the transient. Raises ValueError where not one fits."""
    if window_s is None:
        yield 0.0, recording
        return
    samples = round(window_s * recording.sampling_rate)
    whole = recording.steady.shape[1] // samples if samples else 0
    if not whole:
        raise ValueError(
            f"no window of {window_s:g} s fits into the recording of {recording.duration_ms / 1e3:g} s; "
            f"give a shorter one"
        )
    for i in range(whole):
        values = recording.steady[:, i * samples : (i + 1) * samples]
        yield i * samples / recording.sampling_rate, replace(recording, values=values, transient=0)
