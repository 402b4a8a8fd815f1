"""The folder of results and processes: killed and resumed, one that dies, and the same with any number of them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import xarray
from data_sets import infer, rows_of, save, saved_estimator, stamps, write_plain

from inference.recordings.dataset import listed
from inference.reports.results import Record, open_results
from inference.workflows.data_set import answer_all
from inference.workflows.methods import Methods
from inference.workflows.work import Infer, Reading

ROOT = Path(__file__).parents[1]
MANY = 20


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved_estimator(tmp_path_factory.mktemp("model"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_plain(Path("data"))


def command(*words):
    code = "from inference.cli import app; app()"
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return [sys.executable, "-c", code, "infer", *map(str, words)], env


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_killed_and_resumed_it_ends_as_if_it_had_not_been(tmp_path, model, monkeypatch, workers):
    monkeypatch.chdir(tmp_path)
    for i in range(MANY):
        save(Path("data") / f"{i:02}.npz", -0.9 + 0.08 * i, i)
    order = ("data", "--model", model, "--posteriors")
    words, env = command(*order, "killed.nc", "--results", "killed", "--workers", workers)
    with subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 120
        while not list(Path("killed").glob("recordings/[!.]*.json")) and time.monotonic() < until:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    done = {name: at for name, at in stamps("killed").items() if name.endswith(".json") and name[0] != "."}
    assert 0 < len(done) < MANY
    assert not Path("killed.nc").exists()
    resumed, said = infer(*order, "killed.nc", "--results", "killed", "--workers", 1)
    assert resumed.exit_code == 0, said
    assert f"of {MANY} recordings are answered already" in said
    whole, _ = infer(*order, "whole.nc", "--results", "whole", "--workers", 1)
    assert whole.exit_code == 0
    assert Path("killed/table.csv").read_bytes() == Path("whole/table.csv").read_bytes()
    assert len(rows_of("whole/table.csv")) == MANY
    kept = {name: at for name, at in stamps("killed").items() if name in done and at == done[name]}
    assert kept == done  # what was whole was not asked again
    with (
        xarray.open_datatree("killed.nc", engine="h5netcdf") as one,
        xarray.open_datatree("whole.nc", engine="h5netcdf") as other,
    ):
        xarray.testing.assert_identical(one, other)


def test_a_process_that_dies_costs_one_recording(folder, model, monkeypatch):
    """The answer of one recording ends its process; the others are answered all the same."""
    recordings = listed([folder])
    results = open_results(Path("r"), {})
    records = answer_all(recordings, Dies("b.npz"), results, workers=2)
    assert [record.rows[0]["status"] for record in records] == ["ok", "ok", "ok", "failed"]
    assert "the process that answered it died" in rows_of("r/table.csv")[3]["remarks"]
    again = answer_all(recordings, Dies("no other"), results, workers=2)
    assert [record.failed for record in again] == [False] * 4


class Dies:
    """Work that costs its process its life at recordings of one name."""

    def __init__(self, name):
        self.name = name

    def asked(self):
        return {}

    def columns(self, labels):
        return ["recording", *labels, "status", "remarks"]

    def complete(self, record):
        return True

    def __call__(self, one):
        if one.path.name == self.name:
            os.kill(os.getpid(), signal.SIGKILL)
        return Record(str(one.path), ({"recording": str(one.path), "status": "ok"},), ()), None


def test_answers_do_not_depend_on_the_number_of_workers(folder, model):
    recordings = listed([folder])
    work = Infer(Methods((model,)), Reading())
    tables = []
    for workers in (1, 3):
        results = open_results(Path(f"by{workers}"), work.asked())
        answer_all(recordings, work, results, workers)
        tables.append(results.table.read_bytes())
    assert tables[0] == tables[1]
    with pytest.raises(ValueError, match="at least one worker"):
        answer_all(recordings, work, results, 0)


def test_two_commands_do_not_write_to_the_same_results(folder, model):
    recordings = listed([folder])
    results = open_results(Path("r"), {})
    with results.alone(), pytest.raises(ValueError, match="another command is writing to r"):
        answer_all(recordings, Dies("no other"), results)
    assert len(answer_all(recordings, Dies("no other"), results)) == 4  # negative control


def test_a_fault_of_ours_is_a_row(folder):
    class Fails(Dies):
        def __call__(self, one):
            raise KeyError("sd")

    records = answer_all(listed([folder]), Fails(""), open_results(Path("r"), {}))
    assert [record.rows[0]["remarks"] for record in records] == ["KeyError: 'sd'"] * 4
