"""One conformance test over all estimators, and the neural posterior against a closed form."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import norm

from inference.estimators.base import FORMAT
from inference.estimators.cnn import CNNRegressor, stasik_regressor
from inference.estimators.gradient_fit import GradientFit
from inference.estimators.load import load_estimator
from inference.estimators.nearest import NearestSimulations
from inference.estimators.neural_posterior import NeuralPosterior
from inference.features.cross_spectra import CrossSpectra
from inference.features.spectra import SpectralFeatures
from inference.fitting.descent import Descent
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording
from surrogates.spectra.cross_spectrum import Bands
from surrogates.spectra.emulator import SpectralEmulator
from surrogates.spectra.likelihood import SpectralModel

SPACE = ParameterSpace((Parameter("first", "log10 mV", -1.0, 1.0), Parameter("second", "log10 mV", 0.0, 1.0)))
FEATURES = SpectralFeatures(segment_ms=100.0)
CROSS_SPECTRA = CrossSpectra(segment_ms=100.0, weights=((1.0, 0.0), (0.0, 1.0)))
SAMPLES = 1000
CHANNELS = ("z = 0 um", "z = -100 um")

ESTIMATORS = {
    "cnn": lambda: CNNRegressor(SPACE, FEATURES, members=2, epochs=30),
    "poster": lambda: stasik_regressor(SPACE, epochs=25),
    "npe": lambda: NeuralPosterior(SPACE, FEATURES, members=2, epochs=30, draws=1000),
    "npe of flows": lambda: NeuralPosterior(
        SPACE, FEATURES, density="nsf", members=2, epochs=15, transforms=3, draws=1000
    ),
    "npe of cross-spectra": lambda: NeuralPosterior(SPACE, CROSS_SPECTRA, members=2, epochs=30, draws=1000),
    "cnn of cross-spectra": lambda: CNNRegressor(SPACE, CROSS_SPECTRA, members=2, epochs=15),
    "gradient": lambda: GradientFit(SpectralModel(emulator()), FEATURES, Descent(starts=4, draws=1000)),
}


def emulator():
    return SpectralEmulator(SPACE, Bands(2.5, 497.5, 45.0), width=32, iterations=3000)


def white_noise(theta, rng, samples=SAMPLES):
    """Two channels of white noise; theta is the log10 of their standard deviations, so its posterior is closed form."""
    values = 10.0 ** np.asarray(theta)[:, None] * rng.standard_normal((2, samples))
    return Recording(values, 1000.0, "mV", CHANNELS)


def exact_sd(samples=SAMPLES):
    """Posterior standard deviation of log10 sd, for a flat prior and many samples: 1 / (ln 10 sqrt(2 n))."""
    return 1 / (np.log(10) * np.sqrt(2 * samples))


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    theta = SPACE.sample(700, rng)
    return theta, [white_noise(t, rng) for t in theta]


@pytest.fixture(scope="module", params=ESTIMATORS)
def trained(request, data):
    return ESTIMATORS[request.param]().fit(data[0][:600], data[1][:600])


def answers(estimator, recordings):
    """Of many recordings; descents that run side by side take a tenth of the time."""
    if isinstance(estimator, GradientFit):
        return estimator.estimate_each(recordings)
    return [estimator.estimate(r) for r in recordings]


def test_estimates_are_near_the_truth_which_intervals_cover_about_as_often_as_they_say(trained, data):
    theta, estimates = data[0][600:], answers(trained, data[1][600:])
    points = np.stack([e.point for e in estimates])
    assert trained.parameters.contains(points).all()
    r2 = 1 - np.sum((points - theta) ** 2, 0) / np.sum((theta - theta.mean(0)) ** 2, 0)
    assert (r2 > 0.95).all()
    low, high = np.stack([e.interval(0.9) for e in estimates]).transpose(2, 0, 1)
    covered = ((low <= theta) & (theta <= high)).mean(0)
    assert ((covered > 0.78) & (covered <= 1.0)).all()


def test_estimates_are_inside_the_box(trained, data):
    for estimate in (trained.estimate(r) for r in data[1][600:605]):
        assert estimate.names == ("first", "second")
        assert trained.parameters.contains(estimate.samples).all()
        narrow, wide = estimate.interval(0.5), estimate.interval(0.95)
        assert (wide[:, 0] <= narrow[:, 0]).all()
        assert (narrow[:, 1] <= wide[:, 1]).all()
        tree = estimate.to_xarray()
        np.testing.assert_array_equal(tree["posterior"]["first"].values[0], estimate.samples[:, 0])
        assert tree["posterior"]["first"].dims == ("chain", "draw")


@pytest.mark.parametrize("kind", ["cnn", "npe", "gradient", "nearest"])
def test_relative_features_do_not_know_the_gain(kind, data):
    """Answers stay for a recording 7,000 times as loud, and in another unit; only the channels' ratio is learned."""
    relative = SpectralFeatures(segment_ms=100.0, relative=True)
    makers = {
        "cnn": lambda: CNNRegressor(SPACE, relative, members=1, epochs=15),
        "npe": lambda: NeuralPosterior(SPACE, relative, members=1, epochs=30, draws=1000),
        "npe of cross-spectra": lambda: NeuralPosterior(SPACE, CROSS_SPECTRA, members=2, epochs=30, draws=1000),
        "cnn of cross-spectra": lambda: CNNRegressor(SPACE, CROSS_SPECTRA, members=2, epochs=15),
        "gradient": lambda: GradientFit(SpectralModel(emulator(), gain=True), relative, Descent(starts=4)),
        "nearest": lambda: NearestSimulations(SPACE, relative),
    }
    theta, recordings = data
    estimator = makers[kind]().fit(theta[:600], recordings[:600])
    errors = []
    tested = slice(600, 610 if kind == "gradient" else 630)
    recordings = recordings[tested]
    loud = [replace(r, values=7e3 * r.values, unit="uV") for r in recordings]
    points, of_loud = (np.stack([e.point for e in answers(estimator, some)]) for some in (recordings, loud))
    # The gradient fit's draws are other ones: 400 of deviation .27, means of 60 of which differ by .09 at most.
    np.testing.assert_allclose(of_loud, points, atol=0.09 if kind == "gradient" else 1e-3)
    errors = np.diff(points, axis=1) - np.diff(theta[tested], axis=1)
    assert np.median(np.abs(errors)) < (0.3 if kind == "nearest" else 0.15)


def test_the_same_seed_trains_the_same_estimator(data):
    theta, recordings = data[0][:120], data[1][:120]
    first, second, other = (
        CNNRegressor(SPACE, FEATURES, seed=s, members=1, epochs=3).fit(theta, recordings).estimate(data[1][-1]).point
        for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_a_reloaded_estimator_answers_the_same_in_a_fresh_process(trained, data, tmp_path):
    path = tmp_path / "estimator.safetensors"
    trained.save(path)
    np.savez(tmp_path / "recording.npz", values=data[1][-1].values)
    script = f"""
import json, sys
import numpy as np
from inference.estimators.load import load_estimator
from simulators.recording import Recording
r = Recording(np.load({str(tmp_path / "recording.npz")!r})["values"], 1000.0, "mV", {CHANNELS!r})
e = load_estimator({str(path)!r}).estimate(r)
print(json.dumps([e.point.tolist(), e.samples.tolist()]))
"""
    root = Path(__file__).resolve().parent.parent
    out = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True).stdout
    point, samples = json.loads(out.splitlines()[-1])
    here = trained.estimate(data[1][-1])
    np.testing.assert_array_equal(here.point, point)
    np.testing.assert_array_equal(here.samples, samples)
    assert load_estimator(path).about == json.loads(json.dumps(trained.about))


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other_version(path):
    this = rf"\"format\": {FORMAT}".encode()
    path.write_bytes(path.read_bytes().replace(this, this[:-1] + b"9"))


def noise(path):
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def weights_alone(path):
    save_file(load_file(path), path)


def a_tensor_missing(path):
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    tensors.pop(next(k for k in tensors if k.startswith(("0.", "net."))))
    save_file(tensors, path, metadata)


def pickled(path):
    torch.save({"weights": torch.zeros(3)}, path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (half, "damaged or no estimator"),
        (other_version, f"format 9, this version reads {FORMAT}"),
        (noise, "damaged or no estimator"),
        (weights_alone, "not those of a circuitsbi estimator"),
        (a_tensor_missing, "does not fit together"),
        (pickled, "damaged or no estimator"),
        (Path.unlink, "there is no file"),
    ],
)
def test_a_bad_file_is_an_error_that_names_it(trained, tmp_path, damage, words):
    path = tmp_path / "estimator.safetensors"
    trained.save(path)
    damage(path)
    with pytest.raises(ValueError, match=words) as error:
        load_estimator(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("recording", "words"),
    [
        (Recording(np.ones((3, 500)), 1000.0, "mV", ("a", "b", "c")), "3 channels; this estimator was trained for 2"),
        (Recording(np.full((2, 500), np.nan), 1000.0, "mV", CHANNELS), "not finite"),
        (Recording(np.ones((2, 500)), 1000.0, "mV", CHANNELS), "flat|no power|never change"),
    ],
)
def test_bad_recordings_are_refused(trained, recording, words):
    with pytest.raises(ValueError, match=words):
        trained.estimate(recording)


@pytest.mark.parametrize("make", ESTIMATORS.values(), ids=ESTIMATORS)
def test_training_refuses_bad_data(make, data):
    theta, recordings = data[0][:60].copy(), data[1][:60]
    with pytest.raises(ValueError, match="40 or more"):
        make().fit(theta[:10], recordings[:10])
    theta[7, 0] = 99.0
    with pytest.raises(ValueError, match=r"simulation 7.*outside"):
        make().fit(theta, recordings)
    with pytest.raises(ValueError, match="not trained yet"):
        make().estimate(recordings[0])


@pytest.mark.parametrize(
    ("density", "epochs"), [("gaussian mixture", 40), pytest.param("nsf", 20, marks=pytest.mark.slow)]
)
def test_the_neural_posterior_is_the_exact_one(density, epochs):
    """Width and place of the posterior against the closed form: half or double the width would fail."""
    rng = np.random.default_rng(2)
    samples, features = 300, SpectralFeatures(segment_ms=20.0)
    theta = SPACE.sample(2500, rng)
    npe = NeuralPosterior(SPACE, features, density=density, members=1, epochs=epochs, transforms=3, dropout=0.0)
    npe.fit(theta[:2400], [white_noise(t, rng, samples) for t in theta[:2400]])
    inside = theta[2400:]
    inside = inside[(np.abs(SPACE.to_unit(inside) - 0.5) < 0.4).all(1)][:60]
    recordings = [white_noise(t, rng, samples) for t in inside]
    estimates = [npe.estimate(r) for r in recordings]
    exact = np.log10(np.stack([r.values.std(1) for r in recordings]))
    # Welch's windows do not use every sample fully, so features tell a little less than the samples themselves.
    interval = 2 * norm.ppf(0.9) * exact_sd(samples)
    width = np.stack([np.diff(e.interval(0.8))[:, 0] for e in estimates]).mean(0) / interval
    assert ((width > 0.9) & (width < 1.4)).all(), width
    offset = (np.stack([e.point for e in estimates]) - exact) / exact_sd(samples)
    assert (np.sqrt((offset**2).mean(0)) < 0.8).all()


def test_the_gradient_fit_is_as_wide_as_its_temperature_says(data):
    """A likelihood at nine times the temperature is a posterior three times as wide; the fit learns one from errors."""
    fit = GradientFit(SpectralModel(emulator()), FEATURES, Descent(starts=4, draws=1000))
    fit.fit(data[0][:300], data[1][:300])
    assert fit._temperature is not None
    widths = []
    for temperature in (1.0, 9.0):
        other = fit.with_nuisances()
        other._temperature = lambda u, temperature=temperature: torch.full((1, 1), temperature)
        widths.append(other.estimate(white_noise([0.0, 0.5], np.random.default_rng(5))).samples.std(0))
    np.testing.assert_allclose(widths[1] / widths[0], 3, rtol=0.15)
