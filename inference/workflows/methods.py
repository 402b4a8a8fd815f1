"""Which estimators are asked, and with what: a description that any process can load them from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from inference.estimators.base import BaseEstimator
from inference.estimators.gradient_fit import GradientFit
from inference.estimators.load import load_estimator
from simulators.interface import ParameterSpace


@dataclass(frozen=True)
class Methods:
    """Files of estimators, and how they are asked.

    noise, background: what the gradient fit finds along, and rhythms how many of them. band_hz: frequencies that count
    alone (Hz). known: names and values of parameters. Raises ValueError for wishes that exclude each other.
    """

    files: tuple[Path, ...]
    noise: bool = False
    background: bool = False
    rhythms: int = 0
    band_hz: tuple[float, float] | None = None
    known: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if self.rhythms and not self.background:
            raise ValueError("--rhythms come on top of a background; give --background too")
        if self.noise and self.background:
            raise ValueError("--noise is white and 1/f, --background of any exponent; give one of them")

    def asked(self) -> dict[str, Any]:
        """What determines the answers, as JSON: contents of the files rather than where they lie."""
        return {
            "estimators": [digest(file) for file in self.files],
            "noise": self.noise,
            "background": self.background,
            "rhythms": self.rhythms,
            "band_hz": self.band_hz and list(self.band_hz),
            "known": dict(self.known),
        }


@dataclass(frozen=True, eq=False)
class Loaded:
    """Estimators without the known values and with them, and which were left out for what reason."""

    learned: list[BaseEstimator]
    estimators: list[BaseEstimator]
    notes: tuple[str, ...]


@lru_cache(maxsize=1)
def loaded(methods: Methods) -> Loaded:
    """The estimators, read once a process.

    Raises ValueError for files of different circuits, and where something is asked that none of them can.
    """
    learned, notes = _with_nuisances(load_together(methods.files), methods)
    if methods.band_hz is not None:
        learned, said = _within(learned, *methods.band_hz)
        notes += said
    known = dict(methods.known)
    return Loaded(learned, [e.given(known) for e in learned] if known else learned, tuple(notes))


def load_together(files: Sequence[Path]) -> list[BaseEstimator]:
    """Estimators from their files. Raises ValueError where they are of different circuits."""
    estimators = [load_estimator(f) for f in files]
    for file, estimator in zip(files, estimators, strict=True):
        if estimator.parameters != estimators[0].parameters:
            raise ValueError(
                f"{file.name} is of {_ranges(estimator.parameters)}, {files[0].name} of "
                f"{_ranges(estimators[0].parameters)}: they are not of one circuit; keep them in folders of their own"
            )
    return estimators


def digest(file: Path) -> str:
    """A name for the contents of a file: its own and a hash. Raises OSError where it cannot be read."""
    with file.open("rb") as opened:
        return f"{file.name} {hashlib.file_digest(opened, 'sha256').hexdigest()[:16]}"


def _ranges(parameters: ParameterSpace) -> str:
    return ", ".join(f"{p.name} ({p.low:g} ... {p.high:g} {p.unit})" for p in parameters)


def _with_nuisances(estimators: list[BaseEstimator], methods: Methods) -> tuple[list[BaseEstimator], list[str]]:
    """Those that find noise or a background along. Raises ValueError where that is asked and none of them can."""
    noise, background = methods.noise, methods.background
    if not (noise or background):
        return estimators, []
    what = "noise" if noise else "a background"
    free: list[BaseEstimator] = [
        e.with_nuisances(floor=noise or None, background=background or None, rhythms=methods.rhythms or None)
        for e in estimators
        if isinstance(e, GradientFit)
    ]
    if not free:
        raise ValueError(f"only the gradient fit can fit {what} along; train one with 'circuitsbi train'")
    others = "; the other estimators, which learned without, are left out" if len(free) < len(estimators) else ""
    return free, [f"{what} is fitted along{others}"]


def _within(estimators: list[BaseEstimator], low_hz: float, high_hz: float) -> tuple[list[BaseEstimator], list[str]]:
    """Those that can let some frequencies count alone. Raises ValueError where none can, or too few bands are left."""
    fits = [e.within(low_hz, high_hz) for e in estimators if isinstance(e, GradientFit)]
    if not fits:
        raise ValueError(
            "--band is for the gradient fit; the others have learned a band of their own: train them on yours "
            "('circuitsbi train --band ...')"
        )
    left_out = "; the other estimators, which have learned a band of their own, are left out"
    return [*fits], [f"{fits[0].counted} count alone{left_out if len(fits) < len(estimators) else ''}"]
