"""What a posterior learns beside the parameters: the gain of a recording, and what else recordings may share."""

import numpy as np
import pytest
import torch

from inference.estimate import Estimate
from inference.estimators.along import POWER, apart, log_power, power_parameter, tells_gain
from inference.estimators.base import FORMAT
from inference.estimators.cnn import CNNRegressor
from inference.estimators.load import load_estimator
from inference.estimators.neural_posterior import NeuralPosterior
from inference.features.evoked import EvokedResponse
from inference.features.spectra import SpectralFeatures
from inference.features.timed import TimedSpectra
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording
from surrogates.weights import read_weights, write_weights

SPACE = ParameterSpace((Parameter("slope", "1", 0.0, 1.0),))
FEATURES = SpectralFeatures(1000.0, segment_ms=100.0, band_hz=(10.0, 400.0), relative=True)


def noise(rng, size=1.0, slope=0.0):
    """White noise, whose power falls with frequency by a slope, and grows with it."""
    white = np.fft.rfft(rng.standard_normal((1, 4000)))
    values = np.fft.irfft(white / (1 + np.arange(2001) / 50) ** slope, 4000)
    return Recording(size * np.exp(slope) * values, 1000.0, "mV", ("ch0",))


@pytest.fixture(scope="module")
def posterior():
    rng = np.random.default_rng(0)
    theta = SPACE.sample(400, rng)
    recordings = [noise(rng, slope=t) for t in theta[:, 0]]
    return NeuralPosterior(SPACE, FEATURES, members=1, epochs=30, width=32, components=2).fit(theta, recordings)


def test_what_a_recording_has_more_than_its_circuit_is_the_gain():
    rng = np.random.default_rng(1)
    recording = noise(rng)
    powers = log_power(recording, FEATURES) + 0.1 * rng.standard_normal(500)
    samples = np.column_stack([rng.uniform(0, 1, 500), powers])
    along = (Parameter(POWER, "1", -10.0, 10.0),)
    estimate = Estimate(ParameterSpace((*SPACE, *along)), samples.mean(0), samples, "neural posterior")
    told = apart(estimate, along, recording.with_values(5.0 * recording.values), FEATURES)
    assert told.names == ("slope",)
    np.testing.assert_array_equal(told.samples, samples[:, :1])
    gain = told.nuisances["log_gain"]
    assert gain.mean() == pytest.approx(np.log(5.0), abs=0.03)
    assert gain.std() == pytest.approx(0.1 * np.log(10) / 2, rel=0.1)
    assert set(told.to_xarray().children) == {"point", "posterior", "nuisances"}


def test_a_posterior_of_relative_spectra_tells_the_gain(posterior):
    rng, off, sds = np.random.default_rng(2), [], []
    for gain in np.exp(rng.standard_normal(30)):
        truth = float(SPACE.sample(1, rng)[0, 0])
        told = posterior.estimate(noise(rng, gain, truth))
        assert told.names == ("slope",)
        off.append(told.nuisances["log_gain"].mean() - np.log(gain))
        sds.append(told.nuisances["log_gain"].std())
    assert np.sqrt(np.mean(np.square(off))) < 0.1
    assert 0.5 < np.sqrt(np.mean((np.array(off) / sds) ** 2)) < 2


def test_a_file_keeps_what_was_learned_along(posterior, tmp_path):
    posterior.save(tmp_path / "npe.safetensors")
    loaded = load_estimator(tmp_path / "npe.safetensors")
    recording = noise(np.random.default_rng(3), 2.0, 0.5)
    for name in ("samples", "nuisances"):
        first, second = (getattr(e.estimate(recording), name) for e in (posterior, loaded))
        first, second = (v["log_gain"] if name == "nuisances" else v for v in (first, second))
        np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-3)


def test_known_parameters_leave_the_gain():
    rng = np.random.default_rng(4)
    space = ParameterSpace((*SPACE, Parameter("size", "1", 0.5, 1.5)))
    theta = space.sample(300, rng)
    recordings = [noise(rng, b, a) for a, b in theta]
    fit = NeuralPosterior(space, FEATURES, members=1, epochs=40, width=32, components=2).fit(theta, recordings)
    told = fit.given({"size": 1.0}).estimate(noise(rng, 3.0, 0.4))
    assert told.names == ("slope",)
    assert set(told.nuisances) == {"log_gain"}
    # With the size known, the gain is what it is larger by; with the size free, anything between.
    assert told.nuisances["log_gain"].std() < 0.7 * fit.estimate(noise(rng, 3.0, 0.4)).nuisances["log_gain"].std()


def test_more_can_be_learned_along(posterior):
    rng = np.random.default_rng(5)
    theta = SPACE.sample(300, rng)
    slow = rng.uniform(-1, 1, 300)
    x = np.stack([FEATURES(noise(rng, slope=t)) for t in theta[:, 0]])
    along = (Parameter("slow", "1", -1.0, 1.0),)
    fit = NeuralPosterior(SPACE, FEATURES, members=1, epochs=5, width=32, components=2)
    fit.fit_features(np.column_stack([theta, slow]), x, ("ch0",), "mV", along)
    told = fit.estimate(noise(rng, slope=0.3))
    assert told.names == ("slope",)
    assert np.ptp(told.nuisances["slow"]) > 1.5  # the spectrum says nothing of it
    with pytest.raises(ValueError, match="outside the parameter space"):
        fit.fit_features(np.column_stack([theta, slow + 3]), x, ("ch0",), "mV", along)


def test_who_knows_the_power_learns_no_gain():
    assert tells_gain(FEATURES)
    assert tells_gain(TimedSpectra(FEATURES))
    assert not tells_gain(SpectralFeatures(1000.0))
    assert not tells_gain(EvokedResponse(relative=True))
    rng = np.random.default_rng(6)
    theta = SPACE.sample(60, rng)
    recordings = [noise(rng, slope=t) for t in theta[:, 0]]
    cnn = CNNRegressor(SPACE, FEATURES, members=1, epochs=2, width=16).fit(theta, recordings)
    assert not cnn.estimate(recordings[0]).nuisances


def test_the_range_of_powers_has_room():
    p = power_parameter([1.0, 2.0, 3.0])
    assert p.low < 1.0
    assert p.high > 3.0
    assert power_parameter([1.0, 1.0]).low < 1.0


def test_what_is_seen_twice_is_held_out_together():
    """Else held-out rows are as good as known, and intervals too narrow."""
    rng = np.random.default_rng(7)
    theta, x = SPACE.sample(60, rng).astype(np.float32), rng.standard_normal((120, 1, 40))
    twice = NeuralPosterior(SPACE, FEATURES)
    along = np.column_stack([np.tile(theta, (2, 1)), rng.uniform(0, 1, 120)])
    twice.along = (Parameter("slow", "1", 0.0, 1.0),)
    for split in twice._splits(*twice._tensors(along, x)):
        kept, held = set(split.u[:, 0].tolist()), set(split.u_validation[:, 0].tolist())
        assert not kept & held
        assert len(split.u) + len(split.u_validation) == 120
        assert 14 <= len(split.u_validation) <= 22
    once = NeuralPosterior(SPACE, FEATURES)
    fold = np.array_split(np.random.default_rng(0).permutation(60), 7)[0]
    u = torch.as_tensor(SPACE.to_unit(theta[fold])).float()
    torch.testing.assert_close(next(once._splits(*once._tensors(theta, x[:60]))).u_validation, u)


def test_of_few_simulations_copies_are_split():
    rng = np.random.default_rng(8)
    theta = np.repeat([[0.2], [0.8]], 60, axis=0).astype(np.float32)
    cnn = CNNRegressor(SPACE, FEATURES)
    first = next(cnn._splits(*cnn._tensors(theta, rng.random((120, 1, 40)))))
    assert set(np.round(first.u[:, 0].tolist(), 3)) == {0.2, 0.8}
    assert set(np.round(first.u_validation[:, 0].tolist(), 3)) == {0.2, 0.8}


def test_what_is_learned_along_has_to_be_given(posterior):
    x = np.random.default_rng(9).random((60, 1, 40))
    with pytest.raises(ValueError, match=r"theta has 1 columns; this estimator learns 2 numbers: slope, log10_power"):
        posterior.widen_to(SPACE.sample(60, np.random.default_rng(9)), x)
    along = posterior.along
    with pytest.raises(ValueError, match="theta has 1 columns"):
        posterior.fit_features(
            SPACE.sample(60, np.random.default_rng(9)), x, ("ch0",), "mV", (Parameter("slow", "1", 0.0, 1.0),)
        )
    assert posterior.along == along


def test_parameters_count_where_more_was_learned_than_they_say(posterior):
    """A power beyond all simulations is no reason to say that no parameters explain the recording."""
    loud = noise(np.random.default_rng(10), 1e4, 0.5)
    told = posterior.estimate(loud)
    assert told.trusted
    assert told.nuisances["log_gain"].mean() == pytest.approx(np.log(1e4), abs=0.3)


KNOWN_POWER = SpectralFeatures(1000.0, 100.0, (10.0, 400.0)).to_json()


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"kind": "cnn"}, "does not fit together"), ({"features": KNOWN_POWER}, "relative spectra alone")],
)
def test_a_file_that_learned_along_what_it_cannot_is_refused(posterior, tmp_path, changes, why):
    posterior.save(tmp_path / "npe.safetensors")
    header, tensors = read_weights(tmp_path / "npe.safetensors", "estimator", FORMAT, "")
    write_weights(tmp_path / "changed.safetensors", header | changes, tensors)
    with pytest.raises(ValueError, match=why):
        load_estimator(tmp_path / "changed.safetensors")
