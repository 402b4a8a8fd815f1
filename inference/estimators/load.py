"""Open a file of any kind of estimator."""

import os
from pathlib import Path
from typing import Any

from inference.estimators.base import FORMAT, BaseEstimator
from inference.estimators.cnn import CNNRegressor
from inference.estimators.gradient_fit import GradientFit
from inference.estimators.nearest import NearestSimulations
from inference.estimators.neural_posterior import NeuralPosterior
from inference.features.load import features_from_json
from surrogates.headers import integer, number, parameter_space, text, texts
from surrogates.weights import read_weights

_POSITIVE = ("scale", "width")
_SDS = 1e-30, 1e30
_ROWS = 10**9  # of a campaign
_MEASURED = {
    "duration_s": (1e-9, 1e9),
    "misfit_95": (-1e12, 1e12),
    "misfit_99": (-1e12, 1e12),
    "misfit_samples": (1e-9, 1e12),
    "usually_inside": (0.0, 1.0),
}
_REMEDY = "train one with 'circuitsbi train'"
_KINDS: dict[str, type[BaseEstimator]] = {
    cls.kind: cls for cls in (CNNRegressor, GradientFit, NearestSimulations, NeuralPosterior)
}


def load_estimator(path: str | os.PathLike) -> BaseEstimator:
    """Open a saved estimator; no code in the file is run, and nothing is built that is larger than the file says.

    Raises ValueError where it is no (whole) estimator file.
    """
    header, tensors = read_weights(path, "estimator", FORMAT, _REMEDY)
    try:
        channels, unit = texts(header, "channels"), text(header, "unit")
        about = _about(header["about"], len(channels))
        for name, tensor in tensors.items():
            if name.endswith(_POSITIVE) and not (tensor > 0).all():
                raise ValueError(f"{name} must be above 0")
        estimator = _KINDS[header["kind"]]._restored(
            parameter_space(header, "parameters"),
            features_from_json(header["features"]),
            header,
            tensors,
        )
        estimator.channels, estimator.unit, estimator.about = channels, unit, about
    except ValueError as error:
        raise ValueError(f"{Path(path)} does not fit together ({error}); train it again") from error
    # What is missing, of another type or another shape sets off errors of Python and torch.
    except (LookupError, TypeError, RuntimeError, AttributeError, ArithmeticError, AssertionError) as error:
        raise ValueError(
            f"{Path(path)} does not fit together ({type(error).__name__}: {error}); train it again"
        ) from error
    return estimator


def _about(about: Any, channels: int) -> dict[str, Any]:
    """What made an estimator; of its entries those that answers are calculated with are checked."""
    if not isinstance(about, dict):
        raise ValueError(f"about is {str(about)[:80]}; expected what made it, by name")
    if about.get("trained_sd") is not None:
        low, high = about["trained_sd"]
        for first, last in zip(low, high, strict=True):
            number({"trained_sd": last}, "trained_sd", number({"trained_sd": first}, "trained_sd", *_SDS), _SDS[1])
        if len(low) != channels:
            raise ValueError(f"trained_sd is of {len(low)} channels; expected {channels}")
    for first, end in about.get("trained_rows", []):
        least = integer({"trained_rows": first}, "trained_rows", 0, _ROWS)
        integer({"trained_rows": end}, "trained_rows", least, _ROWS)
    for name in about.keys() & _MEASURED.keys():
        number(about, name, *_MEASURED[name])
    return about
