"""Estimator files from strangers: whatever headers and weights say, they work or are refused with a ValueError."""

import copy
import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from inference.estimate import Estimate
from inference.estimators.cnn import CNNRegressor
from inference.estimators.gradient_fit import GradientFit
from inference.estimators.load import load_estimator
from inference.estimators.nearest import NearestSimulations
from inference.estimators.neural_posterior import NeuralPosterior
from inference.features.spectra import SpectralFeatures
from inference.fitting.descent import Descent
from simulators.fields.linear import LinearView, Weight
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording
from surrogates.spectra.cross_spectrum import Bands
from surrogates.spectra.emulator import SpectralEmulator
from surrogates.spectra.likelihood import SpectralModel

SPACE = ParameterSpace((Parameter("level", "mV", 0.5, 2.0, "of noise"), Parameter("gain", "1", 1.0, 3.0)))
FEATURES = SpectralFeatures(segment_ms=50.0)
CHANNELS = ("upper", "lower")


def counts(theta, rng):
    """What two populations do, and what the gradient fit's instrument sees of it: each channel one of them."""
    return Recording(theta[0] * rng.standard_normal((2, 500)), 1000.0, "1", ("E", "I"))


VIEW = LinearView(np.eye(2)[..., None], 1000.0, "mV", CHANNELS, ("E", "I"), (Weight(1.0, ("gain",)), Weight(-1.0, ())))


def gradient():
    emulator = SpectralEmulator(SPACE, Bands(10.0, 490.0, 120.0), width=8, iterations=30)
    return GradientFit(SpectralModel(emulator, VIEW), FEATURES, Descent(starts=2, iterations=3, draws=400))


KINDS = {
    "cnn": lambda: CNNRegressor(SPACE, FEATURES, members=1, epochs=2),
    "npe": lambda: NeuralPosterior(
        SPACE, FEATURES, members=1, epochs=1, density="nsf", transforms=1, hidden_features=4, embedding=4, draws=50
    ),
    "npe of normals": lambda: NeuralPosterior(SPACE, FEATURES, members=1, epochs=1, width=8, draws=50),
    "nearest": lambda: NearestSimulations(SPACE, FEATURES),
    "gradient": gradient,
}
RECORDING = VIEW.observe(counts([1.0], np.random.default_rng(1)), {"gain": 2.0})


@pytest.fixture(scope="module", params=KINDS)
def stored(request, tmp_path_factory):
    """Header and tensors of a small estimator of each kind."""
    rng = np.random.default_rng(0)
    theta = SPACE.sample(60, rng)
    sources = [counts(t, rng) for t in theta]
    seen = [VIEW.observe(s, {"gain": t[1]}) for s, t in zip(sources, theta, strict=True)]
    path = tmp_path_factory.mktemp("files") / "estimator.safetensors"
    KINDS[request.param]().fit(theta, sources if request.param == "gradient" else seen).save(path)
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["circuitsbi"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def answer(header, tensors, path) -> Estimate:
    save_file(tensors, path, {"circuitsbi": json.dumps(header)})
    return load_estimator(path).estimate(RECORDING)


def refused(header, tensors, path) -> str:
    with pytest.raises(ValueError, match=r"estimator\.safetensors") as error:
        answer(header, tensors, path)
    return str(error.value)


def changed(header, place, value):
    out = entry = copy.deepcopy(header)
    for key in place[:-1]:
        entry = entry[key]
    entry[place[-1]] = value
    return out


def places(entry, place=()):
    """Of everything in a header, but of lists the first entry alone, and not what only tells of the making."""
    inner = entry.items() if isinstance(entry, dict) else enumerate(entry[:1]) if isinstance(entry, list) else ()
    for key, value in inner:
        if key not in ("versions", "meaning", "data_hash", "simulations"):
            yield (*place, key)
            yield from places(value, (*place, key))


NASTY = [None, -1, 0, 1, 0.5, 10**9, 10**400, np.nan, np.inf, 1e-300, "x", "a\x1b[2J", [], [[]], {"a": 1}, True, [None]]


@pytest.mark.filterwarnings("ignore")
def test_headers_work_or_are_refused(stored, tmp_path):
    header, tensors = stored
    path = tmp_path / "estimator.safetensors"
    assert np.isfinite(answer(header, tensors, path).samples).all()
    outcomes = []
    for place in places(header):
        for value in NASTY:
            try:
                assert np.isfinite(answer(changed(header, place, value), tensors, path).point).all()
                outcomes.append("works")
            except ValueError:
                outcomes.append("refused")
            except Exception as error:
                pytest.fail(f"{place} = {value!r}: {type(error).__name__}: {error}")
    assert outcomes.count("refused") > 0.7 * len(outcomes)


SIZES = ["members", "neighbours", "frequencies", "draws", "hidden_features", "transforms", "embedding", "flows"]
SIZES += ["segment_ms", "starts", "iterations", "width", "duration_ms"]


def test_sizes_out_of_all_proportion_are_named_before_memory_is_taken(stored, tmp_path):
    header, tensors = stored
    tried = [place for place in places(header) if place[-1] in SIZES and "about" not in place]
    assert len(tried) >= 3
    for place in tried:
        said = refused(changed(header, place, 10**10), tensors, tmp_path / "estimator.safetensors")
        assert f"{place[-1]} is 10000000000; expected" in said or "segments of 1e+10 ms" in said


@pytest.mark.parametrize("stored", ["npe", "npe of normals"], indirect=True)
def test_one_draw_of_several_flows_is_one(stored, tmp_path):
    header, tensors = stored
    twice = tensors | {name.replace("0.", "1.", 1): t.clone() for name, t in tensors.items()}
    header = changed(changed(header, ("settings", "flows"), 2), ("settings", "draws"), 1)
    assert answer(header, twice, tmp_path / "estimator.safetensors").samples.shape == (1, 2)


def test_networks_larger_than_their_file_are_refused_unbuilt(stored, tmp_path, monkeypatch):
    header, tensors = stored
    path = tmp_path / "estimator.safetensors"
    if header["kind"] == "npe":
        flow = header["settings"]["density"] == "nsf"
        monkeypatch.setattr(NeuralPosterior, "_untrained", None)
        for name in ("hidden_features", "embedding") if flow else ("width",):
            said = refused(changed(header, ("settings", name), 9999), tensors, path)
            assert "describe a" in said
            assert "the file holds" in said
    if header["kind"] == "gradient":
        assert "size mismatch" in refused(changed(header, ("emulator", "width"), 100_000), tensors, path)
    if header["kind"] == "cnn":
        longer = changed(header, ("features", "segment_ms"), 1e6)
        assert "frequencies is 25" in refused(longer, tensors, path)
        longer["settings"]["frequencies"] = SpectralFeatures(segment_ms=1e6).frequencies.size
        assert "size mismatch" in refused(longer, tensors, path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_by_name(stored, value, tmp_path):
    header, tensors = stored
    name = [n for n, t in tensors.items() if t.is_floating_point() and t.numel() > 1][-1]
    damaged = tensors | {name: tensors[name].clone()}
    damaged[name].view(-1)[-1] = value
    said = refused(header, damaged, tmp_path / "estimator.safetensors")
    assert f"weights that are not finite ({name})" in said


@pytest.mark.filterwarnings("ignore")
def test_absurd_weights_work_or_are_refused(stored, tmp_path):
    header, tensors = stored
    path = tmp_path / "estimator.safetensors"
    assert "above 0" in refused(header, {n: torch.zeros_like(t) for n, t in tensors.items()}, path)
    for name in tensors:
        for size in (0.0, 6e4, -6e4):
            try:
                strange = tensors | {name: torch.full_like(tensors[name], size)}
                assert np.isfinite(answer(header, strange, path).point).all()
            except ValueError:
                pass
            except Exception as error:
                pytest.fail(f"{name} = {size}: {type(error).__name__}: {error}")


@pytest.mark.parametrize(
    ("about", "words"),
    [
        (None, "about is"),
        ([], "about is"),
        ("me", "about is"),
        ({"trained_sd": [[0.0, 1.0], [1.0, 1.0]]}, "trained_sd"),
        ({"trained_sd": [[1.0]] * 2}, "trained_sd"),
        ({"trained_rows": [[5, 3]]}, "trained_rows is 3; expected a whole number from 5"),
        ({"trained_rows": [["0", 3]]}, 'trained_rows is "0"; expected a whole number from 0'),
    ],
)
def test_what_made_an_estimator_is_said_by_name(stored, about, words, tmp_path):
    header, tensors = stored
    said = refused(header | {"about": about}, tensors, tmp_path / "estimator.safetensors")
    assert words in said


def test_tensors_of_another_shape_are_refused(stored, tmp_path):
    header, tensors = stored
    for name, tensor in tensors.items():
        if tensor.ndim:
            strange = tensors | {name: torch.cat([tensor, tensor])}
            try:
                answer(header, strange, tmp_path / "estimator.safetensors")
            except ValueError:
                continue
            pytest.fail(f"{name} of twice the length is taken")


@pytest.mark.parametrize("stored", ["gradient"], indirect=True)
def test_an_instrument_of_other_sources_or_parameters_is_refused(stored, tmp_path):
    header, tensors = stored
    path = tmp_path / "estimator.safetensors"
    for place, value, words in [
        (("view", "sources"), ["E", "X"], "its sources are E, X, its emulator's E, I"),
        (("view", "weights", 0, 1), ["J"], "a weight is a product of {'J'}; its parameters are level, gain"),
        (("channels",), ["lower", "upper"], "its channels are not those that it sees: upper, lower in mV"),
        (("emulator", "parameters", 0, "high"), 5.0, "its emulator for other parameters or ranges"),
    ]:
        assert words in refused(changed(header, place, value), tensors, path)


def test_an_estimate_without_a_number_is_none():
    for point, samples in ((np.array([1.0, np.nan]), None), (np.ones(2), np.full((3, 2), np.inf))):
        with pytest.raises(ValueError, match="gives no number for this recording"):
            Estimate(SPACE, point, samples)
