"""What recordings have in common, such as the gain of one amplifier, inferred from all of them.

Given the gain, recordings of different parameters are independent. So the posterior of all is the product of each
one's, and what the others say of the gain weights the draws of each: nothing is fitted again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.stats import gaussian_kde, norm

from inference.estimate import Estimate
from surrogates.spectra.background import Background

_POINTS = 400
_ROOM = 4.0  # standard deviations around all posteriors
_DOUBTED, _WIDER = 0.05, 3.0  # share in which a posterior may be wrong, and is so many times as wide
_APART = 4.0  # standard deviations by which a recording contradicts the others


@dataclass(frozen=True, eq=False)
class Shared:
    """A number that all recordings have in common.

    values, density: its posterior by all of them; estimates: each recording's, in the light of that. Those whose own
    posterior lies far from what the others say stay as they are; ``left_out`` names their places.
    """

    name: str
    values: Float[np.ndarray, " points"]
    density: Float[np.ndarray, " points"]
    estimates: tuple[Estimate, ...]
    left_out: tuple[int, ...] = ()

    @property
    def mean_sd(self) -> tuple[float, float]:
        """Of the posterior by all recordings."""
        return _moments(np.log(self.density + np.finfo(float).tiny), self.values)


def share(estimates: Sequence[Estimate], name: str, seed: int = 0) -> Shared:
    """Estimates of which ``name`` is the same: one of their nuisances, such as ``log_gain``, or of their parameters.

    Each must have been made under a prior that is uniform in it, or, of a background's shape, the normal one of
    ``Background``. An estimate that the others contradict stays as it is, with a warning. Raises ValueError where one
    of them has no draws of it.
    """
    draws = [_draws_of(estimate, name) for estimate in estimates]
    if len(draws) < 2:
        raise ValueError(f"{len(draws)} recording: there is none to share {name} with")
    if not all(np.isfinite(d).all() and d.std() > 0 for d in draws):
        raise ValueError(f"the draws of {name} are not finite, or all the same: they are no posterior's")
    range_ = next(((p.low, p.high) for p in estimates[0].parameters if p.name == name), None)
    values, prior = _places(draws, range_), _prior_of(name)
    before = np.zeros(len(values)) if prior is None else norm.logpdf(values, *prior)
    told = np.stack([_log_likelihood(d, values, range_, prior) for d in draws])
    left_out = _contradicting(draws, told, before, values)
    kept = [k for k in range(len(draws)) if k not in left_out]
    total = told[kept].sum(0) + before
    rng = np.random.default_rng(seed)
    found = [
        _weighted(estimate, _weights(draws[k], values, told[[i for i in kept if i != k]].sum(0)), name, kept, rng)
        if k in kept
        else _contradicted(estimate, name)
        for k, estimate in enumerate(estimates)
    ]
    return Shared(name, values, np.exp(total - total.max()), tuple(found), left_out)


def _draws_of(estimate: Estimate, name: str) -> Float[np.ndarray, " draws"]:
    if estimate.samples is not None and name in estimate.names:
        return estimate.samples[:, estimate.names.index(name)]
    if name in estimate.nuisances:
        return estimate.nuisances[name]
    there = ", ".join((*(estimate.names if estimate.samples is not None else ()), *estimate.nuisances)) or "nothing"
    raise ValueError(
        f"the {estimate.method or 'estimate'} has no draws of {name}, so recordings cannot share it; it has those of "
        f"{there}. The gain is told by estimators trained with --relative"
    )


def _places(
    draws: Sequence[Float[np.ndarray, " draws"]], range_: tuple[float, float] | None
) -> Float[np.ndarray, " points"]:
    """So many that the narrowest posterior is seen, within the range of a parameter."""
    sd = min(d.std() for d in draws)
    low, high = min(d.min() for d in draws) - _ROOM * sd, max(d.max() for d in draws) + _ROOM * sd
    if range_ is not None:
        low, high = max(low, range_[0]), min(high, range_[1])
    return np.linspace(low, high, int(np.clip(10 * (high - low) / sd, _POINTS, 20_000)))


def _prior_of(name: str) -> tuple[float, float] | None:
    """Mean and standard deviation of the normal prior of what is shared; None where it is uniform."""
    background = Background()
    return background.prior(name) if name in background.names else None


def _log_likelihood(
    draws: Float[np.ndarray, " draws"],
    values: Float[np.ndarray, " points"],
    range_: tuple[float, float] | None,
    prior: tuple[float, float] | None,
) -> np.ndarray:
    """What one recording tells: its posterior over the prior, with doubts: where it is wrong, it must not outvote all.

    In doubt it tells nothing but the prior, or, where that is uniform, what a wider posterior does. What smoothing
    would put beyond an edge of the range is reflected there.
    """
    smooth, centre, width = gaussian_kde(draws), draws.mean(), _WIDER * draws.std()
    # Smoothed alike: else what tells nothing would count against the middle of the prior.
    before = norm(centre, width) if prior is None else norm(prior[0], np.hypot(prior[1], smooth.factor * draws.std()))
    mirrored = [values] if range_ is None else [values, 2 * range_[0] - values, 2 * range_[1] - values]
    density = sum((1 - _DOUBTED) * smooth(v) + _DOUBTED * before.pdf(v) for v in mirrored)
    log = np.log(density + np.finfo(float).tiny)
    return log if prior is None else log - before.logpdf(values)


def _moments(log: Float[np.ndarray, " points"], values: Float[np.ndarray, " points"]) -> tuple[float, float]:
    """Mean and standard deviation under a log density."""
    weights = np.exp(log - log.max())
    mean = np.average(values, weights=weights)
    return float(mean), float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))


def _contradicting(
    draws: Sequence[Float[np.ndarray, " draws"]],
    told: Float[np.ndarray, "recordings points"],
    before: Float[np.ndarray, " points"],
    values: Float[np.ndarray, " points"],
) -> tuple[int, ...]:
    """Places of the recordings that the others contradict, the farthest first; of two nobody can say which."""
    kept = list(range(len(draws)))
    while len(kept) > 2:
        apart = {}
        for k in kept:
            mean, sd = _moments(told[[i for i in kept if i != k]].sum(0) + before, values)
            apart[k] = abs(draws[k].mean() - mean) / np.hypot(draws[k].std(), sd)
        worst = max(kept, key=lambda k: apart[k])
        if apart[worst] < _APART:
            break
        kept.remove(worst)
    return tuple(sorted(set(range(len(draws))) - set(kept)))


def _weights(
    draws: Float[np.ndarray, " draws"], values: Float[np.ndarray, " points"], others: Float[np.ndarray, " points"]
) -> Float[np.ndarray, " draws"]:
    log = np.interp(draws, values, others)
    weights = np.exp(log - log.max())
    return weights / weights.sum()


def _weighted(
    estimate: Estimate, weights: Float[np.ndarray, " draws"], name: str, kept: list[int], rng: np.random.Generator
) -> Estimate:
    assert estimate.samples is not None
    n = len(weights)
    rows = np.searchsorted(weights.cumsum(), (np.arange(n) + rng.random()) / n).clip(max=n - 1)
    samples = estimate.samples[rows]
    nuisances = {key: draws[rows] for key, draws in estimate.nuisances.items()}
    method = f"{estimate.method}, {name} of {len(kept)} recordings"
    return replace(estimate, point=samples.mean(0), samples=samples, nuisances=nuisances, method=method)


def _contradicted(estimate: Estimate, name: str) -> Estimate:
    warning = f"its {name} is not that of the other recordings, so it is not shared with them"
    return replace(estimate, warnings=(warning, *estimate.warnings))
