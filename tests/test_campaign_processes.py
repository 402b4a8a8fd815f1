"""Campaigns whose processes die, are stopped, or cannot be had."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import psutil
import pytest
from campaigns import ROOT, assert_same, run, start, wait_for_rows
from toy_simulators import NoiseSimulator

from simulators.campaigns.rows import CampaignError, Status
from simulators.campaigns.store import Campaign


def test_a_worker_that_dies_costs_one_row(tmp_path):
    campaign = run(NoiseSimulator(die_above=0.7), tmp_path / "c", n=20)
    died = campaign.theta[:, 0] > 0.7
    assert died.any()
    np.testing.assert_array_equal(campaign.status == Status.FAILED, died)
    assert set(campaign.reasons.values()) == {"the process that simulated it died"}


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
    ended = python(None, arguments=(script,))
    assert ended.returncode == 1
    assert "must stand under 'if __name__ ==" in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_no_killed_campaign_leaves_a_worker_in_compiled_code(tmp_path, kills):
    """A thread of the worker could not run there: its loop never gives the interpreter back."""
    left = []
    for k in range(kills):
        process = start(tmp_path, tmp_path / f"{k}", "BusySimulator()")
        wait_for_rows(tmp_path / f"{k}", 1, process)
        workers = psutil.Process(process.pid).children()
        assert len(workers) >= 2
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(workers, timeout=20)
        left += alive
    assert not left


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 1)])
@pytest.mark.parametrize("to", ["campaign", "all its processes"])
def test_asked_to_stop_it_stores_the_rows_in_hand_and_says_what_is_left(tmp_path, number, code, to):
    """A terminal and a cluster's scheduler signal the workers, too."""
    store = tmp_path / "c"
    process = start(tmp_path, store)
    wait_for_rows(store, 5, process)
    (process.send_signal if to == "campaign" else lambda n: os.killpg(process.pid, n))(number)
    said, error = process.communicate(timeout=60)
    assert (process.returncode == 0) == (code == 0), error.decode()
    stopped = Campaign(store)
    done = int(np.sum(stopped.status == Status.OK))
    assert 5 <= done < 60
    assert "damaged" not in stopped.summary()
    assert (
        f"stopped by {number.name}: {done} of 60 simulations are done, {60 - done} are left; the same" in said.decode()
    )
    assert not list(store.rglob("*.partial"))
    assert_same(run(NoiseSimulator(sleep_s=0.05), store, n=60), run(NoiseSimulator(sleep_s=0.05), tmp_path / "d", n=60))


def python(code, **options):
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    return subprocess.run(
        [sys.executable, *options.pop("arguments", ("-c", code))],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        **options,
    )


HOMEMADE = textwrap.dedent(
    """
    from dataclasses import dataclass
    from toy_simulators import NoiseSimulator
    from simulators.campaigns.run import run_campaign

    @dataclass(frozen=True)
    class Homemade(NoiseSimulator):
        pass

    if __name__ == "__main__":
        run_campaign(Homemade(raise_above=0.5), 12, 3, {path!r}, workers=2, progress=False)
    """
)


@pytest.mark.parametrize("way", ["python -c", "standard input", "under the guard"])
def test_a_simulator_that_no_process_can_have_is_simulated_here(tmp_path, way):
    path, code = tmp_path / "c", HOMEMADE.format(path=str(tmp_path / "c"))
    if way == "python -c":
        ended = python(code)
    elif way == "standard input":
        ended = python(None, arguments=(), input=code)
    else:
        script = tmp_path / "script.py"
        script.write_text("if __name__ == '__main__':\n" + textwrap.indent(code, "    "))
        ended = python(None, arguments=(script,))
    assert ended.returncode == 0, ended.stderr
    (line,) = ended.stdout.splitlines()
    assert line.startswith("simulating in this process alone, as no other can have this simulator: ")
    campaign = Campaign(path)
    np.testing.assert_array_equal(campaign.status == Status.FAILED, campaign.theta[:, 0] > 0.5)
    assert all(reason.startswith("RuntimeError: a = ") for reason in campaign.reasons.values())
    assert_same(campaign, run(NoiseSimulator(raise_above=0.5), tmp_path / "imported"))


def test_an_object_that_cannot_be_sent_is_simulated_here(tmp_path, capsys):
    class Local(NoiseSimulator):
        pass

    campaign = run(Local(), tmp_path / "c")
    assert "this process alone" in capsys.readouterr().out
    assert_same(campaign, run(NoiseSimulator(), tmp_path / "imported"))
