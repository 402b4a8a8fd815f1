"""Draws from a density that is known up to a constant, starting from its mode."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Loss = Callable[[Float[Tensor, "batch variables"]], Float[Tensor, " batch"]]
"""Negative log density of each row; the first variables live in the unit cube, the others anywhere."""

_STEP = 0.01  # of a variable, for the curvature
_ROUNDS = 2, 6  # of adaptation: at least, at most
_ENOUGH = 400  # effective draws
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


def _worth(weights: Float[Tensor, " draws"]) -> float:
    """Number of independent draws that weighted ones are worth (Kish)."""
    return float(weights.sum().square() / weights.square().sum())


def _tempered(log_weights: Float[Tensor, " draws"], enough: int) -> Float[Tensor, " draws"]:
    """Weights to the highest power up to one at which they are worth ``enough``: a few must not decide everything."""
    if _worth(torch.softmax(log_weights, 0)) >= enough:
        return torch.softmax(log_weights, 0)
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if _worth(torch.softmax(middle * log_weights, 0)) >= enough else (low, middle)
    return torch.softmax(low * log_weights, 0)


def _adapted(proposal: _Proposal, w: Float[Tensor, "draws variables"], weights: Float[Tensor, " draws"]) -> _Proposal:
    """A proposal with the mean and covariance of weighted draws; the same where too few of them are its own."""
    if not float(weights.sum()) > 0 or _worth(weights) < 5 * w.shape[1]:
        return proposal
    weights = weights / weights.sum()
    centre = (weights[:, None] * w).sum(0)
    covariance = (weights[:, None] * (w - centre)).T @ (w - centre).double()
    return _Proposal(centre.float(), _WIDER * _root(covariance).float())


def importance_samples(
    loss: Loss, modes: Float[Tensor, "modes variables"], bounded: int, draws: int, seed: int
) -> Drawn:
    """Laplace's approximation at the modes, corrected by adaptive importance sampling.

    A mixture of multivariate t distributions with the modes' curvatures proposes; their means and covariances are then
    taken from the weighted draws until these are worth enough (Cappe et al. 2008). The first ``bounded`` variables are
    kept to the unit cube.
    """
    generator = torch.Generator().manual_seed(seed)
    proposals = [_Proposal(m, _WIDER * _root(torch.linalg.inv(curvature(loss, m).double())).float()) for m in modes]
    for done in range(1, _ROUNDS[1] + 1):
        w = torch.cat([p.draw(2 * draws // len(proposals), generator) for p in proposals])
        inside = ((w[:, :bounded] >= 0) & (w[:, :bounded] <= 1)).all(1)
        w = w[inside] if inside.any() else w.clamp(0, 1)
        densities = torch.stack([p.log_density(w) for p in proposals])
        with torch.no_grad():
            log_weights = (-loss(w).double() - torch.logsumexp(densities, 0)).nan_to_num(-torch.inf)
        weights = torch.softmax(log_weights, 0)
        effective = _worth(weights)
        if done >= _ROUNDS[0] and effective >= min(_ENOUGH, draws / 4):
            break
        shares = _tempered(log_weights, 20 * modes.shape[1]) * torch.softmax(densities, 0)
        proposals = [_adapted(p, w, share) for p, share in zip(proposals, shares, strict=True)]
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
