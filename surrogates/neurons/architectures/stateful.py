"""The project's own surrogate neuron: a recurrent network that keeps the cell's state and sees nothing but events
and its own spikes.

Synaptic conductances are computed exactly; the network sees them, and what they do to passive membranes. In training it
is told the cell's spikes, later its own: where a spike's time is uncertain, what it says of V afterwards is that of a
cell that has spiked or of one that has not, and not something between the two. One step of the network covers a frame
of one or more bins, of which it tells each by itself.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from simulators.cells.inputs import Synapse
from surrogates.neurons.architectures.memory import MEMORIES
from surrogates.neurons.interface import NeuronSurrogate, Response, Target
from surrogates.neurons.measures.scores import CLIP_MV

_SPIKE_WEIGHT, _EXCESS_WEIGHT, _OUTPUT_WEIGHT = 5.0, 0.2, 0.15
_QUIET = 0.25  # runs that vary by less than this share of the standard deviation count no more for it
_MEMBRANES_MS = 2.0, 60.0  # range of the membranes' time constants at rest, before they are learned
KEPT_MS = 10.0  # time in which chances of a spike that were not taken are forgotten
LEAST_CHANCE = 0.05  # bins with less never have the spike
_RUNS_AT_ONCE = 256


class State(NamedTuple):
    """All that a neuron remembers.

    conductance: in multiples of the least one told apart; decay: the slower of its two exponentials; potential: of the
    membranes, in units of 20 mV above -70 mV; spikes: of the last frame; chance: of a spike that was not yet given.
    """

    conductance: Float[Tensor, "runs synapses"]
    decay: Float[Tensor, "runs synapses"]
    potential: Float[Tensor, "runs membranes"]
    hidden: Float[Tensor, "runs hidden"]
    spikes: Float[Tensor, "runs frame"]
    chance: Float[Tensor, " runs"]


class StatefulNeuron(NeuronSurrogate):
    """A recurrent network, by default of expressive leaky memories, behind exact synapses.

    constants: rise and decay (ms) and reversal (mV) of each synapse; hidden: units; membranes: number of passive
    membranes with a learned share of each synapse, whose potential and logarithm of total conductance are seen; frame:
    bins in a step of the network, of which at most one has a spike; least_uS: conductances below it are seen linearly,
    above it by their logarithm; memory: "leaky" or "gated".
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
        memory: str = "leaky",
    ) -> None:
        super().__init__(synapses, outputs, bin_ms)
        if len(constants) != synapses or not all(0 < rise < decay for rise, decay, _ in constants):
            raise ValueError(f"{synapses} synapses with constants {constants}; each needs a decay slower than its rise")
        if min(hidden, membranes, frame) < 1 or not least_uS > 0:
            raise ValueError(
                f"{hidden} hidden units, {membranes} membranes, frames of {frame} bins and a least conductance of "
                f"{least_uS} uS; expected one or more of each, and a conductance above 0"
            )
        if memory not in MEMORIES:
            raise ValueError(f"memory is {memory}; choose one of {', '.join(MEMORIES)}")
        self.settings = {
            "synapses": synapses,
            "outputs": outputs,
            "bin_ms": bin_ms,
            "constants": [list(map(float, c)) for c in constants],
            "hidden": hidden,
            "membranes": membranes,
            "frame": frame,
            "least_uS": least_uS,
            "memory": memory,
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
        fastest_ms, slowest_ms = _MEMBRANES_MS
        constants_ms = fastest_ms * (slowest_ms / fastest_ms) ** torch.linspace(0, 1, membranes)
        self.pace = nn.Parameter(torch.log(bin_ms / constants_ms)[torch.randperm(membranes)] - self.leak.detach())
        self.memory = MEMORIES[memory](frame * (synapses + 2 * membranes + 1), hidden, frame * bin_ms)
        self.heads = nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, frame * (3 + outputs)))
        # Columns of the heads: logit of a spike, V clipped, V above the clip, outputs.
        self.register_buffer("mean", torch.zeros(3 + outputs))
        self.register_buffer("sd", torch.ones(3 + outputs))

    @classmethod
    def of(cls, synapses: Sequence[Synapse], outputs: int, bin_ms: float, **settings) -> "StatefulNeuron":
        """For a cell with these synapses."""
        constants = [(s.rise_ms, s.decay_ms, s.reversal_mV) for s in synapses]
        return cls(synapses=len(synapses), outputs=outputs, bin_ms=bin_ms, constants=constants, **settings)

    def widened(self, hidden: int) -> "StatefulNeuron":
        """One of more hidden units that does what this one does, until it is trained: none of them is heard yet.

        Raises ValueError for units fewer than there are, and for gated ones, which are not built so.
        """
        if hidden < self.hidden or self.settings["memory"] != "leaky":
            memory = self.settings["memory"]
            raise ValueError(f"{self.hidden} {memory} units cannot become {hidden}; only leaky ones can, and more")
        wider = StatefulNeuron(**self.settings | {"hidden": hidden})
        old = self.state_dict()
        with torch.no_grad():
            for name, weight in wider.state_dict().items():
                before = old[name]
                part = tuple(slice(n) for n in before.shape)
                if weight.dim() == 2 and weight.shape[1] > before.shape[1]:
                    weight[: before.shape[0], before.shape[1] :] = 0
                weight[part] = before
        return wider

    def maps(self) -> list[nn.Parameter]:
        return [w for w in (*self.memory.parameters(), *self.heads[0].parameters()) if w.dim() == 2]

    def scale_to(self, events: Float[Tensor, "runs bins synapses"], target: Target) -> None:
        clipped = target.v.clamp(max=CLIP_MV)
        columns = [clipped, target.v - clipped, *target.outputs.unbind(2)]
        for k, column in enumerate(columns, 1):
            self.mean[k] = 0.0 if k == 2 else column.mean()
            self.sd[k] = column.std().clamp(min=1e-6)

    def begin(self, runs: int) -> State:
        """The state of cells at rest."""
        sizes = self.synapses, self.synapses, len(self.leak), self.hidden, self.frame
        return State._make([*(self.mean.new_zeros(runs, n) for n in sizes), self.mean.new_zeros(runs)])

    def forward(
        self,
        events: Float[Tensor, "runs bins synapses"],
        spikes: Float[Tensor, "runs bins"],
        state: State | None = None,
    ) -> tuple[Float[Tensor, "runs bins columns"], State]:
        """Columns of the heads, scaled, for cells that have these spikes; the state after the last bin."""
        runs, bins, _ = events.shape
        seen, state = self._seen(events, state or self.begin(runs))
        before = torch.cat([state.spikes[:, None], spikes.reshape(runs, -1, self.frame)], 1)
        hidden = self.memory(torch.cat([seen, before[:, :-1]], -1), state.hidden)
        columns = self.heads(hidden).reshape(runs, bins, 3 + self.outputs)
        return columns, state._replace(hidden=hidden[:, -1], spikes=before[:, -1])

    def _seen(self, events: Tensor, state: State) -> tuple[Float[Tensor, "runs frames seen"], State]:
        """What the network sees of each frame but spikes: conductances and membranes at the end of each bin."""
        runs, bins, _ = events.shape
        if bins % self.frame:
            raise ValueError(f"{bins} bins are no whole number of frames of {self.frame}")
        g, decay, potential = state[:3]
        conductances, potentials = [], []
        # As the difference of two exponentials that are nearly equal, conductances would be inexact.
        for height in (events * (self.norm / self.least_uS)).unbind(1):
            decay = decay + height
            g, decay = self.rise * g + (self.decay - self.rise) * decay, self.decay * decay
            conductances.append(g)
        conductance, reach = torch.stack(conductances, 1), softplus(self.reach)
        total = conductance @ reach + torch.exp(self.leak)
        pull = (conductance * self.reversal) @ reach / total
        kept = torch.exp(-total * torch.exp(self.pace))
        for towards, share in zip(pull.unbind(1), kept.unbind(1), strict=True):
            potential = torch.lerp(towards, potential, share)
            potentials.append(potential)
        seen = torch.cat([torch.log1p(conductance), torch.stack(potentials, 1), torch.log(total)], -1)
        state = state._replace(conductance=g, decay=decay, potential=potential)
        return seen.reshape(runs, bins // self.frame, -1), state

    def loss(
        self,
        events: Float[Tensor, "runs bins synapses"],
        target: Target,
        state: State | None,
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, ""], State]:
        """Spikes by their likelihood, the rest by squared error; quiet runs count as much as loud ones."""
        spikes = target.spikes.clamp(max=1)
        columns, state = self(events, spikes, state)
        clipped = target.v.clamp(max=CLIP_MV)
        true = torch.cat([clipped[..., None], (target.v - clipped)[..., None], target.outputs], -1)
        true = (true - self.mean[1:]) / self.sd[1:]
        weight = 1 / (true.std(1, correction=0, keepdim=True) + _QUIET).square()
        error = ((columns[..., 1:] - true).square() * (weight / weight.mean(0))).mean((0, 1))
        surprise = binary_cross_entropy_with_logits(columns[..., 0], spikes)
        loss = _SPIKE_WEIGHT * surprise + error[0] + _EXCESS_WEIGHT * error[1] + _OUTPUT_WEIGHT * error[2:].sum()
        return loss, State(*(x.detach() for x in state))

    def step(self, events: Float[Tensor, "runs bins synapses"], state: State) -> tuple[Response, State]:
        """The next frames of each neuron and the state after them; each takes as long however long it has run.

        Spikes have the gradient of their probability (straight-through), which reaches back through the state; detach
        the state, or work under ``torch.no_grad``, where that is not wanted.
        """
        seen, state = self._seen(events, state)
        columns, spikes = [], []
        for frame in seen.unbind(1):
            hidden = self.memory.step(torch.cat([frame, state.spikes], 1), state.hidden)
            columns.append(self.heads(hidden).reshape(len(events), self.frame, -1))
            probability = torch.sigmoid(columns[-1][..., 0])
            now, chance = self._spikes(probability.detach(), state.chance)
            spikes.append(now + (probability - probability.detach()))
            state = state._replace(hidden=hidden, spikes=spikes[-1], chance=chance)
        values = torch.cat(columns, 1)[..., 1:] * self.sd[1:] + self.mean[1:]
        return Response(values[..., 0] + values[..., 1], torch.cat(spikes, 1), values[..., 2:]), state

    @torch.no_grad()
    def respond(self, events: Float[Tensor, "runs bins synapses"]) -> Response:
        parts = [self.step(part, self.begin(len(part)))[0] for part in events.split(_RUNS_AT_ONCE)]
        return Response(*(torch.cat(field) for field in zip(*parts, strict=True)))

    def _spikes(self, probability: Float[Tensor, "runs frame"], chance: Tensor) -> tuple[Tensor, Tensor]:
        """A spike where the chances since the last one come to more than a half, one in a frame.

        A spike whose bin is uncertain is spread over some bins, none of which need be likely by itself.
        """
        kept, spikes = math.exp(-self.bin_ms / KEPT_MS), []
        spiked = torch.zeros_like(chance, dtype=torch.bool)
        for p in probability.unbind(1):
            chance = kept * chance + p
            spike = (chance > 0.5) & (p > LEAST_CHANCE) & ~spiked
            spiked = spiked | spike
            spikes.append(spike)
        return torch.stack(spikes, 1).to(probability), torch.where(spiked, 0, chance)
