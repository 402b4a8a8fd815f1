"""A laminar probe whose depth is known only roughly: what it sees at depths drawn at random, to learn from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from inference.estimators.along import DEPTH
from inference.workflows.study import Study, forward_model_of
from simulators.fields.probes import LaminarProbe
from simulators.interface import Parameter
from simulators.recording import Recording

_STEPS = 9  # depths at which the probe is put


@dataclass(frozen=True, eq=False)
class UnknownDepth:
    """Studies with the probe higher (or lower) by a few shifts, and which of them sees which simulation.

    shifts: um; at: of each simulation, its place among these; drawn: the shift that is taught, anywhere around that
    one; within: um by which the probe may be shifted.
    """

    studies: tuple[Study, ...]
    shifts: Float[np.ndarray, " shifts"]
    at: np.ndarray
    drawn: Float[np.ndarray, " simulations"]
    within: float

    @classmethod
    def of(cls, study: Study, within_um: float, n: int, seed: int) -> "UnknownDepth":
        """For ``n`` simulations. Raises ValueError for no positive distance, and where no laminar probe measures."""
        probe: Any = getattr(study.forward_model, "probe", None)
        if not isinstance(probe, LaminarProbe):
            raise ValueError("an unknown depth is that of a laminar probe; name one (depths=0,-100 ...)")
        if not 0 < within_um < np.inf:
            raise ValueError(f"the probe's depth is known within {within_um:g} um; give a positive distance")
        step = 2 * within_um / _STEPS
        shifts = (np.arange(_STEPS) - (_STEPS - 1) / 2) * step
        studies = tuple(replace(study, forward_model=cls._seen(study, probe, s)) for s in shifts)
        rng = np.random.default_rng([seed, 17])
        at = rng.integers(_STEPS, size=n)
        return cls(studies, shifts, at, shifts[at] + step * rng.uniform(-0.5, 0.5, n), within_um)

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
        seen = self.studies[self.at[i]].observe(source, theta)
        return replace(seen, channels=self._channels)

    @property
    def _channels(self) -> tuple[str, ...]:
        probe: Any = getattr(self.studies[_STEPS // 2].forward_model, "probe", None)
        return probe.channels


def refuse_gradient(kinds: Sequence[str]) -> None:
    """Raises ValueError where a fit is asked for that takes the depth as known."""
    if "gradient" in kinds:
        raise ValueError(
            "the gradient fit takes the probe's depth as known; ask for cnn and npe (--estimators cnn,npe)"
        )
