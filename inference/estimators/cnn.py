"""Point estimates by convolutional networks, with the spread of their errors on simulations kept aside."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inference.estimate import Estimate
from inference.estimators.amortised import MOST_NEIGHBOURS, AmortisedEstimator
from inference.estimators.base import refuse_known
from inference.estimators.spectral_networks import SpectralCNN, StasikCNN
from inference.estimators.training_loop import Split, stored_state, train
from inference.features.interface import Features
from inference.features.spectra import STASIK_FEATURES, SpectralFeatures
from simulators.interface import ParameterSpace
from surrogates.headers import integer, shaped
from surrogates.spectra.cholesky import with_weights

_RIDGE = 1e-4  # of the unit cube, squared: errors of a parameter that is told exactly say nothing of others
_FORMER_WIDTH = 64  # of older files, which do not say it
_NETWORKS: dict[str, type[StasikCNN | SpectralCNN]] = {"StasikCNN": StasikCNN, "SpectralCNN": SpectralCNN}


def _squared_error(net: Any, x: Tensor, u: Tensor) -> Tensor:
    return (net(x) - u).square().mean(1)


@dataclass(eq=False)
class CNNRegressor(AmortisedEstimator):
    """Mean of an ensemble of networks trained on squared error.

    width: of the networks; shrinkage: of their weights, as ``train`` has it.

    Its samples are the estimate plus the errors made at the ``neighbours`` held-out simulations whose estimates lie
    nearest: an empirical error distribution, honest on average around there, not a posterior.
    """

    kind: ClassVar[str] = "cnn"

    features: Features = field(default_factory=SpectralFeatures)
    network: type[StasikCNN | SpectralCNN] = SpectralCNN
    epochs: int = 60
    batch: int = 50
    learning_rate: float = 2e-3
    shrinkage: float = 1.2
    width: int = 128
    neighbours: int = 200

    def _learn(self, splits: list[Split]) -> None:
        self._nets, points, errors, losses = [], [], [], []
        for member, data in enumerate(splits):
            torch.manual_seed(data.seed)
            net = self._untrained(data.x.shape[1], data.x.shape[2])
            net.learn_scale(data.x)
            trained = train(
                net,
                partial(_squared_error, net),
                data,
                epochs=self.epochs,
                batch=self.batch,
                learning_rate=self.learning_rate,
                shrinkage=self.shrinkage,
                label=f"CNN {member + 1} of {self.members}" if self.progress else None,
            )
            self._nets.append(net)
            losses.append(trained.loss)
            with torch.no_grad():
                points.append(net(data.x_validation).clamp(0, 1))
            errors.append(data.u_validation - points[-1])
        self._points, self._errors = torch.cat(points), torch.cat(errors)
        self.about["validation_losses"] = losses

    def _untrained(self, rows: int, frequencies: int) -> StasikCNN | SpectralCNN:
        n = len(self.parameters)
        if self.network is StasikCNN:
            return StasikCNN(rows, frequencies, n)
        return SpectralCNN(rows, frequencies, n, self.width, alike=self._alike)

    def _predict(self, x: Float[Tensor, "rows channels frequencies"]) -> Float[Tensor, "rows n_parameters"]:
        with torch.no_grad():
            return torch.stack([net(x) for net in self._nets]).mean(0).clamp(0, 1)

    def _answer(self, x: Float[Tensor, "1 channels frequencies"]) -> Estimate:
        point = self._predict(x)[0]
        near = (self._points - point).square().sum(1).argsort()[: self.neighbours]
        errors = self._errors[near]
        if self.known:
            point, errors = self._given_known(point, errors)
        samples = (point + errors).clamp(0, 1)
        return Estimate(
            self.parameters,
            self.parameters.from_unit(point.numpy().astype(float)),
            self.parameters.from_unit(samples.numpy().astype(float)),
            "CNN",
        )

    def _given_known(self, point: Tensor, errors: Tensor) -> tuple[Tensor, Tensor]:
        """The free parameters' point and errors, corrected by what is known of the others.

        By linear regression among the errors of held-out simulations nearby, as conditional normals have it.
        """
        free, at, value = self._known_places()
        centred = errors - errors.mean(0)
        covariance = centred[:, at].T @ centred[:, at] + _RIDGE * len(errors) * torch.eye(len(at))
        slopes = torch.linalg.solve(covariance, centred[:, at].T @ centred[:, free])
        shift = (value - (point + errors)[:, at]) @ slopes
        middle = shift.mean(0)
        return (point[free] + middle).clamp(0, 1), errors[:, free] + shift - middle

    def points(self, spectra: Float[np.ndarray, "rows channels frequencies"]) -> Float[np.ndarray, "rows n_parameters"]:
        """Point estimates of many spectra at once, in physical units. Raises ValueError where parameters are known."""
        refuse_known(self.known)
        unit = self._predict(torch.as_tensor(spectra, dtype=torch.float32))
        return self.parameters.from_unit(unit.numpy().astype(float))

    def _settings(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        tensors = {k: v for i, net in enumerate(self._nets) for k, v in stored_state(net, f"{i}.").items()}
        tensors |= {"points": self._points, "errors": self._errors}
        settings = {
            "network": self.network.__name__,
            "neighbours": self.neighbours,
            "width": self.width,
            "frequencies": len(self.features.axis.values),
        }
        return settings, tensors

    def _restore(self, settings: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        self.neighbours = integer(settings, "neighbours", 1, MOST_NEIGHBOURS)
        self.width = integer({"width": _FORMER_WIDTH} | settings, "width", 1, 10_000)
        self._points = shaped(tensors, "points", (None, len(self.parameters)))
        self._errors = shaped(tensors, "errors", self._points.shape)
        frequencies = len(self.features.axis.values)
        integer(settings, "frequencies", frequencies, frequencies)
        self.network = _NETWORKS[settings["network"]]
        self._nets = []
        for i in range(self.members):
            with torch.device("meta"):  # no memory is taken before the weights are known to fit
                net = self._untrained(len(self._rows), frequencies)
            self._nets.append(with_weights(net, f"{i}.", tensors))


def stasik_regressor(parameters: ParameterSpace, **settings: Any) -> CNNRegressor:
    """Features, network, loss and batch of Stasik et al.; the learning rate follows one cycle, as everywhere here."""
    published: dict[str, Any] = {"network": StasikCNN, "members": 1, "batch": 100, "shrinkage": 0.0}
    return CNNRegressor(parameters, STASIK_FEATURES, **(published | settings))
