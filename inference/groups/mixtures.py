"""Posteriors as mixtures of normals: what one recording says of some numbers, and of the others given these."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

_COMPONENTS, _DRAWS_EACH = 8, 50  # at most, if one is not enough; and so many draws at least for each
_LEAST = 1e-6  # variance of a component, of draws of unit variance


@dataclass(frozen=True, eq=False)
class Mixture:
    """Of normals: log weights, means and covariances of its components."""

    log_weights: Float[np.ndarray, " components"]
    means: Float[np.ndarray, "components n"]
    covariances: Float[np.ndarray, "components n n"]

    @classmethod
    def of(cls, draws: Float[np.ndarray, "draws n"], seed: int) -> "Mixture":
        """Fitted to draws."""
        from sklearn.mixture import GaussianMixture

        centre, scale = draws.mean(0), draws.std(0)
        scale[scale == 0] = 1.0
        white = (draws - centre) / scale
        most = int(np.clip(len(draws) // _DRAWS_EACH, 1, _COMPONENTS))
        one, several = (GaussianMixture(k, reg_covar=_LEAST, random_state=seed) for k in (1, most))
        first, second = white[::2], white[1::2]  # the second half shows whether one is enough
        enough = most == 1 or one.fit(first).score(second) >= several.fit(first).score(second)
        best = (one if enough else several).fit(white)
        return cls(np.log(best.weights_), centre + scale * best.means_, best.covariances_ * np.outer(scale, scale))

    def of_last(self, n: int) -> "Mixture":
        """The distribution of the last ``n`` numbers."""
        return Mixture(self.log_weights, self.means[:, -n:], self.covariances[:, -n:, -n:])

    @property
    def moments(self) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n n"]]:
        """Mean and covariance."""
        weights = np.exp(self.log_weights)
        mean = weights @ self.means
        off = self.means - mean
        return mean, np.einsum("k,kij->ij", weights, self.covariances + off[:, :, None] * off[:, None, :])

    def smoothed(self, share: float) -> "Mixture":
        """Convolved with a normal whose standard deviations are this share of its own."""
        return Mixture(self.log_weights, self.means, self.covariances + share**2 * self.moments[1])

    def log_densities(self, values: Float[np.ndarray, "rows n"]) -> Float[np.ndarray, "rows components"]:
        """Of each component, times its weight."""
        roots = np.linalg.cholesky(self.covariances)
        white = np.linalg.solve(roots[None], (values[:, None] - self.means)[..., None])[..., 0]
        logs = -0.5 * (white**2).sum(-1) - np.log(np.diagonal(roots, axis1=-2, axis2=-1)).sum(-1)
        return self.log_weights + logs - 0.5 * values.shape[1] * np.log(2 * np.pi)

    def draw_others(
        self, last: Float[np.ndarray, "draws last"], rng: np.random.Generator
    ) -> Float[np.ndarray, "draws others"]:
        """The other numbers, one draw for each of these values of the last ones."""
        n = last.shape[1]
        logs = self.of_last(n).log_densities(last)
        shares = np.exp(logs - logs.max(1, keepdims=True))
        edges = (shares / shares.sum(1, keepdims=True)).cumsum(1)
        component = (rng.random((len(last), 1)) > edges).sum(1).clip(max=logs.shape[1] - 1)
        drawn = np.empty((len(last), self.means.shape[1] - n))
        if not drawn.size:
            return drawn
        for k, (mean, covariance) in enumerate(zip(self.means, self.covariances, strict=True)):
            rows = component == k
            slopes = np.linalg.solve(covariance[-n:, -n:], covariance[-n:, :-n]).T
            rest = covariance[:-n, :-n] - slopes @ covariance[-n:, :-n]
            noise = rng.multivariate_normal(np.zeros(len(rest)), rest, rows.sum(), check_valid="ignore", method="eigh")
            drawn[rows] = mean[:-n] + (last[rows] - mean[-n:]) @ slopes.T + noise
        return drawn


class LogDensities:
    """Log densities of several mixtures, differentiable, for many values at once."""

    def __init__(self, mixtures: Sequence[Mixture]) -> None:
        most = max(len(m.log_weights) for m in mixtures)
        n = mixtures[0].means.shape[1]
        self.constants = torch.full((len(mixtures), most), -torch.inf, dtype=torch.double)
        self.means = torch.zeros(len(mixtures), most, n, dtype=torch.double)
        self.whitening = torch.eye(n, dtype=torch.double).repeat(len(mixtures), most, 1, 1)
        for i, mixture in enumerate(mixtures):
            k, roots = len(mixture.log_weights), np.linalg.cholesky(mixture.covariances)
            size = np.log(np.diagonal(roots, axis1=-2, axis2=-1)).sum(-1) + 0.5 * n * np.log(2 * np.pi)
            self.constants[i, :k] = torch.as_tensor(mixture.log_weights - size)
            self.means[i, :k] = torch.as_tensor(mixture.means)
            self.whitening[i, :k] = torch.as_tensor(np.linalg.inv(roots))

    def __call__(self, values: Float[Tensor, "rows n"]) -> Float[Tensor, "rows mixtures"]:
        """By each mixture."""
        off = values.double()[:, None, None] - self.means
        white = torch.einsum("mkij,rmkj->rmki", self.whitening, off)
        return torch.logsumexp(self.constants - 0.5 * white.square().sum(-1), -1)
