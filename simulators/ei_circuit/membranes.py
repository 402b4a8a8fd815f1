"""The two kinds of cell: reduced Traub-Miles and Wang-Buzsaki, of sodium, potassium and leak in one compartment."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

TABLE_MV = -120.0, 80.0
TABLE_STEPS = 800

Rates = tuple[tuple[np.ndarray, np.ndarray], ...]
"""Opening and closing rates (per ms) of m, h and n."""


@dataclass(frozen=True)
class Membrane:
    """Channels of a cell. Conductances in mS/cm2, potentials in mV; the leak is the population's own.

    mechanism: its name in NEURON; rates: of its gates at a voltage.
    """

    mechanism: str
    sodium_mS_cm2: float
    potassium_mS_cm2: float
    sodium_mV: float
    potassium_mV: float
    rates: Callable[[Float[np.ndarray, " voltages"]], Rates]

    def table(self, dt_ms: float) -> Float[np.ndarray, "voltages 6"]:
        """Steady state of each gate, and how much of the way there it goes in a step, on the grid of voltages."""
        v = np.linspace(*TABLE_MV, TABLE_STEPS + 1)
        return np.stack([x for a, b in self.rates(v) for x in (a / (a + b), 1 - np.exp(-dt_ms * (a + b)))], 1)

    def rest(self, v: Float[np.ndarray, " cells"]) -> Float[np.ndarray, "3 cells"]:
        """Gates m, h and n in their steady state, by the table that NEURON reads, too."""
        grid = np.linspace(*TABLE_MV, TABLE_STEPS + 1)
        return np.stack([np.interp(v, grid, a / (a + b)) for a, b in self.rates(grid)])


def _ratio(x: np.ndarray) -> np.ndarray:
    """x / (1 - exp(-x)), which is 1 at 0."""
    near = np.abs(x) < 1e-6
    return np.where(near, 1 + x / 2, x / (1 - np.exp(-np.where(near, 1.0, x))))


def _traub_miles(v: np.ndarray) -> Rates:
    """Olufsen et al. 2003, J Neurophysiol 90: 3020, appendix."""
    return (
        (1.28 * _ratio((v + 54) / 4), 1.4 * _ratio(-(v + 27) / 5)),
        (0.128 * np.exp(-(v + 50) / 18), 4 / (1 + np.exp(-(v + 27) / 5))),
        (0.16 * _ratio((v + 52) / 5), 0.5 * np.exp(-(v + 57) / 40)),
    )


def _wang_buzsaki(v: np.ndarray) -> Rates:
    """Wang and Buzsaki 1996, J Neurosci 16: 6402; all rates times phi = 5, as theirs of h and n."""
    return (
        (5 * _ratio((v + 35) / 10), 20 * np.exp(-(v + 60) / 18)),
        (0.35 * np.exp(-(v + 58) / 20), 5 / (1 + np.exp(-(v + 28) / 10))),
        (0.5 * _ratio((v + 34) / 10), 0.625 * np.exp(-(v + 44) / 80)),
    )


MEMBRANES = {
    "traub_miles": Membrane("TraubMiles", 100.0, 80.0, 50.0, -100.0, _traub_miles),
    "wang_buzsaki": Membrane("WangBuzsaki", 35.0, 9.0, 55.0, -90.0, _wang_buzsaki),
}
