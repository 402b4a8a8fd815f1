"""Small simulators whose results are known, for the tests of what runs simulators."""

import itertools
import os
import signal
import time
from dataclasses import dataclass

import numpy as np

from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording

BOX = ParameterSpace((Parameter("a", "mV", 0.0, 1.0, "offset"), Parameter("b", "1", 1.0, 2.0, "scale")))


@dataclass(frozen=True)
class NoiseSimulator:
    """White noise of scale b around a; misbehaves in stated parts of the range of a."""

    parameters: ParameterSpace = BOX
    samples: int = 200
    sleep_s: float = 0.0
    raise_above: float = 2.0
    nan_above: float = 2.0
    silent_above: float = 2.0
    die_above: float = 2.0

    def simulate(self, theta, rng):
        a, b = self.parameters.check(theta)
        time.sleep(self.sleep_s)
        if a > self.die_above:
            os.kill(os.getpid(), signal.SIGKILL)
        if a > self.raise_above:
            raise RuntimeError(f"a = {a:.3f} is too much")
        values = a + b * rng.standard_normal((2, self.samples))
        if a > self.nan_above:
            values[0, 5] = np.nan
        if a > self.silent_above:
            values[:] = a
        return Recording(values, 1000.0, "mV", ("one", "two"), 20)


@dataclass(frozen=True)
class BatchSimulator(NoiseSimulator):
    """The same, five at a time."""

    batch_size: int = 5

    def simulate_batch(self, thetas, rngs):
        return [self.simulate(t, r) for t, r in zip(thetas, rngs, strict=True)]


@dataclass(frozen=True)
class BusySimulator(NoiseSimulator):
    """The same, in C code that for seconds lets no other thread of its process run, but for the first simulations."""

    def simulate(self, theta, rng):
        recording = super().simulate(theta, rng)
        if self.parameters.to_unit(theta)[0] < 0.8:
            sum(itertools.repeat(0, 10**9))  # ten seconds and more
        return recording
