"""What the published architectures share: scaling from training data, steps, and spikes read from the voltage."""

import math
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.signal import find_peaks
from torch import Tensor, nn

from surrogates.neurons.interface import NeuronSurrogate, Response, Target

_APART_MS = 2.0


class StandardisedSurrogate(NeuronSurrogate):
    """A surrogate that says V and outputs in units of their training data, bin by bin.

    "Targets" are V, first, and the outputs. threshold_mV: a spike is a maximum of V above it, 2 ms or more from others;
    ValueError if it is not finite.
    """

    event_scale: Float[Tensor, " synapses"]
    mean: Float[Tensor, " targets"]
    sd: Float[Tensor, " targets"]
    rest: Float[Tensor, " targets"]

    def __init__(self, synapses: int, outputs: int, bin_ms: float, *, threshold_mV: float, **settings: Any) -> None:
        super().__init__(synapses, outputs, bin_ms)
        if not math.isfinite(threshold_mV):
            raise ValueError(f"the threshold is {threshold_mV} mV; it must be finite")
        shape = {"synapses": synapses, "outputs": outputs, "bin_ms": bin_ms}
        self.settings = {**shape, "threshold_mV": threshold_mV, **settings}
        self.threshold_mV = threshold_mV
        self.targets = 1 + outputs
        self.register_buffer("event_scale", torch.ones(synapses))
        self.register_buffer("mean", torch.zeros(self.targets))
        self.register_buffer("sd", torch.ones(self.targets))
        self.register_buffer("rest", torch.zeros(self.targets))

    def scale_to(self, events: Float[Tensor, "runs bins synapses"], target: Target) -> None:
        """Targets by mean and standard deviation, events by the root mean square of those that a synapse has.

        Rest is the mean of the first bin.
        """
        happened = (events > 0).sum((0, 1))
        square = events.double().square().sum((0, 1)) / happened.clamp(min=1)
        rows = targets_of(target.v, target.outputs).double()
        sd = rows.std((0, 1))
        self.event_scale.copy_(torch.where(happened > 0, square.sqrt(), 1.0))
        self.mean.copy_(rows.mean((0, 1)))
        self.sd.copy_(torch.where(sd > 0, sd, 1.0))
        self.rest.copy_((rows[:, 0].mean(0) - self.mean) / self.sd)

    @abstractmethod
    def begin(self, runs: int) -> Any:
        """State of cells at rest."""

    @abstractmethod
    def step(self, events: Float[Tensor, "runs synapses"], state: Any) -> tuple[Float[Tensor, "runs targets"], Any]:
        """Targets of one more bin, V in mV and outputs in their units, from its events (uS); and the state after it."""

    def standardised(self, target: Target) -> Float[Tensor, "runs bins targets"]:
        """What the network is to say."""
        return (targets_of(target.v, target.outputs) - self.mean) / self.sd

    def response(self, targets: Float[Tensor, "runs bins targets"]) -> Response:
        """Targets in physical units, and the spikes in them."""
        v = targets[..., 0]
        found = spikes(v.detach().cpu().numpy(), self.threshold_mV, self.bin_ms)
        return Response(v, torch.from_numpy(found).to(v), targets[..., 1:])


def targets_of(v: Float[Tensor, "runs bins"], outputs: Float[Tensor, "runs bins n_outputs"]) -> Tensor:
    """Targets: (runs, bins, 1 + outputs)."""
    return torch.cat([v[..., None], outputs], -1)


def spikes(v: Float[np.ndarray, "runs bins"], threshold_mV: float, bin_ms: float) -> Float[np.ndarray, "runs bins"]:
    """1 where V (mV) has a maximum above the threshold; of two that are less than 2 ms apart, at the higher one."""
    found = np.zeros(v.shape, np.float32)
    for row, trace in zip(found, v, strict=True):
        row[find_peaks(trace, height=threshold_mV, distance=max(1.0, _APART_MS / bin_ms))[0]] = 1
    return found


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """No dropout and no gradient within."""
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(training)
