"""Means, spreads and differences of groups, from posteriors of single recordings.

Nothing is trained again: each recording's draws, made under a uniform prior, are weighted as draws under the group's
distribution (Hogg, Myers and Bovy 2010). A parameter is seen as the probit z of its place in its range, which is unit
normal a priori; in a group z ~ N(mean, spread^2). A group has so few unknowns that their posterior is computed on a
grid, without a sampler.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d
from scipy.special import ndtr, ndtri

Draws = Float[np.ndarray, " draws"]
"""Of a parameter, by one recording: its place in the range, from 0 to 1."""

MASS = 0.9
SURE = 0.95  # groups are said to differ where an interval of so much excludes zero
SPREAD = 0.5  # of probits: scale of the half normal prior of a group's spread
_EDGE = 3.5  # probits: as near to an edge of the range as draws tell
_BINS = np.linspace(-_EDGE, _EDGE, 351)
_CENTRES = (_BINS[:-1] + _BINS[1:]) / 2
_SMOOTH = 0.5  # of the usual width (Scott) with which a density is made of draws
_LEAST = 1e-3  # precision of a likelihood that says nothing
_TOLD = 0.98  # of a precision: a thousand draws tell it within two per cent
_MEANS, _SPREADS = 401, (0.02, 3.0)  # of the first grid: means as far apart as the smallest spread
_REFINED = 3  # times a grid is laid closer around what is likely
_UNLIKELY = 14.0  # nats
_PAIRS = 400  # draws of a subject's two conditions
_POSTERIOR = 8000  # draws of a group

_Axes = tuple[Float[np.ndarray, " means"], Float[np.ndarray, " spreads"]]


class Summary(NamedTuple):
    """Of a number: its posterior median, and the interval that holds ``MASS``."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Group:
    """Draws of a group's distribution: mean and spread of probits; n: subjects."""

    mean: Float[np.ndarray, " draws"]
    spread: Float[np.ndarray, " draws"]
    n: int

    @property
    def place(self) -> Float[np.ndarray, " draws"]:
        """Mean over the group of the parameter's place in its range, from 0 to 1."""
        return ndtr(self.mean / np.sqrt(1 + self.spread**2))

    @property
    def scatter(self) -> Float[np.ndarray, " draws"]:
        """Standard deviation over the group of the parameter's place in its range."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(15)
        places = ndtr(self.mean[:, None] + self.spread[:, None] * nodes)
        return np.sqrt(((places - self.place[:, None]) ** 2) @ (weights / weights.sum()))


@dataclass(frozen=True, eq=False)
class Difference:
    """Draws of the second group's mean less the first's, in units of the parameter's range.

    paired: whether the same subjects are in both.
    """

    draws: Float[np.ndarray, " draws"]
    first: Group
    second: Group
    paired: bool

    @property
    def differs(self) -> bool:
        """Whether an interval of 95 % excludes zero."""
        low, high = np.quantile(self.draws, [(1 - SURE) / 2, (1 + SURE) / 2])
        return bool(low > 0 or high < 0)


def summary(draws: Float[np.ndarray, " draws"], mass: float = MASS) -> Summary:
    """Median and central interval of draws."""
    return Summary(*(float(v) for v in np.quantile(draws, [0.5, (1 - mass) / 2, (1 + mass) / 2])))


def group(subjects: Sequence[Sequence[Draws]], seed: int = 0) -> Group:
    """The distribution of a parameter over subjects, from the draws of each one's recordings.

    Several recordings of a subject count as one, by their mean. Raises ValueError for fewer than two subjects, of which
    no spread is told, and for a subject without draws.
    """
    _refuse_few(len(subjects))
    rng = np.random.default_rng(seed)
    known = _Known(_CENTRES, np.stack([_likelihood(each) for each in subjects]))
    axes = known.grid((40, 30))
    mean, log_spread = _drawn(known.log_posterior(axes), (axes[0], np.log(axes[1])), rng)
    return Group(mean, np.exp(log_spread), len(subjects))


def difference(first: Sequence[Sequence[Draws]], second: Sequence[Sequence[Draws]], seed: int = 0) -> Difference:
    """Between two groups of other subjects. Raises ValueError as ``group``."""
    one, other = group(first, seed), group(second, seed + 1)
    return Difference(other.place - one.place, one, other, paired=False)


def paired_difference(first: Sequence[Sequence[Draws]], second: Sequence[Sequence[Draws]], seed: int = 0) -> Difference:
    """Between two conditions of the same subjects, in the same order.

    A subject's level and its change are both normal in the group. Raises ValueError as ``group``, and where the
    conditions are not of as many subjects.
    """
    _refuse_few(len(first))
    if len(first) != len(second):
        raise ValueError(f"{len(first)} subjects in one condition, {len(second)} in the other: they are no pairs")
    rng = np.random.default_rng(seed)
    levels, changes, log_weights = [], [], []
    for pair in zip(first, second, strict=True):
        before, after = (_sampled(_likelihood(each), rng) for each in pair)
        levels.append((before + after) / 2)
        changes.append(after - before)
        log_weights.append((before**2 + after**2) / 2)  # the prior under which they were sampled, taken away
    axes = [
        _Known.weighted(np.linspace(-ends, ends, len(_BINS)), values, log_weights).grid((24, 14))
        for ends, values in ((_EDGE, levels), (2 * _EDGE, changes))
    ]
    cells = [tuple(g.ravel() for g in np.meshgrid(*each, indexing="ij")) for each in axes]
    total = np.add.outer(_log_prior(*cells[0]), _log_prior(*cells[1]))
    for level, change, weight in zip(levels, changes, log_weights, strict=True):
        seen = np.exp(_log_normal(level[:, None], *cells[0]) + (weight - weight.max())[:, None])
        total += np.log(seen.T @ np.exp(_log_normal(change[:, None], *cells[1])) + 1e-300)
    grids = (axes[0][0], np.log(axes[0][1]), axes[1][0], np.log(axes[1][1]))
    level, log_spread, change, log_change = _drawn(total.reshape([len(axis) for axis in grids]), grids, rng)
    wide = np.sqrt(np.exp(2 * log_spread) + np.exp(2 * log_change) / 4)  # of the subjects under one condition
    lower, upper = (Group(level + sign * change / 2, wide, len(first)) for sign in (-1, 1))
    return Difference(upper.place - lower.place, lower, upper, paired=True)


def _refuse_few(subjects: int) -> None:
    if subjects < 2:
        raise ValueError(f"{subjects} subject{'s' * (subjects != 1)}: no spread is told of fewer than two")


def _likelihood(recordings: Sequence[Draws]) -> Float[np.ndarray, " bins"]:
    """What a subject's recordings say of its probit, without the prior; its highest value is 1.

    Draws on an edge of the range say no more than those near it.
    """
    if not len(recordings) or not all(len(draws) for draws in recordings):
        raise ValueError("a subject without draws of a posterior")
    each = [_within(ndtri(draws)) for draws in recordings]
    if len(each) > 1:
        # The prior of a mean of n is narrow, and divides nothing out of draws; normals can be divided.
        n, variance = len(each), sum(z.var() for z in each) / len(each) ** 2 + 1e-12
        precision = max(_TOLD / variance - n, _LEAST)
        log = -precision * _CENTRES**2 / 2 + np.mean([z.mean() for z in each]) / variance * _CENTRES
        return np.exp(log - log.max())
    (z,) = each
    share = np.histogram(z, _BINS)[0] / len(z)
    width = _SMOOTH * z.std() * len(z) ** -0.2 / (_BINS[1] - _BINS[0])
    density = gaussian_filter1d(share, width, mode="constant") if width > 0 else share
    found = density * np.exp(_CENTRES**2 / 2)
    return found / found.max()


def _within(z: Float[np.ndarray, " draws"]) -> Float[np.ndarray, " inside"]:
    """Draws that are not on an edge; where all are, one as near to it as is told."""
    inside = z[np.abs(z) < _EDGE]
    return inside if len(inside) else np.full(2, np.sign(np.median(z)) * _CENTRES[-1])


def _sampled(likelihood: Float[np.ndarray, " bins"], rng: np.random.Generator) -> Float[np.ndarray, " draws"]:
    """Probits under a unit normal prior."""
    density = likelihood * np.exp(-(_CENTRES**2) / 2)
    places = rng.choice(len(_CENTRES), _PAIRS, p=density / density.sum())
    return _CENTRES[places] + (_BINS[1] - _BINS[0]) * (rng.random(_PAIRS) - 0.5)


def _log_normal(z: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Log density of z, in nats, up to a constant."""
    return -(((z - mean) / spread) ** 2) / 2 - np.log(spread)


def _log_prior(mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Of cells that are equally wide in mean and log spread."""
    return -(mean**2) / 2 - (spread / SPREAD) ** 2 / 2 + np.log(spread)


@dataclass(frozen=True, eq=False)
class _Known:
    """What each subject says of a number, at the centres of bins."""

    centres: Float[np.ndarray, " bins"]
    likelihoods: Float[np.ndarray, "subjects bins"]

    @classmethod
    def weighted(cls, bins: np.ndarray, values: Sequence[np.ndarray], log_weights: Sequence[np.ndarray]) -> "_Known":
        """From weighted draws of each subject."""
        each = [np.histogram(v, bins, weights=np.exp(w - w.max()))[0] for v, w in zip(values, log_weights, strict=True)]
        return cls((bins[:-1] + bins[1:]) / 2, np.stack(each))

    def log_posterior(self, axes: _Axes) -> Float[np.ndarray, "means spreads"]:
        """Of a mean and a spread over subjects, on a grid."""
        means, spreads = (g.ravel() for g in np.meshgrid(*axes, indexing="ij"))
        normals = np.exp(_log_normal(self.centres[:, None], means, spreads))
        found = np.log(self.likelihoods @ normals + 1e-300).sum(0) + _log_prior(means, spreads)
        return found.reshape(len(axes[0]), len(axes[1]))

    def grid(self, points: tuple[int, int]) -> _Axes:
        """Means and spreads that enclose what is likely."""
        axes = np.linspace(self.centres[0], self.centres[-1], _MEANS), np.geomspace(*_SPREADS, points[1])
        for _ in range(_REFINED):
            likely = self.log_posterior(axes)
            likely = likely > likely.max() - _UNLIKELY
            ends = []
            for axis, other in ((0, 1), (1, 0)):
                inside = np.flatnonzero(likely.any(other))
                low, high = max(0, inside[0] - 1), min(len(axes[axis]) - 1, inside[-1] + 1)
                ends.append((axes[axis][low], axes[axis][high]))
            axes = np.linspace(*ends[0], points[0]), np.geomspace(*ends[1], points[1])
        return axes


def _drawn(
    log_density: np.ndarray, axes: Sequence[np.ndarray], rng: np.random.Generator
) -> tuple[Float[np.ndarray, " draws"], ...]:
    """Draws from cells of a grid, evenly within a cell."""
    density = np.exp(log_density - log_density.max()).ravel()
    cells = rng.choice(density.size, _POSTERIOR, p=density / density.sum())
    places = np.unravel_index(cells, log_density.shape)
    return tuple(
        axis[k] + (axis[1] - axis[0]) * (rng.random(_POSTERIOR) - 0.5) for axis, k in zip(axes, places, strict=True)
    )
