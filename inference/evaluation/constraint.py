"""How far a recording constrains each parameter: what is left of the range, which parameters make up for others."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from inference.estimate import Estimate

MASS = 0.95
LITTLE, NOTHING = 0.75, 0.9
"""Of the range left: beyond the first a recording tells little of a parameter, beyond the second nothing."""
_TOGETHER = 0.5  # correlation beyond which only their combination is constrained


class TradeOff(NamedTuple):
    """Two parameters that the recording leaves open together.

    >>> print(TradeOff("J", "g", -0.71))
    more of J can make up for less of g (correlation -0.71)
    """

    first: str
    second: str
    correlation: float

    def __str__(self) -> str:
        how = "more of {} can go with more of {}" if self.correlation > 0 else "more of {} can make up for less of {}"
        return f"{how.format(self.first, self.second)} (correlation {self.correlation:.2f})"


def range_left(estimate: Estimate) -> Float[np.ndarray, " n_parameters"]:
    """Width of each 95 % interval as a share of that of the whole range: 1 where the recording constrains nothing.

    Raises ValueError for an estimate without samples.
    """
    space = estimate.parameters
    prior = MASS * (np.array(space.high) - np.array(space.low))
    return np.minimum(1.0, np.ptp(estimate.interval(MASS), axis=1) / prior)


def contraction(estimates: Sequence[Estimate]) -> Float[np.ndarray, " n_parameters"]:
    """One minus the posterior's mean standard deviation over the prior's: 0 where recordings constrain nothing.

    Raises ValueError where there is no estimate with samples.
    """
    spreads = [e.samples.std(0) for e in estimates if e.samples is not None]
    if not spreads:
        raise ValueError("no estimate has samples, whose spread could be compared with the prior's")
    space = estimates[0].parameters
    return 1 - np.mean(spreads, axis=0) * np.sqrt(12) / (np.array(space.high) - np.array(space.low))


def in_words(left: float) -> str:
    """The share of the range that is left, with a word where that is most of it.

    >>> in_words(0.32), in_words(0.97)
    ('32 %', '97 %: unconstrained')
    """
    word = ": unconstrained" if left > NOTHING else ": hardly constrained" if left > LITTLE else ""
    return f"{100 * left:.0f} %{word}"


def trade_offs(estimate: Estimate) -> tuple[TradeOff, ...]:
    """Pairs of parameters whose samples are correlated beyond .5, the most so first; none without a posterior."""
    if estimate.samples is None or not estimate.has_interval:
        return ()
    correlation = np.atleast_2d(np.corrcoef(estimate.samples.T))
    pairs = zip(*np.triu_indices(len(correlation), 1), strict=True)
    found = [TradeOff(estimate.names[i], estimate.names[j], float(correlation[i, j])) for i, j in pairs]
    return tuple(sorted((t for t in found if abs(t.correlation) > _TOGETHER), key=lambda t: -abs(t.correlation)))
