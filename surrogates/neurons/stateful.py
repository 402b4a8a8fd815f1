"""The project's own surrogate neuron: a recurrent network that keeps the cell's state and sees nothing but events.

Synaptic conductances are computed exactly; the network sees them, and what they would do to membranes of different
leaks. One step of the network covers a frame of one or more bins, of which it tells each by itself.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from simulators.cells.inputs import Synapse
from surrogates.neurons.evaluation import CLIP_MV
from surrogates.neurons.interface import NeuronSurrogate, Response, Target

_SPIKE_WEIGHT, _EXCESS_WEIGHT, _OUTPUT_WEIGHT = 5.0, 0.2, 0.1
_QUIET = 0.25  # runs that vary by less than this share of the standard deviation count no more for it
KEPT_MS = 10.0  # time in which chances of a spike that were not taken are forgotten
LEAST_CHANCE = 0.05  # bins with less never have the spike
_RUNS_AT_ONCE = 256


class State(NamedTuple):
    """All that a neuron remembers.

    rise, decay: the two exponentials of its conductances, uS; chance: of a spike that was not yet given.
    """

    rise: Float[Tensor, "runs synapses"]
    decay: Float[Tensor, "runs synapses"]
    hidden: Float[Tensor, "runs hidden"]
    chance: Float[Tensor, " runs"]


class StatefulNeuron(NeuronSurrogate):
    """A gated recurrent network (GRU) behind exact synapses.

    constants: rise and decay (ms) and reversal (mV) of each synapse; hidden: units; membranes: number of learned
    weightings of the conductances, each seen as the logarithm of its sum and the voltage it pulls to; frame: bins in a
    step of the network; least_uS: conductances below it are seen linearly, above it by their logarithm.
    """

    rise: Tensor
    decay: Tensor
    norm: Tensor
    reversal: Tensor
    mean: Tensor
    sd: Tensor

    def __init__(
        self,
        synapses: int,
        outputs: int,
        bin_ms: float,
        *,
        constants: Sequence[Sequence[float]],
        hidden: int = 64,
        membranes: int = 16,
        frame: int = 1,
        least_uS: float = 3e-4,
    ) -> None:
        super().__init__(synapses, outputs, bin_ms)
        if len(constants) != synapses or frame < 1:
            raise ValueError(f"constants of {len(constants)} synapses for {synapses}; frames of {frame} bins")
        self.settings = {
            "synapses": synapses,
            "outputs": outputs,
            "bin_ms": bin_ms,
            "constants": [list(map(float, c)) for c in constants],
            "hidden": hidden,
            "membranes": membranes,
            "frame": frame,
            "least_uS": least_uS,
        }
        self.hidden, self.frame, self.least_uS = hidden, frame, least_uS
        rise, decay, reversal = torch.tensor(constants, dtype=torch.float64).T
        peak = rise * decay / (decay - rise) * torch.log(decay / rise)
        self.register_buffer("rise", torch.exp(-bin_ms / rise).float())
        self.register_buffer("decay", torch.exp(-bin_ms / decay).float())
        self.register_buffer("norm", (1 / (torch.exp(-peak / decay) - torch.exp(-peak / rise))).float())
        self.register_buffer("reversal", ((reversal + 70) / 20).float())
        self.reach = nn.Parameter(0.5 * torch.randn(synapses, membranes) - 1)
        self.leak = nn.Parameter(torch.linspace(-2, 4, membranes))
        self.recurrent = nn.GRU(frame * (synapses + 2 * membranes), hidden, batch_first=True)
        self.heads = nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, frame * (3 + outputs)))
        # Columns of the heads: logit of a spike, V clipped, V above the clip, outputs.
        self.register_buffer("mean", torch.zeros(3 + outputs))
        self.register_buffer("sd", torch.ones(3 + outputs))

    @classmethod
    def of(cls, synapses: Sequence[Synapse], outputs: int, bin_ms: float, **settings) -> "StatefulNeuron":
        """For a cell with these synapses."""
        constants = [(s.rise_ms, s.decay_ms, s.reversal_mV) for s in synapses]
        return cls(synapses=len(synapses), outputs=outputs, bin_ms=bin_ms, constants=constants, **settings)

    def maps(self) -> list[nn.Parameter]:
        named = dict(self.named_parameters())
        return [named[k] for k in ("recurrent.weight_ih_l0", "recurrent.weight_hh_l0", "heads.0.weight")]

    def scale_to(self, events: Float[Tensor, "runs bins synapses"], target: Target) -> None:
        clipped = target.v.clamp(max=CLIP_MV)
        columns = [clipped, target.v - clipped, *target.outputs.unbind(2)]
        for k, column in enumerate(columns, 1):
            self.mean[k] = 0.0 if k == 2 else column.mean()
            self.sd[k] = column.std().clamp(min=1e-6)

    def begin(self, runs: int) -> State:
        """The state of cells at rest."""
        zeros = self.mean.new_zeros
        return State(zeros(runs, self.synapses), zeros(runs, self.synapses), zeros(runs, self.hidden), zeros(runs))

    def forward(
        self, events: Float[Tensor, "runs bins synapses"], state: State | None = None
    ) -> tuple[Float[Tensor, "runs bins columns"], State]:
        """Columns of the heads, scaled, and the state after the last bin. Bins come in whole frames."""
        runs, bins, _ = events.shape
        if bins % self.frame:
            raise ValueError(f"{bins} bins are no whole number of frames of {self.frame}")
        state = state or self.begin(runs)
        seen, rise, decay = self._seen(events, state)
        y, hidden = self.recurrent(seen.reshape(runs, bins // self.frame, -1), state.hidden[None])
        columns = self.heads(y).reshape(runs, bins, 3 + self.outputs)
        return columns, State(rise, decay, hidden[0], state.chance)

    def _seen(self, events: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor]:
        """What the network sees of each bin: the conductances at its end."""
        rise, decay, g = state.rise, state.decay, []
        for now in events.unbind(1):
            rise, decay = (rise + now) * self.rise, (decay + now) * self.decay
            g.append(decay - rise)
        conductance = torch.stack(g, 1) * (self.norm / self.least_uS)
        reach = softplus(self.reach)
        total = conductance @ reach + torch.exp(self.leak)
        pull = (conductance * self.reversal) @ reach / total
        return torch.cat([torch.log1p(conductance), pull, torch.log(total)], -1), rise, decay

    def loss(
        self,
        events: Float[Tensor, "runs bins synapses"],
        target: Target,
        state: State | None,
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, ""], State]:
        """Spikes by their likelihood, the rest by squared error; quiet runs count as much as loud ones."""
        columns, state = self(events, state)
        clipped = target.v.clamp(max=CLIP_MV)
        true = torch.cat([clipped[..., None], (target.v - clipped)[..., None], target.outputs], -1)
        true = (true - self.mean[1:]) / self.sd[1:]
        weight = 1 / (true.std(1, keepdim=True) + _QUIET).square()
        error = ((columns[..., 1:] - true).square() * (weight / weight.mean(0))).mean((0, 1))
        spikes = binary_cross_entropy_with_logits(columns[..., 0], target.spikes.clamp(max=1))
        loss = _SPIKE_WEIGHT * spikes + error[0] + _EXCESS_WEIGHT * error[1] + _OUTPUT_WEIGHT * error[2:].sum()
        return loss, State(*(x.detach() for x in state))

    @torch.no_grad()
    def step(self, events: Float[Tensor, "runs frame synapses"], state: State) -> tuple[Response, State]:
        """The next frame of each neuron, and the state after it: takes the same time however long it has run."""
        columns, state = self(events, state)
        spikes, chance = self._spikes(torch.sigmoid(columns[..., 0]), state.chance)
        values = columns[..., 1:] * self.sd[1:] + self.mean[1:]
        return Response(values[..., 0] + values[..., 1], spikes, values[..., 2:]), state._replace(chance=chance)

    @torch.no_grad()
    def respond(self, events: Float[Tensor, "runs bins synapses"]) -> Response:
        parts = [self.step(part, self.begin(len(part)))[0] for part in events.split(_RUNS_AT_ONCE)]
        return Response(*(torch.cat(field) for field in zip(*parts, strict=True)))

    def _spikes(self, probability: Float[Tensor, "runs bins"], chance: Tensor) -> tuple[Tensor, Tensor]:
        """A spike where the chances since the last one come to more than a half.

        A spike whose bin is uncertain is spread over some bins, none of which need be likely by itself.
        """
        kept, spikes = math.exp(-self.bin_ms / KEPT_MS), []
        for p in probability.unbind(1):
            chance = kept * chance + p
            spike = (chance > 0.5) & (p > LEAST_CHANCE)
            chance = torch.where(spike, chance - 1, chance)
            spikes.append(spike)
        return torch.stack(spikes, 1).float(), chance
