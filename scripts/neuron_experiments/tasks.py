"""The cells that networks learn in the experiments, and what they learn from."""

from dataclasses import replace

from simulators.cells.hnn import HNNCell
from simulators.cells.inputs import PoissonSynapses
from simulators.cells.point import AMPA, GABA, NMDA, PointCell
from surrogates.neurons.training.curricula import CURRICULA, Curriculum, Regime, scales
from surrogates.neurons.training.loop import Schedule

POTASSIUM_S_PER_CM2 = 2e-3
"""Shifts by 10 mV then move V about as much as published; the published conductance is not told."""
SHIFT_MV = 10.0


def _subthreshold(cell: PointCell) -> Curriculum:
    """Of a cell that does not fire, driven as the active one is."""
    regimes = (Regime("rest", scales(0.0, 0.2), 50), Regime("driven", scales(0.0, 4.0), 400))
    schedule = Schedule(batch=64, stretch_bins=200, learning_rate=3e-3, shares=(0.05, 0.95))
    return replace(CURRICULA["point"], cell=cell, regimes=regimes, schedule=schedule)


def _potassium(shift_mV: float) -> Curriculum:
    cell = PointCell(active=False, potassium_S_per_cm2=POTASSIUM_S_PER_CM2, potassium_shift_mV=shift_mV)
    return _subthreshold(cell)


def _detailed(cell: HNNCell, sample_ms: float) -> Curriculum:
    """The layer 5 pyramidal cell, with as many simulations as an hour of training can use.

    Events are at whole milliseconds, so that networks of 1 ms lose as little of them as those of half a millisecond.
    """
    whole = CURRICULA["L5_pyramidal"]
    regimes = []
    for regime in whole.regimes:
        assert isinstance(regime.protocol, PoissonSynapses)
        regimes.append(replace(regime, runs=60, protocol=replace(regime.protocol, grid_ms=1.0)))
    small = replace(whole, regimes=tuple(regimes), validations=5, batch_size=10)
    return replace(small, cell=cell, sample_ms=sample_ms)


TASKS: dict[str, Curriculum] = {
    "point": CURRICULA["point"],
    "passive": _subthreshold(PointCell(active=False)),
    "potassium": _potassium(0.0),
    "potassium_left": _potassium(-SHIFT_MV),
    "potassium_right": _potassium(SHIFT_MV),
    "nmda": replace(
        CURRICULA["point"],
        cell=PointCell(currents=True, synapses=(AMPA, NMDA, GABA)),
        regimes=tuple(replace(r, runs=r.runs // 3) for r in CURRICULA["point"].regimes),
    ),
    "L5_pyramidal": _detailed(HNNCell("L5_pyramidal", dendrites=True), 0.5),
    "L5_poster": CURRICULA["L5_pyramidal"],
    # The published network sees 64 samples of 1 ms, and of the cell its V alone.
    "L5_pyramidal_1ms": _detailed(HNNCell("L5_pyramidal"), 1.0),
}
