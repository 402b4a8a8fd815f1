"""From files to which circuit: what ships for 'circuitsbi explain'."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from inference.estimators.gradient_fit import GradientFit
from inference.estimators.load import load_estimator
from inference.explaining.comparison import BACKGROUND, CircuitComparison
from inference.explaining.explain import Explained, explain
from inference.recordings.files import read_recording
from inference.workflows.shipped import SHIPPED
from simulators.recording import Recording

CIRCUITS = SHIPPED / "circuits"


def shipped_circuits(folder: Path = CIRCUITS) -> tuple[dict[str, GradientFit], CircuitComparison]:
    """The fit of every circuit, and their comparison. Raises ValueError where one of them is missing."""
    comparison = CircuitComparison.load(folder / "comparison.safetensors")
    fits: dict[str, GradientFit] = {}
    for name in comparison.classes:
        if name == BACKGROUND:
            continue
        fit = load_estimator(folder / f"{name}.safetensors")
        if not isinstance(fit, GradientFit):
            raise ValueError(f"{folder / name}.safetensors is no gradient fit; make it again")
        fits[name] = fit
    return fits, comparison


def explain_files(
    paths: Sequence[Path],
    folder: Path = CIRCUITS,
    pick: Sequence[str] | None = None,
    say: Callable[[str], object] | None = None,
    **reading: Any,
) -> Iterator[Explained | tuple[str, str]]:
    """Of every file the middle channel, or the one picked; or the file and why there is no answer."""
    fits, comparison = shipped_circuits(folder)
    for path in paths:
        try:
            recording = read_of_any_unit(path, pick=None if pick is None else list(pick), **reading)
            yield explain(str(path), recording, fits, comparison, len(recording.channels) // 2, say)
        except Exception as error:  # whatever is wrong with a file, the others are answered
            yield str(path), str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def read_of_any_unit(path: Path, **reading: Any) -> Recording:
    """A recording whose unit nobody need know: the gain is unknown. Raises ValueError where it cannot be read."""
    try:
        return read_recording(path, **reading)
    except ValueError as error:
        with suppress(ValueError):
            return read_recording(path, unit="1", **reading)
        raise error from None
