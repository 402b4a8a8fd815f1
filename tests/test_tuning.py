"""Surrogates trained further on what their cells did in the column."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from inference.cli import app
from simulators.column.every_cell import EveryCell
from simulators.column.simulator import ColumnSimulator
from simulators.column.standard_drives import noise as noise_drive
from surrogates.network.tuning import network_runs, simulate_network, tune_neuron
from surrogates.neurons.trained import load_neuron
from surrogates.neurons.training.loop import Schedule

pytest.importorskip("hnn_core")


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    network = EveryCell(ColumnSimulator(drives=(noise_drive(240.0),), duration_ms=50.0, transient_ms=0.0, dt_ms=0.05))
    return network, simulate_network(network, 16, 1, tmp_path_factory.mktemp("network"), workers=2, progress=False)


def test_every_cell_is_recorded_with_all_that_it_received(campaign):
    """A surrogate's input from the recording is that from the events of the same run."""
    network, stored = campaign
    runs = network_runs(stored, network, "L5_pyramidal", np.array([3]), 9)
    theta = stored.theta[3]
    seed = np.random.SeedSequence(1).spawn(16)[3]
    run = network.column.run(theta, network.column.events(theta, np.random.default_rng(seed)))
    cells = network.column.model.cells_of("L5_pyramidal")
    for events, v, k in zip(runs.events, runs.target.v, cells, strict=True):
        np.testing.assert_allclose(events, run.events()[k].binned(events.shape[1], 100, 0.5), rtol=1e-6)
        np.testing.assert_array_equal(v, run.values[k][0])
    assert runs.target.outputs.shape == (9, 100, 9)


def test_a_tuned_surrogate_is_better_on_runs_held_out_and_says_what_made_it(campaign, tmp_path):
    network, stored = campaign
    schedule = Schedule(40, batch=64, stretch_bins=50, learning_rate=1e-3, validations=4)
    tuned = tune_neuron("L2_pyramidal", "L2_pyramidal", network, stored, schedule=schedule, progress=False)
    assert tuned.after.variance_explained > tuned.before.variance_explained
    tuned.neuron.save(tmp_path / "L2_pyramidal.safetensors")
    loaded = load_neuron(str(tmp_path / "L2_pyramidal.safetensors"))
    assert loaded.about["tuned"]["runs"] == 12
    learned = network_runs(stored, network, "L2_pyramidal", stored.usable[np.arange(16) % 8 > 1], 0).events
    assert loaded.about["inputs"]["weight_uS"] == pytest.approx(learned.amax((0, 1)).tolist())
    assert load_neuron("L2_pyramidal").about.get("tuned") is None  # what all share is not changed


def test_a_surrogate_can_be_given_more_units_when_it_is_tuned(campaign, tmp_path):
    """And training that was stopped goes on with the same new units."""
    network, stored = campaign
    schedule = Schedule(2, batch=8, stretch_bins=50, validations=2)
    tuned, again = (
        tune_neuron("L5_basket", "L5_basket", network, stored, (), schedule, tmp_path / "x.training", False, hidden=72)
        for _ in range(2)
    )
    assert tuned.neuron.network.hidden == 72
    assert load_neuron("L5_basket").network.hidden == 64
    for weight, other in zip(tuned.neuron.network.parameters(), again.neuron.network.parameters(), strict=True):
        torch.testing.assert_close(weight, other)
    with pytest.raises(ValueError, match="64 leaky units cannot become 8"):
        tune_neuron("L5_basket", "L5_basket", network, stored, (), schedule, progress=False, hidden=8)


def test_what_cannot_be_tuned_is_said(campaign):
    network, stored = campaign
    with pytest.raises(ValueError, match="the network has no L4; its cells are L2_basket"):
        network_runs(stored, network, "L4", np.arange(2), 0)
    with pytest.raises(ValueError, match="records 0 outputs of L5_basket, the surrogate has 1"):
        network_runs(stored, network, "L5_basket", np.arange(2), 1)


def test_one_command_tunes_surrogates_in_a_network(campaign, tmp_path):
    command = ["surrogate", "tune", "--network", "column-cells", "--out", str(tmp_path / "out"), "--runs", "16"]
    command += ["--data", str(tmp_path / "runs"), "--passes", "2", "--cells", "L5_basket,L2_basket"]
    command += ["--alone", "1"]
    for change in ("duration_ms=30", "dt_ms=0.1", "model.mesh=[2,2]"):
        command += ["--set", f"column.{change}"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    told = json.loads(done.output.strip().splitlines()[-1])
    assert set(told) == {"L5_basket", "L2_basket"}
    assert set(told["L5_basket"]) == {"before", "after"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"L5_basket.safetensors", "L2_basket.safetensors"}
    tuned = load_neuron(str(tmp_path / "out" / "L2_basket.safetensors")).about["tuned"]
    assert (tuned["runs"], tuned["runs_alone"]) == (12, 3)  # one in each regime
    again = CliRunner().invoke(app, [*command, "--from", str(tmp_path / "out"), "--out", str(tmp_path / "more")])
    assert again.exit_code == 0, again.output
    again = CliRunner().invoke(app, [*command, "--from", str(tmp_path / "out")])
    assert "--from and --out are both" in again.output
    for wrong, said in (("column", "does not record its cells"), ("nothing", "there is no simulator 'nothing'")):
        refused = CliRunner().invoke(app, ["surrogate", "tune", "--network", wrong, "--out", str(tmp_path / "x")])
        assert refused.exit_code == 2
        assert said in refused.output
    refused = CliRunner().invoke(app, [*command, "--cells", "L4"])
    assert "the network has no L4; its cells are L2_basket" in refused.output
