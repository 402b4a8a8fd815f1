"""The gain by a posterior that learned the power: what it says of one recording, and what is refused."""

import numpy as np
import pytest

from inference.estimate import Estimate
from inference.features.spectra import SpectralFeatures
from inference.groups.gain import POWER, log_power, with_gain, with_power
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording

SPACE = ParameterSpace((Parameter("g", "1", 4.0, 6.0),))
FEATURES = SpectralFeatures(1000.0, segment_ms=100.0, band_hz=(10.0, 400.0), relative=True)


def noise(rng, size=1.0):
    return Recording(size * rng.standard_normal((1, 4000)), 1000.0, "mV", ("ch0",))


def test_powers_become_one_parameter_more():
    rng = np.random.default_rng(0)
    recordings = [noise(rng, size) for size in (1.0, 3.0, 10.0)]
    space, theta = with_power(SPACE, np.array([[4.5], [5.0], [5.5]]), recordings, FEATURES)
    assert space.names == ("g", POWER)
    np.testing.assert_allclose(np.diff(theta[:, 1]), 2 * np.log10([3.0, 10 / 3]), atol=0.05)
    assert ((theta > space.low) & (theta < space.high)).all()


def test_what_a_recording_has_more_than_its_circuit_is_the_gain():
    rng = np.random.default_rng(1)
    recording = noise(rng)
    powers = log_power(recording, FEATURES) + 0.1 * rng.standard_normal(500)
    samples = np.column_stack([rng.uniform(4, 6, 500), powers])
    space = ParameterSpace((*SPACE, Parameter(POWER, "1", -10.0, 10.0)))
    estimate = Estimate(space, samples.mean(0), samples, "neural posterior")
    told = with_gain(estimate, recording.with_values(5.0 * recording.values), FEATURES)
    assert told.names == ("g",)
    np.testing.assert_array_equal(told.samples, samples[:, :1])
    gain = told.nuisances["log_gain"]
    assert gain.mean() == pytest.approx(np.log(5.0), abs=0.03)
    assert gain.std() == pytest.approx(0.1 * np.log(10) / 2, rel=0.1)
    assert set(told.to_xarray().children) == {"point", "posterior", "nuisances"}


def test_who_has_not_learned_the_power_tells_no_gain():
    samples = np.linspace(4, 6, 50)[:, None]
    with pytest.raises(ValueError, match="has not learned the power"):
        with_gain(Estimate(SPACE, samples.mean(0), samples, "cnn"), noise(np.random.default_rng(0)), FEATURES)
    with pytest.raises(ValueError, match="not relative"):
        with_power(SPACE, samples[:1], [noise(np.random.default_rng(0))], SpectralFeatures(1000.0))
