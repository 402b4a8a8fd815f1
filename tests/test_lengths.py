"""Recordings that last longer or shorter than the simulations that taught an estimator."""

import numpy as np
import pytest
from typer.testing import CliRunner

from inference.cli import app
from inference.features.interface import features_of_all
from inference.features.spectra import SpectralFeatures
from inference.recordings.files import write_recording
from inference.workflows.shipped import reference_campaign, shipped_estimators
from inference.workflows.train import of_duration
from simulators.brunel.field import KernelSignal

THETA = np.array([0.17, 5.2, 2.2])


@pytest.fixture(scope="module")
def emulator():
    return shipped_estimators("asynchronous")[2].model.emulator


@pytest.fixture(scope="module")
def sources():
    campaign = reference_campaign("asynchronous")
    return campaign.recordings(campaign.usable[-40:])


def test_shorter_recordings_are_cut(emulator, sources):
    theta = np.tile(THETA, (len(sources), 1))
    short = of_duration(1.0, theta, sources, emulator, 0)
    assert {r.duration_ms for r in short} == {1000.0}
    np.testing.assert_array_equal(short[3].steady, sources[3].steady[:, :1000])


def test_longer_ones_are_drawn_with_the_network_s_spectra_and_less_scatter(emulator, sources):
    theta = np.tile(THETA, (len(sources), 1))
    forward = KernelSignal(parameters=emulator.parameters)
    spectra = {}
    for seconds in (4.0, 16.0):
        drawn = of_duration(seconds, theta, sources, emulator, 0)
        assert {r.duration_ms for r in drawn} == {1e3 * seconds}
        spectra[seconds] = features_of_all(
            SpectralFeatures(), (forward.observe(r, t) for r, t in zip(drawn, theta, strict=True))
        )
    scatter = spectra[4.0].std(0).mean() / spectra[16.0].std(0).mean()
    assert scatter == pytest.approx(2.0, abs=0.15)
    np.testing.assert_allclose(spectra[16.0].mean(0), spectra[4.0].mean(0), atol=0.05)
    again = of_duration(4.0, theta[:2], sources, emulator, 0)
    np.testing.assert_array_equal(again[1].values, of_duration(4.0, theta, sources, emulator, 0)[1].values)
    assert not np.array_equal(again[0].values, again[1].values)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_no_duration_is_refused(emulator, sources, seconds):
    with pytest.raises(ValueError, match="give a positive duration"):
        of_duration(seconds, np.tile(THETA, (len(sources), 1)), sources, emulator, 0)


@pytest.mark.parametrize(("seconds", "said"), [(1.0, "too narrow"), (2.5, None), (12.0, "wider than it need be")])
def test_answers_for_another_length_are_warned_of(emulator, sources, seconds, said):
    theta = reference_campaign("asynchronous").theta[-40]
    (source,) = of_duration(seconds, theta[None], sources[:1], emulator, 1)
    recording = KernelSignal(parameters=emulator.parameters).observe(source, theta)
    cnn, npe, gradient = (e.estimate(recording).warnings for e in shipped_estimators("asynchronous"))
    for warnings in (cnn, npe):
        found = [w for w in warnings if "learned from 2.85 s" in w]
        assert bool(found) == bool(said)
        assert said is None or (said in found[0] and f"train --duration {seconds:.3g}" in found[0])
    assert not [w for w in gradient if "learned from" in w or "do not trust" in w]


def test_noise_is_fitted_along_on_request(emulator, sources, tmp_path):
    recording = KernelSignal(parameters=emulator.parameters).observe(
        sources[0], reference_campaign("asynchronous").theta[-40]
    )
    sd = 0.02 * recording.steady.std(1).mean()
    noisy = recording.with_values(
        recording.values + sd * np.random.default_rng(0).standard_normal(recording.values.shape)
    )
    path = tmp_path / "noisy.npz"
    write_recording(noisy, path)
    plain = CliRunner().invoke(app, ["infer", str(path)], env={"COLUMNS": "400"})
    assert "infer --noise" in plain.output
    assert "do not trust" in plain.output
    fitted = CliRunner().invoke(app, ["infer", str(path), "--noise"], env={"COLUMNS": "400"})
    assert fitted.exit_code == 0, fitted.output
    assert "the other estimators, which learned without, are left out" in fitted.output
    assert "do not trust" not in fitted.output
    write_recording(recording, path)
    clean = CliRunner().invoke(app, ["infer", str(path), "--noise"], env={"COLUMNS": "400"})
    assert "leave --noise out" in " ".join(clean.output.split())
    assert "do not trust" not in clean.output
