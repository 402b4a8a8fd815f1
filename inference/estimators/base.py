"""What all estimators share once they are trained: checks of a recording, and one file that holds them."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from jaxtyping import Float
from torch import Tensor

from inference.estimate import Estimate
from inference.features.interface import Features
from inference.recordings.conform import matched
from simulators.interface import ParameterSpace
from simulators.recording import Recording
from surrogates.weights import write_weights

FORMAT = 2


class BaseEstimator(ABC):
    """An estimator that is trained once and kept in a file.

    channels and unit: of the recordings it answers for, () until it is trained. ``about`` says what made it; its
    ``trained_sd`` holds the lowest and the highest standard deviation of each channel in training.
    """

    kind: ClassVar[str]

    parameters: ParameterSpace
    features: Features
    channels: tuple[str, ...]
    unit: str
    about: dict[str, Any]

    @abstractmethod
    def fit(self, theta: Float[np.ndarray, "simulations n_parameters"], recordings: Sequence[Recording]) -> Self:
        """Learn from recordings simulated at ``theta``."""

    @abstractmethod
    def estimate(self, recording: Recording) -> Estimate:
        """Parameters of a recording. Raises ValueError if it cannot be made to match what was trained on."""

    def ready(self, recording: Recording) -> Recording:
        """The recording in the channel order, unit and sampling rate of training. Raises ValueError as ``matched``."""
        if not self.channels:
            raise ValueError(f"this {type(self).__name__} is not trained yet; call fit, or load a trained one")
        sd = self.about.get("trained_sd")
        return matched(
            recording, self.features, self.channels, self.unit, trained_sd=None if sd is None else np.array(sd)
        )

    def suited(self, recording: Recording) -> "BaseEstimator":
        """The estimator that answers for a recording: itself, unless it can leave out frequencies that are missing."""
        return self

    def given(self, known: Mapping[str, float]) -> Self:
        """The same estimator where some parameters have known values: it answers for the others; nothing is learned.

        Such an estimator cannot be saved. Raises ValueError for names and values that it did not learn, and where it
        cannot take known values.
        """
        raise ValueError(f"the estimator '{self.kind}' cannot take known values; take cnn, npe or gradient")

    @abstractmethod
    def _state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """What the file's header holds of this kind of estimator (JSON), and its tensors."""

    @classmethod
    @abstractmethod
    def _restored(
        cls, parameters: ParameterSpace, features: Features, header: dict[str, Any], tensors: dict[str, Tensor]
    ) -> Self:
        """The inverse of ``_state``; channels, unit and about are set by the caller."""

    def save(self, path: str | os.PathLike) -> None:
        """Write one safetensors file whose JSON header holds everything but the weights."""
        own, tensors = self._state()
        header = {
            "format": FORMAT,
            "kind": self.kind,
            "parameters": self.parameters.to_json(),
            "features": self.features.to_json(),
            "channels": list(self.channels),
            "unit": self.unit,
            "about": self.about,
        }
        write_weights(path, header | own, tensors)


def refuse_known(known: Mapping[str, float]) -> None:
    """Raises ValueError where an estimator that is to be kept, taught or asked for a density has known values."""
    if known:
        raise ValueError(
            f"an estimator with known values ({', '.join(known)}) only estimates; take the one without them to save "
            f"it, teach it or ask for densities"
        )
