"""Folders and BIDS data sets: which recordings they hold, of whom, and what stands beside the files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_sets import CHANNELS, RATE, noise, write_bids, write_channels, write_edf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.recordings import dataset
from inference.recordings.conform import to_unit
from inference.recordings.contents import Contents
from inference.recordings.dataset import Listed, is_data_set, listed, read_listed
from inference.recordings.files import write_recording
from inference.recordings.sidecars import Channel, Sidecar, joined, read_channels, read_metadata
from simulators.recording import Recording

NAMES = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters='"\t'), min_size=1, max_size=8)


@pytest.fixture
def bids(tmp_path):
    pytest.importorskip("mne_bids", reason="mne-bids reads the names of BIDS files and is not installed")
    return tmp_path / "ds"


def save(path, values=None, unit="mV"):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_recording(Recording(noise(0.0, 1) if values is None else values, float(RATE), unit, CHANNELS), path)
    return path


def names_of(found):
    return [one.path.name for one in found]


def test_a_bids_data_set_is_its_recordings_with_whose_they_are(bids):
    paths = write_bids(bids, ("01", "02"), ("rest", "task"))
    (bids / "participants.tsv").write_text("participant_id\tage\tgroup\nsub-01\t30\tcontrol\nsub-02\tn/a\tn/a\n")
    for junk in ("README", "sub-01/eeg/sub-01_task-rest_events.tsv", "sub-01/eeg/sub-01_photo.png", ".hidden.edf"):
        (bids / junk).write_text("")
    save(bids / "derivatives" / "sub-01" / "eeg" / "sub-01_task-rest_eeg.npz")
    save(bids / "sub-emptyroom" / "meg" / "sub-emptyroom_task-noise_meg.npz")
    found = listed([bids])
    assert [one.path for one in found] == paths
    assert [(one.subject, one.condition, one.group, one.session) for one in found] == [
        ("01", "rest", "control", ""), ("01", "task", "control", ""), ("02", "rest", "", ""), ("02", "task", "", ""),
    ]  # fmt: skip
    assert found[0].labels == {"subject": "01", "condition": "rest", "group": "control"}
    assert found[0].channels == paths[0].with_name("sub-01_task-rest_channels.tsv")
    assert not any(one.missing for one in found)
    assert listed([paths[3]]) == found[3:]  # a file alone is what it is in its data set
    assert listed([bids / "sub-02"]) == found[2:]
    assert names_of(listed([bids / "derivatives"])) == ["sub-01_task-rest_eeg.npz"]


def test_a_data_set_written_by_mne_bids_is_read(bids, tmp_path):
    mne_bids = pytest.importorskip("mne_bids")
    import mne

    write_edf(tmp_path / "x.edf", noise(0.0, 1, 2))
    raw = mne.io.read_raw_edf(tmp_path / "x.edf", verbose="error")
    raw.info["line_freq"] = 50
    raw.info["bads"] = ["lower"]
    place = mne_bids.BIDSPath(subject="a1", session="2", task="rest", acquisition="lab", run="3", root=bids)
    mne_bids.write_raw_bids(raw, place, verbose="error")
    (one,) = listed([bids])
    assert one.labels == {
        "subject": "a1", "session": "2", "condition": "rest", "run": "3", "acquisition": "lab",
    }  # fmt: skip
    sidecar = one.sidecar()
    assert (sidecar.sampling_rate, sidecar.mains) == (RATE, 50)
    (recording,), notes = read_listed(one)
    assert recording.channels == ("upper",)
    assert notes == (f"left out, as {sidecar.table} says: lower (bad)",)
    np.testing.assert_allclose(recording.values, 1e-3 * noise(0.0, 1, 2)[:1], atol=2e-7)
    assert "60 Hz" in read_listed(one, notch=60.0)[1][-1]
    assert read_listed(one, notch=50.0)[1] == notes


def test_sidecars_apply_from_the_root_down_and_to_what_they_name(bids):
    (path,) = write_bids(bids, ("01",), ("rest",))
    path.with_name("sub-01_task-rest_channels.tsv").unlink()
    write_channels(bids / "task-rest_channels.tsv", ["uV", "uV"], bad=["lower"])
    write_channels(bids / "task-other_channels.tsv", ["nV", "nV"], bad=["upper"])
    (bids / "eeg.json").write_text(json.dumps({"PowerLineFrequency": 60, "SamplingFrequency": "n/a"}))
    path.with_name("sub-01_task-rest_eeg.json").write_text(json.dumps({"SamplingFrequency": RATE}))
    (one,) = listed([bids])
    assert one.channels == bids / "task-rest_channels.tsv"
    assert (one.sidecar().mains, one.sidecar().sampling_rate) == (60, RATE)
    assert read_listed(one)[0][0].channels == ("upper",)


@pytest.mark.parametrize(("header", "beside"), [("uV", "uV"), ("uV", "µV"), ("mV", "mV"), ("", "uV"), ("uV", "n/a")])
def test_the_unit_of_header_or_sidecar_gives_the_same_recording(bids, header, beside):
    (path,) = write_bids(bids, ("01",), unit=header)
    write_channels(path.with_name("sub-01_task-rest_channels.tsv"), [beside] * 2)
    (recording,), _ = read_listed(listed([bids])[0])
    got = to_unit(recording, "mV").values
    np.testing.assert_allclose(got, noise(-0.5, 0), atol=1e-4)


def test_two_units_are_named_and_neither_is_taken(bids):
    (path,) = write_bids(bids, ("01",))
    table = path.with_name("sub-01_task-rest_channels.tsv")
    write_channels(table, ["uV", "V"])
    (one,) = listed([bids])
    with pytest.raises(ValueError, match=r"two units: the file says 'µV' of channel lower, sub.*tsv says 'V'"):
        read_listed(one)
    (of_any_gain,), (note,) = read_listed(one, any_unit=True)
    assert of_any_gain.unit == "V"
    assert note.endswith("the gain does not count here")
    by_the_file = read_listed(one, unit="V")[0][0]
    np.testing.assert_allclose(to_unit(by_the_file, "mV").values, noise(-0.5, 0), atol=1e-4)
    write_channels(table, ["uV", "nA"], kinds=["EEG", "MISC"])
    assert read_listed(one)[0][0].channels == ("upper",)  # negative control: what is left out needs no unit


def test_without_sidecars_the_file_has_to_say_it(bids):
    silent, told = write_bids(bids, ("01",), ("rest",), sidecars=False, unit="")[0], bids / "sub-02"
    write_edf_of = told / "eeg" / "sub-02_task-rest_eeg.edf"
    write_edf_of.parent.mkdir(parents=True)
    write_edf(write_edf_of, noise(0.0, 1))
    first, second = listed([bids])
    assert (first.path, first.missing) == (silent, ("sub-01_task-rest_channels.tsv", "sub-01_task-rest_eeg.json"))
    with pytest.raises(ValueError, match=r"sub-01.*does not say its unit.*there is no sub-01_task-rest_channels\.tsv"):
        read_listed(first)
    assert read_listed(first, any_unit=True)[0][0].unit == "1"
    recordings, notes = read_listed(second)
    assert recordings[0].unit == "V"
    assert notes[0].startswith("no sub-02_task-rest_channels.tsv and no sub-02_task-rest_eeg.json")


def test_a_bad_channel_that_is_asked_for_is_refused(bids):
    (path,) = write_bids(bids, ("01",))
    write_channels(path.with_name("sub-01_task-rest_channels.tsv"), ["uV"] * 2, bad=["lower"])
    (one,) = listed([bids])
    assert read_listed(one, pick=["upper"])[0][0].channels == ("upper",)
    with pytest.raises(ValueError, match=r"channel 'lower' is asked for and .*tsv has it as bad"):
        read_listed(one, pick=["lower"])
    write_channels(one.channels, ["uV"] * 2, bad=CHANNELS)
    with pytest.raises(ValueError, match=r"leaves no channel: upper \(bad\), lower \(bad\)"):
        read_listed(one)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: p.with_name("sub-01_task-rest_eeg.json").write_text('{"SamplingFrequency": 250}'), "1000 Hz.*250"),
        (lambda p: p.with_name("sub-01_task-rest_eeg.json").write_text('{"SamplingFrequency": "a"}'), "of Hz"),
        (lambda p: p.with_name("sub-01_task-rest_eeg.json").write_text("[" * 90000), "eeg.json is no JSON"),
        (lambda p: p.with_name("sub-01_task-rest_eeg.json").write_text("[]"), "no JSON object"),
        (lambda p: p.with_name("sub-01_task-rest_channels.tsv").write_text("a\tb\n"), "no column 'name'"),
        (lambda p: p.with_name("sub-01_task-rest_channels.tsv").write_bytes(b"name\n\xff\xfe"), "no table of text"),
        (lambda p: p.with_name("sub-01_task-rest_channels.tsv").write_text("name\nupper\nupper\n"), "twice"),
        (lambda p: p.with_name("sub-01_task-rest_channels.tsv").write_text("name\nother\n"), "none of its channels"),
        (lambda p: p.write_bytes(b"no recording"), "Bad EDF"),
    ],
)
def test_what_is_wrong_with_a_recording_is_named_with_it(bids, change, says):
    write_bids(bids)
    one, other = listed([bids])
    change(one.path)
    with pytest.raises(ValueError, match=rf"cannot read .*sub-01_task-rest_eeg\.edf: (?s:.*){says}"):
        read_listed(one)
    assert read_listed(other)[0][0].channels == CHANNELS


def test_parts_of_a_recording_are_one_and_folders_may_be_recordings(bids):
    write_bids(bids, ("01",))
    for name in ("split-01_ieeg.npz", "split-02_ieeg.npz"):
        save(bids / "sub-01" / "ieeg" / f"sub-01_task-x_{name}")
    (bids / "sub-01" / "meg" / "sub-01_task-x_meg.ds" / "inner").mkdir(parents=True)
    found = listed([bids])
    assert names_of(found)[1:] == ["sub-01_task-x_split-01_ieeg.npz", "sub-01_task-x_meg.ds"]
    assert not is_data_set(found[-1].path)
    with pytest.raises(ValueError, match=r"no reader for '\.ds' recordings; save it with MNE"):
        read_listed(found[-1])


def test_of_a_plain_folder_the_sub_folder_is_the_condition(tmp_path):
    for name in ("a.npz", "wake/b.npz", "wake/deep/c.npz", "sleep/d.npz"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "samples.zarr").mkdir()
    save(tmp_path / "samples.zarr" / "inner.npz")
    (tmp_path / "estimates.csv").write_text("recording,window\n")
    (tmp_path / "old").mkdir()
    save(tmp_path / "old" / "e.npz")
    (tmp_path / "old" / dataset.RESULTS_MARK).write_text("{}")
    found = listed([tmp_path])
    assert [(one.path.name, one.condition) for one in found] == [
        ("a.npz", ""), ("d.npz", "sleep"), ("b.npz", "wake"), ("c.npz", "wake/deep"),
    ]  # fmt: skip
    assert listed([tmp_path], [tmp_path / "wake"]) == found[:2]
    assert listed([tmp_path / "a.npz", tmp_path / "sleep"]) == [Listed(tmp_path / "a.npz"), Listed(found[1].path)]


@pytest.mark.parametrize(("name", "comma"), [("recordings.csv", ","), ("recordings.tsv", "\t")])
def test_a_table_says_which_recordings_are_whose(tmp_path, name, comma):
    np.save(tmp_path / "x.npy", noise(0.0, 1))
    save(tmp_path / "unlisted.npz")
    rows = [
        ["file", "subject", "condition", "unit", "sampling_rate", "note"],
        ["x.npy", "M1", "wake", "mV", "1000", "?"],
        ["gone.npy", "M2", "n/a", "mV", "x", ""],
    ]
    (tmp_path / name).write_text("\n".join(comma.join(row) for row in rows))
    one, gone = listed([tmp_path])
    assert one.labels == {"subject": "M1", "condition": "wake"}
    (recording,), _ = read_listed(one)
    assert (recording.unit, recording.sampling_rate) == ("mV", 1000.0)
    with pytest.raises(ValueError, match=r"gone\.npy: the sampling rate in the table of recordings is 'x'"):
        read_listed(gone)
    with pytest.raises(ValueError, match="No such file"):
        read_listed(replace(gone, sampling_rate="100"))


def test_folders_that_hold_nothing_or_themselves_are_errors(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"holds no recordings; those that are read end in \.npy"):
        listed([tmp_path])
    a = save(tmp_path / "in" / "a.npz")
    with pytest.raises(ValueError, match="is asked for twice"):
        listed([tmp_path, a])
    (tmp_path / "in" / "loop").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(ValueError, match=r"loop is the same folder as .*a link leads there"):
        listed([tmp_path])
    (tmp_path / "in" / "loop").unlink()
    assert names_of(listed([tmp_path])) == ["a.npz"]  # negative control
    (tmp_path / "recordings.csv").write_text("path\nin/a.npz\n")
    with pytest.raises(ValueError, match=r"recordings\.csv has no column 'file', only path"):
        listed([tmp_path])

    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    (tmp_path / "recordings.csv").unlink()
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(PermissionError):
        listed([tmp_path])


def test_a_bids_data_set_without_recordings_or_its_library_says_so(bids, monkeypatch):
    bids.mkdir()
    (bids / "dataset_description.json").write_text("{}")
    with pytest.raises(ValueError, match="is a BIDS data set without recordings"):
        listed([bids])
    write_bids(bids, ("01",))
    monkeypatch.setitem(__import__("sys").modules, "mne_bids", None)
    dataset._entities.cache_clear()
    with pytest.raises(ImportError, match=r"mne-bids reads these files and is not installed: pip install"):
        listed([bids])


@given(
    st.lists(st.sampled_from(["V", "mV", "uV", "µV", "nV"]), min_size=3, max_size=3),
    st.lists(st.booleans(), min_size=3, max_size=3).filter(lambda bad: not all(bad)),
)
def test_channels_in_any_units_become_the_same_volts(units, bad):
    volts = np.arange(1.0, 13.0).reshape(3, 4)
    per_volt = {"V": 1.0, "mV": 1e3, "uV": 1e6, "µV": 1e6, "nV": 1e9}
    values = volts * np.array([[per_volt[unit]] for unit in units])
    channels = tuple(Channel(n, "eeg", u, b) for n, u, b in zip("abc", units, bad, strict=True))
    found, notes = joined(Contents(values, 500.0), Sidecar(channels, table="t.tsv"))
    kept = [i for i in range(3) if not bad[i]]
    assert found.channels == tuple("abc"[i] for i in kept)
    assert len(notes) == any(bad)
    recording = Recording(found.values, 500.0, found.unit, found.channels)
    np.testing.assert_allclose(to_unit(recording, "V").values, volts[kept], rtol=1e-12)


@pytest.mark.parametrize(
    ("units", "says"),
    [(("mV", "nA"), "units that do not go together.*mV: a; nA: b"), (("mV", ""), "the unit of b stands neither")],
)
def test_units_that_do_not_go_together_are_named(units, says):
    channels = tuple(Channel(n, "eeg", u) for n, u in zip("ab", units, strict=True))
    with pytest.raises(ValueError, match=says):
        joined(Contents(np.ones((2, 3))), Sidecar(channels, table="t.tsv"))
    alone, _ = joined(Contents(np.ones((2, 3))), Sidecar(channels, table="t.tsv"), pick=["a"])
    assert alone.unit == "mV"  # negative control: what is not asked for needs none
    by_user, _ = joined(Contents(np.ones((2, 3))), Sidecar(channels, table="t.tsv"), "uV")
    assert by_user.unit is None  # whoever reads takes the user's


@given(
    st.lists(
        st.tuples(NAMES, st.sampled_from(["good", "bad", "n/a", ""])),
        min_size=1,
        max_size=6,
        unique_by=lambda r: r[0].strip(),
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tables_of_channels_come_back_as_they_were_written(tmp_path, rows):
    path = tmp_path / "channels.tsv"
    path.write_text("name\tstatus\n" + "".join(f"{n}\t{s}\n" for n, s in rows), encoding="utf-8", newline="")
    wanted = [(n.strip() if n.strip().lower() != "n/a" else "", s == "bad") for n, s in rows]
    if len({name for name, _ in wanted}) < len(wanted):
        return
    assert [(c.name, c.bad) for c in read_channels(path)] == wanted


@given(st.binary(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_beside_a_file_is_read_or_refused(tmp_path, content):
    path = tmp_path / "beside.tsv"
    path.write_bytes(content)
    for read in (read_channels, lambda p: read_metadata([p])):
        try:
            read(path)
        except ValueError as error:
            assert "beside.tsv" in str(error)  # noqa: PT017
