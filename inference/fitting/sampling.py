"""Draws from a density that is known up to a constant, starting from its mode.

Variables of the unit cube are drawn as the normal quantiles (probits) of their values: what is uniform there is a unit
normal, so that a parameter of which the data say nothing is drawn as exactly as one that they fix.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Loss = Callable[[Float[Tensor, "batch variables"]], Float[Tensor, " batch"]]
"""Negative log density of each row; the first variables live in the unit cube, the others anywhere."""

FURTHEST = 5.0  # probit of what lies as near to an edge as single precision tells apart from it

_STEP = 0.01  # of a variable, for the curvature
_ROUNDS = 2, 6  # of adaptation: at least, at most
_ENOUGH = 400  # effective draws
_FEW = 100.0  # effective draws: of fewer, chains go on
_CHAINS, _MOVES = 256, 200
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


def to_cube(free: Float[Tensor, "*batch variables"], bounded: int) -> Float[Tensor, "*batch variables"]:
    """Variables whose first ``bounded`` are probits, with these as numbers of the unit cube."""
    return torch.cat([torch.special.ndtr(free[..., :bounded]), free[..., bounded:]], -1)


def from_cube(w: Float[Tensor, "*batch variables"], bounded: int) -> Float[Tensor, "*batch variables"]:
    """The inverse of ``to_cube``, edges moved inside a little."""
    probits = torch.special.ndtri(w[..., :bounded].double()).clamp(-FURTHEST, FURTHEST).float()
    return torch.cat([probits, w[..., bounded:]], -1)


def in_probits(loss: Loss, bounded: int) -> Loss:
    """The negative log density of the variables of ``to_cube``."""

    def free_loss(free: Tensor) -> Tensor:
        return loss(to_cube(free, bounded)) + free[:, :bounded].square().sum(1) / 2

    return free_loss


def importance_samples(
    loss: Loss, modes: Float[Tensor, "modes variables"], bounded: int, draws: int, seed: int
) -> Drawn:
    """Laplace's approximation at the modes, corrected by adaptive importance sampling.

    A mixture of multivariate t distributions with the modes' curvatures proposes; their means and covariances are then
    taken from the weighted draws until these are worth enough (Cappe et al. 2008). The first ``bounded`` variables are
    those of the unit cube. Where the draws are worth too few in the end, Markov chains go on from them.
    """
    generator = torch.Generator().manual_seed(seed)
    free_loss, centres = in_probits(loss, bounded), from_cube(modes, bounded)
    roots = [_WIDER * _root(torch.linalg.inv(curvature(free_loss, m).double())).float() for m in centres]
    proposals = [_Proposal(m, root) for m, root in zip(centres, roots, strict=True)]
    for done in range(1, _ROUNDS[1] + 1):
        free = torch.cat([p.draw(2 * draws // len(proposals), generator) for p in proposals])
        densities = torch.stack([p.log_density(free) for p in proposals])
        with torch.no_grad():
            log_weights = (-free_loss(free).double() - torch.logsumexp(densities, 0)).nan_to_num(-torch.inf)
        weights = torch.softmax(log_weights, 0)
        effective = _worth(weights)
        if done >= _ROUNDS[0] and effective >= min(_ENOUGH, draws / 4):
            break
        shares = _tempered(log_weights, 20 * modes.shape[1]) * torch.softmax(densities, 0)
        proposals = [_adapted(p, free, share) for p, share in zip(proposals, shares, strict=True)]
    if effective >= _FEW:
        return Drawn(to_cube(_resampled(free, weights, draws, generator), bounded), effective)
    start = _resampled(free, _tempered(log_weights, _CHAINS // 2), _CHAINS, generator)
    moved, forgotten = _moved(free_loss, start, -(-draws // _CHAINS), generator)
    return Drawn(to_cube(moved[:draws], bounded), max(effective, forgotten * _CHAINS))


def _resampled(
    w: Float[Tensor, "draws variables"], weights: Float[Tensor, " draws"], n: int, generator: torch.Generator
) -> Float[Tensor, "n variables"]:
    """Evenly spaced positions in the cumulative weights: less noise than independent draws."""
    places = (torch.arange(n) + torch.rand(1, generator=generator).double()) / n
    return w[torch.searchsorted(weights.cumsum(0), places).clamp(max=len(w) - 1)]


def _moved(
    loss: Loss, w: Float[Tensor, "chains variables"], kept: int, generator: torch.Generator
) -> tuple[Float[Tensor, "kept_chains variables"], float]:
    """Chains of a Markov chain that steps along differences between chains (ter Braak 2006), for bent densities.

    Of each chain ``kept`` places are returned, evenly over the second half. The share says how far the chains have
    forgotten where they were half-way: 1 less the largest squared correlation of any variable.
    """
    chains, size = w.shape
    half = chains // 2
    w = w.clone()
    with torch.no_grad():
        current, places, middle = loss(w).nan_to_num(torch.inf), [], w
        for step in range(_MOVES):
            # Now and then a whole difference, which leads from one valley into another.
            scale = 1.0 if step % 10 == 9 else 2.38 / (2 * size) ** 0.5
            for mine, others in ((slice(0, half), slice(half, chains)), (slice(half, chains), slice(0, half))):
                pool = w[others]
                a, b = (torch.randint(len(pool), (len(w[mine]),), generator=generator) for _ in range(2))
                jitter = 1e-4 * torch.randn(len(a), size, generator=generator)
                proposed = w[mine] + scale * (pool[a] - pool[b]) + jitter
                losses = loss(proposed).nan_to_num(torch.inf)
                accepted = torch.rand(len(a), generator=generator).log() < current[mine] - losses
                w[mine] = torch.where(accepted[:, None], proposed, w[mine])
                current[mine] = torch.where(accepted, losses, current[mine])
            if step == _MOVES // 2:
                middle = w.clone()
            if step >= _MOVES // 2 and (_MOVES - 1 - step) % max(1, _MOVES // 2 // kept) == 0:
                places.append(w.clone())
    apart = [torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(middle.T, w.T, strict=True)]
    share = 1 - float(torch.stack(apart).nan_to_num(1.0).square().max())
    return torch.cat(places[-kept:]), share


def nuts_samples(loss: Loss, modes: Float[Tensor, "modes variables"], bounded: int, draws: int, seed: int) -> Drawn:
    """pyro's No-U-Turn sampler from the first mode, in coordinates in which Laplace's approximation is normal."""
    import pyro
    from pyro.infer.mcmc import MCMC, NUTS
    from pyro.ops.stats import effective_sample_size

    free_loss, start = in_probits(loss, bounded), from_cube(modes[0], bounded)
    root = _root(torch.linalg.inv(curvature(free_loss, start).double())).float()

    def potential(values: dict[str, Tensor]) -> Tensor:
        return free_loss(start + values["white"][None] @ root.T)[0]

    with torch.random.fork_rng():
        pyro.set_rng_seed(seed)
        sampler = MCMC(
            NUTS(potential_fn=potential, adapt_mass_matrix=False),  # it is the identity here
            num_samples=draws,
            warmup_steps=200,
            initial_params={"white": torch.zeros(len(start))},
            disable_progbar=True,
        )
        sampler.run()
        white = sampler.get_samples()["white"]
    samples = to_cube(start + white @ root.T, bounded)
    return Drawn(samples, float(effective_sample_size(samples[None, :, :bounded].double()).min()))
