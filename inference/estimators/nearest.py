"""The simplest inference by simulation: the parameters of the simulations that look most like the recording."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor

from inference.estimate import Estimate
from inference.estimators.amortised import MOST_NEIGHBOURS, AmortisedEstimator
from inference.estimators.training_loop import Split
from surrogates.headers import integer, shaped


@dataclass(eq=False)
class NearestSimulations(AmortisedEstimator):
    """Rejection ABC: theta of the ``neighbours`` simulations with the nearest spectra are the posterior.

    Distances are Euclidean between features, each standardised over the simulations. A baseline: what does learning
    add? Its file holds all spectra.
    """

    kind: ClassVar[str] = "nearest"

    neighbours: int = 20

    def given(self, known: Mapping[str, float]) -> Self:
        """Raises ValueError: too few of the simulations have known values that are near."""
        raise ValueError("the estimator 'nearest' cannot take known values; take cnn, npe or gradient")

    def _learn(self, splits: list[Split]) -> None:
        data = splits[0]
        x, self._u = torch.cat([data.x, data.x_validation]), torch.cat([data.u, data.u_validation])
        self._mean, self._scale = x.mean(0), x.std(0).clamp(min=1e-6)
        self._x = (x - self._mean) / self._scale

    def _answer(self, x: Float[Tensor, "1 channels frequencies"]) -> Estimate:
        distance = (self._x - (x - self._mean) / self._scale).square().sum((1, 2))
        near = self._u[distance.argsort()[: self.neighbours]].numpy().astype(float)
        samples = self.parameters.from_unit(near)
        return Estimate(self.parameters, samples.mean(0), samples, "nearest simulations")

    def _settings(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        tensors = {"x": self._x, "u": self._u, "mean": self._mean, "scale": self._scale}
        return {"neighbours": self.neighbours}, tensors

    def _restore(self, settings: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        self.neighbours = integer(settings, "neighbours", 1, MOST_NEIGHBOURS)
        shape = len(self._rows), len(self.features.axis.values)
        self._x = shaped(tensors, "x", (None, *shape))
        self._u = shaped(tensors, "u", (len(self._x), len(self.parameters)))
        self._mean, self._scale = (shaped(tensors, name, shape) for name in ("mean", "scale"))
