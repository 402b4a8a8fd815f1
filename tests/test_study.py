"""Studies: a circuit, an instrument and features; what is tested on what, and what does not belong together."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from toy_simulators import BOX, NoiseSimulator
from typer.testing import CliRunner

from inference.cli import app
from inference.commands.options import load_models
from inference.features.spectra import SpectralFeatures
from inference.workflows.evaluate import held_out
from inference.workflows.study import NotAtHand, Study, split_rows, study_of
from inference.workflows.train import bands_for, spectral_study, train
from simulators.campaigns.run import run_campaign
from simulators.fields.probes import parse_probe
from simulators.interface import Observed, Parameter, ParameterSpace
from simulators.recording import Recording

OTHER = ParameterSpace((Parameter("a", "mV", 0.0, 1.0), Parameter("g", "1", 1.0, 2.0)))


@dataclass(frozen=True)
class Sum:
    """An instrument that sees one channel: the sum, times the second parameter."""

    def observe(self, source, theta):
        summed = theta[1] * source.values.sum(0, keepdims=True)
        return Recording(summed, source.sampling_rate, source.unit, ("sum",), source.transient)


@dataclass(frozen=True)
class Seen(NoiseSimulator):
    """Noise that an instrument sees."""

    def forward_model(self, probe=None):
        return Sum()


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    return run_campaign(NoiseSimulator(), 160, 1, tmp_path_factory.mktemp("study") / "c.zarr", progress=False)


def nearest(campaign, test=0, study=None):
    return dict(train(study or study_of(campaign), campaign, ["nearest"], test=test, progress=False))["nearest"]


# --- with an instrument and without ---


def test_without_an_instrument_recordings_are_taken_as_they_are(campaign):
    study = study_of(campaign, NoiseSimulator())
    assert study.forward_model is None
    assert study.observed is study.simulator
    theta, (first,) = study.recordings(campaign, np.array([3]))
    np.testing.assert_array_equal(first.values, campaign.values(np.array([3]))[0])
    np.testing.assert_array_equal(theta[0], campaign.theta[3])


def test_an_instrument_sees_each_recording_with_its_own_parameters(campaign, rng):
    study = Study(NoiseSimulator(), Sum())
    assert isinstance(study.observed, Observed)
    theta, recordings = study.recordings(campaign, np.array([3, 5]))
    for t, seen, source in zip(theta, recordings, campaign.values(np.array([3, 5])), strict=True):
        np.testing.assert_allclose(seen.values[0], t[1] * source.sum(0))
    assert study.observed.simulate(BOX.from_unit(np.full(2, 0.5)), rng).channels == ("sum",)


def test_a_simulator_brings_its_instrument(tmp_path):
    campaign = run_campaign(Seen(), 60, 1, tmp_path / "c.zarr", progress=False)
    assert study_of(campaign, Seen()).forward_model == Sum()
    assert nearest(campaign, study=study_of(campaign, Seen())).channels == ("sum",)
    # Without its code nothing says what an instrument sees.
    assert study_of(campaign).forward_model is None


def test_a_probe_for_a_simulator_without_an_instrument_is_refused(campaign):
    with pytest.raises(ValueError, match="does not say what a probe sees of it: leave --probe out"):
        study_of(campaign, NoiseSimulator(), parse_probe("depths=0,-100"))


def test_without_its_code_a_campaign_is_learned_from_but_not_simulated(campaign, rng):
    study = study_of(campaign)
    assert isinstance(study.simulator, NotAtHand)
    assert study.features == SpectralFeatures(1000.0)
    with pytest.raises(ValueError, match=r"simulating needs the code of NoiseSimulator.*--simulator my_model.py:name"):
        study.simulator.simulate(BOX.low, rng)


# --- what does not belong together ---


def test_another_circuits_simulator_is_refused(campaign):
    with pytest.raises(ValueError, match=r"with parameters a, b; the simulator given has a, g"):
        study_of(campaign, NoiseSimulator(parameters=OTHER))
    with pytest.raises(ValueError, match=r"c.zarr: it was made by NoiseSimulator, not by Seen"):
        study_of(campaign, Seen())


def test_the_simulator_given_gets_the_settings_of_the_campaign(tmp_path):
    made = run_campaign(NoiseSimulator(samples=120), 2, 1, tmp_path / "c.zarr", progress=False)
    assert study_of(made, NoiseSimulator()).simulator == NoiseSimulator(samples=120)


def test_another_circuits_estimators_are_refused(campaign, tmp_path):
    other = run_campaign(NoiseSimulator(parameters=OTHER), 60, 1, tmp_path / "c.zarr", progress=False)
    with pytest.raises(ValueError, match=r"nearest estimator is of a, b, .* of a, g; take estimators trained on"):
        held_out([nearest(campaign)], other)
    nearest(campaign).save(tmp_path / "one.safetensors")
    load_models(tmp_path)
    nearest(other).save(tmp_path / "two.safetensors")
    with pytest.raises(
        ValueError, match=r"two.safetensors is of a .*, g .*, one.safetensors of a .*, b .*of one circuit"
    ):
        load_models(tmp_path)


# --- what is tested ---


def test_by_default_what_training_kept_is_tested(campaign):
    tested = held_out([nearest(campaign, test=50)], campaign)
    np.testing.assert_array_equal(tested.theta, campaign.theta[-50:])
    assert tested.cautions == ()


@pytest.mark.parametrize(("kept", "n", "seen"), [(50, 80, 30), (0, None, 160), (50, 20, 0)])
def test_testing_what_was_learned_from_is_said(campaign, kept, n, seen):
    tested = held_out([nearest(campaign, test=kept)], campaign, n)
    assert len(tested.cautions) == (seen > 0)
    assert all(c.startswith(f"{seen} of the {n or 160} simulations tested are among those") for c in tested.cautions)


def test_rows_in_the_middle_can_be_kept_for_testing(campaign):
    parts = (range(40), range(60, 160))
    ((_, estimator),) = train(study_of(campaign), campaign, ["nearest"], progress=False, rows=parts)
    assert estimator.about["simulations"] == 140
    tested = held_out([estimator], campaign)
    np.testing.assert_array_equal(tested.theta, campaign.theta[40:60])
    assert tested.cautions == ()
    (said,) = held_out([estimator], campaign, 30).cautions
    assert said.startswith("30 of the 30 simulations tested are among those")


def test_another_campaign_is_tested_whole_and_another_circuit_is_said(campaign, tmp_path):
    estimator = nearest(campaign)
    again = run_campaign(NoiseSimulator(), 40, 2, tmp_path / "again.zarr", progress=False)
    tested = held_out([estimator], again)
    assert (len(tested.theta), tested.cautions) == (40, ())
    seen = run_campaign(Seen(), 40, 2, tmp_path / "seen.zarr", progress=False)
    (said,) = held_out([estimator], seen).cautions
    assert said == "the estimators learned from simulations of NoiseSimulator, the campaign is of Seen"


# --- the spectra and bands of a study ---


def test_the_band_and_a_lower_rate_are_those_asked_for(campaign):
    study = spectral_study(campaign, band_hz=(20.0, 200.0), sampling_rate=500.0, test=100)
    assert (study.features.sampling_rate, study.features.band) == (500.0, (20.0, 200.0))
    assert nearest(campaign, study=study).estimate(campaign.recordings(np.array([0]))[0]).point.shape == (2,)


def test_a_rate_above_the_simulated_is_refused(campaign):
    with pytest.raises(ValueError, match="the simulations have 1000 Hz; estimators for 2000 Hz need faster ones"):
        spectral_study(campaign, sampling_rate=2000.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--band", "10,200", "--sampling-rate", "500"], "spectra of 10 ... 200 Hz"),
        (["--band", "10"], "give two frequencies in Hz"),
        (["--band", "10,400", "--sampling-rate", "500"], "does not fit a sampling rate of 500 Hz"),
        (["--sampling-rate", "2000"], "need faster ones"),
    ],
)
def test_train_takes_a_band_and_a_rate_from_the_command_line(campaign, tmp_path, options, said):
    done = CliRunner().invoke(
        app,
        ["train", "--campaign", str(campaign.path), "--out", str(tmp_path), "--estimators", "nearest", *options],
    )
    assert said in " ".join(done.output.split())
    assert (done.exit_code == 0) == (tmp_path / "nearest.safetensors").is_file() == said.startswith("spectra")


def test_a_slow_sharp_rhythm_gets_narrow_low_bands_and_a_flat_spectrum_even_ones(rng):
    noise = Recording(rng.standard_normal((1, 5000)), 1000.0, "mV", ("V",))
    ringing = np.zeros((1, 5000))
    for t in range(2, 5000):
        ringing[0, t] = 1.994 * ringing[0, t - 1] - 0.998 * ringing[0, t - 2] + noise.values[0, t]
    features = SpectralFeatures()
    even, narrow = bands_for([noise], features), bands_for([noise.with_values(ringing)], features)
    assert even.widening == 0
    assert (np.diff(narrow.widths) > 0).all()
    assert narrow.widths[0] < even.widths[0] < narrow.widths[-1]
    assert len(narrow) == len(even) == 99
    assert narrow.edges[-1] == pytest.approx(even.edges[-1], rel=1e-3)


def test_many_channels_in_a_short_recording_get_few_bands_that_they_fill(rng):
    short = Recording(rng.standard_normal((12, 500)), 1000.0, "mV", tuple(map(str, range(12))))
    bands = bands_for([short], SpectralFeatures())
    assert bands.widths.min() * 0.5 >= 3 * 12 - 1e-9
    assert replace(bands, widening=0.0) == bands


def test_rows_to_train_on_and_to_test_on_do_not_overlap(campaign):
    trained, tested = split_rows(campaign, 30)
    assert len(trained) + len(tested) == len(campaign.usable)
    assert trained.max() < tested.min()
