"""What recordings have in common, such as the gain of one amplifier, inferred from all of them.

Given the gain, recordings of different parameters are independent. So the posterior of all is the product of each
one's, and what the others say of the gain weights the draws of each: nothing is fitted again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.stats import gaussian_kde

from inference.estimate import Estimate

_POINTS = 400
_ROOM = 4.0  # standard deviations around the widest posterior
_FEW = 50.0  # effective draws
_FLOOR = 1e-12  # of a density's highest value


@dataclass(frozen=True, eq=False)
class Shared:
    """A number that all recordings have in common.

    values, density: its posterior by all of them; estimates: each recording's, in the light of that. Recordings whose
    own posterior hardly meets the others' are not among those; ``left_out`` names their places.
    """

    name: str
    values: Float[np.ndarray, " points"]
    density: Float[np.ndarray, " points"]
    estimates: tuple[Estimate, ...]
    left_out: tuple[int, ...] = ()

    @property
    def mean_sd(self) -> tuple[float, float]:
        """Of the posterior by all recordings."""
        weight = self.density / self.density.sum()
        mean = float(weight @ self.values)
        return mean, float(np.sqrt(weight @ (self.values - mean) ** 2))


def share(estimates: Sequence[Estimate], name: str, seed: int = 0) -> Shared:
    """Estimates of which ``name`` is the same: ``log_gain`` where it was fitted along, or one of their parameters.

    Each must have been made under a prior that is uniform in it. An estimate that the others contradict stays as it is,
    with a warning. Raises ValueError where one of them has no draws of it.
    """
    draws = [_draws_of(estimate, name) for estimate in estimates]
    if len(draws) < 2:
        raise ValueError(f"{len(draws)} recording: there is none to share {name} with")
    sds = [d.std() for d in draws]
    low, high = min(d.min() for d in draws), max(d.max() for d in draws)
    values = np.linspace(low - _ROOM * min(sds), high + _ROOM * min(sds), _points(low, high, min(sds)))
    logs = np.stack([_log_density(d, values) for d in draws])
    left_out: list[int] = []
    while True:
        kept = [k for k in range(len(draws)) if k not in left_out]
        worth = {k: _worth(_weights(draws[k], values, logs[[i for i in kept if i != k]].sum(0))) for k in kept}
        worst = min(worth, key=lambda k: worth[k])
        if worth[worst] >= _FEW or len(kept) <= 2:
            break
        left_out.append(worst)
    total = logs[kept].sum(0)
    rng = np.random.default_rng(seed)
    found = [
        _weighted(estimate, _weights(draws[k], values, logs[[i for i in kept if i != k]].sum(0)), name, kept, rng)
        if k in kept
        else _contradicted(estimate, name)
        for k, estimate in enumerate(estimates)
    ]
    return Shared(name, values, np.exp(total - total.max()), tuple(found), tuple(sorted(left_out)))


def _draws_of(estimate: Estimate, name: str) -> Float[np.ndarray, " draws"]:
    if estimate.samples is not None and name in estimate.names:
        return estimate.samples[:, estimate.names.index(name)]
    if name in estimate.nuisances:
        return estimate.nuisances[name]
    raise ValueError(
        f"the {estimate.method or 'estimate'} has no draws of {name}; of several recordings it is inferred where each "
        f"one's estimate has it: a gradient fit with the gain unknown, or a parameter"
    )


def _points(low: float, high: float, sd: float) -> int:
    """So many that the narrowest posterior is seen."""
    return int(np.clip(10 * (high - low) / max(sd, 1e-9), _POINTS, 20_000))


def _log_density(draws: Float[np.ndarray, " draws"], values: Float[np.ndarray, " points"]) -> np.ndarray:
    density = gaussian_kde(draws)(values)
    return np.log(np.maximum(density, _FLOOR * density.max()))


def _weights(
    draws: Float[np.ndarray, " draws"], values: Float[np.ndarray, " points"], others: Float[np.ndarray, " points"]
) -> Float[np.ndarray, " draws"]:
    log = np.interp(draws, values, others)
    weights = np.exp(log - log.max())
    return weights / weights.sum()


def _worth(weights: Float[np.ndarray, " draws"]) -> float:
    return float(1 / np.square(weights).sum())


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
