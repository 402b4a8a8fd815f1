"""Density estimators of sbi, with the same three methods as our own."""

import warnings
from typing import Any

import torch
from jaxtyping import Float
from nflows.distributions.normal import StandardNormal
from torch import Tensor, nn

from inference.estimators.spectral_networks import SpectralCNN

# A deprecation inside nflows, which sbi pins; it says nothing to a user.
warnings.filterwarnings("ignore", message="torch.triangular_solve is deprecated")

SBI_DENSITIES = ("nsf", "maf", "maf_rqs", "zuko_nsf", "zuko_maf")
"""Flows of sbi, by its names, that are made of normals, whose width can be set after training."""


class _Base(StandardNormal):
    """What a flow of nflows transforms: independent normals of one width, which is not learnt but set at the end."""

    width: Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__([outputs])
        self.register_buffer("width", torch.ones(()))

    def _log_prob(self, inputs: Tensor, context: Tensor | None) -> Tensor:
        return super()._log_prob(inputs / self.width, context) - inputs.shape[1] * self.width.log()

    def _sample(self, num_samples: int, context: Tensor | None) -> Tensor:
        return super()._sample(num_samples, context) * self.width


class SbiFlow(nn.Module):
    """p(u | x) by a flow of sbi with a CNN of its own; ``flow`` is sbi's density estimator.

    name: one of SBI_DENSITIES. Raises ValueError for another one.
    """

    def __init__(
        self,
        name: str,
        n_parameters: int,
        channels: int,
        frequencies: int,
        embedding: nn.Module,
        hidden: int,
        steps: int,
    ) -> None:
        from sbi.neural_nets import posterior_nn

        super().__init__()
        if name not in SBI_DENSITIES:
            raise ValueError(f"density is '{name}'; choose 'gaussian mixture' or, of sbi's, {', '.join(SBI_DENSITIES)}")
        # sbi shares an embedding between all builds of one builder, so each flow has a builder of its own.
        build = posterior_nn(
            name,
            z_score_theta="none",
            z_score_x="none",
            hidden_features=hidden,
            num_transforms=steps,
            embedding_net=embedding,
        )
        self.n_parameters = n_parameters
        self.flow: Any = build(torch.rand(2, n_parameters), torch.randn(2, channels, frequencies))
        if not name.startswith("zuko"):
            self.flow.net._distribution = _Base(n_parameters)

    @property
    def width(self) -> Tensor:
        """Of the flow's normals; setting it in place widens or narrows all draws."""
        net = self.flow.net
        return net._distribution.width if hasattr(net, "_distribution") else net.base.get_buffer("scale")

    def learn_scale(self, x: Float[Tensor, "rows channels frequencies"]) -> None:
        """Take the statistics of training spectra."""
        embedding = next(m for m in self.flow.modules() if isinstance(m, SpectralCNN))
        embedding.learn_scale(x)

    def log_prob(
        self, u: Float[Tensor, "rows n_parameters"], x: Float[Tensor, "rows channels frequencies"]
    ) -> Float[Tensor, " rows"]:
        """Log density of each u given its x, not corrected for the mass outside the cube."""
        return -self.flow.loss(u, condition=x)

    def draws(self, x: Float[Tensor, "rows channels frequencies"], n: int) -> Float[Tensor, "n rows n_parameters"]:
        """``n`` draws for each x, from torch's global generator; some may lie outside the cube, or be not finite."""
        try:
            return self.flow.sample((n,), condition=x)
        except AssertionError:  # how nflows' splines say that an x far from all they learnt has left them no inverse
            return torch.full((n, len(x), self.n_parameters), torch.nan)
