"""Campaigns: the same rows whatever happens on the way, and no failure lost."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import xarray
from toy_simulators import BatchSimulator, NoiseSimulator

from simulators.campaigns.run import run_campaign
from simulators.campaigns.store import Campaign, CampaignError, CampaignWriter, Status
from simulators.interface import Parameter, ParameterSpace

ROOT = Path(__file__).resolve().parent.parent


def run(simulator, path, n=12, seed=3, **options):
    return run_campaign(simulator, n, seed, path, **{"workers": 2, "progress": False, **options})


def rows_of(campaign):
    return campaign.theta, campaign.status, campaign.values(campaign.usable)


def assert_same(first, second):
    for a, b in zip(rows_of(first), rows_of(second), strict=True):
        np.testing.assert_array_equal(a, b)


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


def test_a_worker_that_dies_costs_one_row(tmp_path):
    campaign = run(NoiseSimulator(die_above=0.7), tmp_path / "c", n=20)
    died = campaign.theta[:, 0] > 0.7
    assert died.any()
    np.testing.assert_array_equal(campaign.status == Status.FAILED, died)
    assert set(campaign.reasons.values()) == {"the process that simulated it died"}


SCRIPT = textwrap.dedent(
    """
    import sys
    sys.path[:0] = [{tests!r}, {root!r}]
    from toy_simulators import NoiseSimulator
    from simulators.campaigns.run import run_campaign
    if __name__ == "__main__":
        run_campaign(NoiseSimulator(sleep_s=0.05), 60, 3, sys.argv[1], workers=2, progress=False)
    """
).format(tests=str(ROOT / "tests"), root=str(ROOT))


def start(tmp_path, store):
    script = tmp_path / "campaign_script.py"
    script.write_text(SCRIPT)
    return subprocess.Popen([sys.executable, str(script), str(store)], start_new_session=True, stderr=subprocess.PIPE)


def wait_for_rows(store, n, process, timeout=90):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        assert process.poll() is None, process.stderr.read().decode()
        if len(list((store / "status" / "c").glob("*"))) >= n:
            return
        time.sleep(0.01)
    raise AssertionError("no rows appeared")


def test_killed_three_times_it_ends_like_an_undisturbed_run(tmp_path):
    store = tmp_path / "killed"
    done_before = 0
    for _ in range(3):
        process = start(tmp_path, store)
        wait_for_rows(store, done_before + 7, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        done = int(np.sum(Campaign(store).status != Status.PENDING))
        assert done >= done_before + 7  # what was there before the kill is still there
        done_before = done
    assert done_before < 60
    finished = run(NoiseSimulator(sleep_s=0.05), store, n=60)
    assert_same(finished, run(NoiseSimulator(sleep_s=0.05), tmp_path / "undisturbed", n=60))


def test_a_second_process_on_the_same_store_is_refused(tmp_path):
    store = tmp_path / "busy"
    process = start(tmp_path, store)
    try:
        wait_for_rows(store, 1, process)
        with pytest.raises(CampaignError, match="another process is writing"):
            run(NoiseSimulator(sleep_s=0.05), store, n=60)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_script_without_a_main_guard_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from toy_simulators import NoiseSimulator\nfrom simulators.campaigns.run import run_campaign\n"
        f"run_campaign(NoiseSimulator(), 3, 1, {str(tmp_path / 'c.zarr')!r})\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, env=environment)
    assert ended.returncode == 1
    assert "must stand under 'if __name__ ==" in ended.stderr.splitlines()[-1]


def test_workers_end_when_the_campaign_is_killed(tmp_path):
    process = start(tmp_path, tmp_path / "c")
    wait_for_rows(tmp_path / "c", 1, process)
    workers = psutil.Process(process.pid).children()
    assert len(workers) >= 2
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive, "workers outlive the campaign"


@pytest.mark.parametrize(
    "change",
    [
        {"simulator": replace(NoiseSimulator(), samples=300)},
        {"simulator": NoiseSimulator(ParameterSpace((Parameter("a", "mV", 0.0, 1.0), Parameter("b", "1", 1.0, 3.0))))},
        {"n": 13},
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


def test_a_campaign_whose_metadata_are_damaged_is_named(tmp_path):
    run(NoiseSimulator(), tmp_path / "c")
    (tmp_path / "c" / "zarr.json").write_text("{")
    with pytest.raises(CampaignError, match=r"c is damaged: its metadata"):
        run(NoiseSimulator(), tmp_path / "c")


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "empty"])
def test_a_damaged_row_is_named_and_simulated_again(tmp_path, damage):
    undisturbed = rows_of(run(NoiseSimulator(), tmp_path / "c"))
    chunk = tmp_path / "c" / "values" / "c" / "4" / "0" / "0"
    content = bytearray(chunk.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 0xFF
    chunk.write_bytes({"flip": bytes(content), "truncate": bytes(content[:50]), "delete": b"", "empty": b""}[damage])
    if damage == "delete":
        chunk.unlink()
    else:
        with pytest.raises(CampaignError, match=r"simulation 4 are damaged.*run the same"):
            Campaign(tmp_path / "c").values(np.arange(12))
    for a, b in zip(rows_of(run(NoiseSimulator(), tmp_path / "c")), undisturbed, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_full_disk_stops_with_a_remedy_and_keeps_the_rows(tmp_path, monkeypatch):
    written = CampaignWriter._values_like

    def full_after_five(self, recording):
        if np.sum(self.status != Status.PENDING) >= 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(self, recording)

    monkeypatch.setattr(CampaignWriter, "_values_like", full_after_five)
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
    for path, words in ((tmp_path / "nowhere", "there is no campaign"), (tmp_path / "folder", "not a readable")):
        with pytest.raises(CampaignError, match=words):
            Campaign(path)


def test_a_campaign_of_another_format_is_refused(tmp_path):
    run(NoiseSimulator(), tmp_path / "c")
    metadata = tmp_path / "c" / "zarr.json"
    metadata.write_text(metadata.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(CampaignError, match="format 99, this version reads 1"):
        Campaign(tmp_path / "c")


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


def test_dask_workers_with_threads_and_silent_schedulers_are_refused(tmp_path):
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
