"""Circuits that nobody tuned for, from a file to a posterior; and a posterior that is known exactly."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from inference.cli import app
from inference.estimate import Estimate
from inference.evaluation.scores import score
from inference.recordings.files import write_recording
from inference.workflows.study import split_rows
from inference.workflows.train import spectral_study, train
from simulators.campaigns.run import run_campaign
from simulators.registry import load_simulator

MODELS = Path(__file__).parent / "own_models"
NAMES = sorted(path.stem for path in MODELS.glob("*.py"))


@pytest.fixture
def oscillator(monkeypatch):
    """The module of the damped oscillator."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    load_simulator(f"{MODELS}/damped_oscillator.py:damped_oscillator")
    return sys.modules["damped_oscillator"]


def exact(oscillator, recordings, rng):
    posteriors = [oscillator.ExactPosterior(r.steady[0]) for r in recordings]
    space = oscillator.damped_oscillator.parameters
    return [Estimate(space, p.mean, p.samples(1000, rng), "exact") for p in posteriors]


def widened(estimate, factor):
    """The same with samples further from their mean, or nearer to it."""
    return replace(estimate, samples=estimate.point + factor * (estimate.samples - estimate.point))


def dishonest(truths, estimates):
    """Parameters whose 50 % and 90 % intervals hold the truth beyond chance too seldom or too often (3 sd)."""
    found, n = score(truths, estimates), len(truths)
    inner = np.abs(found.coverage50 - 0.5) > 3 * np.sqrt(0.25 / n)
    outer = np.abs(found.coverage90 - 0.9) > 3 * np.sqrt(0.09 / n)
    return [name for name, bad in zip(found.parameters.names, inner | outer, strict=True) if bad]


@pytest.mark.parametrize("name", NAMES)
def test_models_of_a_page_are_simulators(name, rng):
    simulator = load_simulator(f"{MODELS / name}.py:{name}")
    for theta in simulator.parameters.sample(3, rng):
        first, again, other = (simulator.simulate(theta, np.random.default_rng(seed)) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first.values, again.values)
        assert (first.values != other.values).any()
        assert np.isfinite(first.values).all()
        assert first.transient == round(simulator.transient_ms * first.sampling_rate / 1e3)


def test_the_likelihood_of_the_oscillator_is_that_of_the_gaussian_process(oscillator, rng):
    """Against the density of the whole recording's covariance, from the impulse response."""
    x = rng.standard_normal(40)
    for frequency, damping in ((10.0, 40.0), (25.0, 50.0)):
        a1, a2 = oscillator.coefficients(frequency, damping)
        response = np.zeros(3000)
        response[:2] = 1, a1
        for t in range(2, 3000):
            response[t] = a1 * response[t - 1] + a2 * response[t - 2]
        lags = [response[: 3000 - k] @ response[k:] for k in range(40)]
        covariance = np.array([[lags[abs(i - j)] for j in range(40)] for i in range(40)])
        direct = -(x @ np.linalg.solve(covariance, x) + np.linalg.slogdet(covariance)[1] + 40 * np.log(2 * np.pi)) / 2
        found = oscillator.log_likelihood(x, np.array(frequency), np.array(damping))
        assert float(found) == pytest.approx(direct, abs=1e-6)


def test_the_exact_posterior_is_calibrated_and_others_are_not(oscillator, rng):
    simulator = oscillator.damped_oscillator
    theta = simulator.parameters.sample(150, rng)
    estimates = exact(oscillator, [simulator.simulate(t, rng) for t in theta], rng)
    for width, honest in ((1.0, True), (0.5, False), (2.0, False)):
        assert (dishonest(theta, [widened(e, width) for e in estimates]) == []) == honest, width


def test_from_a_file_to_an_answer_on_the_command_line(tmp_path, rng):
    """As the documentation's page says it, with few simulations and the estimator that needs no training."""
    reference = f"{MODELS}/wilson_cowan.py:wilson_cowan"
    campaign, models, recording = tmp_path / "wc.zarr", tmp_path / "models", tmp_path / "recording.npz"
    write_recording(load_simulator(reference).simulate([10.0, 10.0], rng), recording)
    for command in (
        ["simulate", "--simulator", reference, "--n", "160", "--seed", "1", "--out", campaign],
        ["train", "--campaign", campaign, "--test", "110", "--out", models, "--estimators", "nearest"],
        ["infer", recording, "--model", models, "--report", tmp_path / "report.html"],
        ["compare", "--campaign", campaign, "--model", models],
        ["diagnose", "--campaign", campaign, "--model", models, "--out", tmp_path / "diagnosis.html"],
        [
            "diagnose",
            "--campaign",
            campaign,
            "--model",
            models,
            "--simulator",
            reference,
            "--n",
            "120",
            "--out",
            tmp_path / "again.html",
        ],
    ):
        done = CliRunner().invoke(app, [str(word) for word in command])
        assert done.exit_code == 0, done.output
        said = " ".join(done.output.split())
        assert ("10 of the 120 simulations tested are among those that the estimators learned" in said) == (
            "120" in command
        )
    assert "110" in (tmp_path / "diagnosis.html").read_text()
    assert "w_ee" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_a_trained_posterior_agrees_with_the_exact_one(oscillator, tmp_path):
    """Trained on 1,000 simulations; on 200 others.

    Means within one exact standard deviation in most recordings, widths at least the exact ones' but for a tenth and at
    most 2.5 times them, honest coverage; half as wide, the same posterior fails each of the checks of width.
    """
    simulator = oscillator.damped_oscillator
    campaign = run_campaign(simulator, 1200, 1, tmp_path / "c.zarr", workers=2, progress=False)
    study = spectral_study(campaign, test=200)
    ((_, trained),) = train(study, campaign, ["npe"], test=200, progress=False)
    theta, recordings = study.recordings(campaign, split_rows(campaign, 200)[1])
    known = exact(oscillator, recordings, np.random.default_rng(0))
    learned = [trained.estimate(r) for r in recordings]
    sd = np.stack([e.samples.std(0) for e in known])
    apart = np.abs(np.stack([e.point for e in learned]) - np.stack([e.point for e in known])) / sd
    assert (np.median(apart, 0) < 1).all()

    def relative_width(estimates):
        return np.median(np.stack([e.samples.std(0) for e in estimates]) / sd, 0)

    assert dishonest(theta, learned) == []
    assert (relative_width(learned) > 0.9).all()
    assert (relative_width(learned) < 2.5).all()
    narrow = [widened(e, 0.5) for e in learned]
    assert set(dishonest(theta, narrow)) == {"frequency", "damping"}
    assert not (relative_width(narrow) > 0.9).all()
