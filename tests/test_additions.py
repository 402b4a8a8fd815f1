"""What recordings have besides the circuit: backgrounds and rhythms from elsewhere, drawn and fitted."""

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from inference.cli import app
from inference.estimators.gradient_fit import GradientFit
from inference.features.spectra import SpectralFeatures
from inference.fitting.descent import Descent
from inference.recordings.files import write_recording
from inference.workflows.train import ComputedRecordings, added
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording
from surrogates.spectra.additions import Additions
from surrogates.spectra.background import Background, coloured, highest_peaks
from surrogates.spectra.cholesky import cholesky, cholesky_of_square
from surrogates.spectra.cross_spectrum import Bands
from surrogates.spectra.emulator import SpectralEmulator
from surrogates.spectra.likelihood import SpectralModel

RATE = 500.0
BANDS = Bands(4.0, 200.0, 2.0)
SPACE = ParameterSpace((Parameter("corner", "Hz", 20.0, 120.0, "of the spectrum"),))


def low_passed(corner: float, rng: np.random.Generator, seconds: float = 6.0) -> Recording:
    """Gaussian noise of a Lorentzian spectrum, of unit density at 0 Hz."""
    n = round(seconds * RATE)
    frequencies = np.fft.rfftfreq(n, 1 / RATE)
    values = coloured(1 / (1 + (frequencies / corner) ** 2) ** 2, (1, n), RATE, rng)
    return Recording(values, RATE, "mV", ("LFP",))


@pytest.fixture(scope="module")
def fit() -> GradientFit:
    rng = np.random.default_rng(0)
    theta = SPACE.sample(300, rng)
    recordings = [low_passed(t[0], rng) for t in theta]
    emulator = SpectralEmulator(SPACE, BANDS, width=64, iterations=3000)
    model = SpectralModel(emulator)
    return GradientFit(model, SpectralFeatures(RATE, 500.0, (4.0, 200.0)), Descent(draws=400)).fit(theta, recordings)


# --- drawing ---


def test_some_recordings_get_nothing_and_the_others_up_to_the_share():
    clean = low_passed(60.0, np.random.default_rng(1))
    additions = Additions(none=0.4, most=0.5, band_hz=(4.0, 200.0))
    made = [additions(clean, np.random.default_rng(k)) for k in range(200)]
    untouched = np.mean([one is clean for one in made])
    assert 0.28 < untouched < 0.52
    shares = [share_of(clean, one) for one in made if one is not clean]
    assert 0.15 < np.mean(shares) < 0.35
    assert max(shares) < 0.6


def share_of(clean: Recording, both: Recording) -> float:
    frequencies = np.fft.rfftfreq(clean.values.shape[1], 1 / RATE)
    inside = (frequencies >= 4) & (frequencies <= 200)
    noise, whole = (np.sum(np.abs(np.fft.rfft(x)[:, inside]) ** 2) for x in (both.values - clean.values, both.values))
    return noise / whole


def test_channels_get_noise_of_their_own():
    clean = Recording(np.zeros((2, 3000)) + np.random.default_rng(0).standard_normal(3000), RATE, "mV", ("a", "b"))
    both = Additions().added(clean, 0.5, np.random.default_rng(2))
    noise = both.values - clean.values
    assert abs(np.corrcoef(noise)[0, 1]) < 0.3


def test_each_copy_of_a_simulation_has_other_additions():
    clean = [low_passed(c, np.random.default_rng(k)) for k, c in enumerate((30.0, 90.0))]
    copies = added(ComputedRecordings(2, lambda i: clean[i]), Additions(none=0.0), seed=0)
    assert len(copies) == 8
    for k in range(2, 8):
        assert np.corrcoef(copies[k].values[0], clean[k % 2].values[0])[0, 1] > 0.1
    assert not np.array_equal(copies[0].values, copies[2].values)
    np.testing.assert_array_equal(copies[3].values, added(clean, Additions(none=0.0), seed=0)[3].values)


@pytest.mark.parametrize("wrong", [{"most": 1.0}, {"none": -0.1}, {"rhythms": -1}, {"band_hz": (50.0, 10.0)}])
def test_additions_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=r"shares|band"):
        Additions(**wrong)


def test_rhythms_need_a_background(tmp_path, fit):
    with pytest.raises(ValueError, match="part of a background"):
        fit.with_nuisances(rhythms=1)
    done = CliRunner().invoke(app, ["train", "--rhythms", "1", "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "--background" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--rhythms", "2"], "give --background too"), (["--noise", "--background"], "give one of them")],
)
def test_what_infer_cannot_fit_along_is_said(options, said, tmp_path, fit):
    path = tmp_path / "lfp.npz"
    write_recording(low_passed(50.0, np.random.default_rng(0)), path)
    fit.save(tmp_path / "fit.safetensors")
    done = CliRunner().invoke(app, ["infer", str(path), "--model", str(tmp_path / "fit.safetensors"), *options])
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


# --- fitting ---


def test_infer_fits_a_background_and_rhythms_along(tmp_path, fit):
    path = tmp_path / "lfp.npz"
    write_recording(low_passed(50.0, np.random.default_rng(0)), path)
    fit.save(tmp_path / "fit.safetensors")
    command = ["infer", str(path), "--model", str(tmp_path / "fit.safetensors"), "--background", "--rhythms", "1"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "a background is fitted along" in " ".join(done.output.split())


def test_a_background_that_makes_most_of_the_power_is_told(fit):
    clean = low_passed(50.0, np.random.default_rng(0))
    free = fit.with_nuisances(background=True)
    noise = Additions(band_hz=(4.0, 200.0)).added(clean, 0.97, np.random.default_rng(5))
    told = [any("down to the background" in w for w in free.estimate(r).warnings) for r in (noise, clean)]
    assert told == [True, False]


def test_peaks_are_found_where_they_stand_out():
    frequencies = np.arange(5.0, 200.0, 2.0)
    power = 1 / (1 + (frequencies / 40) ** 2)
    for hertz, height in ((11.0, 2.0), (61.0, 1.0)):
        power = power + height * np.exp(-(((frequencies - hertz) / 2) ** 2) / 2)
    found = highest_peaks(power, frequencies, 2)
    assert sorted(hertz for _, hertz in found) == [11.0, 61.0]
    assert dict((hertz, height) for height, hertz in found)[11.0] == pytest.approx(2.0, rel=0.3)


def test_a_rhythm_from_elsewhere_is_fitted_along(fit):
    """Mains at 50 Hz, of ten times the circuit's power there: without it the corner is badly wrong."""
    with_it, without = fit.with_nuisances(background=True, rhythms=1), fit.with_nuisances(background=True)
    errors = []
    for seed, corner in enumerate((35.0, 60.0, 100.0)):
        rng = np.random.default_rng(seed)
        clean = low_passed(corner, rng)
        frequencies = np.fft.rfftfreq(clean.values.shape[1], 1 / RATE)
        hum = coloured(10 * np.exp(-(((frequencies - 50) / 1.5) ** 2) / 2), clean.values.shape, RATE, rng)
        recording = clean.with_values(clean.values + hum)
        errors.append([abs(f.estimate(recording).point[0] - corner) for f in (with_it, without)])
        nuisances = with_it.nuisances(recording)
        assert float(nuisances[-2].exp()) == pytest.approx(50.0, abs=1.5)
    fitted, not_fitted = np.mean(errors, 0)
    assert fitted < 6.0
    assert not_fitted > 2 * fitted


def test_a_fit_with_rhythms_is_stored(fit, tmp_path):
    from inference.estimators.load import load_estimator

    free = fit.with_nuisances(gain=True, background=True, rhythms=2)
    free.save(tmp_path / "fit.safetensors")
    again = load_estimator(tmp_path / "fit.safetensors")
    assert isinstance(again, GradientFit)
    assert again.model.noise == Background(2)
    assert again.model.n_nuisances == 1 + Background(2).size == 11


def test_the_penalty_is_least_in_the_middle_of_the_prior():
    background = Background(1)
    first = torch.tensor(background.first(3.0))
    assert float(background.penalty(first)) < float(background.penalty(first + 0.5))
    assert background.precision().shape == (7, 7)
    drawn = torch.as_tensor(background.draw(500, np.random.default_rng(0)))
    # Of normal variables the mean penalty is half their number.
    assert float(background.penalty(drawn).mean()) == pytest.approx(3.0, rel=0.15)


def test_square_roots_are_made_triangular():
    torch.manual_seed(0)
    roots = torch.randn(5, 3, 4, dtype=torch.complex64)
    np.testing.assert_allclose(cholesky_of_square(roots), cholesky(roots @ roots.mH), atol=1e-5)
    # Of channels that differ by a ten-thousandth squares in single precision keep nothing.
    nearly = torch.randn(5, 2, 2, dtype=torch.complex128)
    nearly[:, 1] = 1.3 * nearly[:, 0] + 1e-4 * nearly[:, 1]
    exact = cholesky(nearly @ nearly.mH)[:, 1, 1].real
    single = nearly.to(torch.complex64)
    np.testing.assert_allclose(cholesky_of_square(single)[:, 1, 1].real, exact, rtol=0.01)
    squared = cholesky(single @ single.mH)[:, 1, 1].real
    assert not torch.allclose(squared.double(), exact, rtol=0.01)
