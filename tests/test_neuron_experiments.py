"""Experiments on neurons: measurements on cells whose answers are known, and every figure once, small."""

import json
import sys
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from simulators.cells.inputs import DistinctMilliseconds, SynapticEvents
from simulators.cells.point import AMPA, GABA, PointCell
from simulators.recording import Recording
from surrogates.neurons.measures.experiments import (
    Jittered,
    Logistic,
    agreement,
    balanced,
    coincidence_window_ms,
    conductances,
    deviation,
    drift,
    events_of,
    firing_rates,
    fit_logistic,
    in_neuron,
    quantal_curve,
    scattered,
    together,
    trains,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))  # whose packages belong to no installation

REST, THRESHOLD = -70.0, -60.0
MV_PER_US, TAU_MS = 3e3, 5.0


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def integrator(events, duration_ms):
    """Events raise V by 3 mV/nS, it falls back within 5 ms; from -60 mV on there is a spike."""
    t = np.arange(int(duration_ms))
    recordings = []
    for e in events:
        ages = t[:, None] - np.floor(e.times_ms)
        v = REST + MV_PER_US * (np.where(ages >= 0, np.exp(-ages / TAU_MS), 0.0) * e.weights_uS).sum(1)
        spikes = (v >= THRESHOLD) & (np.roll(v, 1) < THRESHOLD)
        recordings.append(Recording(np.stack([v, spikes]), 1e3, "mV, 1", ("V", "spikes")))
    return recordings


def test_a_quantal_curve_finds_slope_and_threshold():
    curve = quantal_curve(integrator, np.arange(1, 46) / 10)
    assert curve.slope == pytest.approx(3.0)
    assert curve.r == pytest.approx(1.0)
    assert curve.threshold_mV == pytest.approx(REST + 3.0 * 3.3)
    assert curve.fired.sum() == 45 - 33
    assert np.isnan(quantal_curve(integrator, np.array([0.1, 0.2, 0.3])).threshold_mV)


def test_the_point_cell_has_the_published_threshold():
    """Published: -56.64 mV in NEURON."""
    curve = quantal_curve(in_neuron(PointCell()), np.arange(1, 46) / 10)
    assert curve.threshold_mV == pytest.approx(-56.6, abs=0.5)
    assert curve.fired[-1]


@pytest.mark.parametrize(("size_nS", "window_ms"), [(1.0, 0.0), (2.0, 2.0), (3.0, 10.0)])
def test_the_coincidence_window_follows_from_the_decay(size_nS, window_ms):
    """Two pulses fire if 3 w (1 + exp(-t / 5)) reaches 10."""
    window = coincidence_window_ms(integrator, (0,), 1e-3 * size_nS, [float(k) for k in range(31)])
    assert window == window_ms


def test_a_cell_that_one_pulse_fires_has_no_window():
    assert np.isnan(coincidence_window_ms(integrator, (0,), 4e-3, [0.0, 1.0]))


def test_pulses_reach_all_synapses_at_every_interval():
    short, long = trains((2.0, 5.0), 3, 1e-3, synapses=(0, 2))
    assert sorted(set(np.diff(np.sort(short.times_ms[short.synapses == 0])))) == [2.0]
    assert sorted(set(np.diff(np.sort(long.times_ms[long.synapses == 2])))) == [5.0]
    assert len(short) == len(long) == 6


def test_a_logistic_curve_is_found_again(rng):
    x = np.linspace(0, 240, 70)
    true = Logistic(30.0, 100.0, 25.0)
    found = fit_logistic(x, true(x) + 0.5 * rng.standard_normal(70))
    np.testing.assert_allclose(found, true, rtol=0.1)
    assert agreement(found(x), true(x)) > 0.99
    assert agreement(Logistic(10.0, 150.0, 25.0)(x), true(x)) < 0.5
    assert fit_logistic(x, np.zeros(70)).top == 0


def test_agreement_is_one_less_the_squared_error_over_the_spread():
    """Of 0 ... 4 about their mean: 10. Errors of 1 and 2 are half of it."""
    true = np.arange(5.0)
    assert agreement(np.array([0.0, 2.0, 2.0, 1.0, 4.0]), true) == pytest.approx(0.5)
    assert np.isnan(agreement(true, np.ones(5)))


def test_balanced_events_keep_their_ratio(rng):
    events = balanced((AMPA, GABA), np.array([0.0, 40.0, 120.0]), 0.5, 2, 500.0, rng)
    counts = np.array([[np.sum(e.synapses == k) for k in (0, 1)] for e in events])
    np.testing.assert_array_equal(counts, [[0, 0]] * 2 + [[20, 40]] * 2 + [[60, 120]] * 2)
    assert all(len(set(e.times_ms[e.synapses == 1])) == np.sum(e.synapses == 1) for e in events)
    with pytest.raises(ValueError, match="distinct milliseconds"):
        balanced((AMPA, GABA), np.array([800.0]), 0.5, 1, 500.0, rng)


def test_firing_rates_are_per_second():
    events = [events_of([20.0, 80.0], 0, 4e-3), events_of([], 0, 4e-3)]
    np.testing.assert_array_equal(firing_rates(integrator, events, 200.0), [10.0, 0.0])


def wandering(rng, runs=6, bins=5000):
    return np.cumsum(rng.standard_normal((runs, bins)), 1) * 0.1 - 65


def test_drift_tells_a_steady_error_from_a_growing_one(rng):
    true = wandering(rng)
    noise = rng.standard_normal(true.shape)
    steady = drift(true + noise, true, 1.0, 1000.0)
    growing = drift(true + noise * np.linspace(0, 2, true.shape[1]), true, 1.0, 1000.0)
    slope, error = steady.difference_slope
    assert abs(slope) < 3 * error
    assert growing.difference_slope[0] > 10 * growing.difference_slope[1]
    assert growing.explained_slope[0] < 0
    assert growing.difference_mV[-1] > growing.difference_mV[0]
    with pytest.raises(ValueError, match="two stretches"):
        drift(true, true, 1.0, 4000.0)


def test_deviations_are_of_control_below_and_above_rest(rng):
    control = wandering(rng)
    changed = np.where(control < -65, control + 1.0, control - 0.5)
    found = deviation(control, changed, -65.0)
    assert found.below == pytest.approx((-1.0, 0.0), abs=1e-9)
    assert found.above == pytest.approx((0.5, 0.0), abs=1e-9)


def test_conductances_peak_at_the_weight_and_add_up():
    grid = np.zeros((1, 400, 2))
    grid[0, 40, 0], grid[0, 100, 1], grid[0, 102, 1] = 2.5e-3, 8e-3, 8e-3
    g = conductances(grid, (AMPA, GABA), 0.05)
    assert g[0, :, 0].max() == pytest.approx(2.5e-3, rel=1e-3)
    assert g[0, :, 0].argmax() == pytest.approx(40 + 2 / 0.05, abs=2)
    assert g[0, :, 1].max() == pytest.approx(1.6e-2, rel=0.01)
    assert not g[0, :40].any()


def test_jitter_moves_the_same_events_by_one_step():
    protocol, theta = DistinctMilliseconds(), np.array([1.0])
    drawn, moved = (
        p.draw(theta, (AMPA, GABA), 1000.0, np.random.default_rng(3)) for p in (protocol, Jittered(protocol, 0.025))
    )
    np.testing.assert_allclose(np.abs(moved.times_ms - drawn.times_ms)[drawn.times_ms > 0], 0.025)
    np.testing.assert_array_equal(moved.weights_uS, drawn.weights_uS)


def test_quanta_are_scattered_at_one_synapse_only(rng):
    events = together([events_of(np.arange(500.0), 0, 1.0), events_of(np.arange(500.0), 1, 8e-3)])
    found = scattered(events, 0, 2.5e-3, 1e-3, rng)
    assert found.weights_uS[:500].mean() == pytest.approx(2.5e-3, rel=0.05)
    assert found.weights_uS[:500].std() == pytest.approx(1e-3, rel=0.1)
    assert (found.weights_uS[500:] == 8e-3).all()
    assert (found.weights_uS >= 0).all()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """All of it, but with a few short runs and next to no training."""
    from neuron_experiments.study import Study
    from neuron_experiments.tasks import TASKS

    def small(curriculum, runs, duration_ms):
        regimes = tuple(replace(r, runs=runs) for r in curriculum.regimes)
        schedule = replace(curriculum.schedule, batch=4)
        return replace(curriculum, regimes=regimes, schedule=schedule, duration_ms=duration_ms, validations=2)

    tasks = {k: small(c, 2, 60.0) if k.startswith("L5") else small(c, 6, 200.0) for k, c in TASKS.items()}
    return Study(tmp_path_factory.mktemp("study"), minutes=0.005, passes=1, tasks=tasks, shipped=False)


def figure(name, study, **sizes):
    import reproduce_neuron_surrogates

    rows = reproduce_neuron_surrogates.FIGURES[name](study, **sizes)
    assert rows
    for row in rows:
        json.dumps(row.to_json(), allow_nan=False)
        assert row.published is not None or row.default is not None or row.note
    return rows


SMALL = {
    "1B": {"runs": 2, "duration_ms": 150.0},
    "1E": {"runs": 2, "duration_ms": 150.0},
    "1G": {"runs": 2, "duration_ms": 150.0},
    "1H": {"runs": 2, "duration_ms": 150.0},
    "1I-K": {"runs": 2, "duration_ms": 400.0, "stretch_ms": 200.0},
    "2A": {},
    "2B-D": {"runs": 2, "duration_ms": 200.0},
    "2E": {"levels": 5, "repeats": 2, "duration_ms": 200.0},
    "2F-H": {"runs": 2, "duration_ms": 150.0},
    "3": {"runs": 2, "duration_ms": 150.0},
    "4B": {"sizes_nS": (2.5, 3.1), "furthest_ms": 6},
    "4C": {"runs": 2, "duration_ms": 200.0},
    "7-9": {},
}


@pytest.mark.parametrize("name", SMALL)
def test_a_figure_runs_through(name, study):
    figure(name, study, **SMALL[name])


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("5A-G", {"runs": 1}),
        ("poster", {"runs": 1}),
        ("GRU", {"runs": 1, "duration_ms": 150.0}),
        (
            "6",
            {
                "currents": 4,
                "runs": 2,
                "duration_ms": 100.0,
                "generations": 2,
                "candidates": 20,
                "refined": 1,
                "iterations": 3,
            },
        ),
        ("6-S1", {"runs": 2, "duration_ms": 1100.0}),
    ],
)
@pytest.mark.slow
def test_a_longer_figure_runs_through(name, sizes, study):
    figure(name, study, **sizes)


@pytest.mark.slow
def test_an_own_cell_goes_from_its_files_to_a_surrogate(study):
    rows = figure("5H-I", study, passes=2)
    assert sum(row.published is not None for row in rows) == 9
    assert (study.data / "own" / "own.safetensors").is_file()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--neuron", "pont=x.safetensors"], "cells are L2_basket"),
        (["--neuron", "point"], "write it as point=point.safetensors"),
        (["--minutes", "nan"], "--minutes must be a number above 0"),
        (["--workers", "0"], "--workers must be"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, said, monkeypatch, capsys):
    import reproduce_neuron_surrogates

    monkeypatch.setattr("sys.argv", ["reproduce_neuron_surrogates.py", "--figure", "7-9", *options])
    with pytest.raises(SystemExit):
        reproduce_neuron_surrogates.main()
    assert said in capsys.readouterr().err


def test_the_network_of_another_cell_is_refused(tmp_path):
    from neuron_experiments.study import Study

    file = resources.files("surrogates") / "shipped" / "L5_basket.safetensors"
    with pytest.raises(ValueError, match="not a surrogate of point"):
        Study(tmp_path, neurons={"point": str(file)}).default("point")


def test_every_figure_is_tested():
    import reproduce_neuron_surrogates

    assert {*SMALL, "5A-G", "poster", "GRU", "5H-I", "6", "6-S1"} == set(reproduce_neuron_surrogates.FIGURES)


def test_published_training_goes_on_where_it_was_and_leaves_frozen_layers_alone(study, tmp_path):
    from neuron_experiments.training import train_published

    from surrogates.neurons.architectures.published import LinearWindow

    stages, validation = study.training("passive")

    def train(minutes, network, **how):
        return train_published(network, stages, validation, minutes, tmp_path / "t", **how)

    network = LinearWindow(2, 0, 1.0, windows_per_run=4)
    first = train(0.01, network)
    again = LinearWindow(2, 0, 1.0, windows_per_run=4)
    longer = train(0.02, again)
    assert longer["updates"] > first["updates"]
    assert longer["minutes"] >= 0.02
    assert longer["one_step_loss"] <= first["one_step_loss"]
    # Of the same optimiser: steps of a new one would be out of all proportion.
    assert load_file(tmp_path / "t")["optimiser.0.step"] == longer["updates"]
    with pytest.raises(ValueError, match="training of another network"):
        train(0.01, LinearWindow(2, 0, 1.0, windows_per_run=4, window=32))
    before = {k: v.clone() for k, v in again.state_dict().items()}
    (tmp_path / "t").unlink()
    train(0.005, again, only=again.network[2])
    changed = {k for k, v in again.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"network.2.weight", "network.2.bias"}


def test_shipped_surrogates_stand_beside_neuron_s_own_limit(study, tmp_path):
    from neuron_experiments.shipped import shipped, shipped_table

    path = tmp_path / "point.safetensors"
    study.default("point").save(path)
    found = shipped(replace(study, neurons={"point": str(path)}), runs=2, duration_ms=300.0)
    assert list(found) == ["active_point"]
    active = found["active_point"]
    assert {"precision_1ms", "recall_1ms", "variance_explained", "ceiling", "regimes"} <= set(active)
    assert set(active["regimes"]) == {"rest", "subthreshold"}
    assert active["ceiling"]["half_step"]["variance_explained"] > 0.95
    assert shipped_table(found).row_count == 9
    json.dumps(found, allow_nan=False)


def test_rows_read_as_a_table():
    from neuron_experiments.rows import row_of, table_of

    row = row_of("9X", "a number", 1.0, (float("nan"), 2.0, 3.0), 4.0, "why")
    assert row.to_json()["reimplemented"] is None
    assert row.to_json()["neuron"] == 3.0
    table = table_of([row])
    assert [next(iter(column.cells)) for column in table.columns][2:6] == ["1 (N 4)", "none", "2", "3"]


def test_a_silent_list_is_an_event_list_too():
    assert len(together([events_of([], 0, 1e-3)])) == 0
    assert isinstance(events_of([], 1, 1e-3), SynapticEvents)
