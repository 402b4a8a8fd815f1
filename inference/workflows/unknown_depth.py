"""A laminar probe whose depth is known only roughly: what it sees at depths drawn at random, to learn from."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from inference.estimators.along import DEPTH
from inference.workflows.study import Study, forward_model_of
from simulators.fields.probes import LaminarProbe
from simulators.interface import Parameter
from simulators.recording import Recording

_MOST_UM = 1000.0
_FEWEST, _APART_UM = 9, 25.0  # depths at which the probe is put, and how far apart they lie at most


@dataclass(frozen=True, eq=False)
class UnknownDepth:
    """What a probe sees of simulations that is shifted up or down, by a distance drawn for each.

    studies: with the probe at each of ``shifts`` (um), between which what it sees is interpolated; drawn: the shift of
    each simulation; within: um by which the probe may be shifted.
    """

    studies: tuple[Study, ...]
    shifts: Float[np.ndarray, " shifts"]
    drawn: Float[np.ndarray, " simulations"]
    within: float

    @classmethod
    def of(cls, study: Study, within_um: float, n: int, seed: int) -> "UnknownDepth":
        """For ``n`` simulations. Raises ValueError for no positive distance, and where no laminar probe measures."""
        probe: Any = getattr(study.forward_model, "probe", None)
        if not isinstance(probe, LaminarProbe):
            raise ValueError("an unknown depth is that of a laminar probe; name one (depths=0,-100 ...)")
        if not 0 < within_um <= _MOST_UM:
            raise ValueError(f"the probe's depth is known within {within_um:g} um; give up to {_MOST_UM:g} um")
        shifts = np.linspace(-within_um, within_um, max(_FEWEST, math.ceil(2 * within_um / _APART_UM) + 1))
        studies = tuple(replace(study, forward_model=cls._seen(study, probe, s)) for s in shifts)
        drawn = np.random.default_rng([seed, 17]).uniform(-within_um, within_um, n)
        return cls(studies, shifts, drawn, within_um)

    @staticmethod
    def _seen(study: Study, probe: LaminarProbe, shift: float) -> Any:
        moved = replace(probe, depths_um=tuple(depth + float(shift) for depth in probe.depths_um))
        return forward_model_of(study.simulator, moved)

    @property
    def parameter(self) -> Parameter:
        """By how much the probe lies higher than is said."""
        return Parameter(DEPTH, "um", -self.within, self.within, "by how much the probe lies higher than is said")

    def observe(self, i: int, source: Recording, theta: Float[np.ndarray, " n_parameters"]) -> Recording:
        """What the probe sees of simulation i, by the names of the channels where it is said to be."""
        place = (self.drawn[i] + self.within) / (self.shifts[1] - self.shifts[0])
        k = min(int(place), len(self.shifts) - 2)
        below, above = (self.studies[j].observe(source, theta) for j in (k, k + 1))
        values = (k + 1 - place) * below.values + (place - k) * above.values
        return replace(below, values=values, channels=self._channels)

    @property
    def _channels(self) -> tuple[str, ...]:
        probe: Any = getattr(self.studies[0].forward_model, "probe", None)
        return replace(probe, depths_um=tuple(depth + self.within for depth in probe.depths_um)).channels
