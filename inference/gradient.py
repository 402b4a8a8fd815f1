"""Fits by gradient descent through a differentiable surrogate, with the posterior and the limit that it implies."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import qmc
from torch import Tensor

from inference.estimate import Estimate
from inference.features import SpectralFeatures
from inference.sampling import Drawn, importance_samples, nuts_samples
from inference.stored import StoredEstimator
from simulators.fields.linear import LinearView
from simulators.interface import ParameterSpace
from simulators.recording import Recording
from surrogates.cholesky_network import SpreadNetwork, fit_spread, loaded
from surrogates.observation import ObservedSpectrum, SpectralModel
from surrogates.spectrum import SpectralEmulator
from surrogates.threads import one_thread

_CLOSE = 0.01  # of the unit cube: a fit nearer to an edge than this is said to lie on it
_LOW_SAMPLES = 100  # effective ones
_APART = 0.05  # of the unit cube: optima nearer to each other are one
_NEARLY_AS_GOOD = 10.0  # nats
_KEPT = ("starts", "iterations", "learning_rate", "posterior", "draws", "seed", "validation_fraction")


@runtime_checkable
class DifferentiableModel(Protocol):
    """A surrogate through which theta can be fitted.

    ``observe`` reduces a recording to data; ``loss`` is its negative log posterior density in nats, up to a constant,
    for batches of u (theta in the unit cube), of ``n_components`` latent variables that are unit normal a priori and of
    ``n_nuisances`` others, which start at ``first_nuisances``. It must be differentiable in all of them.
    """

    @property
    def parameters(self) -> ParameterSpace: ...

    @property
    def n_components(self) -> int: ...

    @property
    def n_nuisances(self) -> int: ...

    def observe(self, recording: Recording) -> Any: ...

    def first_nuisances(self, recording: Recording) -> Tensor: ...

    def loss(self, u: Tensor, components: Tensor, nuisances: Tensor, data: Any) -> Tensor: ...


@dataclass(eq=False)
class GradientFit(StoredEstimator):
    """Multi-start Adam on theta, all starts in one batch, then the posterior around the best fit.

    model: the surrogate. The point is the posterior mean. posterior: "laplace" corrects the normal distribution of the
    fit's curvature by importance sampling; "nuts" runs pyro's No-U-Turn sampler from the fit (many seconds). Both draw
    from the likelihood's posterior at a temperature that simulations held out of the emulator's training set.
    """

    kind: ClassVar[str] = "gradient"

    model: SpectralModel
    features: SpectralFeatures = field(default_factory=SpectralFeatures)
    starts: int = 8
    iterations: int = 120
    learning_rate: float = 0.1
    posterior: Literal["laplace", "nuts"] = "laplace"
    draws: int = 2000
    seed: int = 0
    validation_fraction: float = 0.15
    about: dict[str, Any] = field(default_factory=dict, init=False)
    channels: tuple[str, ...] = field(default=(), init=False)
    unit: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self._temperature: SpreadNetwork | None = None
        if self.posterior not in ("laplace", "nuts"):
            raise ValueError(f"posterior is '{self.posterior}'; choose 'laplace' or 'nuts'")
        if self.model.emulator.channels:
            self._ready()

    @property
    def parameters(self) -> ParameterSpace:  # type: ignore[override]
        return self.model.parameters

    def fit(self, theta: Float[np.ndarray, "simulations n_parameters"], recordings: Sequence[Recording]) -> Self:
        """Learn from recordings of the emulator's channels (before the instrument, if there is one) simulated at theta.

        A share of them, chosen by ``seed``, is held out to learn how large errors are; the others train the emulator,
        unless it is trained already. Raises ValueError as ``SpectralEmulator.fit``.
        """
        self.parameters.check_simulations(theta, len(recordings))
        order = np.random.default_rng(self.seed).permutation(len(theta))
        held, kept = np.split(order, [max(20, round(self.validation_fraction * len(theta)))])
        if not self.model.emulator.channels:
            self.model.emulator.fit(theta[kept], [recordings[i] for i in kept])
        self._ready()
        self.about["trained_sd"] = self.model.sd_range(theta)
        self.about["simulations"] = len(theta)
        with one_thread():
            self._calibrate(theta[held], [recordings[i] for i in held])
        return self

    def _calibrate(self, theta: Float[np.ndarray, "held n_parameters"], recordings: Sequence[Recording]) -> None:
        """Learn from simulations held out how much larger errors are than the likelihood says, as a function of u.

        The emulator's own error, and what a Wishart distribution does not say of spectra, enter here.
        """
        view, names = self.model.view, self.parameters.names
        if view is not None:
            recordings = [
                view.observe(r, dict(zip(names, t, strict=True))) for r, t in zip(recordings, theta, strict=True)
            ]
        data = ObservedSpectrum.stacked([self.model.observe(r) for r in recordings])
        truth = torch.as_tensor(self.parameters.to_unit(theta)).float()
        nuisances = torch.stack([self.model.first_nuisances(r) for r in recordings])
        variables, losses = self._descend(truth.clamp(_CLOSE, 1 - _CLOSE), nuisances, data)
        error = variables[:, : len(names)] - truth
        information = torch.stack([self.model.information(u, q, data) for u, q in zip(truth, nuisances, strict=True)])
        squared = torch.einsum("ni,nij,nj->n", error, information, error) / len(names)

        def loss(temperature: Tensor) -> Tensor:
            return (temperature.log() + squared[:, None] / temperature)[:, 0]

        self._temperature = fit_spread(truth, squared.mean()[None], loss, self.seed)
        self.about["temperature"] = float(squared.mean())
        misfits = [
            float(misfit) - self.model.expected_loss(v[: len(names)], data)
            for misfit, v in zip(losses, variables, strict=True)
        ]
        self.about["misfit_99"] = float(np.quantile(misfits, 0.99))

    def _ready(self) -> None:
        source = self.model.view or self.model.emulator
        self.channels, self.unit = source.channels, source.unit
        self.about = dict(self.model.emulator.about)

    def estimate(self, recording: Recording) -> Estimate:
        """Parameters of a recording. Raises ValueError if it cannot be made to match the model's channels."""
        with one_thread():
            return self._estimate(self.ready(recording))

    def _estimate(self, recording: Recording) -> Estimate:
        data = self.model.observe(recording)
        modes, misfit = self._modes(recording, data)
        n, size = len(self.parameters), self.model.n_components
        with torch.no_grad():
            temperature = float(self._temperature(modes[:1, :n])) if self._temperature else 1.0

        def loss(w: Tensor) -> Tensor:
            return self.model.loss(w[:, :n], w[:, n : n + size], w[:, n + size :], data) / temperature

        sample = nuts_samples if self.posterior == "nuts" else importance_samples
        drawn = sample(loss, modes, n, self.draws, self.seed)
        samples = self.parameters.from_unit(drawn.samples[:, :n].numpy().astype(float))
        cautions = tuple(self._cautions(modes[0], misfit - self.model.expected_loss(modes[0, :n], data), drawn))
        return Estimate(self.parameters, samples.mean(0), samples, "gradient fit", cautions)

    def _cautions(self, mode: Tensor, misfit: float, drawn: Drawn) -> Iterator[str]:
        worst = self.about.get("misfit_99", np.inf)
        if misfit > worst:
            yield (
                f"no parameters in the range explain this recording: at the best fit its spectra are {misfit:.3g} nats "
                f"less likely than the model's own, those of 99 % of the simulations at most {worst:.3g}; do not trust "
                f"the estimate"
            )
        if drawn.effective < _LOW_SAMPLES:
            yield (
                f"the posterior is far from normal: its {self.draws} draws are worth {drawn.effective:.0f}; "
                f"use GradientFit(..., posterior='nuts')"
            )
        edge = [p.name for p, v in zip(self.parameters, mode, strict=False) if min(v, 1 - v) < _CLOSE]
        if edge:
            yield f"the best fit lies at the edge of the range of {', '.join(edge)}"

    def best_fit(self, recording: Recording) -> Float[np.ndarray, " n_parameters"]:
        """Theta of the highest posterior density, in physical units."""
        recording = self.ready(recording)
        with one_thread():
            modes, _ = self._modes(recording, self.model.observe(recording))
        return self.parameters.from_unit(modes[0, : len(self.parameters)].numpy().astype(float))

    def _modes(self, recording: Recording, data: Any) -> tuple[Float[Tensor, "modes variables"], float]:
        """u, components and nuisances of the best fit, and of others nearly as good elsewhere; the loss of the best."""
        n = len(self.parameters)
        u = torch.as_tensor(qmc.Sobol(n, seed=self.seed).random(self.starts)).float() * 0.9 + 0.05
        variables, losses = self._descend(u, self.model.first_nuisances(recording).repeat(self.starts, 1), data)
        if not losses.isfinite().any():
            raise ValueError("no start of the fit has a finite likelihood; is the recording of the model's kind?")
        order = losses.nan_to_num(torch.inf).argsort()
        modes = [variables[order[0]]]
        for i in order[1:]:
            apart = all(float((variables[i] - m)[:n].abs().max()) > _APART for m in modes)
            if apart and losses[i] < losses[order[0]] + _NEARLY_AS_GOOD:
                modes.append(variables[i])
        return torch.stack(modes), float(losses[order[0]])

    def _descend(
        self, u: Float[Tensor, "starts n_parameters"], nuisances: Float[Tensor, "starts nuisances"], data: Any
    ) -> tuple[Float[Tensor, "starts variables"], Float[Tensor, " starts"]]:
        """Where Adam ends from each start (u, components and nuisances), and the loss there."""
        logits = torch.logit(u).requires_grad_()
        components = torch.zeros(len(u), self.model.n_components).requires_grad_()
        nuisances = nuisances.clone().requires_grad_()
        optimiser = torch.optim.Adam([logits, components, nuisances], self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.iterations, self.learning_rate / 50)
        for _ in range(self.iterations):
            optimiser.zero_grad()
            self.model.loss(torch.sigmoid(logits), components, nuisances, data).sum().backward()
            optimiser.step()
            schedule.step()
        with torch.no_grad():
            u = torch.sigmoid(logits)
            losses = self.model.loss(u, components, nuisances, data)
            return torch.cat([u, components, nuisances], 1), losses

    def _state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        settings, tensors = self.model.emulator.state()
        if self._temperature:
            tensors |= {f"temperature.{k}": v.half() for k, v in self._temperature.state_dict().items()}
        view = self.model.view
        header: dict[str, Any] = {
            "emulator": settings,
            "fit": {name: getattr(self, name) for name in _KEPT},
            "model": {"gain": self.model.gain, "floor": self.model.floor},
            "view": None,
        }
        if view is not None:
            tensors["kernels"] = torch.as_tensor(view.kernels)
            header["view"] = view.to_json()
        return header, tensors

    @classmethod
    def _restored(
        cls, parameters: ParameterSpace, features: SpectralFeatures, header: dict[str, Any], tensors: dict[str, Tensor]
    ) -> Self:
        view = None if header["view"] is None else LinearView.from_json(header["view"], tensors["kernels"].numpy())
        model = SpectralModel(SpectralEmulator.restored(header["emulator"], tensors), view, **header["model"])
        fit = cls(model, features, **header["fit"])
        fit._temperature = loaded(SpreadNetwork(len(parameters), torch.ones(1)), "temperature.", tensors)
        return fit

    def with_nuisances(self, gain: bool = False, floor: bool = False) -> "GradientFit":
        """The same fit for recordings of unknown ``gain``, or with a noise ``floor``; nothing is trained again."""
        other = replace(self, model=replace(self.model, gain=gain, floor=floor))
        other.about, other._temperature = dict(self.about), self._temperature
        return other
