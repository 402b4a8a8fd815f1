"""The delta rule as an estimator: nothing is learned before, every recording has a search of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NoReturn, Self

import numpy as np
from jaxtyping import Float

from inference.estimate import Estimate
from inference.estimators.base import BaseEstimator
from inference.features.interface import Features
from inference.fitting.gsdr import DeltaRule, TuneByDeltaRule
from inference.fitting.targets import Resembles
from simulators.interface import ParameterSpace, Simulator
from simulators.recording import Recording

_AT_MIDDLE = 6  # simulations that tell how much features differ between two of one theta
_UNLIKE = 4.0  # loss beyond which a recording is not resembled; that of the very theta is 2 on average


@dataclass(eq=False)
class DeltaRuleFit(BaseEstimator):
    """Parameters whose simulated features are most like a recording's, by ``runs`` searches of ``budget`` simulations.

    simulator: as the instrument sees it. The samples of its estimates are the ends of the runs, no posterior.
    """

    kind: ClassVar[str] = "gsdr"

    simulator: Simulator
    features: Features
    rule: DeltaRule = field(default_factory=DeltaRule)
    runs: int = 3
    budget: int = 60
    seed: int = 0

    def __post_init__(self) -> None:
        self.parameters: ParameterSpace = self.simulator.parameters
        rng = np.random.default_rng(self.seed)
        middle = self.parameters.from_unit(np.full(len(self.parameters), 0.5))
        made = [self.simulator.simulate(middle, rng) for _ in range(_AT_MIDDLE)]
        self.channels, self.unit = made[0].channels, made[0].unit
        self._sd = float(np.sqrt(np.stack([self.features(r) for r in made]).var(0, ddof=1).mean()))
        self.about: dict[str, Any] = {"simulations": 0}

    def fit(self, theta: Float[np.ndarray, "simulations n_parameters"], recordings: Sequence[Recording]) -> Self:
        """Nothing to do."""
        return self

    def estimate(self, recording: Recording) -> Estimate:
        """The best end of the searches. Raises ValueError as ``ready``, and for a recording without features."""
        target = Resembles(seen=self.features, like=self.ready(recording), sd=self._sd)
        tuned = TuneByDeltaRule(
            self.simulator, [target], rule=self.rule, runs=self.runs, budget=self.budget, confirmations=0,
            seed=self.seed, progress=False,
        ).fit()  # fmt: skip
        least = min(tuned.losses)
        spread = tuple(w for w in tuned.estimate.warnings if "spread" in w)
        unlike = least > _UNLIKE
        said = (f"no simulation of {self.runs * self.budget} resembles the recording (loss {least:.1f}; 2 is what two "
                f"simulations of the same parameters have)",) if unlike else ()  # fmt: skip
        return replace(tuned.estimate, warnings=said + spread, trusted=not unlike)

    def _state(self) -> NoReturn:
        raise ValueError("gSDR searches anew for each recording; it has nothing to keep in a file")

    @classmethod
    def _restored(cls, parameters, features, header, tensors) -> NoReturn:
        raise ValueError("there are no files of gSDR; it searches anew for each recording")
