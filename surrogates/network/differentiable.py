"""Circuits of surrogate neurons in torch: what the compiled ones do, spike for spike, with gradients.

A spike has the gradient of its probability. Through the cells' memory it would reach back through all that was before,
and explode: ``memory_gradient`` lets less of it through with every frame.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from simulators.cells.inputs import SynapticEvents
from surrogates.network.circuit import Circuit
from surrogates.neurons.architectures.stateful import State, StatefulNeuron

_EXPLODED, _VANISHED = 1e4, 1e-9


class DifferentiableRun(NamedTuple):
    """As ``NetworkRun``, with gradients."""

    spikes: Float[Tensor, "copies cells bins"]
    summed: Float[Tensor, "copies populations bins"]
    v: Float[Tensor, "copies cells bins"]


class _Sent(NamedTuple):
    """What the spikes of a frame send to one population in one of the next frames: a row for each link, bin and share.

    links and bins: whose spike; places: where in the frame's events (cells, bins, synapses) of one copy.
    """

    links: Integer[Tensor, " rows"]
    bins: Integer[Tensor, " rows"]
    places: Integer[Tensor, " rows"]
    shares: Float[Tensor, " rows"]


class DifferentiableNetwork:
    """So many copies of a circuit, which run from rest.

    memory_gradient: share of the gradient with respect to a cell's memory that reaches back over one frame, of 1 ms or
    so; at 1 gradients explode within some tens of frames. spike_gradient: share of the gradient with respect to a
    spike; at 0 it is that of a circuit whose spikes stay as they are. device: "cuda" where a GPU is at hand, on which
    all that ``run`` takes and gives then lies. Raises TypeError for surrogates that do not run step by step, ValueError
    for shares outside 0 to 1.
    """

    def __init__(
        self,
        circuit: Circuit,
        copies: int = 1,
        memory_gradient: float = 0.7,
        spike_gradient: float = 1.0,
        device: str = "cpu",
    ) -> None:
        if copies < 1 or not (0 <= memory_gradient <= 1 and 0 <= spike_gradient <= 1):
            raise ValueError(
                f"{copies} copies, a memory gradient of {memory_gradient}, a spike gradient of {spike_gradient}; "
                f"expected one or more copies, and shares from 0 to 1"
            )
        self.circuit, self.copies, self.device = circuit, copies, torch.device(device)
        self.memory_gradient, self.spike_gradient = memory_gradient, spike_gradient
        self.networks: list[StatefulNeuron] = []
        for neuron in circuit.neurons:
            if not isinstance(neuron.network, StatefulNeuron):
                raise TypeError(f"networks of a {type(neuron.network).__name__} do not run step by step")
            # Others use the same object where it is.
            here = neuron.network if device == "cpu" else deepcopy(neuron.network).to(self.device)
            self.networks.append(here)
        self.frame = self.networks[0].frame
        self.sizes = [p.cells for p in circuit.populations]
        links = circuit.links
        self._sources = torch.as_tensor(links.sources.astype(np.int64), device=self.device)
        self._groups = torch.as_tensor(links.groups.astype(np.int64), device=self.device)
        self._weights = torch.as_tensor(links.weights_uS, dtype=torch.float32, device=self.device)
        self._sent = [self._sent_to(p) for p in range(len(self.sizes))]

    def _sent_to(self, population: int) -> dict[int, _Sent]:
        """By how many frames later it arrives."""
        c, links = self.circuit, self.circuit.links
        mine = np.flatnonzero(c.types[links.targets] == population)
        whole, part = (column[mine] for column in c.delays())
        cells, synapses = links.targets[mine] - c.first_cells[population], len(c.neurons[population].synapses)
        rows: dict[int, list[tuple[np.ndarray, ...]]] = {}
        for b in range(self.frame):
            for later, share in ((b + whole, 1 - part), (b + whole + 1, part)):
                places = (cells * self.frame + later % self.frame) * synapses + links.synapses[mine]
                for frames in np.unique(later[share > 0] // self.frame):
                    at = np.flatnonzero((later // self.frame == frames) & (share > 0))
                    rows.setdefault(int(frames), []).append((mine[at], np.full(len(at), b), places[at], share[at]))
        found = {}
        for frames, parts in rows.items():
            sources, bins, places, shares = (np.concatenate(column) for column in zip(*parts, strict=True))
            columns = [column.astype(np.int64) for column in (sources, bins, places)] + [shares.astype(np.float32)]
            found[frames] = _Sent._make(torch.as_tensor(column, device=self.device) for column in columns)
        return found

    def run(
        self,
        factors: Float[Tensor, "copies groups"],
        drives: Sequence[Sequence[SynapticEvents]],
        duration_ms: float,
        weights_uS: Float[Tensor, " links"] | None = None,
    ) -> DifferentiableRun:
        """From rest; ``factors`` multiply the weights of groups, ``weights_uS`` stand for the circuit's own, if given.

        Raises ValueError as ``Circuit.bins_of_run``, and for another number of weights than of links.
        """
        c = self.circuit
        bins = c.bins_of_run(self.copies, factors.detach().cpu().numpy(), drives, duration_ms)
        if weights_uS is not None and len(weights_uS) != len(self._weights):
            raise ValueError(f"{len(weights_uS)} weights for {len(self._weights)} links")
        frames = -(-bins // self.frame)
        weights = (self._weights if weights_uS is None else weights_uS) * factors[:, self._groups]
        outside = self._outside(drives, frames)
        states = [net.begin(self.copies * n) for net, n in zip(self.networks, self.sizes, strict=True)]
        arriving: list[dict[int, Tensor]] = [{} for _ in self.sizes]
        release = _Release(c, self.copies, self.device)
        spikes, summed, v = [], [], []
        for f in range(frames):
            fired, dipoles, volts = [], [], []
            for p, net in enumerate(self.networks):
                events = outside[p][:, f]
                if f in arriving[p]:
                    events = events + arriving[p].pop(f).view_as(events)
                response, state = net.step(events, states[p])
                states[p] = self._damped(state)
                fired.append(_damped(response.spikes, self.spike_gradient).view(self.copies, -1, self.frame))
                volts.append(response.v.view(self.copies, self.sizes[p], self.frame))
                first = response.outputs[..., 0] if net.outputs else torch.zeros_like(response.v)
                dipoles.append(first.view(self.copies, self.sizes[p], self.frame).sum(1))
            now = torch.cat(fired, 1)
            sizes = release(now)
            for p, by_frames in enumerate(self._sent):
                for later, sent in by_frames.items():
                    self._send(arriving[p], f + later, p, sent, sizes, weights)
            spikes.append(now)
            summed.append(torch.stack(dipoles, 1))
            v.append(torch.cat(volts, 1))
        return DifferentiableRun(*(torch.cat(x, 2)[..., :bins] for x in (spikes, summed, v)))

    def _send(self, arriving: dict[int, Tensor], at: int, p: int, sent: _Sent, sizes: Any, weights: Tensor) -> None:
        """sizes: of each cell's spikes, by the kind of plasticity of a link."""
        n = self.sizes[p] * self.frame * self.networks[p].synapses
        values = sizes(self._sources[sent.links], sent.bins, self._groups[sent.links])
        values = values * weights[:, sent.links] * sent.shares
        if at not in arriving:
            arriving[at] = values.new_zeros(self.copies, n)
        arriving[at] = arriving[at].index_add(1, sent.places, values)

    def _damped(self, state: State) -> State:
        """The same, with less of a gradient with respect to what a cell remembers."""
        shares = [self.spike_gradient if name == "spikes" else self.memory_gradient for name in State._fields]
        return State._make(_damped(x, share) for x, share in zip(state, shares, strict=True))

    def _outside(self, drives: Sequence[Sequence[SynapticEvents]], frames: int) -> list[Tensor]:
        """Events from outside for each population: (cells of all copies, frames, bins, synapses)."""
        c, found = self.circuit, []
        for p, (first, n) in enumerate(zip(c.first_cells, self.sizes, strict=True)):
            synapses = self.networks[p].synapses
            grids = [
                e.check(c.neurons[p].synapses).binned(synapses, frames * self.frame, c.bin_ms)
                for copy in drives
                for e in copy[first : first + n]
            ]
            grid = torch.as_tensor(np.stack(grids), dtype=torch.float32, device=self.device)
            found.append(grid.view(-1, frames, self.frame, synapses))
        return found


def _damped(x: Tensor, share: float) -> Tensor:
    """The same, with this share of its gradient."""
    return x if share == 1 else x.detach() + share * (x - x.detach()) if share else x.detach()


def gradient_trouble(gradient: Tensor | None, names: Sequence[str], step: int) -> str:
    """Why a gradient with respect to weights of these names is not to be followed, in words; "" where it can be.

    It exploded where one is not finite or beyond 1e4, and vanished where all are below 1e-9.
    """
    if gradient is None or not len(gradient):
        return f"there is no gradient in step {step}: nothing depends on the weights"
    size = gradient.detach().abs().nan_to_num(torch.inf)
    largest = int(size.argmax())
    if size[largest] > _EXPLODED:
        return (
            f"the gradient exploded in step {step}: that of {names[largest]} is {gradient[largest]:.2g}; let less of "
            f"it through the memory (memory_gradient), or shorten the run"
        )
    if size[largest] < _VANISHED:
        return f"the gradient vanished in step {step}: the largest, of {names[largest]}, is {gradient[largest]:.2g}"
    return ""


class _Release:
    """How much each spike releases, by the kind of plasticity of a link; all of it where it has none."""

    def __init__(self, circuit: Circuit, copies: int, device: torch.device) -> None:
        kinds, n = list(circuit.plasticity), len(circuit.types)
        self._of_group = torch.tensor([kinds.index(g) + 1 if g in kinds else 0 for g in circuit.groups], device=device)
        fixed = torch.tensor([list(circuit.plasticity[k]) for k in kinds], device=device).view(-1, 3, 1, 1)
        self._use = fixed[:, 0]
        self._refilled = torch.exp(-circuit.bin_ms / fixed[:, 1])
        self._fading = torch.where(fixed[:, 2] > 0, torch.exp(-circuit.bin_ms / fixed[:, 2].clamp(min=1e-9)), 0.0)
        self._used = torch.zeros(len(kinds), copies, n, device=device)
        self._left = torch.ones(len(kinds), copies, n, device=device)

    def __call__(self, spikes: Float[Tensor, "copies cells bins"]) -> Any:
        sizes = [[now] for now in spikes.unbind(2)]
        for now, kinds in zip(spikes.unbind(2), sizes, strict=True):
            if len(self._used):
                used = self._used + self._use * (1 - self._used)
                released = now * used * self._left
                kinds.extend(released.unbind(0))
                self._used = self._fading * torch.where(now > 0, used, self._used)
                self._left = 1 - (1 - (self._left - released)) * self._refilled
        table = torch.stack([torch.stack(kinds) for kinds in sizes])  # bins, kinds, copies, cells

        def of(sources: Tensor, bins: Tensor, groups: Tensor) -> Float[Tensor, "copies rows"]:
            return table[bins, self._of_group[groups], :, sources].T

        return of
