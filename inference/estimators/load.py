"""Open a file of any kind of estimator."""

import os
from pathlib import Path

from inference.estimators.base import FORMAT, BaseEstimator
from inference.estimators.cnn import CNNRegressor
from inference.estimators.gradient_fit import GradientFit
from inference.estimators.nearest import NearestSimulations
from inference.estimators.neural_posterior import NeuralPosterior
from inference.features.load import features_from_json
from simulators.interface import ParameterSpace
from surrogates.weights import read_weights

_REMEDY = "train one with 'circuitsbi train'"
_KINDS: dict[str, type[BaseEstimator]] = {
    cls.kind: cls for cls in (CNNRegressor, GradientFit, NearestSimulations, NeuralPosterior)
}


def load_estimator(path: str | os.PathLike) -> BaseEstimator:
    """Open a saved estimator; no code in the file is run. Raises ValueError where it is no (whole) estimator file."""
    header, tensors = read_weights(path, "estimator", FORMAT, _REMEDY)
    try:
        estimator = _KINDS[header["kind"]]._restored(
            ParameterSpace.from_json(header["parameters"]),
            features_from_json(header["features"]),
            header,
            tensors,
        )
        estimator.channels, estimator.unit = tuple(header["channels"]), header["unit"]
        estimator.about = header["about"]
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise ValueError(
            f"{Path(path)} does not fit together ({type(error).__name__}: {error}); train it again"
        ) from error
    return estimator
