"""The command line from simulation to estimate on small networks, and its answers to bad input."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from scipy.io import savemat
from typer.testing import CliRunner

from inference.cli import app
from inference.estimators.gradient_fit import GradientFit
from inference.estimators.load import load_estimator
from inference.recordings.conform import resampled
from inference.recordings.files import read_recording, write_recording
from inference.workflows.shipped import SHIPPED, reference_campaign
from inference.workflows.study import study_of
from simulators.campaigns.store import Campaign
from simulators.fields.probes import parse_probe
from simulators.recording import Recording

run = CliRunner().invoke
BRUNEL = ["simulate", "--simulator", "brunel", "--range", "asynchronous"]
SMALL = ["--set", "network.order=20"]
SIMULATE = [*BRUNEL, *SMALL, "--seed", "5", "--workers", "2"]
shipped = pytest.mark.skipif(not (SHIPPED / "brunel_ai.zarr").exists(), reason="no reference campaign is shipped")


def lfp(channels=6, samples=3000, rate=1000.0, unit="mV", scale=0.03):
    values = scale * np.random.default_rng(0).standard_normal((channels, samples))
    return Recording(values, rate, unit, tuple(f"z = {-100 * i:g} um" for i in range(channels)))


def flat(result):
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    path = tmp_path_factory.mktemp("campaign") / "small.zarr"
    result = run(app, [*SIMULATE, "--n", "90", "--duration", "1.5", "--out", str(path)])
    assert result.exit_code == 0, result.output
    assert "90 simulations" in result.output
    return path


def test_simulate_again_does_nothing_and_changed_is_refused(campaign):
    again = run(app, [*SIMULATE, "--n", "90", "--duration", "1.5", "--out", str(campaign)])
    assert again.exit_code == 0
    changed = run(
        app,
        [*BRUNEL, "--set", "network.order=30", "--seed", "5", "--n", "90", "--duration", "1.5", "--out", str(campaign)],
    )
    assert changed.exit_code == 2
    assert "was made with another simulator" in flat(changed)


def test_train_observe_infer(campaign, tmp_path):
    models = tmp_path / "models"
    probe = "depths=-100,-400"
    trained = run(app, ["train", "--campaign", str(campaign), "--probe", probe, "--out", str(models)])
    assert trained.exit_code == 0, trained.output
    store = Campaign(campaign)
    row = store.usable[-1]
    np.savez(tmp_path / "counts.npz", counts=store.values(np.array([row]))[0])
    J, g, _ = store.theta[row]
    out = tmp_path / "lfp.npz"
    observed = run(
        app,
        [
            "observe",
            str(tmp_path / "counts.npz"),
            "--simulator",
            "brunel",
            "--at",
            f"J={J},g={g}",
            "--probe",
            probe,
            *SMALL,
            "--out",
            str(out),
        ],
    )
    assert observed.exit_code == 0, observed.output
    assert read_recording(out).channels == ("z = -100 um", "z = -400 um")
    report = tmp_path / "report.html"
    inferred = run(app, ["infer", str(out), "--model", str(models), "--report", str(report)])
    assert inferred.exit_code == 0, inferred.output
    assert "neural posterior" in inferred.output
    assert "eta" in inferred.output
    assert report.stat().st_size > 10_000
    wrong = run(app, ["infer", str(tmp_path / "counts.npz"), "--model", str(models)])
    assert wrong.exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--n", "0", "--out", "x.zarr"], "at least one simulation"),
        (["--n", "3", "--out", "x.zarr", "--range", "half"], "has no range 'half'"),
        (["--n", "3", "--out", "x.zarr", "--simulator", "hopfield"], "no simulator 'hopfield'"),
        (["--n", "3", "--out", "/proc/x.zarr"], "cannot write"),
        (["--n", "3", "--out", "x.zarr", "--set", "network.order=1"], "without inhibitory inputs"),
        (["--n", "3", "--out", "x.zarr", "--scheduler", "tcp://127.0.0.1:1"], "no Dask scheduler answers"),
    ],
)
def test_bad_campaigns_end_with_one_message(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("simulators.campaigns.workers._ANSWER_S", 1)
    result = run(app, ["simulate", "--simulator", "brunel", *arguments])
    assert result.exit_code == 2
    assert words in flat(result)
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("infer lfp.npz --report no/report.html", "there is no folder no"),
        ("infer lfp.npz --out table.xlsx", "written as .csv, not as '.xlsx'"),
        ("infer lfp.npz --known K=0.2", "there is no parameter 'K'; parameters are J, g, eta"),
        ("infer lfp.npz --known J=much", "'J=much' is not NAME=NUMBER, such as tau_m=20"),
        ("infer lfp.npz --known J", "'J' is not NAME=VALUE"),
        ("infer lfp.npz --band 5", "--band '5' is not LOW,HIGH in Hz, such as 2,45"),
        ("infer lfp.npz --band low,high", "--band 'low,high' is not LOW,HIGH in Hz"),
        ("infer lfp.npz --band 45,2", "--band 45,2 holds no frequency"),
        ("infer lfp.npz --band nan,2", "holds no frequency"),
        ("infer lfp.npz --band 600,900", "600 to 900 Hz hold 0 of the bands that the fit compares"),
        ("infer lfp.npz --band 10,20", "10 to 20 Hz hold 1 of the bands"),
        ("explain lfp.npz --band 45,2", "--band 45,2 holds no frequency"),
        ("compare --n 5 --figure picture.foo", "does not end in a kind of picture"),
        ("diagnose --out no/diagnosis.html", "there is no folder no"),
        ("observe counts.npz --simulator brunel --at J=half,g=5", "give numbers for J, g"),
        ("observe counts.npz --simulator brunel --at J=0.1,G=5", "give numbers for J, g"),
    ],
)
def test_what_cannot_be_written_or_meant_is_said_before_the_work(command, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "lfp.npz").touch()
    result = run(app, command.split())
    assert result.exit_code == 2
    assert words in flat(result)


@pytest.mark.parametrize(
    "probe",
    [
        "depths=0,deep",
        "0,-100",
        "depths=0;colour=red",
        "depths=0,0",
        "depths=",
        "",
        "angles=0,200",
        "angles=0;sigma=0.3",
        "angles=0;depth=-1,-2",
        "angles=0;depth=100",
    ],
)
def test_bad_probes_are_refused(probe):
    with pytest.raises(ValueError, match=r"cannot read the probe '.*': .*; write it as"):
        parse_probe(probe)


def test_a_probe_is_read():
    probe = parse_probe("depths=0,-250.5; sigma=0.4; radius=7")
    assert (probe.depths_um, probe.sigma_S_per_m, probe.contact_radius_um) == ((0.0, -250.5), 0.4, 7.0)
    electrodes = parse_probe("angles=0,30; depth=-400")
    assert (electrodes.angles_deg, electrodes.dipole_depth_um) == ((0.0, 30.0), -400.0)


@shipped
@pytest.mark.parametrize(
    ("recording", "words"),
    [
        (lfp(channels=1), "1 channel; this estimator was trained for 6"),
        (lfp(rate=50.0), "sampled at 50 Hz"),
        (lfp(rate=25.0), "hold 1 of the bands that the fit compares"),
        (lfp(samples=10), "samples"),
        (lfp(unit="uV", scale=3e-8), "10^"),
        (lfp().with_values(np.where(np.arange(3000) == 7, np.nan, lfp().values)), "not finite"),
    ],
)
def test_bad_recordings_end_with_one_message(recording, words, tmp_path):
    write_recording(recording, tmp_path / "lfp.npz")
    result = run(app, ["infer", str(tmp_path / "lfp.npz")])
    assert result.exit_code == 2
    assert words in flat(result)


@shipped
def test_a_known_value_is_used_and_what_it_changes_is_said(tmp_path):
    """A value that the recording speaks against is named."""
    campaign = reference_campaign()
    theta, (recording,) = study_of(campaign).recordings(campaign, campaign.usable[-1:])
    write_recording(recording, tmp_path / "lfp.npz")
    for value, contradicted in ((theta[0, 0], False), (0.12, True)):
        result = run(app, ["infer", str(tmp_path / "lfp.npz"), "--known", f"J={value:.4f}"])
        assert result.exit_code == 0, result.output
        assert f"with J = {value:.4g}" in flat(result)
        assert ("without knowing it, J would be" in flat(result)) == contradicted


@pytest.fixture(scope="module")
def network():
    """Parameters and LFP of a network that nothing was learned from."""
    campaign = reference_campaign()
    theta, (recording,) = study_of(campaign).recordings(campaign, campaign.usable[-1:])
    return theta[0], recording


@shipped
def test_a_band_leaves_out_what_lies_beyond_it_and_estimators_that_cannot(network, tmp_path):
    """A hum at 300 Hz that no network makes; below it the network is found."""
    _, recording = network
    hum = 0.1 * np.sin(2 * np.pi * 310 * recording.times_ms / 1e3) * np.cos(2 * np.pi * 7 * recording.times_ms / 1e3)
    write_recording(recording.with_values(recording.values + hum), tmp_path / "lfp.npz")
    assert "Do not trust" in flat(run(app, ["infer", str(tmp_path / "lfp.npz")]))
    within = run(app, ["infer", str(tmp_path / "lfp.npz"), "--band", "2,200"])
    assert within.exit_code == 0, within.output
    assert "2.5 to 197.5 Hz count alone; the other estimators, which have learned a band of their own" in flat(within)
    assert "Do not trust" not in flat(within)
    assert "CNN" not in within.output
    cnn = str(SHIPPED / "brunel_ai_cnn.safetensors")
    refused = run(app, ["infer", str(tmp_path / "lfp.npz"), "--band", "2,200", "--model", cnn])
    assert refused.exit_code == 2
    assert "--band is for the gradient fit" in flat(refused)


@shipped
def test_a_slow_recording_is_answered_below_its_edge_by_the_gradient_fit(network, tmp_path):
    write_recording(resampled(network[1], 256.0), tmp_path / "lfp.npz")
    answered = run(app, ["infer", str(tmp_path / "lfp.npz"), "--report", str(tmp_path / "page.html")])
    assert answered.exit_code == 0, answered.output
    assert "the recording is sampled at 256 Hz: 2.5 to 102.5 Hz alone count" in flat(answered) or (
        "the recording is sampled at 256 Hz: 2.5 to 97.5 Hz alone count" in flat(answered)
    )
    assert "Do not trust" not in flat(answered)
    assert "a method could not answer: the recording is sampled at 256 Hz" in flat(answered)
    assert (tmp_path / "page.html").stat().st_size > 10_000


@shipped
def test_drift_is_told_and_subtracted_on_demand(network, tmp_path):
    recording = network[1]
    slope = np.linspace(0, 5, recording.values.shape[1])
    write_recording(recording.with_values(recording.values + slope), tmp_path / "lfp.npz")
    assert "subtract the line (--detrend)" in flat(run(app, ["infer", str(tmp_path / "lfp.npz")]))
    level = flat(run(app, ["infer", str(tmp_path / "lfp.npz"), "--detrend"]))
    assert "drift" not in level
    assert "Do not trust" not in level


@shipped
def test_trials_are_windows_a_row_each(network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recording = network[1]
    half = recording.steady.shape[1] // 2
    trials = np.stack([recording.steady[:, :half], recording.steady[:, half : 2 * half]])
    np.savez("trials.npz", values=trials, fs=1000.0, unit="mV")
    model = str(SHIPPED / "brunel_ai_gradient.safetensors")
    one_page = run(app, ["infer", "trials.npz", "--report", "page.html"])
    assert one_page.exit_code == 2
    assert "page.html is one page, and there are several" in flat(one_page)
    answered = run(app, ["infer", "trials.npz", "--model", model, "--report", "pages"])
    assert answered.exit_code == 0, answered.output
    with open("estimates.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["window"], float(row["start_s"])) for row in rows] == [("0", 0.0), ("1", half / 1e3)]
    assert len(list(tmp_path.glob("pages/*.html"))) == 2


@shipped
def test_no_unit_is_asked_for_where_the_gain_is_unknown(network, tmp_path):
    """Estimators of relative features; others do ask."""
    fit = load_estimator(SHIPPED / "brunel_ai_gradient.safetensors").with_nuisances(gain=True)
    replace_features(fit).save(tmp_path / "relative.safetensors")
    np.save(tmp_path / "lfp.npy", network[1].steady)
    np.savetxt(tmp_path / "lfp.csv", network[1].steady.T, delimiter=",")
    savemat(tmp_path / "lfp.mat", {"lfp": network[1].steady})
    for name in ("lfp.npy", "lfp.csv", "lfp.mat"):
        order = ["infer", str(tmp_path / name), "--sampling-rate", "1000"]
        assert "does not say its unit" in flat(run(app, order))
        answered = run(app, [*order, "--model", str(tmp_path / "relative.safetensors")])
        assert answered.exit_code == 0, answered.output
        assert "Do not trust" not in flat(answered)


def replace_features(fit: GradientFit) -> GradientFit:
    fit.features = replace(fit.features, relative=True)
    return fit


@shipped
def test_a_recording_that_no_network_explains_is_answered_with_a_warning(tmp_path):
    write_recording(lfp(), tmp_path / "noise.npz")
    result = run(app, ["infer", str(tmp_path / "noise.npz")])
    assert result.exit_code == 0, result.output
    assert "do not trust" in flat(result)


@shipped
@pytest.mark.slow
def test_the_demo_draws_its_report(tmp_path):
    result = run(app, ["demo", "--out", str(tmp_path / "demo"), "--order", "1000"])
    assert result.exit_code == 0, result.output
    assert "seed 2026" in result.output
    assert (tmp_path / "demo" / "report.html").stat().st_size > 100_000
    assert read_recording(tmp_path / "demo" / "lfp.npz").values.shape == (6, 3000)


@shipped
def test_the_variable_that_a_message_asks_for_can_be_named(tmp_path):
    path = tmp_path / "two.npz"
    np.savez(path, a=lfp().values, b=lfp(channels=3).values, sampling_rate=1000.0)
    refused = run(app, ["infer", str(path), "--unit", "mV"])
    assert refused.exit_code == 2
    assert "--variable" in flat(refused)
    named = run(app, ["infer", str(path), "--unit", "mV", "--variable", "b"])
    assert "3 channels; this estimator was trained for 6" in flat(named)
