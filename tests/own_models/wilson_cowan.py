"""A Wilson-Cowan pair driven by noise (Wilson & Cowan 1972, with the weights of their limit cycle, below its onset)."""

import math

import numba
import numpy as np

from circuitsbi import simulator

W_EI, W_IE, W_II = 12.0, 15.0, 3.0
TAU_I = 10.0  # ms
DRIVE = 1.0
NOISE = 0.3  # of the excitatory input, times the root of a ms
STEP = 0.5  # ms
DURATION_MS = 4200.0


@numba.njit
def rate(x, gain, threshold):
    return 1 / (1 + math.exp(-gain * (x - threshold))) - 1 / (1 + math.exp(gain * threshold))


@numba.njit
def integrate(w_ee, tau_e, noise):
    """Excitatory activity at every second step, by Euler and Maruyama."""
    e, i = 0.1, 0.1
    out = np.empty(len(noise) // 2)
    for k in range(len(noise)):
        de = (-e + rate(w_ee * e - W_EI * i + DRIVE, 1.3, 4.0)) / tau_e
        di = (-i + rate(W_IE * e - W_II * i, 2.0, 3.7)) / TAU_I
        e += STEP * de + math.sqrt(STEP) * NOISE / tau_e * noise[k]
        i += STEP * di
        if k % 2:
            out[k // 2] = e
    return out


@simulator(
    parameters={"w_ee": (5.0, 20.0), "tau_e": (5.0, 20.0, "ms")},
    sampling_rate=1000.0,
    unit="mV",
    channels=("E",),
    transient_ms=200.0,
)
def wilson_cowan(w_ee, tau_e, rng):
    """Activity of the excitatory population; its field potential, were it 1 mV with all cells active."""
    return integrate(w_ee, tau_e, rng.standard_normal(round(DURATION_MS / STEP)))[None]
