"""What every surrogate neuron is: a network from synaptic events to voltage, spikes and further outputs."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

_BINS_MS = 1e-3, 1e3


class Target(NamedTuple):
    """What the cell did. v: of the soma, mV; spikes: number in each bin; outputs: in the units of the cell's own."""

    v: Float[Tensor, "runs bins"]
    spikes: Float[Tensor, "runs bins"]
    outputs: Float[Tensor, "runs bins n_outputs"]


class Response(NamedTuple):
    """What a surrogate says the cell does, running freely: as ``Target``."""

    v: Float[Tensor, "runs bins"]
    spikes: Float[Tensor, "runs bins"]
    outputs: Float[Tensor, "runs bins n_outputs"]


class NeuronSurrogate(nn.Module, ABC):
    """Base of all architectures.

    synapses: number of synapses, whose events (uS, summed in bins of bin_ms) are the input; outputs: number of outputs
    besides the voltage; settings: the arguments of the constructor, as JSON.
    """

    settings: dict[str, Any]

    def __init__(self, synapses: int, outputs: int, bin_ms: float) -> None:
        super().__init__()
        if synapses < 1 or outputs < 0 or not _BINS_MS[0] <= bin_ms <= _BINS_MS[1]:
            raise ValueError(
                f"{synapses} synapses, {outputs} outputs and bins of {bin_ms} ms; expected at least one synapse and "
                f"bins of {_BINS_MS[0]:g} to {_BINS_MS[1]:g} ms"
            )
        self.synapses, self.outputs, self.bin_ms = synapses, outputs, bin_ms

    def maps(self) -> list[nn.Parameter]:
        """Matrices from units to units, whose steps training may make orthogonal; none of published networks."""
        return []

    @abstractmethod
    def scale_to(self, events: Float[Tensor, "runs bins synapses"], target: Target) -> None:
        """Take from training data what inputs and outputs are scaled by; called once, before training."""

    @abstractmethod
    def loss(
        self, events: Float[Tensor, "runs bins synapses"], target: Target, state: Any, generator: torch.Generator
    ) -> tuple[Float[Tensor, ""], Any]:
        """Training loss on a stretch of runs, and the state at its end, without gradient.

        state: at the end of the stretch before; None where the runs begin at rest.
        """

    @abstractmethod
    def respond(self, events: Float[Tensor, "runs bins synapses"]) -> Response:
        """Run freely from rest, at nothing but events. No gradient."""
