"""Distributions of a spike count: as wide as a Poisson one, or a mixture that may be narrower."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

_MOST = 1e4  # spikes; more is no count of a ms
_NARROWEST = 0.03
_UNIT = 20.0  # spikes that an output of 1 stands for
_KINDS = 5


class PoissonCount:
    """A Poisson distribution, by the logarithm of its mean."""

    outputs = 1

    def log_prob(self, outputs: Float[Tensor, "*batch n"], counts: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Of counts."""
        rate = self._log_rate(outputs)
        return counts * rate - rate.exp() - torch.lgamma(counts + 1)

    def mean(self, outputs: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
        """Expected count."""
        return self._log_rate(outputs).exp()

    def draw(self, outputs: Float[Tensor, "*batch n"], generator: torch.Generator) -> Float[Tensor, "*batch"]:
        """One count each."""
        return torch.poisson(self.mean(outputs), generator=generator)

    def _log_rate(self, outputs: Tensor) -> Tensor:
        return outputs[..., 0].clamp(-8.0, math.log(_MOST))


class MixtureCount:
    """Logistic distributions, rounded to counts (Salimans et al. 2017): each may be narrower than a Poisson one."""

    outputs = 3 * _KINDS

    def log_prob(self, outputs: Float[Tensor, "*batch n"], counts: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Of counts; the lowest holds all below it."""
        weights, mean, width = self._parts(outputs)
        y = counts[..., None]
        upper, lower = torch.sigmoid((y + 0.5 - mean) / width), torch.sigmoid((y - 0.5 - mean) / width)
        mass = torch.where(y < 0.5, upper, upper - lower).clamp(min=1e-7)
        return torch.logsumexp(torch.log_softmax(weights, -1) + mass.log(), -1)

    def mean(self, outputs: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
        """Expected count, but for the rounding."""
        weights, mean, width = self._parts(outputs)
        return (torch.softmax(weights, -1) * width * softplus(mean / width)).sum(-1)

    def draw(self, outputs: Float[Tensor, "*batch n"], generator: torch.Generator) -> Float[Tensor, "*batch"]:
        """One count each."""
        weights, mean, width = self._parts(outputs)
        flat = torch.softmax(weights, -1).reshape(-1, weights.shape[-1])
        chosen = torch.multinomial(flat, 1, generator=generator).reshape(*weights.shape[:-1], 1)
        u = torch.rand(chosen.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
        value = mean.gather(-1, chosen) + width.gather(-1, chosen) * torch.logit(u)
        return value.round().clamp(0, _MOST)[..., 0]

    def _parts(self, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weights, mean, width = outputs.chunk(3, -1)
        return weights, _UNIT * mean, width.clamp(-4.0, 4.0).exp() + _NARROWEST


COUNTS: dict[str, type[PoissonCount] | type[MixtureCount]] = {"poisson": PoissonCount, "mixture": MixtureCount}
