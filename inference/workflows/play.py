"""From a gradient fit that ships, or one of the user's, to a page to play with."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from inference.estimators.gradient_fit import GradientFit
from inference.estimators.load import load_estimator
from inference.recordings.dataset import is_data_set, listed, read_listed
from inference.reports.play import Play, play_of
from inference.workflows.explain import CIRCUITS
from inference.workflows.shipped import DEFAULT_RANGE, shipped_estimators

_NO_CIRCUIT = "comparison"


def circuit_names(folder: Path = CIRCUITS) -> tuple[str, ...]:
    """The circuits of one channel, of unknown gain, that ship."""
    return tuple(sorted(path.stem for path in folder.glob("*.safetensors") if path.stem != _NO_CIRCUIT))


def chosen_fit(range_name: str = DEFAULT_RANGE, circuit: str | None = None, model: Path | None = None) -> GradientFit:
    """The gradient fit in a file, or of a circuit that ships, or over a range that does.

    Raises ValueError where there is none.
    """
    if circuit is not None:
        if circuit not in circuit_names():
            raise ValueError(f"there is no circuit '{circuit}'; choose one of {', '.join(circuit_names())}")
        model = CIRCUITS / f"{circuit}.safetensors"
    if model is None:
        found = shipped_estimators(range_name)
    else:
        files = sorted(model.glob("*.safetensors")) if model.is_dir() else [model]
        found = [load_estimator(file) for file in files]
    for one in found:
        if isinstance(one, GradientFit):
            return one
    kinds = ", ".join(one.kind for one in found) or "nothing"
    raise ValueError(f"only a gradient fit holds an emulator to play with; found {kinds}: train one with its method")


def play_file(fit: GradientFit, path: Path, pick: Sequence[str] | None = None, **reading: Any) -> Play:
    """The page's contents for a recording, at its estimate; of trials the first.

    A fit of one channel takes the middle one where none is picked, and one of unknown gain any unit. What stands beside
    the file counts (units, bad channels). ``reading`` goes to ``read_listed``. Raises ValueError for a recording that
    the fit cannot answer for, and for a folder of them.
    """
    if is_data_set(path):
        raise ValueError(f"{path} holds several recordings; name one of them")
    any_unit = fit.features.scale_free
    picked = None if pick is None else list(pick)
    (recording, *_), notes = read_listed(listed([path])[0], pick=picked, any_unit=any_unit, **reading)
    if len(fit.channels) == 1 and len(recording.channels) > 1 and pick is None:
        k = len(recording.channels) // 2
        recording = replace(
            recording, values=recording.values[[k]], channels=(recording.channels[k],), unit=recording.units[k]
        )
    if any_unit:
        recording = replace(recording, unit=fit.unit)
    suited = fit.suited(recording)
    made = play_of(suited, suited.ready(recording), suited.estimate(recording))
    return replace(made, warnings=(*made.warnings, *notes))
