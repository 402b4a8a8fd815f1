"""Draws from a density that is known up to a constant, starting from its mode."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Loss = Callable[[Float[Tensor, "batch variables"]], Float[Tensor, " batch"]]
"""Negative log density of each row; the first variables live in the unit cube, the others anywhere."""

_STEP = 0.01  # of a variable, for the curvature
_ROUNDS = 2
_WIDER = 1.2  # the proposal, than what it approximates
_TAILS = 8  # degrees of freedom of the proposal


class Drawn(NamedTuple):
    """Draws, and how many independent ones they are worth."""

    samples: Float[Tensor, "draws variables"]
    effective: float


def curvature(loss: Loss, at: Float[Tensor, " variables"]) -> Float[Tensor, "variables variables"]:
    """Hessian of the loss, by differences of gradients; eigenvalues below a thousandth are raised to it."""
    d = len(at)
    steps = torch.cat([torch.eye(d), -torch.eye(d)]) * _STEP
    w = (at + steps).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(w).sum(), w)
    hessian = (gradient[:d] - gradient[d:]) / (2 * _STEP)
    values, vectors = torch.linalg.eigh((hessian + hessian.T).double() / 2)
    return ((vectors * values.clamp(min=1e-3)) @ vectors.T).float()


def _root(covariance: Float[Tensor, "variables variables"]) -> Float[Tensor, "variables variables"]:
    """A matrix with this square, also where rounding made the covariance indefinite."""
    values, vectors = torch.linalg.eigh((covariance + covariance.T) / 2)
    return vectors * values.clamp(min=1e-12 * values.max()).sqrt()


class _Proposal(NamedTuple):
    """A multivariate t distribution."""

    centre: Float[Tensor, " variables"]
    root: Float[Tensor, "variables variables"]

    def draw(self, n: int, generator: torch.Generator) -> Float[Tensor, "n variables"]:
        normal = torch.randn(n, len(self.centre), generator=generator)
        chi2 = torch.randn(n, _TAILS, generator=generator).square().sum(1)
        return self.centre + (normal * (_TAILS / chi2).sqrt()[:, None]) @ self.root.T

    def log_density(self, w: Float[Tensor, "n variables"]) -> Float[Tensor, " n"]:
        """Up to a constant that all proposals of as many variables share."""
        white = torch.linalg.solve(self.root.double(), (w - self.centre).T.double())
        spread = torch.linalg.slogdet(self.root.double()).logabsdet
        return -(_TAILS + len(self.centre)) / 2 * torch.log1p(white.square().sum(0) / _TAILS) - spread


def importance_samples(
    loss: Loss, modes: Float[Tensor, "modes variables"], bounded: int, draws: int, seed: int
) -> Drawn:
    """Laplace's approximation at the modes, corrected by adaptive importance sampling.

    A mixture of multivariate t distributions with the modes' curvatures proposes; around a single mode its mean and
    covariance are then taken from the weighted draws. The first ``bounded`` variables are kept to the unit cube.
    """
    generator = torch.Generator().manual_seed(seed)
    proposals = [_Proposal(m, _WIDER * _root(torch.linalg.inv(curvature(loss, m).double())).float()) for m in modes]
    for _ in range(_ROUNDS):
        w = torch.cat([p.draw(2 * draws // len(proposals), generator) for p in proposals])
        inside = ((w[:, :bounded] >= 0) & (w[:, :bounded] <= 1)).all(1)
        w = w[inside] if inside.any() else w.clamp(0, 1)
        proposed = torch.logsumexp(torch.stack([p.log_density(w) for p in proposals]), 0)
        with torch.no_grad():
            weights = torch.softmax((-loss(w).double() - proposed).nan_to_num(-torch.inf), 0)
        effective = float(1 / weights.square().sum())
        if len(proposals) > 1 or effective < 5 * modes.shape[1]:
            continue
        centre = (weights[:, None] * w).sum(0)
        covariance = (weights[:, None] * (w - centre)).T @ (w - centre).double()
        proposals = [_Proposal(centre.float(), _WIDER * _root(covariance).float())]
    # Evenly spaced positions in the cumulative weights: less noise than independent draws.
    places = (torch.arange(draws) + torch.rand(1, generator=generator).double()) / draws
    return Drawn(w[torch.searchsorted(weights.cumsum(0), places).clamp(max=len(w) - 1)], effective)


def nuts_samples(loss: Loss, modes: Float[Tensor, "modes variables"], bounded: int, draws: int, seed: int) -> Drawn:
    """pyro's No-U-Turn sampler from the first mode, in coordinates in which Laplace's approximation is normal."""
    import pyro
    from pyro.infer.mcmc import MCMC, NUTS
    from pyro.ops.stats import effective_sample_size

    mode = modes[0]
    covariance = torch.linalg.inv(curvature(loss, mode).double())
    inner = mode.clone()
    inner[:bounded] = inner[:bounded].clamp(1e-3, 1 - 1e-3)
    slope = torch.ones_like(mode)
    slope[:bounded] = inner[:bounded] * (1 - inner[:bounded])
    root = _root(covariance / slope[:, None] / slope).float()
    start = inner.clone()
    start[:bounded] = torch.logit(start[:bounded])

    def variables(white: Tensor) -> tuple[Tensor, Tensor]:
        free = start + white @ root.T
        u = torch.sigmoid(free[:, :bounded])
        jacobian = (torch.log(u) + torch.log1p(-u)).sum(1)
        return torch.cat([u, free[:, bounded:]], 1), jacobian

    def potential(values: dict[str, Tensor]) -> Tensor:
        w, jacobian = variables(values["white"][None])
        return (loss(w) - jacobian)[0]

    with torch.random.fork_rng():
        pyro.set_rng_seed(seed)
        sampler = MCMC(
            NUTS(potential_fn=potential, adapt_mass_matrix=False),  # it is the identity here
            num_samples=draws,
            warmup_steps=200,
            initial_params={"white": torch.zeros(len(mode))},
            disable_progbar=True,
        )
        sampler.run()
        white = sampler.get_samples()["white"]
    with torch.no_grad():
        samples = variables(white)[0]
    return Drawn(samples, float(effective_sample_size(samples[None, :, :bounded].double()).min()))
