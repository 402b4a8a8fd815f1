"""What each cell's surrogate learns from and is tested on: inputs by regime, numbers of simulations, network, schedule.

The data of a curriculum are campaigns in one folder, made in rounds, so that more can be added; each row of one is a
run of a cell from rest. The regimes come in the order in which they are learned.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulators.campaigns.run import run_campaign
from simulators.campaigns.store import Campaign
from simulators.cells.cell import Cell
from simulators.cells.hnn import HNNCell
from simulators.cells.inputs import DistinctMilliseconds, InputProtocol, PoissonSynapses
from simulators.cells.point import PointCell
from simulators.cells.simulator import CellSimulator
from simulators.interface import Parameter, ParameterSpace
from surrogates.neurons.architectures.stateful import StatefulNeuron
from surrogates.neurons.training.data import Runs, join, read_runs
from surrogates.neurons.training.loop import Schedule

TEST, VALIDATION = "test", "validation"
MOST_ROUNDS = 99
_SEEDS = {TEST: 1000, VALIDATION: 2000}


@dataclass(frozen=True)
class Regime:
    """One way of driving a cell. runs: simulations of it in a round of training data."""

    name: str
    protocol: InputProtocol
    runs: int


@dataclass(frozen=True)
class Curriculum:
    """A cell, the regimes its surrogate learns in this order, and the network and schedule that do it well.

    highest_Hz: rates of events at each excitatory and each inhibitory synapse that are high for this cell. More outputs
    of the cell than are asked for make a better surrogate: they tell it of states that V does not show.
    """

    cell: Cell
    regimes: tuple[Regime, ...]
    schedule: Schedule
    highest_Hz: tuple[float, float]
    duration_ms: float = 1000.0
    sample_ms: float = 1.0
    rounds: int = 1
    tests: int = 150
    validations: int = 15
    batch_size: int = 25
    network: dict[str, Any] = field(default_factory=dict)

    def simulator(self, regime: Regime) -> CellSimulator:
        """The cell in NEURON under this regime."""
        return CellSimulator(self.cell, regime.protocol, self.duration_ms, self.sample_ms, batch_size=self.batch_size)

    def build(self) -> StatefulNeuron:
        """The untrained network."""
        return StatefulNeuron.of(self.cell.synapses, len(self.cell.outputs), self.sample_ms, **self.network)

    def simulate(
        self, folder: str | os.PathLike, part: int | str, workers: int = 1, progress: bool = True
    ) -> dict[str, Campaign]:
        """The campaigns of one round (1 to 99), ``TEST`` or ``VALIDATION``; those that are there are only read.

        Raises CampaignError as ``run_campaign``.
        """
        found = {}
        for k, regime in enumerate(self.regimes):
            n = {TEST: self.tests, VALIDATION: self.validations}.get(str(part), regime.runs)
            seed = (_SEEDS[part] if isinstance(part, str) else 10 * part) + k
            set_of = f"{part}_{n}" if isinstance(part, str) else part
            path = Path(folder) / f"{regime.name}_{set_of}.zarr"
            label = f"simulating {regime.name}, " + (part if isinstance(part, str) else f"round {part}")
            found[regime.name] = run_campaign(self.simulator(regime), n, seed, path, workers, None, progress, label)
        return found

    def runs(self, folder: str | os.PathLike, part: int | str, workers: int = 1, progress: bool = True) -> list[Runs]:
        """The runs of one part, one entry for each regime. Raises ValueError as ``read_runs``, and CampaignError."""
        campaigns = self.simulate(folder, part, workers, progress)
        return [read_runs(campaigns[r.name], self.simulator(r)) for r in self.regimes]

    def stages(
        self, folder: str | os.PathLike, rounds: Sequence[int], workers: int = 1, progress: bool = True
    ) -> list[Runs]:
        """Training data in the order in which it is learned. Raises as ``runs``, and ValueError for a wrong round."""
        if wrong := [k for k in rounds if not 1 <= k <= MOST_ROUNDS]:
            raise ValueError(
                f"round {wrong[0]} of training data; there are 1 to {MOST_ROUNDS}, with seeds of their own"
            )
        parts = [self.runs(folder, k, workers, progress) for k in rounds]
        return [join(regime) for regime in zip(*parts, strict=True)]


def scales(low: float, high: float) -> DistinctMilliseconds:
    """The drive published for the point cell, at rates between two factors."""
    return DistinctMilliseconds(
        parameters=ParameterSpace((Parameter("scale", "1", low, high, "Rate of all synaptic events, relative"),))
    )


def _column(cell_type: str, rounds: int, passes: int) -> Curriculum:
    """Drives of the published surrogates of the column's cells: weights over one, two and three decades."""
    regimes = (
        Regime("sub", PoissonSynapses(20.0, (1e-4, 1e-3)), 250),
        Regime("connected", PoissonSynapses(10.0, (1e-4, 1e-2)), 400),
        Regime("supra", PoissonSynapses(20.0, (1e-4, 1e-1)), 600),
    )
    schedule = Schedule(passes, batch=64, stretch_bins=100)
    network = {"hidden": 64, "membranes": 16, "frame": 2}
    cell = HNNCell(cell_type, dendrites=True)
    return Curriculum(
        cell, regimes, schedule, (20.0, 20.0), 1000.0, 0.5, rounds=rounds, validations=50, network=network
    )


CURRICULA: dict[str, Curriculum] = {
    "point": Curriculum(
        PointCell(currents=True),
        (
            Regime("rest", scales(0.0, 0.2), 50),
            Regime("subthreshold", scales(0.2, 1.0), 300),
            Regime("active", scales(0.0, 4.0), 1500),
        ),
        Schedule(passes=1000, batch=128, stretch_bins=100, learning_rate=3e-3),
        (320.0, 120.0),
        duration_ms=2000.0,
        batch_size=100,
        network={"hidden": 48, "membranes": 16, "least_uS": 2.5e-3},
    ),
    "L5_pyramidal": _column("L5_pyramidal", 5, 3500),
    "L2_pyramidal": _column("L2_pyramidal", 4, 2000),
    # The column's two basket cells are one and the same cell.
    "L5_basket": _column("L5_basket", 3, 800),
    "L2_basket": _column("L2_basket", 3, 800),
}
