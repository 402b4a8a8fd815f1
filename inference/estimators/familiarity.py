"""Does a recording look like the simulations that taught an estimator? What no simulation looks like has no answer."""

from dataclasses import dataclass, fields
from typing import NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inference.estimators.spectral_networks import common_and_differences

_COMPONENTS = 8  # in which simulations lie along a curved sheet: a few parameters move them
_ROWS_A_COMPONENT = 20
_DIRECTIONS = 32  # in which simulations scatter around that sheet most
_FOLDS = 5
_QUANTILE = 0.995  # of the simulations held out, for each of three distances
_SAFETY = 1.1
_USUAL = (0.01, 0.99)  # quantiles between which what is usual somewhere lies
_FAR = 4.0  # standard deviations; the sheet is known no farther out
_RIDGE = 1e-3
_SMALLEST = 1e-4  # standard deviation along a direction: its inverse has room in half precision


class Strangeness(NamedTuple):
    """How far features lie from the simulations', 1 being the limit; the row and the column where they do most.

    row: of the features; where these are channels, 0 is what all have in common and 1 the first's difference from it.
    """

    distance: float
    row: int
    column: int


@dataclass(frozen=True, eq=False)
class Familiarity:
    """Distance of features from the sheet on which those of simulations lie.

    Features that are channels are seen as their mean and each channel's difference from it. Standardised, their first
    principal components predict all values by a polynomial of second degree; what is left over is the distance,
    measured in three ways: in the directions of the largest scatter, in all others, and at the worst value (a line).
    Simulations that synchronise lie farther from any sheet than others do, so each distance is taken relative to what
    is usual at that place of the sheet. Its limit is what simulations that were held out keep in 99.5 % of the cases,
    and a tenth more.
    """

    mean: Float[Tensor, " values"]
    scale: Float[Tensor, " values"]
    components: Float[Tensor, "components values"]
    sheet: Float[Tensor, "terms values"]
    scatter: Float[Tensor, " values"]
    directions: Float[Tensor, "directions values"]
    usual: Float[Tensor, "terms three"]
    bounds: Float[Tensor, "two three"]
    limits: Float[Tensor, " three"]

    @classmethod
    def of_simulations(cls, x: Float[Tensor, "simulations rows columns"], seed: int = 0, alike: bool = True) -> Self:
        """From features of simulations; the limits from what other simulations than these leave over.

        alike: whether the rows are channels, with something in common.
        """
        values = (common_and_differences(x) if alike else x).flatten(1).double()
        folds = np.array_split(np.random.default_rng(seed).permutation(len(x)), _FOLDS)
        distances = torch.zeros(len(x), 3, dtype=torch.double)
        for held in folds:
            kept = np.setdiff1d(np.arange(len(x)), held)
            distances[held] = cls._of(values[kept])._distances(values[held])
        whole, logs = cls._of(values), distances.log()
        whole.usual.copy_(_regression(whole._terms(values), logs))
        whole.bounds.copy_(torch.quantile(logs, torch.tensor(_USUAL).double(), dim=0))
        whole.limits.copy_(_SAFETY * torch.quantile(distances / whole._usual(values), _QUANTILE, dim=0))
        return cls(**{f.name: getattr(whole, f.name).float() for f in fields(cls)})

    @classmethod
    def _of(cls, values: Tensor) -> Self:
        mean, sd = values.mean(0), values.std(0)
        scale = torch.where(sd > 1e-4, sd, torch.ones_like(sd))
        standard = (values - mean) / scale
        n = min(_COMPONENTS, len(values) // _ROWS_A_COMPONENT + 1)
        _, size, axes = torch.linalg.svd(standard, full_matrices=False)
        components = axes[:n] / (size[:n, None] / len(values) ** 0.5).clamp(min=_SMALLEST)
        terms = _products(standard @ components.T)
        sheet = _regression(terms, standard)
        left = standard - terms @ sheet
        scatter = left.std(0).clamp(min=1e-3)
        _, size, axes = torch.linalg.svd(left / scatter, full_matrices=False)
        directions = axes[:_DIRECTIONS] / (size[:_DIRECTIONS, None] / len(values) ** 0.5).clamp(min=_SMALLEST)
        unknown = {name: torch.zeros(n, 3).double() for name, n in (("usual", len(sheet)), ("bounds", 2))}
        return cls(mean, scale, components, sheet, scatter, directions, limits=torch.ones(3).double(), **unknown)

    def _terms(self, values: Tensor) -> Float[Tensor, "rows terms"]:
        return _products((values - self.mean) / self.scale @ self.components.T)

    def _left_over(self, values: Tensor) -> Tensor:
        standard = (values - self.mean) / self.scale
        return (standard - _products(standard @ self.components.T) @ self.sheet) / self.scatter

    def _distances(self, values: Tensor) -> Float[Tensor, "rows three"]:
        return self._sizes(self._left_over(values))

    def _sizes(self, left: Tensor) -> Float[Tensor, "rows three"]:
        along = left @ self.directions.T
        axes = torch.nn.functional.normalize(self.directions, dim=1)
        others = left - (left @ axes.T) @ axes
        return torch.stack([along.square().mean(1).sqrt(), others.square().mean(1).sqrt(), left.abs().amax(1)], 1)

    def _usual(self, values: Tensor) -> Float[Tensor, "rows three"]:
        """The distances of simulations at the same place of the sheet."""
        low, high = self.bounds
        return (self._terms(values) @ self.usual).clamp(low, high).exp()

    def strangeness(self, x: Float[Tensor, "1 channels columns"], shorter: float = 1.0) -> Strangeness:
        """Of one recording. shorter: its length relative to the simulations'; short ones' features scatter more."""
        alike = self.mean.numel() > x[0].numel()
        values = (common_and_differences(x) if alike else x).flatten(1)
        left = self._left_over(values)
        relative = self._sizes(left) / self._usual(values) / self.limits
        distance = float(relative.max()) * min(1.0, shorter) ** 0.5
        row, column = divmod(int(left[0].abs().argmax()), x.shape[2])
        return Strangeness(distance, row, column)

    def tensors(self) -> dict[str, Tensor]:
        """For a file: the large ones in half precision."""
        stored = {f.name: getattr(self, f.name) for f in fields(self)}
        return {f"familiarity.{k}": v.half() if v.ndim == 2 else v for k, v in stored.items()}

    @classmethod
    def restored(cls, tensors: dict[str, Tensor], rows: int, columns: int) -> "Familiarity | None":
        """The inverse of ``tensors``; None for a file of before there was one.

        rows: of what it sees, one more than there are channels. Raises KeyError for a part of one, ValueError where
        it is of other features.
        """
        if "familiarity.mean" not in tensors:
            return None
        own = {f.name: tensors[f"familiarity.{f.name}"].float() for f in fields(cls)}
        values = rows * columns
        # No more than are learned: their products would fill the memory.
        most = {"components": _COMPONENTS, "directions": _DIRECTIONS}
        components, directions = (min(own[name].numel() // values, n) for name, n in most.items())
        terms = _products(torch.zeros(1, components)).shape[1]
        expected: dict[str, tuple[int, ...]] = {
            "components": (components, values),
            "directions": (directions, values),
            "sheet": (terms, values),
            "usual": (terms, 3),
            "bounds": (2, 3),
            "limits": (3,),
        }
        for name, tensor in own.items():
            shape = expected.get(name, (values,))
            if tensor.shape != shape:
                raise ValueError(
                    f"familiarity.{name} is {tuple(tensor.shape)}; expected {shape} for {rows} rows of {columns} values"
                )
        return cls(**own)


def _products(scores: Float[Tensor, "rows components"]) -> Float[Tensor, "rows terms"]:
    """1, the scores and their products by two; scores farther out than any simulation's are taken back."""
    near = scores.clamp(-_FAR, _FAR)
    i, j = np.triu_indices(scores.shape[1])
    return torch.cat([torch.ones_like(near[:, :1]), near, near[:, i] * near[:, j]], 1)


def _regression(terms: Float[Tensor, "rows terms"], targets: Float[Tensor, "rows targets"]) -> Tensor:
    ridge = _RIDGE * len(terms) * torch.eye(terms.shape[1], dtype=terms.dtype)
    return torch.linalg.solve(terms.T @ terms + ridge, terms.T @ targets)
