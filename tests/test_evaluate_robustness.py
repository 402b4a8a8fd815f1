"""The backgrounds that the script on robustness adds, and how it scores answers about one channel."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import evaluate_robustness as script

from inference.estimate import Estimate
from inference.explaining.spectra import RATE_HZ
from inference.workflows.shipped import reference_campaign, shipped_estimators
from inference.workflows.study import study_of
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording

N = 1400
SPACE = ParameterSpace((Parameter("J", "mV", 0.0, 1.0), Parameter("g", "1", 0.0, 10.0)))


def power_at_10_hz(values: np.ndarray) -> float:
    frequencies = np.fft.rfftfreq(values.shape[1], 1 / RATE_HZ)
    return float((np.abs(np.fft.rfft(values[0])[np.abs(frequencies - 10) < 3]) ** 2).mean())


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_a_background_has_its_share_of_the_power_at_10_hz(share):
    """On average over draws; with neither the recording's phases nor its shape."""
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        recording = Recording(rng.standard_normal((1, N)), RATE_HZ, "1", ("signal",))
        added = script.in_background(recording, share, rng).values - recording.values
        found.append(power_at_10_hz(added) / power_at_10_hz(recording.values))
    assert np.mean(found) == pytest.approx(share, rel=0.15)


def test_answers_about_one_channel_are_scored_and_refusals_counted():
    def estimate(theta: np.ndarray, warnings: tuple[str, ...] = ()) -> Estimate:
        samples = theta + 0.01 * np.random.default_rng(0).standard_normal((200, 2))
        return Estimate(SPACE, theta, samples, "gradient fit", warnings)

    theta = np.array([[0.2, 3.0], [0.4, 5.0], [0.6, 7.0], [0.5, 2.0]])
    shifted = theta + np.array([0.1, 0.0])
    told = [(estimate(t, ("the posterior is far from normal: ...",) if k == 0 else ()), k < 2)
            for k, t in enumerate(shifted)]  # fmt: skip
    found = script.scored(theta, told)
    assert found["bias_percent"] == pytest.approx({"J": 10.0, "g": 0.0})
    assert found["coverage90"] == {"J": 0.0, "g": 1.0}
    assert (found["n"], found["flagged_percent"], found["rough_percent"]) == (4, 50.0, 25.0)


@pytest.mark.slow
def test_several_descents_at_once_answer_as_one_by_one():
    """Also where noise of the channels is fitted along."""
    campaign = reference_campaign()
    _, recordings = study_of(campaign).recordings(campaign, campaign.usable[-2:])
    fit = next(e for e in shipped_estimators("asynchronous") if e.kind == "gradient")
    for each in (fit, fit.with_nuisances(floor=True)):
        noisy = script.in_noise(recordings, 0.01)
        for fast, slow in zip(script.answers(each, noisy, ""), map(each.estimate, noisy), strict=True):
            np.testing.assert_allclose(fast.point, slow.point, rtol=0.01)


def test_what_explain_refuses_is_scored_and_counted_as_refused(monkeypatch):
    """It gives no numbers for such a recording, and the script needs some all the same."""
    asked = []

    class Fit:
        kind = "gradient"

        def with_nuisances(self, **nuisances):
            asked.append(nuisances)
            return self

        def estimate(self, recording):
            return Estimate(SPACE, np.array([0.5, 5.0]), None, "gradient fit")

    recording = Recording(np.ones((1, N)), RATE_HZ, "1", ("signal",))
    for found, refused in ((None, True), (Estimate(SPACE, np.array([0.1, 1.0]), None, "explained"), False)):
        explanation = type("Explanation", (), {"estimate": found})
        monkeypatch.setattr(script, "explained_by", lambda *_, one=explanation: one)
        estimate, said = script.alone(Fit(), recording, True)
        assert (estimate.method, said) == ("gradient fit" if refused else "explained", refused)
    assert script.alone(Fit(), recording, False)[1] is False
    assert asked == [{"gain": True, "background": True}, {"gain": True, "background": False}]
