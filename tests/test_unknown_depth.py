"""A probe whose depth is known only roughly: what it sees, and a posterior that finds by how much it is off."""

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from inference.cli import app
from inference.estimators.load import load_estimator
from inference.workflows.brunel import brunel_study
from inference.workflows.shipped import reference_campaign
from inference.workflows.study import study_of
from inference.workflows.train import spectral_study, train
from inference.workflows.unknown_depth import UnknownDepth
from simulators.fields.probes import LaminarProbe, parse_probe

CONTACTS = (0.0, -150.0, -300.0)


@pytest.fixture(scope="module")
def campaign():
    return reference_campaign()


def test_each_simulation_is_seen_where_it_is_said(campaign):
    study = study_of(campaign, probe=LaminarProbe(CONTACTS))
    depth = UnknownDepth.of(study, 90.0, 300, seed=0)
    assert depth.drawn.min() < -85
    assert depth.drawn.max() > 85
    theta, (source,) = campaign.theta[:1], campaign.recordings(np.array([0]))
    for i in (0, int(np.abs(depth.drawn).argmax())):
        shifted = LaminarProbe(tuple(z + float(depth.drawn[i]) for z in CONTACTS))
        moved = study_of(campaign, probe=shifted).observe(source, theta[0])
        seen = depth.observe(i, source, theta[0])
        assert (seen.values - moved.values).std() < 0.02 * moved.values.std()
        assert (seen.values - study.observe(source, theta[0]).values).std() > 0.05 * moved.values.std()
        assert seen.channels == study.observe(source, theta[0]).channels
    assert len(UnknownDepth.of(study, 400.0, 10, 0).shifts) == 33


def test_a_depth_is_that_of_a_laminar_probe(campaign):
    eeg = study_of(campaign, probe=parse_probe("angles=0"))
    with pytest.raises(ValueError, match="laminar probe"):
        UnknownDepth.of(eeg, 100.0, 10, 0)
    with pytest.raises(ValueError, match="give up to 1000 um"):
        UnknownDepth.of(brunel_study(), 0.0, 10, 0)
    with pytest.raises(ValueError, match="the gradient fit takes the probe's depth as known"):
        next(train(brunel_study(), campaign, ["gradient"], depth_within_um=50.0))


@pytest.mark.slow
def test_the_command_trains_a_posterior_that_finds_the_depth(campaign, tmp_path):
    out = tmp_path / "models"
    done = CliRunner().invoke(
        app,
        ["train", "--probe", "depths=0,-150,-300", "--depth-within", "100", "--estimators", "npe", "--test", "2200",
         "--out", str(out)],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    posterior = load_estimator(out / "npe.safetensors")
    assert posterior.about["depth_within_um"] == 100.0
    rows = campaign.usable[-40:]
    off, sds = [], []
    for shift in (-60.0, 30.0):
        moved = spectral_study(campaign, probe=LaminarProbe(tuple(z + shift for z in CONTACTS)))
        _, recordings = moved.recordings(campaign, rows)
        for recording in recordings:
            told = posterior.estimate(replace(recording, channels=posterior.channels)).nuisances["depth"]
            off.append(told.mean() - shift)
            sds.append(told.std())
    assert np.abs(off).mean() < 10.0  # of a range of 200 um
    assert np.mean(sds) < 10.0
    assert np.sqrt(np.mean((np.array(off) / sds) ** 2)) < 1.6
