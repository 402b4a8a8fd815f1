"""Simulated cells as tensors to learn from."""

import json
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from simulators.campaigns.rows import Status
from simulators.campaigns.store import Campaign
from simulators.cells.inputs import SynapticEvents
from simulators.cells.simulator import CellSimulator
from simulators.provenance import describe, differences
from surrogates.neurons.interface import Target

_SIMULATED = (Status.OK, Status.SILENT)


class Runs(NamedTuple):
    """Runs of a cell that begin at rest. events: summed peak conductances (uS) in each bin."""

    events: Float[Tensor, "runs bins synapses"]
    target: Target

    def __len__(self) -> int:
        return len(self.events)

    def rows(self, rows: Any) -> "Runs":
        """Some of the runs."""
        return Runs(self.events[rows], Target(*(field[rows] for field in self.target)))


def read_runs(campaign: Campaign, simulator: CellSimulator) -> Runs:
    """All simulated rows of a campaign of cells; the events are drawn again from each row's seed.

    A silent row is a cell at rest, and as good as any. Warns of rows that failed. Raises ValueError if all did, or if
    another simulator made the campaign.
    """
    described = json.loads(json.dumps(describe(simulator)))
    if changes := list(differences(campaign.configuration["simulator"], described, "simulator")):
        raise ValueError(f"{campaign.path} was not made by this simulator\n  " + "\n  ".join(changes))
    rows, failed = (np.flatnonzero(np.isin(campaign.status, kinds)) for kinds in (_SIMULATED, (Status.FAILED,)))
    if failed.size:
        said = f"{failed.size} simulations in {campaign.path} failed: {campaign.reasons[int(failed[0])]}"
        if not rows.size:
            raise ValueError(said)
        warnings.warn(said, stacklevel=2)
    # Only now are the seeds those of the campaign.
    seeds = np.random.SeedSequence(campaign.configuration["seed"]).spawn(len(campaign))
    theta = campaign.theta
    events = [simulator.events(theta[r], np.random.default_rng(seeds[r])) for r in rows]
    return Runs(bin_events(events, simulator), target_of(campaign.values(rows)))


def simulate_runs(simulator: CellSimulator, n: int, seed: int) -> Runs:
    """``n`` simulations with uniform thetas, kept in memory only."""
    root = np.random.SeedSequence(seed)
    thetas = simulator.parameters.sample(n, np.random.default_rng(root))
    events = [simulator.events(theta, np.random.default_rng(s)) for theta, s in zip(thetas, root.spawn(n), strict=True)]
    return respond(simulator, events)


def respond(simulator: CellSimulator, events: Sequence[SynapticEvents]) -> Runs:
    """What the real cell does that receives these events."""
    size = simulator.batch_size
    recordings = [r for k in range(0, len(events), size) for r in simulator.respond(events[k : k + size])]
    return Runs(bin_events(events, simulator), target_of(np.stack([r.values for r in recordings])))


def bin_events(events: Sequence[SynapticEvents], simulator: CellSimulator) -> Float[Tensor, "runs bins synapses"]:
    """Summed weights (uS) in the bins of the simulator's samples."""
    n = len(simulator.cell.synapses)
    grids = np.empty((len(events), simulator.samples, n), np.float32)
    for grid, e in zip(grids, events, strict=True):
        grid[:] = e.binned(n, simulator.samples, simulator.sample_ms)
    return torch.from_numpy(grids)


def target_of(values: Float[np.ndarray, "runs channels bins"]) -> Target:
    """The channels of cell recordings as a target: V, spikes, and the outputs last."""
    tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32))
    return Target(tensor[:, 0], tensor[:, 1], tensor[:, 2:].transpose(1, 2).contiguous())


def join(runs: Sequence[Runs]) -> Runs:
    """One after the other."""
    return Runs(
        torch.cat([r.events for r in runs]),
        Target(*(torch.cat(field) for field in zip(*(r.target for r in runs), strict=True))),
    )
