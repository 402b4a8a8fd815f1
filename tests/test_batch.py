"""Many recordings into one table: rows for what was answered, and for what was not the reason."""

import csv

import numpy as np
import pytest
import xarray

from inference.estimators.nearest import NearestSimulations
from inference.features.spectra import SpectralFeatures
from inference.recordings.files import write_recording
from inference.reports.answers import to_xarray, write_posteriors, write_table
from inference.workflows.infer import infer, windows
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording

SPACE = ParameterSpace((Parameter("level", "log10 mV", -1.0, 1.0),))


def noise(level, seconds, rng, transient=0):
    values = 10.0**level * rng.standard_normal((2, int(1000 * seconds)))
    return Recording(values, 1000.0, "mV", ("upper", "lower"), transient)


@pytest.fixture(scope="module")
def estimator():
    rng = np.random.default_rng(0)
    theta = SPACE.sample(300, rng)
    return NearestSimulations(SPACE, SpectralFeatures()).fit(theta, [noise(t[0], 1.0, rng) for t in theta])


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(1)
    paths = [tmp_path / name for name in ("quiet.npz", "=loud.npz", "short.npz", "broken.npz", "missing.npz")]
    write_recording(noise(-0.5, 3.5, rng), paths[0])
    write_recording(noise(0.5, 2.0, rng), paths[1])
    write_recording(noise(0.0, 0.4, rng), paths[2])
    paths[3].write_bytes(b"no recording")
    return paths


def test_every_window_is_a_row_and_every_failure_names_its_reason(estimator, files, tmp_path):
    table = tmp_path / "table.csv"
    failures, answers = write_table(table, infer(files, [estimator], 1.0, progress=False), SPACE)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(answers) == 3 + 2 + 3
    assert failures == 3
    assert [r["status"] for r in rows] == ["ok"] * 5 + ["failed"] * 3
    assert rows[0]["verdict"] == "No check raised a doubt."
    assert rows[5]["verdict"].startswith("No method could answer: no window of 1 s")
    for row, level in zip(rows[:5], [-0.5] * 3 + [0.5] * 2, strict=True):
        assert float(row["level"]) == pytest.approx(level, abs=0.1)
        assert float(row["level_low"]) <= float(row["level"]) <= float(row["level_high"])
    assert [r["start_s"] for r in rows[:3]] == ["0", "1", "2"]
    assert "no window of 1 s fits into the recording of 0.4 s" in rows[5]["remarks"]
    assert "broken.npz" in rows[6]["remarks"]
    assert "missing.npz" in rows[7]["remarks"]


def test_a_spreadsheet_takes_no_cell_for_a_formula(estimator, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "t.csv", infer([files[1].relative_to(tmp_path)], [estimator], progress=False), SPACE)
    assert "\n'=loud.npz," in (tmp_path / "t.csv").read_text().replace("\r", "")


def test_what_a_recording_says_does_not_depend_on_the_others(estimator, files):
    alone = list(infer(files[:1], [estimator], progress=False))
    among = list(infer(files, [estimator], progress=False))
    np.testing.assert_array_equal(alone[0].estimate.samples, among[0].estimate.samples)


def test_windows_follow_each_other_after_the_transient(rng):
    recording = noise(0.0, 2.3, rng, transient=200)
    (first, a), (second, b) = windows(recording, 1.0)
    assert (first, second) == (0.0, 1.0)
    np.testing.assert_array_equal(np.hstack([a.values, b.values]), recording.values[:, 200:2200])
    assert next(windows(recording, None))[1] is recording


FAULTS = [
    OverflowError("too large"),
    FloatingPointError("divide by zero"),
    MemoryError(),
    np.linalg.LinAlgError("singular"),
    RuntimeError("no kernel"),
    KeyError("trained_sd"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda e: type(e).__name__)
def test_whatever_goes_wrong_with_one_recording_the_others_are_answered(estimator, files, fault):
    """The first file is quiet, and an estimator that cannot do with quiet ones fails on it alone."""

    class Fails(NearestSimulations):
        def estimate(self, recording):
            if recording.values.std() < 1:
                raise fault
            return estimator.estimate(recording)

    answers = list(infer(files[:2], [Fails(SPACE, SpectralFeatures()), estimator], progress=False))
    assert [a.estimate is not None for a in answers] == [False, True, True, True]
    assert answers[0].reason
    assert isinstance(fault, MemoryError) or str(fault) in answers[0].reason


def test_recordings_of_absurd_values_do_not_end_a_batch(estimator, files, tmp_path):
    for name, size in (("huge", 1e154), ("tiny", 1e-200)):
        recording = noise(0.0, 1.0, np.random.default_rng(0))
        write_recording(recording.with_values(recording.values * size), tmp_path / f"{name}.npz")
    paths = [tmp_path / "huge.npz", tmp_path / "tiny.npz", files[0]]
    answers = list(infer(paths, [estimator], progress=False))
    assert [a.reason.partition(" ")[0] for a in answers] == ["channel", "channel", ""]


def test_a_table_holds_no_orders_to_a_terminal(estimator, tmp_path):
    path = tmp_path / "\x1b[31m\udcffred.npz"
    write_table(tmp_path / "t.csv", infer([path], [estimator], progress=False), SPACE)
    text = (tmp_path / "t.csv").read_text()
    assert r"\x1b[31m\udcffred.npz" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("ending", [".zarr", ".nc"])
def test_posteriors_come_back_as_they_were(estimator, files, tmp_path, ending):
    answers = list(infer(files[:3], [estimator], 1.0, progress=False))
    path = tmp_path / f"posteriors{ending}"
    for _ in range(2):  # an older file is replaced
        write_posteriors(path, answers)
    engine = {"engine": "h5netcdf"} if ending == ".nc" else {"engine": "zarr"}
    with xarray.open_datatree(path, **engine) as tree:
        stored = tree["nearest/1/0/posterior"]["level"]
        np.testing.assert_array_equal(stored.values[0], answers[3].estimate.samples[:, 0])
        assert stored.dims == ("chain", "draw")
        assert "short.npz" in np.atleast_1d(tree.attrs["failures"])[0]


def test_nothing_to_write_and_wrong_wishes_are_errors(estimator, files, tmp_path):
    answers = list(infer(files[3:], [estimator], progress=False))
    with pytest.raises(ValueError, match="no recording could be answered"):
        to_xarray(answers)
    with pytest.raises(ValueError, match="hold nothing"):
        list(infer(files, [estimator], -1.0, progress=False))
    with pytest.raises(ValueError, match=r"written as \.zarr or \.nc"):
        write_posteriors(tmp_path / "p.mat", list(infer(files[:1], [estimator], progress=False)))
