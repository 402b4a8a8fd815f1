"""Campaigns: the same rows whatever happens on the way, and no failure lost."""

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray
from campaigns import assert_same, run
from toy_simulators import BatchSimulator, NoiseSimulator

from simulators.campaigns.rows import CampaignError, Status
from simulators.campaigns.store import Campaign
from simulators.campaigns.writer import CampaignWriter
from simulators.interface import Parameter, ParameterSpace

ROOT = Path(__file__).resolve().parent.parent


def test_rows_are_those_of_the_simulator_alone_whatever_the_number_of_workers(tmp_path):
    simulator = NoiseSimulator()
    one, two = run(simulator, tmp_path / "one", workers=1), run(simulator, tmp_path / "two", workers=2)
    assert_same(one, two)
    root = np.random.SeedSequence(3)
    theta = simulator.parameters.sample(12, np.random.default_rng(root))
    np.testing.assert_array_equal(one.theta, theta)
    alone = simulator.simulate(theta[7], np.random.default_rng(root.spawn(12)[7]))
    stored = one.recordings(np.array([7]))[0]
    np.testing.assert_array_equal(stored.values, alone.values)
    assert (stored.sampling_rate, stored.unit, stored.channels, stored.transient) == (1000.0, "mV", ("one", "two"), 20)


def test_a_batch_simulator_gives_the_same_rows(tmp_path):
    assert_same(run(NoiseSimulator(), tmp_path / "single"), run(BatchSimulator(), tmp_path / "batch"))


def test_failures_are_rows_with_a_status_and_a_reason(tmp_path):
    campaign = run(NoiseSimulator(raise_above=0.8, silent_above=0.4), tmp_path / "c", n=40)
    a = campaign.theta[:, 0]
    expected = np.select([a > 0.8, a > 0.4], [Status.FAILED, Status.SILENT], default=Status.OK)
    assert set(expected) == {Status.OK, Status.SILENT, Status.FAILED}
    np.testing.assert_array_equal(campaign.status, expected)
    raised = int(np.flatnonzero(a > 0.8)[0])
    assert campaign.reasons[raised] == f"RuntimeError: a = {a[raised]:.3f} is too much"
    assert f"{np.sum(a > 0.8)} failed" in campaign.summary()


def test_values_that_are_not_finite_fail_the_row(tmp_path):
    campaign = run(NoiseSimulator(nan_above=0.5), tmp_path / "c", n=20)
    np.testing.assert_array_equal(campaign.status == Status.FAILED, campaign.theta[:, 0] > 0.5)
    assert set(campaign.reasons.values()) == {"the recording has values that are not finite"}


@pytest.mark.parametrize("simulator", [NoiseSimulator(raise_above=0.5), BatchSimulator(raise_above=0.5)])
def test_one_bad_theta_does_not_cost_its_batch(tmp_path, simulator):
    campaign = run(simulator, tmp_path / "c", n=20)
    np.testing.assert_array_equal(campaign.status == Status.FAILED, campaign.theta[:, 0] > 0.5)


@pytest.mark.parametrize(
    "change",
    [
        {"simulator": replace(NoiseSimulator(), samples=300)},
        {"simulator": NoiseSimulator(ParameterSpace((Parameter("a", "mV", 0.0, 1.0), Parameter("b", "1", 1.0, 3.0))))},
        {"seed": 4},
    ],
)
def test_a_changed_configuration_is_refused(tmp_path, change):
    run(NoiseSimulator(), tmp_path / "c")
    arguments = {"simulator": NoiseSimulator(), "n": 12, "seed": 3} | change
    with pytest.raises(CampaignError, match="was made with another"):
        run(arguments.pop("simulator"), tmp_path / "c", **arguments)


def test_what_differs_is_named_and_nothing_else(tmp_path):
    run(NoiseSimulator(), tmp_path / "c")
    with pytest.raises(CampaignError) as refused:
        run(replace(NoiseSimulator(), samples=300), tmp_path / "c")
    _, *differences, remedy = str(refused.value).splitlines()
    assert differences == [f"  simulator.samples: there {NoiseSimulator().samples}, asked 300"]
    assert "another folder" in remedy


def test_a_full_disk_stops_with_a_remedy_and_keeps_the_rows(tmp_path, monkeypatch):
    written = CampaignWriter._values_for

    def full_after_five(self, recording):
        if np.sum(self.status != Status.PENDING) >= 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(self, recording)

    monkeypatch.setattr(CampaignWriter, "_values_for", full_after_five)
    with pytest.raises(CampaignError, match=r"No space left on device.*are kept.*same command"):
        run(NoiseSimulator(), tmp_path / "c")
    assert np.sum(Campaign(tmp_path / "c").status == Status.OK) == 5
    monkeypatch.undo()
    assert_same(run(NoiseSimulator(), tmp_path / "c"), run(NoiseSimulator(), tmp_path / "other"))


def test_places_that_cannot_hold_a_campaign_are_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("mine")
    with pytest.raises(CampaignError, match="cannot write"):
        run(NoiseSimulator(), tmp_path / "file" / "c")
    with pytest.raises(CampaignError, match="holds other things"):
        run(NoiseSimulator(), tmp_path / "folder")
    assert (tmp_path / "folder" / "thesis.tex").read_text() == "mine"
    for path, words in ((tmp_path / "nowhere", "there is no campaign"), (tmp_path / "folder", "is not a campaign")):
        with pytest.raises(CampaignError, match=words):
            Campaign(path)


@pytest.mark.parametrize(("n", "workers"), [(0, 1), (-1, 1), (5, 0)])
def test_an_empty_campaign_is_refused(tmp_path, n, workers):
    with pytest.raises(ValueError, match="at least one"):
        run(NoiseSimulator(), tmp_path / "c", n=n, workers=workers)
    assert not (tmp_path / "c").exists()


def test_xarray_reads_a_campaign(tmp_path):
    campaign = run(NoiseSimulator(), tmp_path / "c")
    data = xarray.open_zarr(tmp_path / "c", consolidated=False)
    assert data["values"].dims == ("simulation", "channel", "sample")
    np.testing.assert_array_equal(data["values"].values, campaign.values(np.arange(12)))
    np.testing.assert_array_equal(data["theta"].values, campaign.theta)


def test_on_a_dask_cluster_the_rows_are_the_same(tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=40
    ) as cluster:
        on_cluster = run(NoiseSimulator(), tmp_path / "dask", scheduler=cluster.scheduler_address)
    assert_same(on_cluster, run(NoiseSimulator(), tmp_path / "local"))


def test_dask_workers_with_threads_and_silent_schedulers_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("simulators.campaigns.workers._ANSWER_S", 1)
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, silence_logs=40
        ) as cluster,
        pytest.raises(CampaignError, match="--nthreads 1"),
    ):
        run(NoiseSimulator(), tmp_path / "c", scheduler=cluster.scheduler_address)
    with pytest.raises(CampaignError, match="no Dask scheduler answers"):
        run(NoiseSimulator(), tmp_path / "c", scheduler="tcp://127.0.0.1:1")
