"""Files that hold trials, times in any place, and units that nobody need know."""

import numpy as np
import pytest
from recording_files import refused, saved
from scipy.io import savemat

from inference.recordings.files import read_recording, read_trials, trial_count, write_recording
from simulators.recording import Recording

LFP = np.random.default_rng(1).normal(size=(6, 1000))


def lfp(values=LFP, sampling_rate=1000.0, unit="mV", channels=None, transient=0):
    names = channels or tuple(f"ch{i}" for i in range(len(values)))
    return Recording(values, sampling_rate, unit, names, transient)


TRIALS = np.random.default_rng(2).normal(size=(5, 3, 400))


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".mat"])
def test_trials_are_recordings_of_one_kind(suffix, tmp_path):
    path = tmp_path / f"trials{suffix}"
    if suffix == ".npz":
        saved(path, values=TRIALS, fs=500.0, unit="uV", channels=["a", "b", "c"])
    elif suffix == ".npy":
        np.save(path, TRIALS)
    else:
        savemat(path, {"lfp": TRIALS, "t": np.arange(400) / 500.0, "unit": "uV"})
    given_ones = {"sampling_rate": 500.0, "unit": "uV"} if suffix == ".npy" else {}
    trials = read_trials(path, **given_ones)
    assert trial_count(path) == len(trials) == 5
    for trial, values in zip(trials, TRIALS, strict=True):
        np.testing.assert_array_equal(trial.values, values)
        assert (trial.sampling_rate, trial.unit) == (500.0, "uV")
    assert "it holds 5 trials (trials x channels x samples)" in refused(read_recording, path, **given_ones)
    (picked_one, *_) = read_trials(path, pick=[trials[0].channels[1]], **given_ones)
    np.testing.assert_array_equal(picked_one.values, TRIALS[0, 1:2])


def test_one_trial_is_a_recording_and_a_file_without_any_has_one(tmp_path):
    np.save(tmp_path / "one.npy", TRIALS[:1])
    np.testing.assert_array_equal(read_recording(tmp_path / "one.npy", sampling_rate=500, unit="mV").values, TRIALS[0])
    assert [trial_count(tmp_path / name) for name in ("one.npy", "none.npy", "other.edf")] == [1, 1, 1]
    write_recording(lfp(), tmp_path / "r.npz")
    assert trial_count(tmp_path / "r.npz") == len(read_trials(tmp_path / "r.npz")) == 1


@pytest.mark.parametrize(
    ("axes", "says"),
    [((1, 2, 0), r"channels x samples x trials.*np\.transpose\(lfp, \(2, 0, 1\)\).*permute\(lfp, \[3 1 2\]\)"),
     ((2, 0, 1), r"expected trials x channels x samples, and 3 samples would be fewer than 5 channels.*\(2, 1, 0\)")],
    ids=["as toolboxes of MATLAB have it", "samples first"],
)  # fmt: skip
def test_trials_in_another_order_of_axes_are_refused_with_the_way_out(axes, says, tmp_path):
    saved(tmp_path / "r.npz", lfp=np.transpose(TRIALS, axes))
    with pytest.raises(ValueError, match=says):
        read_trials(tmp_path / "r.npz", sampling_rate=500, unit="mV")


TIMES = np.arange(400) / 250.0


@pytest.mark.parametrize(
    ("name", "times", "rate"),
    [("t", TIMES, 250), ("time", TIMES, 250), ("Time", TIMES, 250), ("t_s", TIMES, 250), ("t_ms", 1e3 * TIMES, 250),
     ("time_ms", 1e3 * TIMES, 250), ("time (ms)", 1e3 * TIMES, 250), ("Time [s]", TIMES + 7, 250)],
)  # fmt: skip
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_table_has_its_times_in_any_column(name, times, rate, place, tmp_path):
    columns = {"a": TRIALS[0, 0], "b": TRIALS[0, 1]}
    columns = {name: times, **columns} if place == "first" else {**columns, name: times}
    rows = [",".join(columns), *(",".join(f"{x:.6f}" for x in row) for row in zip(*columns.values(), strict=True))]
    (tmp_path / "r.csv").write_text("\n".join(rows))
    recording = read_recording(tmp_path / "r.csv", unit="mV")
    assert recording.sampling_rate == pytest.approx(rate, rel=1e-3)
    assert recording.channels == ("a", "b")
    np.testing.assert_allclose(recording.values, TRIALS[0, :2], atol=1e-6)


@pytest.mark.parametrize("name", ["t_ms", "time_ms", "Time"])
def test_arrays_have_their_times_beside_them(name, tmp_path):
    times = TIMES * (1e3 if name.endswith("ms") else 1.0)
    saved(tmp_path / "r.npz", lfp=TRIALS[0], **{name: times})
    savemat(tmp_path / "r.mat", {"lfp": TRIALS[0], name: times})
    for file in ("r.npz", "r.mat"):
        assert read_recording(tmp_path / file, unit="mV").sampling_rate == pytest.approx(250)


@pytest.mark.parametrize(
    ("name", "step", "says"),
    [("t", 4.0, r"'t', read as seconds, give 0\.25 Hz; if they are in ms, name them 't_ms', else give the rate"),
     ("time", 1 / 2e5, r"read as seconds, give 200000 Hz; give the rate \(--sampling-rate\)"),
     ("t_ms", 1 / 250, r"'t_ms', read as ms, give 250000 Hz; if they are in s, name them 't_s'"),
     ("t_ms", 1e6, r"read as ms, give 0\.001 Hz; give the rate")],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".npz", ".mat", ".csv"])
def test_times_that_give_no_plausible_rate_say_so(name, step, says, suffix, tmp_path):
    path, times = tmp_path / f"r{suffix}", step * np.arange(400)
    if suffix == ".npz":
        saved(path, lfp=TRIALS[0], **{name: times})
    elif suffix == ".mat":
        savemat(path, {"lfp": TRIALS[0], name: times})
    else:
        np.savetxt(path, np.column_stack([times, TRIALS[0].T]), delimiter=",", header=f"{name},a,b,c", comments="",
                   fmt="%.12g")  # fmt: skip
    with pytest.raises(ValueError, match=says):
        read_recording(path, unit="mV")
    assert read_recording(path, unit="mV", sampling_rate=250).sampling_rate == 250


def test_a_unit_is_not_asked_for_where_the_gain_is_unknown(tmp_path):
    saved(tmp_path / "r.npz", values=TRIALS[0], fs=500.0)
    savemat(tmp_path / "r.mat", {"lfp": TRIALS[0], "fs": 500.0})
    np.save(tmp_path / "r.npy", TRIALS[0])
    np.savetxt(tmp_path / "r.csv", TRIALS[0].T, delimiter=",")
    for name in ("r.npz", "r.mat", "r.npy", "r.csv"):
        rate = {} if name in ("r.npz", "r.mat") else {"sampling_rate": 500.0}
        assert read_trials(tmp_path / name, any_unit=True, **rate)[0].unit == "1"
        assert read_trials(tmp_path / name, any_unit=True, unit="uV", **rate)[0].unit == "uV"
        assert "does not say its unit" in refused(read_trials, tmp_path / name, **rate)
