"""Many recordings at once: one row for each recording, window and method; what failed is a row that says why."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.progress import track

from inference.estimators.base import BaseEstimator
from inference.recordings.conform import notched
from inference.recordings.files import read_recording
from inference.recordings.quality import doubts
from inference.reports.answers import Answer
from simulators.recording import Recording


def infer_all(
    paths: Sequence[Path],
    estimators: Sequence[BaseEstimator],
    window_s: float | None = None,
    notch: float | None = None,
    progress: bool = True,
    **reading: Any,
) -> Iterator[Answer]:
    """Answers of every estimator for every window of every file; ``reading`` goes to ``read_recording``.

    window_s: length of windows that follow each other; None takes a recording as one. notch: line noise to filter out
    before (Hz). Raises ValueError for a window that is not positive; whatever goes wrong with a file or a window is its
    answer's reason, and the others are answered all the same.
    """
    if window_s is not None and not window_s > 0:
        raise ValueError(f"windows of {window_s:g} s hold nothing; give a positive length")
    for path in track(paths, "recordings", disable=not progress, transient=True):
        try:
            recording = read_recording(path, **reading)
            cut = windows(recording if notch is None else notched(recording, notch), window_s)
            pieces = [(start_s, piece, doubts(piece)) for start_s, piece in cut]
        except Exception as error:
            yield Answer(str(path), 0, 0.0, "", None, _reason(error))
            continue
        for number, (start_s, piece, about) in enumerate(pieces):
            for estimator in estimators:
                estimate, reason = None, ""
                try:
                    estimate = estimator.estimate(piece)
                except Exception as error:  # a fault of ours too: one recording never ends a batch
                    reason = _reason(error)
                yield Answer(str(path), number, start_s, estimator.kind, estimate, reason, about)


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
