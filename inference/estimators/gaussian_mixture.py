"""A conditional density that is drawn from in no time: a mixture of normals whose parameters a network reads off x."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from inference.estimators.spectral_networks import SpectralCNN

_SD = 0.14  # of the unit cube, before training
_EDGE = 1e-6  # of the cube, where the probit has no end
_MOST_PRECISE = 12.0  # in log precision from there: 1e-6 of the cube, which no data give but absurd weights do


class GaussianMixture(nn.Module):
    """p(u | x): normals with full covariances (Bishop 1994), in the unit cube and a little beyond.

    The network gives every normal a weight, a mean and the Cholesky factor of its precision. ``width`` widens all of
    them; it is not learnt but set at the end. bounded: the normals are of the probit of u instead, which is standard
    normal where x tells nothing, all draws lie inside the cube, and each parameter has a width of its own.
    """

    width: Tensor

    def __init__(
        self,
        n_parameters: int,
        channels: int,
        frequencies: int,
        components: int,
        hidden: int,
        dropout: float,
        alike: bool = True,
        bounded: bool = False,
    ) -> None:
        super().__init__()
        self.n_parameters, self.components, self.bounded = n_parameters, components, bounded
        self.below = np.tril_indices(n_parameters, -1)
        outputs = components * (1 + 2 * n_parameters + len(self.below[0]))
        self.network = SpectralCNN(channels, frequencies, outputs, hidden, dropout, alike)
        self.register_buffer("width", torch.ones(n_parameters if bounded else ()))

    def learn_scale(self, x: Float[Tensor, "rows channels frequencies"]) -> None:
        """Take the statistics of training spectra."""
        self.network.learn_scale(x)

    def log_prob(
        self, u: Float[Tensor, "rows n_parameters"], x: Float[Tensor, "rows channels frequencies"]
    ) -> Float[Tensor, " rows"]:
        """Log density of each u given its x, not corrected for the mass outside the cube."""
        weights, means, factors = self._normals(x)
        v = torch.special.ndtri(u.clamp(_EDGE, 1 - _EDGE)) if self.bounded else u
        distance = (factors @ ((v[:, None] - means) / self.width)[..., None])[..., 0]
        log_determinant = factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        each = log_determinant - 0.5 * distance.square().sum(-1)
        constant = (self.width.log() + 0.5 * math.log(2 * math.pi)).expand(self.n_parameters).sum()
        log_prob = torch.logsumexp(weights + each, -1) - constant
        if self.bounded:
            log_prob = log_prob + 0.5 * (v.square() + math.log(2 * math.pi)).sum(-1)
        return log_prob

    def draws(self, x: Float[Tensor, "rows channels frequencies"], n: int) -> Float[Tensor, "n rows n_parameters"]:
        """``n`` draws for each x, from torch's global generator; some may lie outside the cube."""
        weights, means, factors = self._normals(x)
        spread = self.width.expand(self.n_parameters)[:, None] * torch.linalg.inv(factors)
        chosen, rows = torch.multinomial(weights.exp(), n, replacement=True).T, torch.arange(len(x))
        noise = torch.randn(n, len(x), self.n_parameters, 1)
        drawn = means[rows, chosen] + (spread[rows, chosen] @ noise)[..., 0]
        return torch.special.ndtr(drawn) if self.bounded else drawn

    def log_prob_known(
        self, x: Float[Tensor, "1 channels frequencies"], known: list[int], u: Float[Tensor, " known"]
    ) -> Float[Tensor, ""]:
        """Log density of the known parameters alone, but for a constant of u."""
        weights, means, factors = (each[0].double() for each in self._normals(x))
        return torch.logsumexp(weights + self._marginal(means, factors, known, u), 0)

    def draws_given(
        self, x: Float[Tensor, "1 channels frequencies"], n: int, known: list[int], u: Float[Tensor, " known"]
    ) -> Float[Tensor, "n free"]:
        """``n`` draws of the other parameters where these are known: of conditional normals, weighted anew."""
        # In double precision: the known parameters may be told a thousand times as well as others.
        weights, means, factors = (each[0].double() for each in self._normals(x))
        free = [i for i in range(self.n_parameters) if i not in known]
        width = self.width.expand(self.n_parameters).double()
        off = self._probit(u) - means[:, known]
        density = self._marginal(means, factors, known, u)
        chosen = torch.multinomial(torch.softmax(weights + density, 0), n, replacement=True)
        precision = (factors / width).mT @ (factors / width)
        inner, across = precision[:, free][:, :, free], precision[:, free][:, :, known]
        centre = means[:, free] - torch.linalg.solve(inner, (across @ off[..., None]))[..., 0]
        root = torch.linalg.inv(torch.linalg.cholesky((inner + inner.mT) / 2)).mT
        drawn = centre[chosen] + (root[chosen] @ torch.randn(n, len(free), 1, dtype=torch.double))[..., 0]
        return (torch.special.ndtr(drawn) if self.bounded else drawn).float()

    def _probit(self, u: Tensor) -> Tensor:
        return torch.special.ndtri(u.double().clamp(_EDGE, 1 - _EDGE)) if self.bounded else u.double()

    def _marginal(self, means: Tensor, factors: Tensor, known: list[int], u: Tensor) -> Float[Tensor, " components"]:
        """Log density of the known parameters under each normal, but for a constant."""
        spread = self.width.expand(self.n_parameters).double()[:, None] * torch.linalg.inv(factors)
        root = torch.linalg.qr(spread[:, known].mT, mode="r").R.mT  # a square root of their covariance
        off = self._probit(u) - means[:, known]
        whitened = torch.linalg.solve_triangular(root, off[..., None], upper=False)[..., 0]
        return -0.5 * whitened.square().sum(-1) - root.diagonal(dim1=-2, dim2=-1).abs().log().sum(-1)

    def _normals(
        self, x: Float[Tensor, "rows channels frequencies"]
    ) -> tuple[
        Float[Tensor, "rows components"],
        Float[Tensor, "rows components n_parameters"],
        Float[Tensor, "rows components n_parameters n_parameters"],
    ]:
        """Log weights, means, and lower triangular L with precision L^T L, of every normal."""
        n = self.n_parameters
        out = self.network(x).view(len(x), self.components, -1)
        weights, means, log_precision, below = out.split([1, n, n, len(self.below[0])], -1)
        middle, sd = (0.0, 1.0) if self.bounded else (0.5, _SD)
        diagonal = torch.exp(log_precision.clamp(-_MOST_PRECISE, _MOST_PRECISE) - math.log(sd))
        factors = torch.diag_embed(diagonal)
        # Relative to their rows' diagonals: off-diagonal entries of the order of one, whatever the width.
        factors[..., self.below[0], self.below[1]] = below * diagonal[..., self.below[0]]
        return torch.log_softmax(weights[..., 0], -1), middle + 0.5 * means, factors
