"""Which circuit explains a recording: backgrounds, fits with them, the comparison, verdicts and the command."""

import csv

import numpy as np
import pytest
import torch
from rich.console import Console
from scipy.signal import butter, sosfiltfilt
from typer.testing import CliRunner

from inference.cli import app
from inference.evaluation.departures import Departure, PredictiveCheck
from inference.explaining.comparison import BACKGROUND, CircuitComparison
from inference.explaining.explain import (
    DOUBTFUL,
    EXPLAINED,
    NOT_EXPLAINED,
    _verdict,
    _verdict_of_fits,
    explain,
    in_decibels,
)
from inference.explaining.fits import Explanation, background_alone
from inference.explaining.spectra import (
    FEATURES,
    RATE_HZ,
    channel_of,
    compared,
    one_channel,
    pieces,
    spectrum,
)
from inference.recordings.conform import resampled
from inference.recordings.files import write_recording
from inference.reports.explained import ExplainedTable, show_explained
from inference.reports.explained_figure import explained_figure
from inference.workflows.explain import CIRCUITS, shipped_circuits
from inference.workflows.shipped import reference_campaign
from inference.workflows.study import study_of
from simulators.recording import Recording
from surrogates.spectra.additions import Additions
from surrogates.weights import read_weights, write_weights

run = CliRunner().invoke
shipped = pytest.mark.skipif(not CIRCUITS.is_dir(), reason="the circuits of 'explain' are not shipped here")
N = 1400


def signal(values: np.ndarray, rate: float = RATE_HZ) -> Recording:
    return Recording(np.asarray(values, float)[None], rate, "1", ("signal",))


def noise(seed: int = 0, samples: int = N) -> Recording:
    return signal(np.random.default_rng(seed).standard_normal(samples))


def noise_at(rate: float, seconds: float = 8.0) -> Recording:
    return signal(np.random.default_rng(4).standard_normal(int(rate * seconds)), rate)


@pytest.fixture(scope="module")
def circuits():
    return shipped_circuits()


@pytest.fixture(scope="module")
def brunel():
    """One contact of a network that nothing was learned from."""
    campaign = reference_campaign()
    _, (recording,) = study_of(campaign).recordings(campaign, campaign.usable[-2:-1])
    return recording


# --- what is looked at ---


def test_a_channel_is_taken_without_slope_and_at_the_common_rate():
    time = np.arange(3000) / 1000.0
    wave = np.sin(2 * np.pi * 30 * time)
    made = one_channel(Recording(np.stack([0 * wave + 1, 1e-6 * wave + 5 * time]), 1000.0, "V", ("flat", "b")), 1)
    assert made.sampling_rate == RATE_HZ
    peak = FEATURES.frequencies[FEATURES(made)[0].argmax()]
    assert abs(peak - 30) < 4
    np.testing.assert_allclose(made.values.mean(), 0, atol=0.02)


@pytest.mark.parametrize(
    ("recording", "said"),
    [
        (signal(np.random.default_rng(0).standard_normal(1400), 150.0), "has 150 Hz.*200 Hz for a part of them"),
        (noise(samples=300), "lasts 0.6 s; give 2.8 s or more"),
        (signal(np.full(N, 0.1)), "signal never changes"),
        (signal(np.arange(N) * 0.3), "only as a line"),
        (signal(np.where(np.arange(N) == 5, np.nan, noise().values[0])), "not finite"),
    ],
)
def test_what_cannot_be_compared_says_so(recording, said):
    with pytest.raises(ValueError, match=said):
        one_channel(recording)


@pytest.mark.parametrize(
    ("rate", "highest"), [(200.0, 80.0), (250.0, 100.0), (256.0, 102.4), (400.0, 160.0), (500.0, None), (1000.0, None)]
)
def test_a_slow_recording_is_compared_below_its_edge(rate, highest):
    slow = noise_at(rate)
    band, why = compared(slow)
    assert band == (10.0, highest or 200.0)
    assert why == () if highest is None else f"compared only up to {highest:.3g} Hz: it is sampled at" in why[0]
    assert one_channel(slow).sampling_rate == RATE_HZ


def test_interpolation_leaves_the_spectrum_below_the_edge_as_it_was():
    fast = one_channel(noise_at(1000.0))
    slow = one_channel(resampled(noise_at(1000.0), 250.0))
    below = FEATURES.frequencies < 100
    differ = (FEATURES(slow) - FEATURES(fast))[0, below]
    assert np.ptp(differ) < 0.05  # log10; the gain is unknown


def test_a_band_within_what_is_compared_can_be_given():
    assert compared(noise(), (20.0, 90.0)) == ((20.0, 90.0), ())
    assert compared(noise(), (1.0, 300.0)) == ((10.0, 200.0), ())
    with pytest.raises(ValueError, match=r"--band 300,400 lies outside of 10 to 200 Hz"):
        compared(noise(), (300.0, 400.0))
    with pytest.raises(ValueError, match=r"nothing is left to compare from 120 Hz on: it is sampled at 250 Hz"):
        compared(noise_at(250.0), (120.0, 180.0))


def test_a_low_passed_recording_is_compared_below_the_filter():
    filtered = noise_at(1000.0)
    low = sosfiltfilt(butter(4, 70.0, fs=1000.0, output="sos"), filtered.values)
    (band, why) = compared(filtered.with_values(low + 1e-3 * filtered.values))
    assert 50 < band[1] < 80
    assert "as after a low-pass filter" in why[0]


def test_trials_are_put_together_by_their_power():
    """Independent of where one trial ends, unlike a recording that is pasted together."""
    rng = np.random.default_rng(0)
    trials = [signal(20 * np.linspace(0, 1, 500) + rng.standard_normal(500)) for k in range(7)]
    each = channel_of(trials)
    assert [len(group) for group in pieces(each)] == [3, 3]
    assert [len(group) for group in pieces([one_channel(noise(samples=4000))])] == [1, 1]
    together = spectrum(FEATURES, each)
    power = np.mean([FEATURES.power(one) for one in each], axis=0)
    np.testing.assert_allclose(together, np.log10(power / power.sum()))
    pasted = FEATURES(one_channel(signal(np.concatenate([t.values[0] for t in trials]))))
    # White noise has the same power everywhere, steps between trials have not.
    assert np.ptp(together) < 0.7 * np.ptp(pasted)
    with pytest.raises(ValueError, match=r"its trials last 0\.5 s each; give trials of 1 s or more"):
        channel_of([noise(k, 250) for k in range(9)])
    with pytest.raises(ValueError, match=r"lasts 2 s; give 2\.8 s or more"):
        channel_of([noise(k, 500) for k in range(2)])


# --- the comparison ---


def test_a_comparison_tells_makers_apart_and_is_kept(tmp_path):
    """Two kinds of noise and a background; what it gives is calibrated enough to be above chance on fresh ones."""
    rng = np.random.default_rng(0)

    def rhythm(hz: float) -> Recording:
        wave = np.sin(2 * np.pi * (hz * np.arange(N) / RATE_HZ + rng.random()))
        return signal(wave + 0.5 * rng.standard_normal(N))

    made = CircuitComparison.learned({"slow": [rhythm(20) for _ in range(60)], "fast": [rhythm(80) for _ in range(60)]})
    assert next(iter(made.probabilities(rhythm(20)))) == "slow"
    assert next(iter(made.probabilities(rhythm(80)))) == "fast"
    pure = [next(iter(made.probabilities(Additions().added(noise(k), 1.0, rng)))) for k in range(10)]
    assert pure.count(BACKGROUND) >= 8
    made.save(tmp_path / "comparison.safetensors")
    again = CircuitComparison.load(tmp_path / "comparison.safetensors")
    recording = rhythm(20)
    assert again.probabilities(recording) == pytest.approx(made.probabilities(recording))
    assert sum(again.probabilities(recording).values()) == pytest.approx(1.0)
    longer = recording.with_values(np.tile(recording.values, (1, 3)))
    assert next(iter(again.probabilities(longer))) == "slow"


def test_a_damaged_comparison_is_refused(tmp_path):
    (tmp_path / "comparison.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="damaged or no comparison"):
        CircuitComparison.load(tmp_path / "comparison.safetensors")


@shipped
@pytest.mark.parametrize(
    "change",
    [{"seconds": 0.0}, {"circuits": ["a"]}, {"seconds": float("inf")},
     {"classes": ["a", "a", BACKGROUND]}, {"classes": ["a", "b"]},
     {"classes": ["../../a", BACKGROUND]}, {"temperature": -1.0}, {"temperature": 0.0}],
)  # fmt: skip
def test_a_strangers_comparison_is_refused(change, tmp_path):
    header, tensors = read_weights(CIRCUITS / "comparison.safetensors", "comparison", 2, "")
    if "temperature" in change:
        tensors["temperature"] = torch.tensor(change["temperature"])
    write_weights(tmp_path / "c.safetensors", header | change, tensors)
    with pytest.raises(ValueError, match="does not fit together"):
        CircuitComparison.load(tmp_path / "c.safetensors")


# --- verdicts ---


def explanation(name: str, fits: bool, share: float = 0.2, departures: tuple[Departure, ...] = ()) -> Explanation:
    check = PredictiveCheck(np.zeros((2, 1, 3)), True, 0.9, 0.9, departures)
    return Explanation(name, 0.0 if fits else 50.0, 10.0, share, check)


@pytest.mark.parametrize(
    ("fitting", "probabilities", "status", "said"),
    [
        ({"a"}, {"a": 0.995, "b": 0.005, BACKGROUND: 0.0}, EXPLAINED, "a explains this recording (100%"),
        ({"a"}, {"a": 0.97, "b": 0.02, BACKGROUND: 0.01}, DOUBTFUL, "with a probability of 97% only"),
        ({"a", "b"}, {"a": 0.6, "b": 0.39, BACKGROUND: 0.01}, DOUBTFUL, "More than one circuit explains"),
        (
            {"a", "brunel-full"},
            {"brunel-full": 0.6, "brunel-asynchronous": 0.394, "a": 0.006, "b": 0.0, BACKGROUND: 0.0},
            EXPLAINED,
            "brunel explains this recording (99%",
        ),
        ({"a"}, {"b": 0.8, "a": 0.19, BACKGROUND: 0.01}, DOUBTFUL, "but b has 80%"),
        ({"a", BACKGROUND}, {"a": 0.5, BACKGROUND: 0.4, "b": 0.1}, DOUBTFUL, "nothing is told of a circuit"),
        ({BACKGROUND}, {BACKGROUND: 0.9, "a": 0.1, "b": 0.0}, NOT_EXPLAINED, "a background alone does"),
        (
            set(),
            {"a": 0.9, "b": 0.1, BACKGROUND: 0.0},
            NOT_EXPLAINED,
            "nearest is a, which it leaves at 20-30 Hz by +6.0",
        ),
    ],
)
def test_verdicts_say_what_the_fits_and_probabilities_mean(fitting, probabilities, status, said):
    departure = (Departure(20.0, 30.0, ("signal",), 4.0, True),)
    probabilities = dict.fromkeys(("a", "b", "brunel-full", BACKGROUND), 0.0) | probabilities
    found = [explanation(name, name in fitting, departures=departure) for name in ("a", "b", "brunel-full", BACKGROUND)]
    got, sentence, _, best = _verdict(found, probabilities, lambda name: name.partition("-")[0])
    assert got == status
    assert said in sentence
    assert (best is None) == (status == NOT_EXPLAINED or "nothing is told" in sentence)


@pytest.mark.parametrize(
    ("fitting", "status", "said"),
    [
        (
            {"brunel-full", "brunel-asynchronous"},
            EXPLAINED,
            "brunel explains 11 to 79 Hz of this recording, and no other",
        ),
        ({"a", "b"}, DOUBTFUL, "More than one circuit explains 11 to 79 Hz of this recording: a, b."),
        ({"a", BACKGROUND}, DOUBTFUL, "A background alone explains 11 to 79 Hz of this recording, as a would"),
        ({BACKGROUND}, NOT_EXPLAINED, "a background alone does"),
        (set(), NOT_EXPLAINED, "with a background or without; nearest is a,"),
    ],
)
def test_without_probabilities_a_circuit_is_named_if_it_alone_fits(fitting, status, said):
    names = ("a", "b", "brunel-full", "brunel-asynchronous", BACKGROUND)
    found = [explanation(name, name in fitting) for name in names]
    got, sentence, _, best = _verdict_of_fits(found, lambda name: name.partition("-")[0], "11 to 79 Hz")
    assert got == status
    assert said in sentence
    assert (best is None) == (status == NOT_EXPLAINED or "nothing is told" in sentence)


def test_decibels_have_a_sign():
    assert in_decibels(Departure(50.0, 50.0, ("signal",), 0.1, True)) == "at 50 Hz by -10.0 dB"


# --- shipped circuits ---


@shipped
def test_noise_is_explained_by_a_background_and_a_sharp_rhythm_is_not(circuits):
    fits, _ = circuits
    first = next(iter(fits.values()))
    rng = np.random.default_rng(3)
    kept = [background_alone(BACKGROUND, first, Additions().added(noise(), 1.0, rng)).fits for _ in range(6)]
    assert sum(kept) >= 5
    rhythm = signal(np.sin(2 * np.pi * 40 * np.arange(N) / RATE_HZ) + rng.standard_normal(N))
    assert not background_alone(BACKGROUND, first, rhythm).fits


@shipped
def test_a_network_is_among_those_that_explain_it(circuits, brunel):
    fits, comparison = circuits
    one = explain("lfp", brunel, {"brunel-asynchronous": fits["brunel-asynchronous"]}, comparison, 1)
    (own,) = [e for e in one.explanations if e.name == "brunel-asynchronous"]
    assert own.fits
    assert own.share < 0.5
    assert own.estimate is not None
    assert own.estimate.names == ("J", "g", "eta", "depth")


@shipped
def test_the_command_says_first_whether_and_ends_with_it(tmp_path):
    rng = np.random.default_rng(0)
    wave = sum(np.sin(2 * np.pi * f * np.arange(N) / RATE_HZ) for f in (31.0, 73.0, 121.0))
    write_recording(signal(wave + 0.05 * rng.standard_normal(N)), tmp_path / "sines.npz")
    (tmp_path / "broken.npz").write_bytes(b"nothing")
    answered = run(
        app,
        ["explain", str(tmp_path / "broken.npz"), str(tmp_path / "sines.npz"), "--out", str(tmp_path / "table.csv"),
         "--figure", str(tmp_path / "bands.png")],
    )  # fmt: skip
    assert answered.exit_code == 4, answered.output
    flat = " ".join(answered.output.split())
    assert "No circuit explains this recording" in flat
    assert "dB" in flat
    assert "phases drawn at random" in flat
    with open(tmp_path / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["status"] == "failed"
    assert {r["status"] for r in rows[1:]} == {NOT_EXPLAINED}
    assert len(rows) == 1 + 1 + len(shipped_circuits()[0])
    assert (tmp_path / "bands.png").stat().st_size > 10_000


@shipped
@pytest.mark.parametrize(("rate", "band"), [(250.0, None), (500.0, (20.0, 90.0))])
def test_a_part_of_the_band_gives_fits_and_no_probabilities(circuits, brunel, rate, band):
    fits, comparison = circuits
    few = {name: fits[name] for name in ("brunel-asynchronous", "ring")}
    one = explain("lfp", resampled(brunel, rate), few, comparison, 1, band_hz=band)
    assert one.probabilities == {}
    assert next(e for e in one.explanations if e.name == "brunel-asynchronous").fits
    low, high = one.features.band
    assert (low, high) == ((11.0, 99.0) if band is None else (21.0, 89.0))
    assert one.spectrum.shape == (1, len(one.features.frequencies))
    assert "probabilities are not given" in " ".join(one.remarks)
    assert ("sampled at 250 Hz" in " ".join(one.remarks)) == (band is None)
    table, console = ExplainedTable(), Console(width=200, record=True)
    table.add(one)
    show_explained(console, one)
    assert "probability," not in console.export_text()
    assert explained_figure(one).axes


@shipped
def test_trials_of_a_network_are_explained_by_it(circuits, brunel):
    """Two stretches of it, in another order."""
    fits, comparison = circuits
    half = brunel.steady.shape[1] // 2
    stretches = (brunel.steady[:, half : 2 * half], brunel.steady[:, :half])
    trials = [Recording(x, brunel.sampling_rate, brunel.unit, brunel.channels) for x in stretches]
    few = {"brunel-asynchronous": fits["brunel-asynchronous"]}
    one = explain("lfp", trials, few, comparison, 1)
    assert one.explanations[0].fits
    assert one.probabilities["brunel-asynchronous"] + one.probabilities["brunel-full"] > 0.9


@shipped
def test_a_recording_without_unit_and_with_bad_bands_is_told(tmp_path):
    np.save(tmp_path / "lfp.npy", noise().values)
    there = ["explain", str(tmp_path / "lfp.npy"), "--sampling-rate", "500"]
    for band, said in (("9,5", "holds no frequency"), ("x", "is not LOW,HIGH"), ("20,25", "hold 2 of the bands"),
                       ("300,400", "lies outside of 10 to 200 Hz")):  # fmt: skip
        answered = run(app, [*there, "--band", band])
        assert answered.exit_code == 2, answered.output
        assert said in " ".join(answered.output.split())
        assert "Traceback" not in answered.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["explain", "no.npz", "--out", "table.xlsx"], "written as .csv"),
        (["explain", "no.npz", "--figure", "no/bands.png"], "there is no folder no"),
    ],
)
def test_bad_orders_are_refused(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answered = run(app, arguments)
    assert answered.exit_code == 2
    assert said in " ".join(answered.output.split())
