"""What a surrogate neuron remembers by: units that leak, each at its own pace, or gated ones."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

_PACES_MS = 1.0, 500.0  # range of the time constants before they are learned
STEP = 5.0  # how far one step may move a unit, times the share it forgets: lambda of the publication
_WIDER = 2  # units of the inner network for each memory


class LeakyMemory(nn.Module):
    """The expressive leaky memory neuron of Spieler et al. (ICLR 2024, arXiv:2306.16922) behind its synapses.

    m(t) = k m(t-1) + STEP (1 - k) tanh(MLP[x(t), k m(t-1)]), with k = exp(-step / tau) and an MLP of two layers. The
    time constants tau are learned, and reach further than the publication's 150 ms.
    """

    def __init__(self, inputs: int, units: int, step_ms: float) -> None:
        super().__init__()
        self.read = nn.Linear(inputs, _WIDER * units)
        self.recall = nn.Linear(units, _WIDER * units, bias=False)
        self.write = nn.Linear(_WIDER * units, units)
        fastest_ms, slowest_ms = _PACES_MS
        constants_ms = fastest_ms * (slowest_ms / fastest_ms) ** torch.linspace(0, 1, units)
        self.pace = nn.Parameter(torch.log(step_ms / constants_ms))

    def forward(
        self, x: Float[Tensor, "runs steps inputs"], memory: Float[Tensor, "runs units"]
    ) -> Float[Tensor, "runs steps units"]:
        """Memories after each step."""
        steps = []
        for read in self.read(x).unbind(1):
            memory = self._next(read, memory)
            steps.append(memory)
        return torch.stack(steps, 1)

    def step(self, x: Float[Tensor, "runs inputs"], memory: Float[Tensor, "runs units"]) -> Tensor:
        """Memories after one step."""
        return self._next(self.read(x), memory)

    def _next(self, read: Tensor, memory: Tensor) -> Tensor:
        kept = torch.exp(-torch.exp(self.pace))
        leaked = kept * memory
        return leaked + STEP * (1 - kept) * torch.tanh(self.write(silu(read + self.recall(leaked))))


class GatedMemory(nn.Module):
    """A gated recurrent network (GRU), which learns less from as much: see figure GRU of the experiments' script."""

    def __init__(self, inputs: int, units: int, step_ms: float) -> None:
        super().__init__()
        self.units = nn.GRU(inputs, units, batch_first=True)

    def forward(
        self, x: Float[Tensor, "runs steps inputs"], memory: Float[Tensor, "runs units"]
    ) -> Float[Tensor, "runs steps units"]:
        """Its units after each step."""
        return self.units(x, memory[None])[0]

    def step(self, x: Float[Tensor, "runs inputs"], memory: Float[Tensor, "runs units"]) -> Tensor:
        """Its units after one step."""
        return torch.gru_cell(x, memory, *self.units.all_weights[0])


MEMORIES: dict[str, type[LeakyMemory] | type[GatedMemory]] = {"leaky": LeakyMemory, "gated": GatedMemory}
