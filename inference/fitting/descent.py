"""Fits of theta through any differentiable model: multi-start descent, and the posterior around the best fit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from scipy.stats import qmc
from torch import Tensor

from inference.estimate import Estimate
from inference.fitting.sampling import Drawn, importance_samples, nuts_samples
from simulators.interface import ParameterSpace
from simulators.recording import Recording
from surrogates.headers import LARGEST_SEED, integer, number
from surrogates.spectra.likelihood import SpectralModel
from surrogates.spectra.observed import ObservedSpectrum
from surrogates.threads import one_thread

MOST_DRAWS = 100_000
"""Of a posterior; more are refused, as a file that asks for a thousand million would fill the memory."""

CLOSE = 0.01  # of the unit cube: a fit nearer to an edge than this is said to lie on it
FAR_FROM_NORMAL = "the posterior is far from normal"
"""How the caution begins that few of the draws of a posterior count."""
_INSIDE = 1e-6  # of the unit cube: nearer to an edge, probits are not told apart in single precision
_LOW_SAMPLES = 100  # effective ones
_SCREENING = 20  # iterations of every place that is screened
_APART = 0.05  # of the unit cube: optima nearer to each other are one
_NEARLY_AS_GOOD = 10.0  # nats


@runtime_checkable
class DifferentiableModel(Protocol):
    """A surrogate through which theta can be fitted.

    ``observe`` reduces a recording to data; ``loss`` is its negative log posterior density in nats, up to a constant,
    for batches of u (theta in the unit cube), of ``n_components`` latent variables that are unit normal a priori and of
    ``n_nuisances`` others, which start at ``first_nuisances``. It must be differentiable in all of them.
    """

    @property
    def parameters(self) -> ParameterSpace:
        """Of theta, which is fitted in the unit cube as u."""
        ...

    @property
    def n_components(self) -> int:
        """How many unit normals recordings of one theta differ by."""
        ...

    @property
    def n_nuisances(self) -> int:
        """How many numbers are fitted along beside theta, such as an unknown gain."""
        ...

    def observe(self, recording: Recording) -> Any:
        """What ``loss`` needs of a recording. Raises ValueError for one that the model cannot make."""
        ...

    def first_nuisances(self, data: Any) -> Float[Tensor, " nuisances"]:
        """Where the descent of the nuisances starts."""
        ...

    def loss(
        self,
        u: Float[Tensor, "batch n_parameters"],
        components: Float[Tensor, "batch components"],
        nuisances: Float[Tensor, "batch nuisances"],
        data: Any,
    ) -> Float[Tensor, " batch"]:
        """Negative log posterior density up to a constant (nats), one a row."""
        ...


class Modes(NamedTuple):
    """The best fit and others nearly as good elsewhere (u, components and nuisances); the loss of each."""

    variables: Float[Tensor, "modes variables"]
    losses: Float[Tensor, " modes"]


@dataclass(frozen=True)
class Descent:
    """Adam from ``starts`` places at once (a Sobol sequence), then ``draws`` samples of the posterior.

    posterior: "laplace" corrects the normal distribution of the fit's curvature by importance sampling; "nuts" runs
    pyro's No-U-Turn sampler from the fit (many seconds). screened: of so many places, after a few steps each, the best
    are the starts; 0 for none but the starts themselves, which is enough for few parameters. Raises ValueError for
    another posterior, and for numbers that are out of all proportion.
    """

    starts: int = 8
    iterations: int = 120
    learning_rate: float = 0.1
    posterior: Literal["laplace", "nuts"] = "laplace"
    draws: int = 2000
    seed: int = 0
    screened: int = 0

    def __post_init__(self) -> None:
        if self.posterior not in ("laplace", "nuts"):
            raise ValueError(f"posterior is '{self.posterior}'; choose 'laplace' or 'nuts'")
        integer(vars(self), "starts", 1, 1000)
        integer(vars(self), "iterations", 1, 100_000)
        integer(vars(self), "draws", 1, MOST_DRAWS)
        integer(vars(self), "seed", 0, LARGEST_SEED)
        integer(vars(self), "screened", 0, 10_000)
        number(vars(self), "learning_rate", 1e-9, 1e3)

    def estimate(self, model: DifferentiableModel, recording: Recording) -> Estimate:
        """Parameters of a recording; the point is the posterior mean. Raises ValueError as ``modes``."""
        with one_thread():
            data = model.observe(recording)
            return self.around(model, self.modes(model, data), data)

    def around(self, model: DifferentiableModel, modes: Modes, data: Any, temperature: float = 1.0) -> Estimate:
        """The posterior around modes that were found, of the likelihood to the power of 1 / ``temperature``."""
        n, size = len(model.parameters), model.n_components

        def loss(w: Tensor) -> Tensor:
            return model.loss(w[:, :n], w[:, n : n + size], w[:, n + size :], data) / temperature

        sample = nuts_samples if self.posterior == "nuts" else importance_samples
        drawn = sample(loss, modes.variables, n, self.draws, self.seed)
        samples = model.parameters.from_unit(drawn.samples[:, :n].numpy().astype(float))
        cautions = tuple(self._cautions(model.parameters, modes.variables[0], drawn))
        names = model.nuisance_names if isinstance(model, SpectralModel) else ()
        along = {name: drawn.samples[:, n + size + k].numpy().astype(float) for k, name in enumerate(names)}
        priors = model.nuisance_priors if isinstance(model, SpectralModel) else {}
        # The prior is in the loss, and as much wider as the likelihood is.
        wider = {name: (mean, sd * temperature**0.5) for name, (mean, sd) in priors.items()}
        return Estimate(
            model.parameters, samples.mean(0), samples, "gradient fit", cautions, nuisances=along, nuisance_priors=wider
        )

    def _cautions(self, parameters: ParameterSpace, mode: Tensor, drawn: Drawn) -> Iterator[str]:
        if drawn.effective < _LOW_SAMPLES:
            yield (
                f"{FAR_FROM_NORMAL}: its {self.draws} draws are worth {drawn.effective:.0f}, so the "
                f"interval is rough; a slower sampler (NUTS) draws it well, in Python: "
                f"replace(fit, descent=Descent(posterior='nuts')).estimate(recording)"
            )
        edge = [p.name for p, v in zip(parameters, mode, strict=False) if min(v, 1 - v) < CLOSE]
        if edge:
            yield f"the best fit lies at the edge of the range of {', '.join(edge)}"

    def modes(self, model: DifferentiableModel, data: Any) -> Modes:
        """Where the descent ends, the best first. Raises ValueError where no start has a finite loss."""
        first = model.first_nuisances(data)
        if self.screened > self.starts:
            u, nuisances = self._screened(model, first, data)
        else:
            u, nuisances = self._starts(len(model.parameters)), first.repeat(self.starts, 1)
        return self._sorted(model, *self.descend(model, u, nuisances, data))

    def _screened(
        self, model: DifferentiableModel, first: Float[Tensor, " nuisances"], data: Any
    ) -> tuple[Float[Tensor, "starts n_parameters"], Float[Tensor, "starts nuisances"]]:
        """The best of many places after a short descent, with their nuisances."""
        n = len(model.parameters)
        many = replace(self, starts=self.screened, iterations=_SCREENING)
        variables, losses = many.descend(model, many._starts(n), first.repeat(self.screened, 1), data)
        best = variables[losses.nan_to_num(torch.inf).argsort()[: self.starts]]
        return best[:, :n].clamp(CLOSE, 1 - CLOSE), best[:, n + model.n_components :]

    def modes_of_each(self, model: SpectralModel, each: Sequence[ObservedSpectrum]) -> list[Modes]:
        """As ``modes``, of several recordings of one length at once, which takes little longer than one does.

        Raises ValueError as ``modes``, and where lengths differ.
        """
        if self.screened > self.starts:
            return [self.modes(model, one) for one in each]
        data = ObservedSpectrum.stacked([one for one in each for _ in range(self.starts)])
        u = self._starts(len(model.parameters)).repeat(len(each), 1)
        nuisances = torch.stack([model.first_nuisances(one) for one in each]).repeat_interleave(self.starts, 0)
        variables, losses = self.descend(model, u, nuisances, data)
        found = zip(variables.split(self.starts), losses.split(self.starts), strict=True)
        return [self._sorted(model, *one) for one in found]

    def _starts(self, n: int) -> Float[Tensor, "starts n_parameters"]:
        return torch.as_tensor(qmc.Sobol(n, seed=self.seed).random(self.starts)).float() * 0.9 + 0.05

    def _sorted(self, model: DifferentiableModel, variables: Tensor, losses: Tensor) -> Modes:
        n = len(model.parameters)
        if not losses.isfinite().any():
            raise ValueError("no start of the fit has a finite likelihood; is the recording of the model's kind?")
        order = losses.nan_to_num(torch.inf).argsort().tolist()
        kept = [order[0]]
        for i in order[1:]:
            apart = all(float((variables[i] - variables[k])[:n].abs().max()) > _APART for k in kept)
            if apart and losses[i] < losses[order[0]] + _NEARLY_AS_GOOD:
                kept.append(i)
        return Modes(variables[kept], losses[kept])

    def descend(
        self,
        model: DifferentiableModel,
        u: Float[Tensor, "starts n_parameters"],
        nuisances: Float[Tensor, "starts nuisances"],
        data: Any,
    ) -> tuple[Float[Tensor, "starts variables"], Float[Tensor, " starts"]]:
        """Where Adam ends from each start (u, components and nuisances), and the loss there."""
        logits = torch.logit(u).requires_grad_()
        components = torch.zeros(len(u), model.n_components).requires_grad_()
        nuisances = nuisances.clone().requires_grad_()
        optimiser = torch.optim.Adam([logits, components, nuisances], self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.iterations, self.learning_rate / 50)
        for _ in range(self.iterations):
            optimiser.zero_grad()
            u = torch.sigmoid(logits)
            # What the recording does not tell stays in the middle: the prior is a unit normal of probits.
            probits = torch.special.ndtri(u.clamp(_INSIDE, 1 - _INSIDE))
            (model.loss(u, components, nuisances, data) + probits.square().sum(1) / 2).sum().backward()
            optimiser.step()
            schedule.step()
        with torch.no_grad():
            u = torch.sigmoid(logits)
            losses = model.loss(u, components, nuisances, data)
            return torch.cat([u, components, nuisances], 1), losses
