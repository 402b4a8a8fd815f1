"""What recordings have in common, such as the gain of one amplifier, inferred from all of them.

Given what they share, recordings are independent. So its posterior is the prior times what each recording says of it,
and the rest of each recording's posterior follows from that: nothing is fitted again. Each posterior is seen as a
mixture of normals, in coordinates in which the prior is normal or flat.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import ndtr, ndtri
from scipy.stats import kstest
from torch import Tensor

from inference.estimate import Estimate
from inference.fitting.sampling import Loss, importance_samples
from inference.groups.mixtures import LogDensities, Mixture

_RHYTHM = "rhythm"
_EDGE = 1e-6  # of a range: nearer to its ends, places are not told apart
_DOUBTED, _WIDER = 0.05, 3.0  # share in which a posterior may be wrong, and is so many times as wide
_APART = 4.0  # standard deviations by which a recording contradicts the others
_DRAWS = 2000
_SMOOTH = 0.25  # of the width of a posterior, by which it is smoothed
_NOTHING = 0.97  # of the prior's standard deviation: draws that scatter more say nothing
_NORMAL = 0.1  # distance (Kolmogorov and Smirnov) from a normal up to which they look like a prior
_STEPS = 60  # to the most probable place
_FURTHEST, _WALL = 3.0, 100.0  # standard deviations of a prior; nats at one more, squared


@dataclass(frozen=True)
class _Coordinate:
    """A number as it is, or (``range``) as the probit of its place in a range; prior: mean and sd, None where flat."""

    name: str
    range: tuple[float, float] | None
    prior: tuple[float, float] | None

    def of(self, values: Float[np.ndarray, " draws"]) -> Float[np.ndarray, " draws"]:
        if self.range is None:
            return values
        low, high = self.range
        return ndtri(((values - low) / (high - low)).clip(_EDGE, 1 - _EDGE))

    def back(self, places: Float[np.ndarray, " draws"]) -> Float[np.ndarray, " draws"]:
        if self.range is None:
            return places
        return self.range[0] + (self.range[1] - self.range[0]) * ndtr(places)


@dataclass(frozen=True, eq=False)
class Shared:
    """Numbers that all recordings have in common.

    draws: of their posterior by all recordings; estimates: each recording's, in the light of that, with as many samples
    as before. Those that say of one of the numbers what the others contradict stay as they are; ``left_out`` names
    their places.
    """

    names: tuple[str, ...]
    draws: Float[np.ndarray, "draws names"]
    estimates: tuple[Estimate, ...]
    left_out: tuple[int, ...] = ()

    def mean_sd(self, name: str) -> tuple[float, float]:
        """Of the posterior by all recordings."""
        own = self.draws[:, self.names.index(name)]
        return float(own.mean()), float(own.std())


def share(estimates: Sequence[Estimate], names: str | Sequence[str], seed: int = 0) -> Shared:
    """Estimates of which ``names`` are the same: some of their nuisances, such as ``log_gain``, or of their parameters.

    All that is the same has to be named: what each recording is taken to have of its own may explain away what they
    share. Each estimate must have been made under a prior that is uniform in a range, normal where its
    ``nuisance_priors`` say so, else flat. One that the others contradict stays as it is, with a warning, and so do two
    that contradict each other. Raises ValueError where one of them has no draws of a name, or another range of it.
    """
    names = (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))
    if {"log_white", "log_pink"} <= set(names):
        raise ValueError("white and 1/f noise are not independent before; share one of them")
    if len(estimates) < 2:
        raise ValueError(f"{len(estimates)} recording: there is none to share {' and '.join(names)} with")
    shared = [_coordinate(estimates, name) for name in names]
    own = [_own(estimate, names) for estimate in estimates]
    each = [Mixture.of(_places(e, o, shared), seed) for e, o in zip(estimates, own, strict=True)]
    said = [mixture.of_last(len(names)) for mixture in each]
    left_out = _contradicting(said, shared)
    kept = [k for k in range(len(each)) if k not in left_out]
    draws = _together([said[k] for k in kept], shared, seed) if kept else np.empty((0, len(names)))
    found, rng = list[Estimate](), np.random.default_rng(seed)
    for k, estimate in enumerate(estimates):
        if k in left_out:
            found.append(_contradicted(estimate, names))
        else:
            some = draws[np.linspace(0, len(draws) - 1, len(_draws_of(estimate, names[0]))).round().astype(int)]
            places = np.column_stack([each[k].draw_others(some, rng), some])
            found.append(_at(estimate, [*own[k], *shared], places, f"{', '.join(names)} of {len(kept)} recordings"))
    values = np.column_stack([c.back(places) for c, places in zip(shared, draws.T, strict=True)])
    return Shared(names, values, tuple(found), left_out)


def _coordinate(estimates: Sequence[Estimate], name: str) -> _Coordinate:
    for estimate in estimates:
        if not np.ptp(_draws_of(estimate, name)) > 0:
            raise ValueError(f"the draws of {name} are all the same: they are no posterior's")
    if name.startswith(_RHYTHM):
        raise ValueError(f"{name} cannot be shared: which rhythm is the first may differ from recording to recording")
    ranges = {_range_of(estimate, name) for estimate in estimates}
    if len(ranges) > 1:
        raise ValueError(f"the range of {name} is not the same in all answers; ask all recordings with one estimator")
    (own,) = ranges
    priors = [estimate.nuisance_priors[name] for estimate in estimates if name in estimate.nuisance_priors]
    normal = (float(np.median([m for m, _ in priors])), float(np.median([sd for _, sd in priors]))) if priors else None
    return _Coordinate(name, own, normal if own is None else (0.0, 1.0))


def _range_of(estimate: Estimate, name: str) -> tuple[float, float] | None:
    if name in estimate.names:
        parameter = estimate.parameters.parameters[estimate.names.index(name)]
        return parameter.low, parameter.high
    return estimate.nuisance_ranges.get(name)


def _draws_of(estimate: Estimate, name: str) -> Float[np.ndarray, " draws"]:
    if estimate.samples is not None and name in estimate.names:
        return estimate.samples[:, estimate.names.index(name)]
    if name in estimate.nuisances:
        return estimate.nuisances[name]
    there = ", ".join((*(estimate.names if estimate.samples is not None else ()), *estimate.nuisances)) or "nothing"
    raise ValueError(
        f"the {estimate.method or 'estimate'} has no draws of {name}, so recordings cannot share it; it has those of "
        f"{there}"
    )


def _own(estimate: Estimate, names: tuple[str, ...]) -> list[_Coordinate]:
    """What is not shared: parameters, and nuisances that differ from draw to draw."""
    parameters = [_Coordinate(p.name, (p.low, p.high), None) for p in estimate.parameters if p.name not in names]
    ranges = estimate.nuisance_ranges
    varied = [name for name, draws in estimate.nuisances.items() if name not in names and np.ptp(draws) > 0]
    return [*parameters, *(_Coordinate(name, ranges.get(name), None) for name in varied)]


def _places(
    estimate: Estimate, own: Sequence[_Coordinate], shared: Sequence[_Coordinate]
) -> Float[np.ndarray, "draws n"]:
    places = np.column_stack([c.of(_draws_of(estimate, c.name)) for c in (*own, *shared)])
    return np.column_stack([places[:, : len(own)], _told(places[:, len(own) :], shared)])


def _told(places: Float[np.ndarray, "draws names"], shared: Sequence[_Coordinate]) -> Float[np.ndarray, "draws names"]:
    """As the prior has them along directions in which they scatter as widely: there they say nothing by themselves.

    Of many recordings, what chance makes of such draws would add up.
    """
    proper = [k for k, c in enumerate(shared) if c.prior is not None]
    if not proper:
        return places
    mean, sd = (np.array([p[i] for k in proper if (p := shared[k].prior) is not None]) for i in (0, 1))
    white = (places[:, proper] - mean) / sd
    variances, directions = np.linalg.eigh(np.atleast_2d(np.cov(white.T)))
    along = white @ directions
    normal = np.array([kstest((v - v.mean()) / v.std(), "norm").statistic < _NORMAL for v in along.T])
    nothing = (variances >= _NOTHING**2) & normal
    along[:, nothing] = (along[:, nothing] - along[:, nothing].mean(0)) / np.sqrt(variances[nothing])
    found = places.copy()
    found[:, proper] = mean + sd * (along @ directions.T)
    return found


def _together(said: Sequence[Mixture], shared: Sequence[_Coordinate], seed: int) -> Float[np.ndarray, "draws names"]:
    """Draws of what is shared, by all that is said of it.

    A recording may be wrong, and must not outvote all others then: with some probability it says nothing but the
    prior, or, where that is flat, what a wider posterior does.
    """
    densities = LogDensities([mixture.smoothed(_SMOOTH) for mixture in said])
    doubts = LogDensities([_doubt(mixture, shared) for mixture in said])
    proper = [k for k, c in enumerate(shared) if c.prior is not None]
    mean, sd = (torch.tensor([c.prior[i] for c in shared if c.prior is not None]).double() for i in (0, 1))
    before = LogDensities([_smoothed_prior(mixture, shared, proper) for mixture in said]) if proper else None

    def loss(free: Tensor) -> Tensor:
        # Farther out there are no draws, and what a posterior seems to say over the prior is nothing but chance.
        values, off = free.double(), torch.zeros(len(free), dtype=torch.double)
        if proper:
            far = values[:, proper]
            near = torch.minimum(torch.maximum(far, mean - _FURTHEST * sd), mean + _FURTHEST * sd)
            values = values.index_copy(1, torch.tensor(proper), near)
            off = (((far - near) / sd).square() * _WALL).sum(1)
        doubted = doubts(values) + np.log(_DOUBTED)
        told = torch.logaddexp(densities(values) + np.log(1 - _DOUBTED), doubted)
        if before is not None:
            told = told - before(values[:, proper])
        return (off - told.sum(1) + (((values[:, proper] - mean) / sd).square() / 2).sum(1)).float()

    start = torch.as_tensor(_product([m.moments for m in said], shared)[0]).float()
    mode = _descended(loss, start)
    return importance_samples(loss, mode[None], 0, _DRAWS, seed).samples.numpy().astype(float)


def _smoothed_prior(mixture: Mixture, shared: Sequence[_Coordinate], proper: list[int]) -> Mixture:
    """Smoothed as the posterior is: else what that says nothing of would count against the middle of the prior."""
    priors = [p for k in proper if (p := shared[k].prior) is not None]
    smooth = _SMOOTH**2 * mixture.moments[1][np.ix_(proper, proper)]
    return Mixture(
        np.zeros(1), np.array([[m for m, _ in priors]]), (np.diag([sd**2 for _, sd in priors]) + smooth)[None]
    )


def _doubt(mixture: Mixture, shared: Sequence[_Coordinate]) -> Mixture:
    mean, covariance = mixture.moments
    wide = [(m, _WIDER**2 * v) for m, v in zip(mean, covariance.diagonal(), strict=True)]
    each = [w if c.prior is None else (c.prior[0], c.prior[1] ** 2) for c, w in zip(shared, wide, strict=True)]
    return Mixture(np.zeros(1), np.array([[m for m, _ in each]]), np.diag([v for _, v in each])[None])


def _descended(loss: Loss, start: Float[Tensor, " names"]) -> Float[Tensor, " names"]:
    """The most probable place near a start."""
    place = start[None].clone().requires_grad_()
    optimiser = torch.optim.LBFGS([place], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(place).sum()
        value.backward()
        return value

    optimiser.step(closure)
    return place.detach()[0]


_Moments = tuple[Float[np.ndarray, " names"], Float[np.ndarray, "names names"]]


def _product(moments: Sequence[_Moments], shared: Sequence[_Coordinate]) -> _Moments:
    """Mean and covariance of the posterior by all, were each posterior normal."""
    priors = [c.prior for c in shared]
    before = np.diag([0.0 if p is None else p[1] ** -2 for p in priors])
    middle = np.array([0.0 if p is None else p[0] for p in priors])
    precision, total = before.copy(), before @ middle
    for mean, covariance in moments:
        own = np.linalg.inv(covariance)
        values, vectors = np.linalg.eigh(own - before)
        told = (vectors * values.clip(0)) @ vectors.T  # draws that say nothing seem to say less
        precision += told
        # What it says by itself has its middle where the prior takes it from to the posterior's mean.
        total += told @ mean + before @ (mean - middle)
    covariance = np.linalg.inv(precision)
    return covariance @ total, covariance


def _contradicting(said: Sequence[Mixture], shared: Sequence[_Coordinate]) -> tuple[int, ...]:
    """Places of the recordings that the others contradict, the farthest first; of two that do, nobody knows which."""
    moments = [mixture.moments for mixture in said]
    kept = list(range(len(said)))
    while len(kept) > 1:
        apart = {}
        for k in kept:
            mean, covariance = _product([moments[i] for i in kept if i != k], shared)
            variances, directions = np.linalg.eigh(moments[k][1] + covariance)
            apart[k] = float(np.abs((moments[k][0] - mean) @ directions / np.sqrt(variances)).max())
        worst = max(kept, key=lambda k: apart[k])
        if apart[worst] < _APART:
            break
        kept = [k for k in kept if k != worst] if len(kept) > 2 else []
    return tuple(sorted(set(range(len(said))) - set(kept)))


def _at(estimate: Estimate, coordinates: Sequence[_Coordinate], places: np.ndarray, told: str) -> Estimate:
    """Its posterior at these places."""
    values = {c.name: c.back(column) for c, column in zip(coordinates, places.T, strict=True)}
    fixed = {name: np.full(len(places), draws[0]) for name, draws in estimate.nuisances.items() if name not in values}
    samples = np.column_stack([values[name] for name in estimate.names])
    nuisances = {name: values[name] if name in values else fixed[name] for name in estimate.nuisances}
    method = f"{estimate.method}, {told}"
    return replace(estimate, point=samples.mean(0), samples=samples, nuisances=nuisances, method=method)


def _contradicted(estimate: Estimate, names: Sequence[str]) -> Estimate:
    its = " and ".join(names)
    warning = f"its {its} is not that of the other recordings, so it is not shared with them"
    return replace(estimate, warnings=(warning, *estimate.warnings))
