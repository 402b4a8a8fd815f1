"""Do the methods that answered for one recording agree?"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from inference.estimate import Estimate

_APART = 1.0  # times the two 95 % intervals' half widths together: answers further from each other disagree


class Agreement(NamedTuple):
    """The two answers to one parameter that lie furthest apart, in ``distance`` times their 95 % half widths together.

    Half widths add as errors do, by squares: two exact and independent posteriors lie further apart than 1 in one case
    of twenty, those of one recording more rarely.
    """

    parameter: str
    methods: tuple[str, str]
    distance: float

    @property
    def good(self) -> bool:
        """Whether the two methods that lie farthest apart still say the same."""
        return self.distance <= _APART


def agreement(estimates: Sequence[Estimate]) -> Agreement | None:
    """How far apart the trusted estimates with an interval lie; None where fewer than two have one."""
    comparable = [e for e in estimates if e.trusted and e.has_interval]
    pairs = []
    for a, b in combinations(comparable, 2):
        half_a, half_b = (np.ptp(e.interval(0.95), axis=1) / 2 for e in (a, b))
        distance = np.abs(a.point - b.point) / np.hypot(half_a, half_b)
        k = int(distance.argmax())
        pairs.append(Agreement(a.names[k], (a.method, b.method), float(distance[k])))
    return max(pairs, key=lambda pair: pair.distance, default=None)
