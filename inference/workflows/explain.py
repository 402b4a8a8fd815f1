"""From files to which circuit: what ships for 'circuitsbi explain'."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from inference.estimators.gradient_fit import GradientFit
from inference.estimators.load import load_estimator
from inference.explaining.comparison import BACKGROUND, CircuitComparison
from inference.explaining.explain import Explained, explain
from inference.recordings.dataset import Listed, read_listed
from inference.workflows.shipped import SHIPPED

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
    paths: Sequence[Path | Listed],
    circuits: tuple[Mapping[str, GradientFit], CircuitComparison] | None = None,
    pick: Sequence[str] | None = None,
    say: Callable[[str], object] | None = None,
    band_hz: tuple[float, float] | None = None,
    **reading: Any,
) -> Iterator[Explained | tuple[str, str]]:
    """Of every file the middle channel, or the one picked; or the file and why there is no answer.

    circuits: as ``shipped_circuits`` gives them, which are the default. Trials count as one recording. band_hz:
    frequencies that count (Hz). The gain is unknown, so that no unit is needed. ``reading`` goes to ``read_listed``.
    """
    fits, comparison = shipped_circuits() if circuits is None else circuits
    for path in paths:
        one = path if isinstance(path, Listed) else Listed(path)
        try:
            trials, notes = read_listed(one, pick=None if pick is None else list(pick), any_unit=True, **reading)
            found = explain(str(one.path), trials, fits, comparison, len(trials[0].channels) // 2, say, band_hz)
            yield replace(found, remarks=(*found.remarks, *notes))
        except Exception as error:  # whatever is wrong with a file, the others are answered
            yield str(one.path), str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
