"""From one recording to one verdict: whether methods agree, where a recording departs from the fit, what is said."""

import csv

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from inference.cli import app
from inference.estimate import Estimate
from inference.estimators.cnn import CNNRegressor
from inference.estimators.gradient_fit import GradientFit
from inference.evaluation.agreement import agreement
from inference.evaluation.departures import departures, predictive_check
from inference.evaluation.predictive import emulated_spectra
from inference.features.spectra import SpectralFeatures
from inference.fitting.descent import Descent
from inference.recordings.files import write_recording
from inference.reports.answers import Answer
from inference.reports.verdict import remarks_on, verdict
from inference.workflows.infer import answered_windows, infer, write_page
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording
from surrogates.spectra.cross_spectrum import Bands
from surrogates.spectra.emulator import SpectralEmulator
from surrogates.spectra.likelihood import SpectralModel

SPACE = ParameterSpace((Parameter("first", "log10 mV", -1.0, 1.0), Parameter("second", "log10 mV", 0.0, 1.0)))
FEATURES = SpectralFeatures()
FREQUENCIES = np.arange(10.0, 210.0, 10.0)


def white_noise(theta, rng, samples=1000):
    values = 10.0 ** np.asarray(theta)[:, None] * rng.standard_normal((2, samples))
    return Recording(values, 1000.0, "mV", ("upper", "lower"))


def steep_noise(theta, rng):
    """With hardly any power above 250 Hz, which no parameters of white noise explain."""
    white = white_noise(theta, rng)
    transform = np.fft.rfft(white.values, axis=1)
    transform[:, 250:] *= 0.1
    return white.with_values(np.fft.irfft(transform, white.values.shape[1], axis=1))


@pytest.fixture(scope="module")
def estimators():
    rng = np.random.default_rng(1)
    theta = SPACE.sample(400, rng)
    recordings = [white_noise(t, rng) for t in theta]
    emulator = SpectralEmulator(SPACE, Bands(2.5, 497.5, 45.0), width=32, iterations=3000)
    fit = GradientFit(SpectralModel(emulator), FEATURES, Descent(starts=4, draws=500))
    return [e.fit(theta, recordings) for e in (CNNRegressor(SPACE, FEATURES, members=1, epochs=10), fit)]


@pytest.fixture
def files(tmp_path, rng):
    paths = [tmp_path / "plain.npz", tmp_path / "steep.npz", tmp_path / "broken.npz"]
    write_recording(white_noise([0.2, 0.5], rng), paths[0])
    write_recording(steep_noise([0.2, 0.5], rng), paths[1])
    paths[2].write_bytes(b"no recording")
    return paths


def estimate(centre=0.0, width=0.1, method="a", **about):
    samples = np.random.default_rng(0).normal([centre, 0.5], [width, 0.05], (500, 2))
    return Estimate(SPACE, samples.mean(0), samples, method, **about)


# --- agreement ---


@pytest.mark.parametrize(("apart", "good"), [(0.0, True), (0.2, True), (0.35, False), (-0.35, False)])
def test_methods_disagree_where_their_answers_lie_apart(apart, good):
    """Half widths of .196 each are .277 together."""
    found = agreement([estimate(), estimate(apart, method="b")])
    assert found.good == good
    assert found.distance == pytest.approx(abs(apart) / 0.277, abs=0.05)
    assert (found.parameter, found.methods) == ("first" if apart else found.parameter, ("a", "b"))


def test_only_trusted_answers_with_an_interval_are_compared():
    others = [estimate(2.0, trusted=False), Estimate(SPACE, np.array([2.0, 0.5])), estimate(2.0, width=0.0)]
    others[2] = Estimate(SPACE, np.array([2.0, 0.5]), np.tile([2.0, 0.5], (10, 1)))
    assert agreement([estimate(), *others]) is None
    assert agreement([estimate(), *others, estimate(0.1, method="b")]).methods == ("a", "b")


# --- where a recording departs from the fit ---


def spectra(rng, draws=64):
    return -2 + 0.1 * rng.standard_normal((draws, 3, len(FREQUENCIES)))


def test_a_recording_like_the_fit_departs_nowhere(rng):
    observed = spectra(rng, 1)[0]
    assert departures(observed, spectra(rng), FREQUENCIES, "abc") == ()


def test_a_departure_names_frequencies_channels_and_factor(rng):
    observed = spectra(rng, 1)[0]
    observed[1:, 4:8] += 2.0
    (found,) = departures(observed, spectra(rng), FREQUENCIES, ("a", "b", "c"))
    assert (found.low_hz, found.high_hz, found.channels) == (50.0, 80.0, ("b", "c"))
    assert 80 < found.factor < 250
    assert str(found).startswith("at 50-80 Hz, with up to ")
    assert str(found).endswith(" times more power in b, c")
    observed[:, 15:] -= 6.0
    assert str(departures(observed, spectra(rng), FREQUENCIES, "abc")[1]) == (
        "at 160-200 Hz, with more than 10,000 times less power in all channels"
    )


def test_the_emulators_band_holds_recordings_of_its_kind_and_no_others(estimators, rng):
    fit = estimators[1]
    shares, departed = [], []
    for _ in range(6):
        recording = white_noise([0.2, 0.5], rng)
        band = emulated_spectra(fit, fit.estimate(recording), recording, 64, rng)
        check = predictive_check(recording, FEATURES, band, emulated=True)
        shares.append(check.inside / check.expected)
        departed += check.departures
    assert np.mean(shares) == pytest.approx(1.0, abs=0.1)
    assert not departed
    steep = steep_noise([0.2, 0.5], rng)
    band = emulated_spectra(fit, fit.estimate(steep), steep, 64, rng)
    found = predictive_check(steep, FEATURES, band).departures
    assert any(d.factor < 1 and d.low_hz >= 240 and d.everywhere for d in found)


def test_the_band_has_the_noise_that_was_fitted_along(estimators, rng):
    noisy = estimators[1].with_nuisances(floor=True)
    drawn = noisy.draw(np.array([[-1.0, 0.0]]), 4000.0, torch.tensor([1e-2, 1e-30]).log(), rng)
    density = 2 * 1e-2 * 500  # one-sided, times the bandwidth
    np.testing.assert_allclose(drawn[0].values.var(axis=1), [0.1**2 + density, 1 + density], rtol=0.1)


def test_estimates_side_by_side_are_those_one_by_one(estimators, rng):
    recordings = [white_noise(t, rng) for t in SPACE.sample(3, rng)]
    for alone, among in zip(
        map(estimators[1].estimate, recordings), estimators[1].estimate_each(recordings), strict=True
    ):
        np.testing.assert_allclose(alone.point, among.point, atol=0.02 * np.ptp(alone.interval(), axis=1).min())
        assert alone.warnings == among.warnings
    with pytest.raises(ValueError, match="differ in length"):
        estimators[1].estimate_each([recordings[0], white_noise([0, 0.5], rng, 500)])


# --- the verdict ---


def test_without_a_doubt_the_verdict_says_that_methods_agree():
    found = verdict([estimate(), estimate(0.01, method="b")])
    assert found.status == "ok"
    assert found.sentence.startswith(
        "No check raised a doubt. The methods agree: the two answers furthest apart, a and b"
    )


@pytest.mark.parametrize(
    ("estimates", "quality", "status", "says"),
    [
        ([estimate(), estimate(0.5, method="b")], (), "doubtful", "The methods disagree: a and b differ in first"),
        ([estimate(warnings=("it is short",))], (), "doubtful", "With care: a: it is short"),
        ([estimate()], ("clipped",), "doubtful", "With care: recording: clipped"),
        ([estimate(0.95)], (), "doubtful", "the interval of first reaches the edge (1 log10 mV)"),
        ([estimate(), estimate(method="b", trusted=False)], (), "refused", "says the b; that the a does not object"),
        ([estimate(trusted=False), estimate(method="b", trusted=False)], (), "refused", "say the a and the b."),
        ([], (), "failed", "No method could answer: no file"),
    ],
)
def test_a_verdict_says_who_doubts_and_why(estimates, quality, status, says):
    found = verdict(estimates, quality, reasons=[] if estimates else ["no file"])
    assert found.status == status
    assert says in found.sentence


def test_after_a_refusal_the_likeliest_cause_comes_first():
    refused = [estimate(0.99, trusted=False, warnings=("far off",))]
    assert verdict(refused, ["50 Hz line noise; filter it"]).advice.startswith("Mend the recording first: 50 Hz")
    assert verdict(refused, elsewhere="Try another range.").advice == "Try another range."
    assert verdict(refused).advice.startswith("Check unit, sampling rate")
    assert verdict(refused).details == ("a: far off",)  # its edges mean nothing
    assert len(remarks_on(estimate(0.99))) == 1


def test_the_status_of_a_row_knows_what_the_others_say():
    refused = verdict([estimate(), estimate(method="b", trusted=False)])
    rows = [Answer("f", 0, 0.0, m, e, verdict=refused) for m, e in (("a", estimate()), ("b", estimate(trusted=False)))]
    assert [row.status for row in rows] == ["doubtful", "refused"]
    assert Answer("f", 0, 0.0, "a", estimate()).status == "ok"
    assert Answer("f", 0, 0.0, "a", None, "no file").status == "failed"


# --- the way of an answer ---


def test_one_file_goes_the_way_of_many(estimators, files, tmp_path):
    (plain,) = answered_windows(files[:1], estimators, progress=False)
    assert plain.verdict.status == "ok"
    assert [a.status for a in plain.answers] == ["ok", "ok"]
    among = list(infer(files, estimators, progress=False))
    assert [a.status for a in among] == ["ok", "ok", "refused", "refused", "failed"]
    np.testing.assert_array_equal(plain.answers[1].estimate.samples, among[1].estimate.samples)
    with pytest.raises(ValueError, match="has no answer to report"):
        write_page(tmp_path / "p.html", "p", next(answered_windows(files[2:], estimators, progress=False)))


def test_estimators_of_different_parameters_share_no_table(estimators, files):
    other = CNNRegressor(ParameterSpace((Parameter("third", "1", 0.0, 1.0),)))
    with pytest.raises(ValueError, match="of different parameters"):
        list(infer(files, [*estimators, other], progress=False))


def test_other_ranges_are_asked_only_after_a_refusal(estimators, files):
    asked = []

    def elsewhere(recording):
        asked.append(recording)
        return "Try another range."

    plain, steep = answered_windows(files[:2], estimators, progress=False, elsewhere=elsewhere)
    assert len(asked) == 1
    assert (plain.verdict.advice, steep.verdict.advice) == ("", "Try another range.")


@pytest.fixture
def models(estimators, tmp_path):
    (tmp_path / "models").mkdir()
    for estimator in estimators:
        estimator.save(tmp_path / "models" / f"{estimator.kind}.safetensors")
    return str(tmp_path / "models")


def run(*arguments):
    return CliRunner().invoke(app, ["infer", *map(str, arguments)])


def test_the_command_says_the_verdict_before_any_number(models, files, tmp_path):
    result = run(files[1], "--model", models, "--report", tmp_path / "steep.html", "--out", tmp_path / "steep.csv")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith("Do not trust these numbers: this recording is not like")
    assert "0-500 Hz" in lines[1]
    assert "less power in all channels" in lines[1]
    assert result.output.count("not to be trusted") == 2
    assert "Verdict: not to be trusted" in (tmp_path / "steep.html").read_text(encoding="utf-8")
    with (tmp_path / "steep.csv").open(newline="") as file:
        cnn, gradient = csv.DictReader(file)
    assert cnn["status"] == gradient["status"] == "refused"
    assert (gradient["first"], gradient["first_low"]) == ("", "")
    assert cnn["verdict"] == gradient["verdict"] == lines[0]


def test_windows_and_several_recordings_have_a_page_each(models, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*files, "--model", models, "--window", "0.5", "--report", "pages")
    assert result.exit_code == 0, result.output
    names = sorted(page.name for page in (tmp_path / "pages").iterdir())
    assert names == ["plain_0.5s.html", "plain_0s.html", "steep_0.5s.html", "steep_0s.html"]
    assert "estimates.csv: 9 rows, " in result.output
    assert "1 failed" in result.output
    one = run(*files, "--model", models, "--report", "page.html")
    assert one.exit_code == 2
    assert "name a folder" in one.output


def test_where_nothing_can_be_answered_the_command_fails(models, files, tmp_path):
    other = tmp_path / "other.npz"
    other.write_bytes(b"no recording either")
    result = run(files[2], other, "--model", models, "--out", tmp_path / "t.csv")
    assert result.exit_code == 2
    assert result.output.count("error:") == 1
    assert (tmp_path / "t.csv").exists()


# --- an estimate by itself ---


def test_an_estimate_prints_as_a_short_table():
    shown = str(estimate(method="CNN", warnings=("first", "second"), trusted=False)).splitlines()
    assert shown[0] == "CNN: not to be trusted"
    assert shown[1].split() == ["parameter", "unit", "point", "95", "%", "interval"]
    assert shown[2].split()[0] == "first"
    assert len(shown) == 5
    assert shown[4] == "warning: first (and 1 more in .warnings)"
    assert "no posterior" in str(Estimate(SPACE, np.zeros(2), np.zeros((1, 2))))
    assert "none" in str(Estimate(SPACE, np.zeros(2)))
    page = estimate(method="<b>")._repr_html_()
    assert "&lt;b&gt;" in page
    assert page.count("<tr>") == 3
