"""What a fast simulator's features lack: how far those of the slow one that it stands for lie from them."""

from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from jaxtyping import Float

from simulators.interface import ParameterSpace

_PENALTIES = np.logspace(-1, 5, 13)
_FEWEST = 20  # simulations by both


@dataclass(eq=False)
class FeatureShift:
    """Mean difference between the features of two simulators, as a function of theta.

    A polynomial of the second degree in theta, by ridge regression on simulations of both at the same thetas (best
    under the same random input, whose part in their features then cancels out). An estimator that learns from the fast
    simulator's features plus this shift expects what the slow one gives on average.
    """

    parameters: ParameterSpace
    _fit: Any = field(init=False, repr=False)
    _shape: tuple[int, ...] = field(init=False, repr=False)

    def fit(
        self,
        theta: Float[np.ndarray, "simulations n_parameters"],
        slow: Float[np.ndarray, "simulations channels values"],
        fast: Float[np.ndarray, "others rows others_values"],
    ) -> "FeatureShift":
        """Learn from features at the same thetas. Raises ValueError for shapes that differ, or too few simulations."""
        from sklearn.linear_model import RidgeCV

        if slow.shape != fast.shape or len(slow) != len(theta):
            raise ValueError(f"features of {slow.shape} and {fast.shape} at {len(theta)} thetas do not belong together")
        if len(theta) < _FEWEST:
            raise ValueError(f"{len(theta)} simulations by both; a shift is learned from {_FEWEST} or more")
        self._shape = slow.shape[1:]
        self._fit = RidgeCV(_PENALTIES).fit(self._terms(theta), (slow - fast).reshape(len(theta), -1))
        return self

    def __call__(self, theta: Float[np.ndarray, "rows n_parameters"]) -> Float[np.ndarray, "rows channels values"]:
        """What to add to features of the fast simulator at each theta."""
        return self._fit.predict(self._terms(theta)).reshape(len(theta), *self._shape)

    def _terms(self, theta: Float[np.ndarray, "rows n_parameters"]) -> Float[np.ndarray, "rows terms"]:
        u = 2 * self.parameters.to_unit(theta) - 1
        products = [u[:, i] * u[:, j] for i, j in combinations_with_replacement(range(u.shape[1]), 2)]
        return np.column_stack([u, *products])
