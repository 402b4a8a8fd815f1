"""Simulator of the column: from gains and drives to its dipole."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Real

from simulators.cells.hnn import CELL_TYPES
from simulators.cells.inputs import SynapticEvents
from simulators.column.connectivity import SHORT, ColumnModel
from simulators.column.drives import BurstDrive, Drive, EvokedDrive, PoissonDrive, joined
from simulators.column.standard_drives import noise
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording

if TYPE_CHECKING:
    from simulators.column.live import ColumnRun

_NAM = 1e-6  # of a fA m, which is a nA um
RECORDED = ("dipole", "layers", "spikes", "voltages")


@dataclass(frozen=True)
class ColumnSimulator:
    """The column in NEURON behind the Simulator interface.

    model: which column; drives: what drives it; free: the parameters, all gains of pairs by default. A parameter is
    named as the pair or pathway whose log10 gain it is ("L2e_L5e", "L2e_L5e_ampa"), or as a drive and a number of it
    ("noise_rate_Hz", "noise_gain": log10, of all its weights). record: which channels there are, of "dipole" (nAm), its
    "layers", "spikes" of each type a sample, "voltages" of every soma. transient_ms: from rest, not to be analysed.

    Dipoles are the sum over cells, neither smoothed nor scaled, as in hnn-core's recordings before any of that.
    Raises ValueError for a parameter that nothing has, and where no drive is left.
    """

    model: ColumnModel = field(default_factory=ColumnModel)
    drives: tuple[PoissonDrive | EvokedDrive | BurstDrive, ...] = field(default_factory=lambda: (noise(),))
    free: tuple[Parameter, ...] = ()
    record: tuple[str, ...] = ("dipole",)
    duration_ms: float = 1000.0
    transient_ms: float = 200.0
    sample_ms: float = 0.5
    dt_ms: float = 0.025

    def __post_init__(self) -> None:
        if not self.drives:
            raise ValueError("a column without a drive stays silent; give it one, such as standard_drives.noise()")
        names = [drive.name for drive in self.drives]
        if len(set(names)) < len(names):
            raise ValueError(f"two drives have one name: {', '.join(names)}")
        if unknown := set(self.record) - set(RECORDED):
            raise ValueError(f"the column has no {', '.join(unknown)} to record; choose of {', '.join(RECORDED)}")
        if not self.record:
            raise ValueError(f"nothing is recorded; choose of {', '.join(RECORDED)}")
        steps = self.sample_ms / self.dt_ms if self.dt_ms > 0 else 0.0
        if not (np.isfinite(steps) and round(steps) >= 1 and abs(steps - round(steps)) <= 1e-6):
            raise ValueError(f"samples every {self.sample_ms} ms are no whole number of steps of {self.dt_ms} ms")
        if not (self.duration_ms >= self.sample_ms and 0 <= self.transient_ms < np.inf and self.duration_ms < np.inf):
            raise ValueError(f"{self.duration_ms} ms after a transient of {self.transient_ms} ms are no recording")
        if not self.free:
            object.__setattr__(self, "free", self.model.gains())
        for parameter in self.parameters:
            for end in (parameter.low, parameter.high):
                self._set({parameter.name: end})
        for drive in self.drives:
            drive.places(self.model)

    @property
    def parameters(self) -> ParameterSpace:
        """The box of the free parameters."""
        return ParameterSpace(self.free)

    def lasting(self, duration_s: float) -> "ColumnSimulator":
        """The same over another time."""
        return replace(self, duration_ms=1e3 * duration_s)

    def _set(self, values: dict[str, float]) -> tuple[dict[str, float], list[Drive]]:
        """Gains, and the drives with their numbers changed."""
        drives: dict[str, Drive] = {drive.name: drive for drive in self.drives}
        gains: dict[str, float] = {}
        for name, value in values.items():
            driving = [d for d in drives if name.startswith(f"{d}_")]
            if driving:
                drive = max(driving, key=len)
                drives[drive] = drives[drive].changed(name.removeprefix(f"{drive}_"), value)
            else:
                gains[name] = value
        self.model.factors(gains)
        return gains, list(drives.values())

    def events(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> list[SynapticEvents]:
        """Events from the drives at each cell, as the simulation with this theta and generator has them."""
        theta = self.parameters.check(theta)
        _, drives = self._set(dict(zip(self.parameters.names, theta.tolist(), strict=True)))
        lasting = self.transient_ms + self.duration_ms
        drawn = [drive.draw(self.model, lasting, rng) for drive in drives]
        return [joined(list(each)) for each in zip(*drawn, strict=True)]

    def run(
        self, theta: Float[np.ndarray, " n_parameters"], drives: Sequence[SynapticEvents], dendrites: bool = False
    ) -> "ColumnRun":
        """What every cell does and receives at theta under these drives: all that a surrogate learns from."""
        from simulators.column.live import live_column  # not above: importing a simulator imports no NEURON

        column = live_column(self.model, dendrites)
        lasting = self.transient_ms + self.duration_ms
        return column.run(self.model.factors(self.gains(theta)), drives, lasting, self.dt_ms, self.sample_ms)

    def gains(self, theta: Float[np.ndarray, " n_parameters"]) -> dict[str, float]:
        """Log10 gains by the name of their pair or pathway. Raises ValueError for a theta outside the box."""
        return self._set(dict(zip(self.parameters.names, self.parameters.check(theta).tolist(), strict=True)))[0]

    def simulate(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Recording:
        """The channels that ``record`` names, (channels, samples). Raises ValueError for a theta outside the box."""
        return self.observe(self.run(theta, self.events(theta, rng)))

    def observe(self, run: "ColumnRun") -> Recording:
        """The channels that ``record`` names, of a run."""
        dipoles = np.stack(
            [
                np.sum([run.values[k][2] for k in self.model.cells_of(t)], axis=0)
                for t in ("L2_pyramidal", "L5_pyramidal")
            ]
        )
        return self.recording(dipoles, np.stack([v[1] for v in run.values]), np.stack([v[0] for v in run.values]))

    def recording(
        self,
        dipoles: Float[np.ndarray, "2 samples"],
        spikes: Real[np.ndarray, "cells samples"],
        v: Float[np.ndarray, "cells samples"] | None = None,
    ) -> Recording:
        """The channels that ``record`` names, from the dipoles of both layers (nA um), spikes and V (mV) of cells."""
        dipoles = _NAM * dipoles
        channels: list[tuple[str, str, np.ndarray]] = []
        if "dipole" in self.record:
            channels.append(("dipole", "nAm", dipoles.sum(0)))
        if "layers" in self.record:
            channels += [(f"{layer} dipole", "nAm", x) for layer, x in zip(("L2", "L5"), dipoles, strict=True)]
        if "spikes" in self.record:
            channels += [(f"{SHORT[t]} spikes", "1", spikes[self.model.cells_of(t)].sum(0)) for t in CELL_TYPES]
        if "voltages" in self.record and v is not None:
            channels += [(f"{SHORT[t]} {k} V", "mV", v[k]) for k, t in enumerate(self.model.types)]
        names, units, traces = zip(*channels, strict=True)
        unit = units[0] if len(set(units)) == 1 else ", ".join(units)
        values, transient = np.stack(traces).astype(np.float32), round(self.transient_ms / self.sample_ms)
        return Recording(values, 1e3 / self.sample_ms, unit, names, transient)
