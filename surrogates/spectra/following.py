"""The transfer functions of an instrument whose kernels follow theta, differentiable in theta."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from simulators.fields.following import DELAY, SYNAPSE, FollowingView, lagrange
from simulators.interface import ParameterSpace

ALIASES = (-1, 0, 1)
"""Times the sampling rate: what sampling in bins folds back. Further ones are far below single precision."""

_TYPICAL = 64  # thetas


@dataclass(frozen=True, eq=False)
class FollowingTransfer:
    """A ``FollowingView`` in bands: directions in which its channels see most, and transfer functions along these.

    Where there are more channels than sources, only the combinations of channels that see most of the sources are kept,
    one set in each band for all theta: as kernels follow theta there is none that sees nothing at all.
    """

    view: FollowingView
    parameters: ParameterSpace
    centres: tuple[float, ...]

    @cached_property
    def basis(self) -> Complex[Tensor, "bands channels rank"]:
        """Orthonormal directions; the identity where channels are as few as sources."""
        channels, rank = len(self.view.channels), min(len(self.view.channels), len(self.view.sources))
        if channels == rank:
            return torch.eye(channels, dtype=torch.complex64).expand(len(self.centres), channels, channels)
        u = torch.rand(_TYPICAL, len(self.parameters), generator=torch.Generator().manual_seed(0))
        low, high = (torch.as_tensor(edge).float() for edge in (self.parameters.low, self.parameters.high))
        theta = dict(zip(self.parameters.names, (low + u * (high - low)).unbind(-1), strict=True))
        seen = self.full(theta)
        seen = seen / seen.abs().square().sum((-1, -2), keepdim=True).sqrt()
        return torch.linalg.svd(seen.permute(1, 2, 0, 3).flatten(2), full_matrices=False)[0][..., :rank]

    def __call__(self, theta: Mapping[str, Float[Tensor, " batch"]]) -> Complex[Tensor, "batch bands rank sources"]:
        """From sources of weight 1 to the directions, at theta by name."""
        return self.basis.mH @ self.full(theta)

    def full(self, theta: Mapping[str, Float[Tensor, " batch"]]) -> Complex[Tensor, "batch bands channels sources"]:
        """From sources of weight 1 to the channels."""
        first, second = (
            torch.stack(lagrange(values, theta[name].log()), -1).to(torch.complex64) for name, values in self.view.nodes
        )
        omega, grid = self.grid
        course = self.view.course(omega, theta[SYNAPSE][:, None])
        filtered = course * torch.exp(-omega * theta[DELAY][:, None])
        mixed = torch.einsum("bi,bj,ijfcs->bfcs", first, second, grid) * filtered[..., None, None]
        return mixed.unflatten(1, (len(ALIASES), -1)).sum(1)

    @cached_property
    def grid(self) -> tuple[Complex[Tensor, " frequencies"], Complex[Tensor, "first second frequencies channels k"]]:
        """i omega (rad/ms) of all aliases of the bands' centres, and the kernels' transforms there."""
        view, steps = self.view, self.view.steps_per_bin
        hertz = np.concatenate([np.asarray(self.centres) + k * view.sampling_rate for k in ALIASES])
        omega = 2j * np.pi * hertz / 1e3
        lags = np.arange(view.kernels.shape[-1]) * view.step_ms
        grid = np.einsum("ijscl,lf->ijfcs", view.kernels, np.exp(-omega * lags[:, None]), optimize=True)
        box = np.exp(-omega * view.step_ms * np.arange(steps)[:, None]).mean(0)
        grid = grid * (np.abs(box) ** 2 / steps)[:, None, None]
        return torch.as_tensor(omega).to(torch.complex64), torch.as_tensor(grid).to(torch.complex64)
