"""A network whose outputs are positive definite: Cholesky factors of cross-spectral matrices, and what to do with them.

A factor is L = diag(exp(a)) (1 + c), c strictly lower triangular, so that L L^H is Hermitian and positive definite for
every real a and complex c. Loops run over channels, of which there are few; batches and bands are vectorised.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Self, TypeVar

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

_SPREAD_ITERATIONS = 400

Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True, eq=False)
class Entries:
    """Lower triangular matrices with a real diagonal, of any sign, entry by entry.

    below: by row and column, the real and the imaginary part. Torch is several times faster with such long arrays of
    real numbers than with many small complex matrices.
    """

    diagonal: list[Float[Tensor, " *batch"]]
    below: list[list[tuple[Float[Tensor, " *batch"], Float[Tensor, " *batch"]]]]

    @classmethod
    def of(cls, factors: Complex[Tensor, "*batch channels channels"]) -> Self:
        """Those of matrices."""
        parts = torch.view_as_real(factors).movedim((-3, -2, -1), (0, 1, 2)).contiguous()
        rows = [[(entry[0], entry[1]) for entry in map(Tensor.unbind, row.unbind())] for row in parts.unbind()]
        return cls([row[i][0] for i, row in enumerate(rows)], [row[:i] for i, row in enumerate(rows)])

    def some(self, rows: Tensor) -> "Entries":
        """Those of some rows of the batch."""
        below = [[(real[rows], imaginary[rows]) for real, imaginary in row] for row in self.below]
        return Entries([entry[rows] for entry in self.diagonal], below)


class CholeskyNetwork(nn.Module):
    """Perceptron from the unit cube to Cholesky factors, one a band, and the mean of every channel.

    Outputs are standardised by the training data's. With a ``rank`` they are combinations of so many spectra, at first
    the data's principal components: a thousand noisy outputs are learned as a few that are hardly noisy.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, n_parameters: int, bands: int, channels: int, width: int, rank: int = 0) -> None:
        super().__init__()
        self.bands, self.channels = bands, channels
        self.below = np.tril_indices(channels, -1)
        self.parts = [channels, len(self.below[0]), len(self.below[0])]
        outputs = bands * channels**2 + channels
        self.register_buffer("mean", torch.zeros(outputs))
        self.register_buffer("scale", torch.ones(outputs))
        self.body = nn.Sequential(
            nn.Linear(n_parameters, width), nn.SiLU(),
            nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, rank or outputs),
        )  # fmt: skip
        self.basis = nn.Linear(rank, outputs) if rank else nn.Identity()

    def learn_scale(
        self, factors: Complex[Tensor, "rows bands channels channels"], means: Float[Tensor, "rows channels"]
    ) -> None:
        """Take the statistics of the Cholesky factors of training spectra, and of the channels' means."""
        flat = self.flat(factors, means)
        self.mean.copy_(flat.mean(0))
        self.scale.copy_(flat.std(0).clamp(min=1e-6))
        if isinstance(self.basis, nn.Linear):
            _, sizes, directions = torch.linalg.svd((flat - self.mean) / self.scale, full_matrices=False)
            rank = self.basis.in_features
            with torch.no_grad():
                self.basis.weight.zero_()
                self.basis.bias.zero_()
                self.basis.weight[:, : len(sizes)] = (directions * sizes[:, None] / len(flat) ** 0.5)[:rank].T

    def flat(
        self, factors: Complex[Tensor, "rows bands channels channels"], means: Float[Tensor, "rows channels"]
    ) -> Float[Tensor, "rows outputs"]:
        """What the network would have to say: log diagonals and relative entries below them of factors, and means."""
        diagonal = factors.diagonal(dim1=-2, dim2=-1).real
        below = (factors / diagonal[..., None])[..., self.below[0], self.below[1]]
        return torch.cat([torch.cat([diagonal.log(), below.real, below.imag], -1).flatten(1), means], 1).float()

    def forward(
        self, u: Float[Tensor, "batch n_parameters"]
    ) -> tuple[Complex[Tensor, "batch bands channels channels"], Float[Tensor, "batch channels"]]:
        """Cholesky factors, and means."""
        outputs, means = self._outputs(u)
        a, real, imaginary = outputs.split(self.parts, -1)
        return torch.exp(a)[..., None] * lower_triangular(torch.ones_like(a), torch.complex(real, imaginary)), means

    def entries(self, u: Float[Tensor, "batch n_parameters"]) -> tuple[Entries, Float[Tensor, "batch channels"]]:
        """The same, entry by entry."""
        outputs, means = self._outputs(u)
        a, real, imaginary = (part.unbind(0) for part in outputs.movedim(-1, 0).contiguous().split(self.parts))
        diagonal = [torch.exp(one) for one in a]
        below: list[list[tuple[Tensor, Tensor]]] = [[] for _ in diagonal]
        for i, re, im in zip(self.below[0], real, imaginary, strict=True):
            below[i].append((re * diagonal[i], im * diagonal[i]))
        return Entries(diagonal, below), means

    def _outputs(self, u: Tensor) -> tuple[Float[Tensor, "batch bands entries"], Float[Tensor, "batch channels"]]:
        """Log diagonals and relative entries below them of the factors, and means."""
        out = self.basis(self.body(2 * u - 1)) * self.scale + self.mean
        return out[:, : -self.channels].view(len(u), self.bands, -1), out[:, -self.channels :]


class SpreadNetwork(nn.Module):
    """Perceptron from the unit cube to positive numbers, one an output, that are ``first`` before training."""

    def __init__(self, n_parameters: int, first: Float[Tensor, " outputs"], width: int = 32) -> None:
        super().__init__()
        last = nn.Linear(width, len(first))
        nn.init.zeros_(last.weight)
        with torch.no_grad():
            last.bias.copy_(first.log())
        self.body = nn.Sequential(nn.Linear(n_parameters, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), last)

    def forward(self, u: Float[Tensor, "batch n_parameters"]) -> Float[Tensor, "batch outputs"]:
        return torch.exp(self.body(2 * u - 1))


def fit_spread(
    u: Float[Tensor, "rows n_parameters"],
    first: Float[Tensor, " outputs"],
    loss: Callable[[Float[Tensor, "rows outputs"]], Float[Tensor, " rows"]],
    seed: int,
) -> SpreadNetwork:
    """A SpreadNetwork trained on all rows at once, from ``first``. Its weights have half precision, as files do."""
    torch.manual_seed(seed)
    net = SpreadNetwork(u.shape[1], first)
    optimiser = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=0.1)
    for _ in range(_SPREAD_ITERATIONS):
        optimiser.zero_grad()
        loss(net(u)).mean().backward()
        optimiser.step()
    return net.half().float().eval()


def with_weights(net: Net, prefix: str, tensors: dict[str, Tensor]) -> Net:
    """The network with the weights whose names begin with ``prefix``. Raises RuntimeError where they do not fit.

    It may be on the device "meta", so that no memory is taken before the weights are known to fit.
    """
    weights = {k.removeprefix(prefix): v.float() for k, v in tensors.items() if k.startswith(prefix)}
    net.load_state_dict(weights, assign=True)
    return net.eval()


def lower_triangular(
    diagonal: Float[Tensor, "*batch channels"], below: Complex[Tensor, "*batch entries"]
) -> Complex[Tensor, "*batch channels channels"]:
    """A matrix from its diagonal and what lies below it, row by row."""
    n = diagonal.shape[-1]
    entries = torch.cat([torch.zeros_like(diagonal[..., :1]).to(below.dtype), diagonal.to(below.dtype), below], -1)
    return entries.index_select(-1, _places(n)).unflatten(-1, (n, n))


@cache
def _places(n: int) -> Tensor:
    """Of the entries of an n x n matrix among a zero, its diagonal and what lies below it."""
    places = np.zeros((n, n), dtype=int)
    places[np.diag_indices(n)] = 1 + np.arange(n)
    places[np.tril_indices(n, -1)] = 1 + n + np.arange(n * (n - 1) // 2)
    return torch.as_tensor(places.ravel())


def cholesky(
    matrices: Complex[Tensor, "*batch channels channels"],
) -> Complex[Tensor, "*batch channels channels"]:
    """Cholesky factors. torch's own calls LAPACK for every single one of these small matrices."""
    n = matrices.shape[-1]
    columns: list[Tensor] = []
    for j in range(n):
        rest = matrices[..., j:, j]
        for column in columns:
            rest = rest - column[..., j:] * column[..., j, None].conj()
        column = rest / rest[..., :1].real.sqrt()
        columns.append(nn.functional.pad(column, (j, 0)))
    return torch.stack(columns, -1)


def cholesky_of_square(
    roots: Complex[Tensor, "*batch channels sources"],
) -> Complex[Tensor, "*batch channels channels"]:
    """Cholesky factors of M M^H, by making the rows of M orthogonal: single precision then holds what the channels do
    not have in common also where that is a thousandth of their amplitude. ``sources`` are no fewer than channels."""
    directions: list[Tensor] = []
    rows: list[Tensor] = []
    for row in roots.unbind(-2):
        entries = []
        for direction in directions:
            entries.append((row * direction.conj()).sum(-1))
            row = row - entries[-1][..., None] * direction
        size = row.abs().square().sum(-1).clamp(min=1e-36).sqrt()
        directions.append(row / size[..., None])
        rows.append(
            nn.functional.pad(torch.stack([*entries, size.to(row.dtype)], -1), (0, roots.shape[-2] - len(rows) - 1))
        )
    return torch.stack(rows, -2)


def whitened(
    factors: Complex[Tensor, "*#batch channels channels"], x: Complex[Tensor, "*#batch channels k"]
) -> Complex[Tensor, "*batch channels k"]:
    """L^-1 x."""
    rows: list[Tensor] = []
    for i in range(factors.shape[-1]):
        rest = x[..., i, :]
        for j, row in enumerate(rows):
            rest = rest - factors[..., i, j, None] * row
        rows.append(rest / factors[..., i, i, None])
    return torch.stack(rows, -2)


def wishart_loss(
    factors: Complex[Tensor, "*batch bands channels channels"],
    data: Complex[Tensor, "*#batch bands channels channels"],
    samples: Float[Tensor, "*#batch bands"],
) -> Float[Tensor, " *batch"]:
    """Negative log density (nats, up to a constant of the data) of band averages with Cholesky factors ``data``.

    Each is the mean of ``samples`` independent complex Gaussian samples: a complex Wishart distribution (Goodman 1963),
    for long recordings that of Whittle (1953). Bands without samples do not count.
    """
    return entrywise_wishart_loss(Entries.of(factors), Entries.of(data), samples)


def entrywise_wishart_loss(
    factors: Entries, data: Entries, samples: Float[Tensor, "*#batch bands"]
) -> Float[Tensor, " *batch"]:
    """``wishart_loss`` of factors given entry by entry."""
    used = samples > 0
    n = torch.where(used, samples, 100.0)
    channels = len(factors.diagonal)
    diagonals = zip(factors.diagonal, data.diagonal, strict=True)
    determinants = sum(d.abs().log() - torch.where(used, own, 1.0).abs().log() for d, own in diagonals)
    scale = sum(torch.lgamma(n - i) for i in range(channels)) - channels * n * n.log()
    return torch.where(used, n * (2 * determinants + _whitened_power(factors, data)) + scale, 0.0).sum(-1)


def _whitened_power(factors: Entries, data: Entries) -> Float[Tensor, " *batch"]:
    """Sum of |L^-1 X|^2 over the entries of the product, of which those above the diagonal are zero."""
    inverse = [1 / entry for entry in factors.diagonal]
    power = torch.zeros(())
    for k, first in enumerate(data.diagonal):
        real, imaginary = first * inverse[k], torch.zeros(())
        column = [(real, imaginary)]
        power = power + real.square()
        for i in range(k + 1, len(inverse)):
            real, imaginary = data.below[i][k]
            for (a, b), (c, d) in zip(factors.below[i][k:], column, strict=True):
                real, imaginary = real - a * c + b * d, imaginary - a * d - b * c
            column.append((real * inverse[i], imaginary * inverse[i]))
            power = power + column[-1][0].square() + column[-1][1].square()
    return power


def expected_wishart_loss(channels: int, samples: Float[Tensor, "*batch bands"]) -> Float[Tensor, " *batch"]:
    """Mean of ``wishart_loss`` where the factors are those that the data were drawn from (Goodman 1963)."""
    used = samples > 0
    n = torch.where(used, samples, 100.0)
    scale = sum(torch.lgamma(n - i) - n * torch.digamma(n - i) for i in range(channels))
    return torch.where(used, n * channels + scale, 0.0).sum(-1)
