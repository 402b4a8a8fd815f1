"""Which circuit could have produced this recording, and how sure can one be?

The names that scripts need, from one place; each is loaded when it is first used.

>>> import circuitsbi
>>> "Recording" in dir(circuitsbi)
True
"""

import importlib
import importlib.util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference.estimate import Estimate as Estimate
    from inference.estimate import Estimator as Estimator
    from inference.estimators.cnn import CNNRegressor as CNNRegressor
    from inference.estimators.gradient_fit import GradientFit as GradientFit
    from inference.estimators.load import load_estimator as load_estimator
    from inference.estimators.nearest import NearestSimulations as NearestSimulations
    from inference.estimators.neural_posterior import NeuralPosterior as NeuralPosterior
    from inference.features.evoked import EvokedResponse as EvokedResponse
    from inference.features.spectra import SpectralFeatures as SpectralFeatures
    from inference.recordings.files import read_recording as read_recording
    from inference.recordings.files import write_recording as write_recording
    from inference.workflows.brunel import brunel_study as brunel_study
    from inference.workflows.evaluate import compare as compare
    from inference.workflows.evaluate import diagnose as diagnose
    from inference.workflows.evaluate import held_out as held_out
    from inference.workflows.infer import infer as infer
    from inference.workflows.shipped import reference_campaign as reference_campaign
    from inference.workflows.shipped import shipped_estimators as shipped_estimators
    from inference.workflows.study import Study as Study
    from inference.workflows.study import study_of as study_of
    from inference.workflows.train import train as train
    from simulators.campaigns.run import run_campaign as run_campaign
    from simulators.campaigns.store import Campaign as Campaign
    from simulators.function import simulator as simulator
    from simulators.interface import ForwardModel as ForwardModel
    from simulators.interface import Observed as Observed
    from simulators.interface import Parameter as Parameter
    from simulators.interface import ParameterSpace as ParameterSpace
    from simulators.interface import Simulator as Simulator
    from simulators.recording import Recording as Recording
    from simulators.registry import load_simulator as load_simulator
    from surrogates.neurons.trained import SurrogateSimulator as SurrogateSimulator
    from surrogates.neurons.trained import load_neuron as load_neuron

_PUBLIC = {
    "Campaign": "simulators.campaigns.store",
    "CNNRegressor": "inference.estimators.cnn",
    "Estimate": "inference.estimate",
    "Estimator": "inference.estimate",
    "EvokedResponse": "inference.features.evoked",
    "ForwardModel": "simulators.interface",
    "GradientFit": "inference.estimators.gradient_fit",
    "NearestSimulations": "inference.estimators.nearest",
    "NeuralPosterior": "inference.estimators.neural_posterior",
    "Observed": "simulators.interface",
    "Parameter": "simulators.interface",
    "ParameterSpace": "simulators.interface",
    "Recording": "simulators.recording",
    "Simulator": "simulators.interface",
    "SpectralFeatures": "inference.features.spectra",
    "Study": "inference.workflows.study",
    "SurrogateSimulator": "surrogates.neurons.trained",
    "brunel_study": "inference.workflows.brunel",
    "compare": "inference.workflows.evaluate",
    "diagnose": "inference.workflows.evaluate",
    "held_out": "inference.workflows.evaluate",
    "infer": "inference.workflows.infer",
    "load_estimator": "inference.estimators.load",
    "load_neuron": "surrogates.neurons.trained",
    "load_simulator": "simulators.registry",
    "read_recording": "inference.recordings.files",
    "reference_campaign": "inference.workflows.shipped",
    "run_campaign": "simulators.campaigns.run",
    "shipped_estimators": "inference.workflows.shipped",
    "simulator": "simulators.function",
    "study_of": "inference.workflows.study",
    "train": "inference.workflows.train",
    "write_recording": "inference.recordings.files",
}

__all__ = ["__version__", *_PUBLIC]

try:
    __version__ = version("circuitsbi")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0+unknown"


def _refuse_strangers() -> None:
    """Raises ImportError where a package of ours is hidden by another of its name: such names are common."""
    ours = Path(__file__).resolve().parent
    for name in ("simulators", "surrogates", "inference"):
        spec = importlib.util.find_spec(name)
        found = None if spec is None else next(iter(spec.submodule_search_locations or [spec.origin or ""]), None)
        if found is None or Path(found).resolve().parent != ours:
            raise ImportError(
                f"circuitsbi needs its own package '{name}' but finds {found or 'none'}: a folder, a file or another "
                f"distribution of that name comes before it; rename it, or run from another folder"
            )


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"circuitsbi has no '{name}'; it has {', '.join(sorted(_PUBLIC))}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def main() -> None:
    """The ``circuitsbi`` command."""
    from inference.cli import app

    app()


_refuse_strangers()
