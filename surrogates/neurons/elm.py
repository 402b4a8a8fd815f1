"""The expressive leaky memory neuron of Spieler et al. (ICLR 2024, arXiv:2306.16922) in the place of the GRU."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

from surrogates.neurons.stateful import StatefulNeuron

_MEMORY_MS = 1.0, 150.0  # range of the memories' time constants before they are learned
_STEP = 5.0  # lambda of the publication
_WIDER = 2  # units of the inner network for each memory


class LeakyMemory(nn.Module):
    """Memories that leak at their own pace, into which a network of two layers writes.

    m(t) = k m(t-1) + 5 (1 - k) tanh(MLP[x(t), k m(t-1)]), with k = exp(-step / tau).
    """

    def __init__(self, inputs: int, memories: int, step_ms: float) -> None:
        super().__init__()
        self.read = nn.Linear(inputs, _WIDER * memories)
        self.recall = nn.Linear(memories, _WIDER * memories, bias=False)
        self.write = nn.Linear(_WIDER * memories, memories)
        fastest_ms, slowest_ms = _MEMORY_MS
        self.pace = nn.Parameter(
            torch.log(step_ms / (fastest_ms * (slowest_ms / fastest_ms) ** torch.linspace(0, 1, memories)))
        )

    def forward(
        self, x: Float[Tensor, "runs steps inputs"], memory: Float[Tensor, "1 runs memories"]
    ) -> tuple[Float[Tensor, "runs steps memories"], Float[Tensor, "1 runs memories"]]:
        """Memories after each step, and after the last one, as ``nn.GRU`` returns them."""
        m, steps = memory[0], []
        for read in self.read(x).unbind(1):
            m = self._next(read, m)
            steps.append(m)
        return torch.stack(steps, 1), m[None]

    def step(self, x: Float[Tensor, "runs inputs"], memory: Float[Tensor, "runs memories"]) -> Tensor:
        """Memories after one step."""
        return self._next(self.read(x), memory)

    def _next(self, read: Tensor, memory: Tensor) -> Tensor:
        kept = torch.exp(-torch.exp(self.pace))
        leaked = kept * memory
        return leaked + _STEP * (1 - kept) * torch.tanh(self.write(silu(read + self.recall(leaked))))


class ELMNeuron(StatefulNeuron):
    """``StatefulNeuron`` with as many leaky memories as it has hidden units; the rest is the same."""

    def __init__(self, synapses: int, outputs: int, bin_ms: float, **settings) -> None:
        super().__init__(synapses, outputs, bin_ms, **settings)
        self.recurrent = LeakyMemory(self.recurrent.input_size, self.hidden, self.frame * bin_ms)
