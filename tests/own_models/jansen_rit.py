"""The cortical column of Jansen & Rit (1995) and its alpha rhythm; their values but for what is estimated."""

import math

import numba
import numpy as np

from circuitsbi import simulator

A, RATE_E, RATE_I = 3.25, 100.0, 50.0  # mV, 1/s, 1/s
E0, V0, SLOPE = 2.5, 6.0, 0.56  # 1/s, mV, 1/mV
DRIVE_SD = 2.0  # 1/s, times the root of a second: the drive's noise is white
STEP = 5e-4  # s
DURATION_S = 6.0


@numba.njit
def firing(v):
    return 2 * E0 / (1 + math.exp(SLOPE * (V0 - v)))


@numba.njit
def integrate(connectivity, inhibition, drive, noise):
    """Potential of the pyramidal cells at every second step, by Euler and Maruyama."""
    y0, y1, y2, v0, v1, v2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    out = np.empty(len(noise) // 2)
    c1, c2, c3, c4 = connectivity, 0.8 * connectivity, 0.25 * connectivity, 0.25 * connectivity
    for k in range(len(noise)):
        a0 = A * RATE_E * firing(y1 - y2) - 2 * RATE_E * v0 - RATE_E**2 * y0
        a1 = A * RATE_E * (drive + c2 * firing(c1 * y0)) - 2 * RATE_E * v1 - RATE_E**2 * y1
        a2 = inhibition * RATE_I * c4 * firing(c3 * y0) - 2 * RATE_I * v2 - RATE_I**2 * y2
        y0, y1, y2 = y0 + STEP * v0, y1 + STEP * v1, y2 + STEP * v2
        v0 += STEP * a0
        v1 += STEP * a1 + A * RATE_E * DRIVE_SD * math.sqrt(STEP) * noise[k]
        v2 += STEP * a2
        if k % 2:
            out[k // 2] = y1 - y2
    return out


@simulator(
    parameters={
        "connectivity": (100.0, 200.0, "1", "C, synapses between the populations; 135 makes alpha"),
        "inhibition": (17.0, 27.0, "mV", "B, amplitude of the inhibitory potential; 22 published"),
        "drive": (120.0, 320.0, "1/s", "p, mean of the input"),
    },
    sampling_rate=1000.0,
    unit="mV",
    channels=("pyramidal",),
    transient_ms=1000.0,
)
def jansen_rit(connectivity, inhibition, drive, rng):
    """Potential of the pyramidal cells, to which their EEG is proportional."""
    return integrate(connectivity, inhibition, drive, rng.standard_normal(round(DURATION_S / STEP)))[None]
