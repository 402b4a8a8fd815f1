"""Poisson numbers by one look into a table."""

import numpy as np
from jaxtyping import Integer
from scipy.stats import poisson

LEVELS = 2**16


def poisson_quantiles(mean: float, dtype: type = np.uint8) -> Integer[np.ndarray, " levels"]:
    """The distribution as 65,536 equally likely values: a random 16-bit number looks one up.

    Raises ValueError for a mean whose values the type does not hold.
    """
    most = mean + 12 * np.sqrt(mean) + 24
    below = poisson.cdf(np.arange(most), mean)
    values = np.searchsorted(below, (np.arange(LEVELS) + 0.5) / LEVELS)
    if values[-1] > np.iinfo(dtype).max:
        raise ValueError(f"{mean:.0f} external events a time step and neuron are too many; make their weight larger")
    return values.astype(dtype)
