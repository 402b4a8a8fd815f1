"""A damped oscillator driven by noise, as an autoregression of order two: its posterior is known exactly.

x[t] = a1 x[t-1] + a2 x[t-2] + noise, with a1 = 2 r cos(w) and a2 = -r^2, where r = exp(-damping / rate) and
w = 2 pi frequency / rate: whatever pushes it, it rings at ``frequency`` and fades with ``damping``.
"""

import numpy as np
from scipy.signal import lfilter

from circuitsbi import simulator

RATE = 500.0  # Hz
NOISE = 1.0  # uV, standard deviation a sample
DURATION_S = 4.0
TRANSIENT_S = 1.0  # five times the longest memory


def coefficients(frequency, damping):
    r, w = np.exp(-damping / RATE), 2 * np.pi * frequency / RATE
    return 2 * r * np.cos(w), -(r**2)


@simulator(
    parameters={"frequency": (6.0, 30.0, "Hz"), "damping": (5.0, 50.0, "1/s")},
    sampling_rate=RATE,
    unit="uV",
    channels=("x",),
    transient_ms=1e3 * TRANSIENT_S,
)
def damped_oscillator(frequency, damping, rng):
    a1, a2 = coefficients(frequency, damping)
    noise = NOISE * rng.standard_normal(round((TRANSIENT_S + DURATION_S) * RATE))
    return lfilter([1.0], [1.0, -a1, -a2], noise)[None]


class ExactPosterior:
    """The posterior of one recording (samples,) on a grid over the prior's box, without approximation but the grid's.

    The first two samples have the process's stationary density, every other that of its noise: all that the likelihood
    needs are products of the recording with itself, up to two samples late.
    """

    def __init__(self, x, cells=600):
        space = damped_oscillator.parameters
        middles = (np.arange(cells) + 0.5) / cells
        self.axes = [p.low + (p.high - p.low) * middles for p in space]
        self._half = (space.high - space.low) / cells / 2
        f, d = np.meshgrid(*self.axes, indexing="ij")
        log = log_likelihood(x, f, d)
        self.density = np.exp(log - log.max())
        self.density /= self.density.sum()

    @property
    def mean(self):
        return np.array([m @ a for m, a in zip(self._marginals(), self.axes, strict=True)])

    @property
    def sd(self):
        each = zip(self._marginals(), self.axes, self.mean, self._half, strict=True)
        return np.sqrt([m @ (a - mean) ** 2 + h**2 / 3 for m, a, mean, h in each])

    def _marginals(self):
        return self.density.sum(1), self.density.sum(0)

    def samples(self, n, rng):
        """(n, 2) draws: cells of the grid by their probability, and evenly within each."""
        cells = rng.choice(self.density.size, n, p=self.density.ravel())
        places = np.unravel_index(cells, self.density.shape)
        centres = np.stack([a[k] for a, k in zip(self.axes, places, strict=True)], 1)
        return centres + self._half * rng.uniform(-1, 1, centres.shape)


def log_likelihood(x, frequency, damping):
    """Log density of a recording (samples,) of the stationary process; frequency and damping of any one shape."""
    a1, a2 = coefficients(frequency, damping)
    rows = np.stack([x[2:], x[1:-1], x[:-2]])
    products = rows @ rows.T
    c = (np.ones_like(a1), -a1, -a2)
    errors = sum(products[i, j] * c[i] * c[j] for i in range(3) for j in range(3))
    # Variance and correlation of neighbours of the stationary process, from the Yule-Walker equations.
    rho = a1 / (1 - a2)
    variance = NOISE**2 / (1 - rho * a1 - (rho * a1 + a2) * a2)
    first = (x[0] ** 2 + x[1] ** 2 - 2 * rho * x[0] * x[1]) / (variance * (1 - rho**2))
    log_first = -(first + np.log(variance**2 * (1 - rho**2))) / 2 - np.log(2 * np.pi)
    return log_first - errors / NOISE**2 / 2 - (len(x) - 2) * np.log(2 * np.pi * NOISE**2) / 2
