"""Means, spreads and differences of groups, from posteriors of single recordings.

Nothing is trained again: each recording's draws, made under a uniform prior, are weighted as draws under the group's
distribution (Hogg, Myers and Bovy 2010). A parameter is seen as the probit z of its place in its range, which is unit
normal a priori; in a group z ~ N(mean, spread^2). A group has so few unknowns that their posterior is computed on a
grid, without a sampler.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri

Draws = Float[np.ndarray, " draws"]
"""Of a parameter, by one recording: its place in the range, from 0 to 1."""

MASS = 0.9
SURE = 0.95  # groups are said to differ where an interval of so much excludes zero
SPREAD = 0.5  # of probits: scale of the half normal prior of a group's spread
_EDGE = 3.5  # probit of what lies on an edge of the range
_BINS = np.linspace(-_EDGE, _EDGE, 351)
_CENTRES = (_BINS[:-1] + _BINS[1:]) / 2
_SMALLEST = 0.02  # spread: a bin
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
    no spread is told.
    """
    _refuse_few(len(subjects))
    rng = np.random.default_rng(seed)
    weights = np.stack([_weights(_probits(each, rng), 1 / len(each)) for each in subjects])

    def log_likelihood(means: np.ndarray, spreads: np.ndarray) -> np.ndarray:
        seen = weights @ np.exp(_log_normal(_CENTRES[:, None], means, spreads))
        return np.log(seen + 1e-300).sum(0)

    axes = _grid(log_likelihood)
    mean, log_spread = _drawn(_log_posterior(log_likelihood, axes), (axes[0], np.log(axes[1])), rng)
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
    for one, other in zip(first, second, strict=True):
        before, after = (rng.permutation(_probits(each, rng))[:_PAIRS] for each in (one, other))
        n = min(len(before), len(after))
        before, after = before[:n], after[:n]
        levels.append((before + after) / 2)
        changes.append(after - before)
        log_weights.append(before**2 * len(one) / 2 + after**2 * len(other) / 2)
    # Each alone says where both are likely; together, what is likely.
    parts = [_alone(each, log_weights) for each in (levels, changes)]
    axes = [_grid(part, points=(24, 14)) for part in parts]
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


def _probits(recordings: Sequence[Draws], rng: np.random.Generator) -> Float[np.ndarray, " draws"]:
    """Draws of a subject's probit: of several recordings of their mean."""
    if not len(recordings):
        raise ValueError("a subject without a recording")
    n = min(len(draws) for draws in recordings)
    each = [ndtri(rng.permutation(np.clip(draws, 1e-9, 1 - 1e-9))[:n]) for draws in recordings]
    return np.clip(np.mean(each, 0), -_EDGE, _EDGE)


def _weights(z: Float[np.ndarray, " draws"], prior_variance: float) -> Float[np.ndarray, " bins"]:
    """Of a subject's probit in each bin: what the recording alone says, without the prior."""
    share = np.histogram(z, _BINS)[0] / len(z)
    return share * np.exp(_CENTRES**2 / (2 * prior_variance) - _EDGE**2 / 2)


def _log_normal(z: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Up to a constant."""
    return -(((z - mean) / spread) ** 2) / 2 - np.log(spread)


def _log_prior(mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Of cells that are equally wide in mean and log spread."""
    return -(mean**2) / 2 - (spread / SPREAD) ** 2 / 2 + np.log(spread)


def _alone(values: Sequence[np.ndarray], log_weights: Sequence[np.ndarray]) -> Callable[..., np.ndarray]:
    """Log likelihood of a mean and a spread, by weighted draws of each subject."""

    def log_likelihood(means: np.ndarray, spreads: np.ndarray) -> np.ndarray:
        found = np.zeros(len(means))
        for v, w in zip(values, log_weights, strict=True):
            found += np.log(np.exp(w - w.max()) @ np.exp(_log_normal(v[:, None], means, spreads)) + 1e-300)
        return found

    return log_likelihood


def _log_posterior(log_likelihood: Callable[..., np.ndarray], axes: _Axes) -> Float[np.ndarray, "means spreads"]:
    means, spreads = (g.ravel() for g in np.meshgrid(*axes, indexing="ij"))
    return (log_likelihood(means, spreads) + _log_prior(means, spreads)).reshape(len(axes[0]), len(axes[1]))


def _grid(log_likelihood: Callable[..., np.ndarray], points: tuple[int, int] = (40, 30)) -> _Axes:
    """Means and spreads that enclose what is likely."""
    axes = np.linspace(-4.0, 4.0, points[0]), np.geomspace(_SMALLEST, 3.0, points[1])
    for _ in range(_REFINED):
        likely = _log_posterior(log_likelihood, axes)
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
