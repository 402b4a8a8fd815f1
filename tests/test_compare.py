"""Scores of estimates whose errors are known, the limit beside them, and the commands that print both."""

import json

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from inference.cli import app
from inference.estimate import Estimate
from inference.evaluation.diagnose import posterior_findings
from inference.evaluation.scores import score, score_all
from inference.reports.comparison import compare_figure, compare_tables
from inference.reports.diagnosis_page import write_diagnosis
from inference.workflows.evaluate import held_out
from inference.workflows.shipped import SHIPPED
from simulators.interface import Parameter, ParameterSpace

SPACE = ParameterSpace((Parameter("first", "1", -5.0, 5.0), Parameter("second", "mV", 0.0, 100.0)))
SHARE = 0.003  # of each range: small, so that the range's edges cut no posterior off
SD = SHARE * np.array([10.0, 100.0])
shipped = pytest.mark.skipif(not (SHIPPED / "brunel_ai_gradient.safetensors").is_file(), reason="no shipped estimators")


def estimates(n=2000, width=1.0, shift=0.0, draws=400, seed=0):
    rng = np.random.default_rng(seed)
    theta = SPACE.from_unit(0.1 + 0.8 * rng.random((n, 2)))
    points = theta + SD * (shift + rng.standard_normal((n, 2)))
    return theta, [Estimate(SPACE, p, p + SD * width * rng.standard_normal((draws, 2)), "test") for p in points]


def test_scores_of_honest_normal_estimates_are_the_closed_form_ones():
    found = score(*estimates())
    np.testing.assert_allclose(found.error, SHARE * np.sqrt(2 / np.pi), rtol=0.05)
    np.testing.assert_allclose(found.bias, 0, atol=0.0003)
    np.testing.assert_allclose(found.coverage50, 0.5, atol=0.05)
    np.testing.assert_allclose(found.coverage90, 0.9, atol=0.03)
    np.testing.assert_allclose(found.r2, 1 - SHARE**2 * 12 / 0.8**2, atol=1e-4)
    # Of a normal with its own intervals: 2 phi(z) / 0.05 standard deviations.
    z = 1.6449
    np.testing.assert_allclose(
        found.interval_score, SHARE * 2 * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) / 0.05, rtol=0.05
    )
    assert json.loads(json.dumps(found.to_json()))["error_percent"]["first"] == pytest.approx(0.24, abs=0.02)


@pytest.mark.parametrize("fault", [{"width": 0.5}, {"width": 2.5}, {"shift": 1.5}])
def test_dishonest_estimates_have_worse_interval_scores(fault):
    assert (score(*estimates(**fault)).interval_score > 1.1 * score(*estimates()).interval_score).all()


def test_there_must_be_something_to_compare():
    with pytest.raises(ValueError, match="no recordings"):
        score_all({}, np.zeros((0, 2)), [])


def test_table_and_figure_hold_every_estimator():
    scores = {"good": score(*estimates(), 0.5, 100), "bad": score(*estimates(width=0.4), 0.001, 2000)}
    limit = np.array([0.008, 0.008])
    console = Console(record=True, width=100)
    console.print(*compare_tables(scores, limit))
    text = console.export_text()
    assert "good" in text
    assert "bad" in text
    assert "1.0" in text
    figure = compare_figure(scores, limit)
    assert len(figure.axes) == 4
    assert figure.axes[3].get_yscale() == "log"


@pytest.mark.slow
def test_the_diagnosis_names_what_is_wrong_and_only_that(tmp_path):
    found = {}
    for name, fault in (("honest", {}), ("narrow", {"width": 0.5})):
        theta, all_estimates = estimates(n=300, **fault)
        features = np.stack([e.point for e in all_estimates])
        answered = [*all_estimates[:-1], None]  # one recording was refused
        found[name] = posterior_findings(SPACE, theta, answered, features)
    assert all(f.good for f in found["honest"])
    assert [f.verdict for f in found["narrow"][:2]] == ["overconfident"] * 2
    write_diagnosis(tmp_path / "d.html", "Trust <them>?", 300, found, SPACE, {"seed": 1})
    page = (tmp_path / "d.html").read_text()
    assert "Trust &lt;them&gt;?" in page
    assert page.count("data:image/png;base64,") == 2
    assert "narrow, simulation-based calibration" in page
    assert "honest, " not in page
    assert "1 left out as failed" in page


@shipped
def test_the_compare_command_prints_all_estimators_and_the_limit(tmp_path):
    result = CliRunner().invoke(app, ["compare", "--n", "3", "--figure", str(tmp_path / "c.png")])
    assert result.exit_code == 0, result.output
    for word in ("cnn", "npe", "gradient", "nearest", "limit of the error: J"):
        assert word in " ".join(result.output.split())
    assert (tmp_path / "c.png").stat().st_size > 10_000


@shipped
def test_what_cannot_be_included_is_said():
    result = CliRunner().invoke(app, ["compare", "--n", "3", "--include", "grid"])
    assert result.exit_code == 2
    assert "there is no 'grid' to include; there is gsdr" in " ".join(result.output.split())


@shipped
def test_estimators_of_different_probes_are_not_compared():
    estimators = held_out(n=1).estimators
    estimators[0].about = {**estimators[0].about, "probe": {**estimators[0].about["probe"], "sigma_S_per_m": 0.4}}
    with pytest.raises(ValueError, match="not all trained for one probe"):
        held_out(estimators, n=1)


@shipped
@pytest.mark.slow
def test_the_diagnose_command_writes_its_page(tmp_path):
    result = CliRunner().invoke(app, ["diagnose", "--n", "100", "--checks", "1", "--out", str(tmp_path / "d.html")])
    assert result.exit_code == 0, result.output
    assert "simulation-based" in result.output
    assert (tmp_path / "d.html").stat().st_size > 100_000
