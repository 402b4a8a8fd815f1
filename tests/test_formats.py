"""Files of other programs, written by their own libraries where these can write, and read back as Recordings."""

import builtins
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from inference.recordings.files import READERS, read_recording

RATE = 500.0


@pytest.fixture
def values(rng):
    return 1e-5 * rng.standard_normal((3, 1000))  # V


def mne_raw(values, kinds=("eeg", "eeg", "eeg"), bads=()):
    import mne

    info = mne.create_info(["A", "B", "C"], RATE, list(kinds))
    info["bads"] = list(bads)
    return mne.io.RawArray(values, info, verbose="error")


def test_fif(values, tmp_path):
    path = tmp_path / "x_raw.fif"
    mne_raw(values, ("eeg", "ecog", "stim"), bads=["B"]).save(path, verbose="error")
    recording = read_recording(path)
    assert recording.channels == ("A",)
    assert (recording.unit, recording.sampling_rate) == ("V", RATE)
    np.testing.assert_allclose(recording.values, values[:1], rtol=1e-5)


def test_fif_without_a_neural_channel(values, tmp_path):
    path = tmp_path / "x_raw.fif"
    mne_raw(values, ("stim", "eog", "misc")).save(path, verbose="error")
    with pytest.raises(ValueError, match=r"x_raw\.fif: none of its 3 channels.*eog, misc, stim"):
        read_recording(path)


def write_brainvision(folder, values_uV):
    """Header, markers and data as the BrainVision format describes them; one bit is 0.1 uV."""
    (folder / "x.eeg").write_bytes((values_uV / 0.1).round().astype("<i2").T.tobytes())
    (folder / "x.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nDataFile=x.eeg\n[Marker Infos]\n"
    )
    channels = "".join(f"Ch{i + 1}={name},,0.1,µV\n" for i, name in enumerate("ABC"))
    (folder / "x.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nCodepage=UTF-8\nDataFile=x.eeg\n"
        "MarkerFile=x.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels=3\n"
        f"SamplingInterval=2000\n[Binary Infos]\nBinaryFormat=INT_16\n[Channel Infos]\n{channels}",
        encoding="utf-8",
    )
    return folder / "x.vhdr"


def test_brainvision(values, tmp_path):
    recording = read_recording(write_brainvision(tmp_path, 1e6 * values))
    assert recording.channels == ("A", "B", "C")
    assert (recording.unit, recording.sampling_rate) == ("V", RATE)
    np.testing.assert_allclose(recording.values, values, atol=6e-8)


def write_edf(path, values_uV):
    """A European Data Format file with one record a second; physical units of uV from -3,276.8 to 3,276.7."""
    signals, samples = values_uV.shape
    seconds, each = int(samples / RATE), int(RATE)

    def fields(width, texts):
        return b"".join(str(t).encode().ljust(width) for t in texts)

    head = fields(8, ["0"]) + fields(80, ["X X X X", "Startdate X X X X"]) + fields(8, ["01.01.26", "00.00.00"])
    head += fields(8, [256 * (signals + 1)]) + fields(44, [""]) + fields(8, [seconds, 1]) + fields(4, [signals])
    head += fields(16, "ABC") + fields(80, [""] * signals) + fields(8, ["uV"] * signals)
    head += fields(8, [-3276.8] * signals) + fields(8, [3276.7] * signals)
    head += fields(8, [-32768] * signals) + fields(8, [32767] * signals)
    head += fields(80, [""] * signals) + fields(8, [each] * signals) + fields(32, [""] * signals)
    digital = (values_uV * 10).round().astype("<i2").reshape(signals, seconds, each).transpose(1, 0, 2)
    path.write_bytes(head + digital.tobytes())


def test_edf(values, tmp_path):
    write_edf(tmp_path / "x.edf", 1e6 * values)
    recording = read_recording(tmp_path / "x.edf")
    assert recording.channels == ("A", "B", "C")
    assert (recording.unit, recording.sampling_rate) == ("V", RATE)
    np.testing.assert_allclose(recording.values, values, atol=6e-8)


def write_nwb(path, series):
    """An NWB file with electrodes 10, 11, 12 and one ElectricalSeries for each (name, data, arguments)."""
    import pynwb

    file = pynwb.NWBFile("a session", "x", datetime(2026, 1, 1, tzinfo=UTC))
    device = file.create_device("probe")
    group = file.create_electrode_group("g", "laminar", "V1", device)
    for i in (10, 11, 12):
        file.add_electrode(id=i, group=group, location="V1")
    region = file.create_electrode_table_region([0, 1, 2], "all")
    for name, data, arguments in series:
        file.add_acquisition(pynwb.ecephys.ElectricalSeries(name=name, data=data, electrodes=region, **arguments))
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(file)


def test_nwb(values, tmp_path):
    path = tmp_path / "x.nwb"
    write_nwb(path, [("lfp", (1e6 * values).T, {"rate": RATE, "conversion": 1e-6})])
    recording = read_recording(path)
    assert recording.channels == ("electrode 10", "electrode 11", "electrode 12")
    assert (recording.unit, recording.sampling_rate) == ("V", RATE)
    np.testing.assert_allclose(recording.values, values, rtol=1e-6)


def test_nwb_with_time_stamps(values, tmp_path):
    times = np.arange(1000) / RATE
    write_nwb(tmp_path / "even.nwb", [("lfp", values.T, {"timestamps": times})])
    assert read_recording(tmp_path / "even.nwb").sampling_rate == pytest.approx(RATE)
    times[500:] += 0.3
    write_nwb(tmp_path / "gap.nwb", [("lfp", values.T, {"timestamps": times})])
    with pytest.raises(ValueError, match=r"gap\.nwb: its time stamps are not evenly spaced"):
        read_recording(tmp_path / "gap.nwb")


def test_nwb_with_two_series_is_a_question(values, tmp_path):
    write_nwb(tmp_path / "x.nwb", [(name, values.T, {"rate": RATE}) for name in ("raw", "filtered")])
    with pytest.raises(ValueError, match=r"2 electrical series \((raw, filtered|filtered, raw)\)"):
        read_recording(tmp_path / "x.nwb")


def test_matlab(values, tmp_path):
    savemat(tmp_path / "x.mat", {"lfp": values, "fs": RATE, "unit": "V", "note": np.array(["hello"])})
    recording = read_recording(tmp_path / "x.mat")
    assert (recording.unit, recording.sampling_rate) == ("V", RATE)
    np.testing.assert_array_equal(recording.values, values)
    savemat(tmp_path / "two.mat", {"a": values, "b": values, "fs": RATE})
    with pytest.raises(ValueError, match="its matrices: a, b"):
        read_recording(tmp_path / "two.mat", unit="V")


def test_matlab_7_3(values, tmp_path):
    path = tmp_path / "x.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["values"] = values.T  # MATLAB stores columns first
        file["fs"] = np.array([[RATE]])
        file["unit"] = np.array([[ord("V")]], dtype="u2")
        file["unit"].attrs["MATLAB_class"] = np.bytes_("char")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    recording = read_recording(path)
    assert (recording.unit, recording.sampling_rate) == ("V", RATE)
    np.testing.assert_array_equal(recording.values, values)


def test_neo_signals_of_a_file(values, tmp_path, monkeypatch):
    """Neo writes none of the formats it is used for here, so the reader is handed a block in a file's place."""
    import neo
    import quantities as pq

    signals = [
        neo.AnalogSignal(1e3 * values[:2].T, units="mV", sampling_rate=RATE * pq.Hz),
        neo.AnalogSignal(values[2:].T, units="V", sampling_rate=RATE * pq.Hz),
        neo.AnalogSignal(values[2:].T, units="pA", sampling_rate=RATE * pq.Hz),
    ]
    signals[0].array_annotate(channel_names=np.array(["up", "down"]))
    signals[1].array_annotate(channel_names=np.array(["deep"]))
    block, segment = neo.Block(), neo.Segment()
    segment.analogsignals.extend(signals)
    block.segments.append(segment)
    monkeypatch.setattr(neo.io, "get_io", lambda path: type("File", (), {"read_block": lambda self: block})())
    (tmp_path / "x.plx").touch()
    recording = read_recording(tmp_path / "x.plx")
    assert recording.channels == ("up", "down", "deep")
    assert recording.unit == "V"
    np.testing.assert_allclose(recording.values, values, rtol=1e-12)


@pytest.mark.parametrize("suffix", sorted(set(READERS) - {".npz", ".npy", ".csv"}))
def test_a_strangers_bytes_are_an_error_that_names_the_file(suffix, tmp_path):
    path = tmp_path / f"strange{suffix}"
    path.write_bytes(np.random.default_rng(0).bytes(3000))
    with pytest.raises(ValueError, match=r"cannot read .*strange"):
        read_recording(path, sampling_rate=RATE, unit="V")


def test_no_pickle_is_read():
    assert not {".pkl", ".pickle", ".p"} & set(READERS)


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(module, *rest, **more):
        if module.startswith("mne"):
            raise ImportError("no mne")
        return real(module, *rest, **more)

    monkeypatch.setattr("inference.recordings.formats.import_module", without)
    (tmp_path / "x.edf").touch()
    with pytest.raises(ImportError, match=r"MNE reads these files.*circuitsbi\[files\]"):
        read_recording(tmp_path / "x.edf")


def test_files_that_unpack_to_too_much_are_refused_before_they_are_read(values, tmp_path, monkeypatch):
    mne_raw(values).save(tmp_path / "x_raw.fif", verbose="error")
    write_nwb(tmp_path / "x.nwb", [("lfp", values.T, {"rate": RATE})])
    savemat(tmp_path / "x.mat", {"values": np.zeros((3, 1000)), "fs": RATE, "unit": "V"}, do_compression=True)
    with h5py.File(tmp_path / "hdf5.mat", "w", userblock_size=512) as file:
        file.create_dataset("values", data=np.zeros((1000, 3)), compression="gzip")
    with (tmp_path / "hdf5.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    (tmp_path / "x.plx").write_bytes(bytes(20_000))
    monkeypatch.setattr("inference.recordings.formats.LARGEST_BYTES", 10_000)
    for name in ("x_raw.fif", "x.nwb", "x.mat", "hdf5.mat", "x.plx"):
        with pytest.raises(ValueError, match=rf"{name}: it unpacks to"):
            read_recording(tmp_path / name, sampling_rate=RATE, unit="V")
