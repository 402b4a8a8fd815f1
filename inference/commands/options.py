"""Options that several commands share, and what their text stands for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from inference.estimators.base import BaseEstimator
    from simulators.campaigns.store import Campaign
    from simulators.fields.probes import Probe
    from simulators.interface import Simulator

SimulatorOption = Annotated[
    str | None,
    typer.Option(
        "--simulator",
        help="What simulates: my_model.py:my_circuit, package.module:name, or an installed one: brunel (compiled), "
        "brunel-nest, column, surrogate-column. The file or module is run.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change the simulator's configuration, such as network.order=1250; may be repeated."),
]
RangeOption = Annotated[str, typer.Option("--range", help="Parameter range that ships: asynchronous or full.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
ProbeOption = Annotated[
    str | None,
    typer.Option(
        "--probe",
        help="Where one measures, for simulators that have a forward model: 'depths=0,-100,-200' (um; optional "
        "';sigma=0.3;radius=5') or EEG electrodes, 'angles=0' (degrees from the patch of cortex; optional "
        "';depth=-200'). By default what the simulator says; Brunel's: six contacts, 0 ... -500 um.",
    ),
]
ModelsOption = Annotated[
    Path | None, typer.Option("--model", help="Estimator file or folder of them; the shipped ones by default.")
]
TestedOption = Annotated[
    Path | None, typer.Option("--campaign", help="Simulations to test on; by default shipped ones.")
]

SamplingRateOption = Annotated[float | None, typer.Option(help="Hz, where the file does not say.")]
UnitOption = Annotated[str | None, typer.Option(help="mV, uV, V, nAm, fAm ..., where the file does not say.")]
VariableOption = Annotated[
    str | None, typer.Option(help="Which of the variables of a .npz, .mat or .nwb file is the recording.")
]
ChannelsOption = Annotated[str | None, typer.Option(help="Channels to take, in this order: 'Cz' or 'ch3,ch2'.")]
BandOption = Annotated[
    str | None, typer.Option("--band", help="Frequencies that count alone: 'LOW,HIGH' in Hz, such as 2,45.")
]


def chosen_band(text: str | None) -> tuple[float, float] | None:
    """Lowest and highest frequency (Hz) of --band; None where it is not given. Raises ValueError for no band."""
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--band '{text}' is not LOW,HIGH in Hz, such as 2,45") from None
    if not 0 <= low < high < float("inf"):
        raise ValueError(f"--band {text} holds no frequency; give LOW,HIGH in Hz with 0 <= LOW < HIGH, such as 2,45")
    return low, high


def chosen_range(name: str) -> str:
    """The name of a shipped range; a former name is said once on the terminal."""
    import warnings

    from inference.commands.output import warn
    from inference.workflows.shipped import range_name

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        today = range_name(name)
    for one in said:
        warn("--range", str(one.message))
    return today


def chosen_probe(text: str | None) -> "Probe | None":
    """The probe that --probe describes; None where it is not given. Raises ValueError for what is no probe."""
    from simulators.fields.probes import parse_probe

    return None if text is None else parse_probe(text)


def chosen_simulator(reference: str | None, changes: list[str] | None = None) -> "Simulator | None":
    """The simulator that --simulator names, changed as --set says. Raises ValueError where there is none."""
    from simulators.registry import configured, load_simulator

    if reference is None:
        if changes:
            raise ValueError("--set changes a simulator; name it with --simulator")
        return None
    return configured(load_simulator(reference), named_values(changes or []))


def named_values(texts: list[str]) -> dict[str, Any]:
    """NAME=VALUE texts as a dictionary; values are read as JSON, and as text where they are none."""
    import json

    named = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"'{text}' is not NAME=VALUE")
        try:
            named[name.strip()] = json.loads(value)
        except ValueError:
            named[name.strip()] = value.strip()
    return named


def opened_campaign(path: Path | None) -> "Campaign | None":
    """The campaign in a folder; None where none is named. Raises CampaignError where there is none."""
    from simulators.campaigns.store import Campaign

    return None if path is None else Campaign(path)


def model_files(path: Path) -> list[Path]:
    """The files of estimators that --model names: a file, those in a folder, or a set that ships under this name.

    Raises ValueError where there is none.
    """
    from inference.workflows.shipped import shipped_sets

    if not path.exists():
        path = shipped_sets().get(str(path), path)
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{path} holds no estimator (*.safetensors); train some with 'circuitsbi train --out {path}'")
    return files


def load_models(path: Path) -> "list[BaseEstimator]":
    """The estimators of ``model_files``. Raises ValueError where there is none, or of different circuits."""
    from inference.workflows.methods import load_together

    return load_together(model_files(path))
