"""Files of other programs, written by their own libraries where these can write, and read back as Recordings."""

import builtins
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from scipy.io import savemat

from inference.recordings.files import READERS, read_recording
from simulators.recording import Recording

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
    with pytest.raises(ValueError, match=r"2 electrical series; name one .*--variable.* raw \(1000 x 3\)"):
        read_recording(tmp_path / "x.nwb")
    assert read_recording(tmp_path / "x.nwb", variable="raw").sampling_rate == RATE
    with pytest.raises(ValueError, match="0 electrical series called 'spikes'"):
        read_recording(tmp_path / "x.nwb", variable="spikes")


def test_matlab(values, tmp_path):
    savemat(tmp_path / "x.mat", {"lfp": values, "fs": RATE, "unit": "V", "note": np.array(["hello"])})
    recording = read_recording(tmp_path / "x.mat")
    assert (recording.unit, recording.sampling_rate) == ("V", RATE)
    np.testing.assert_array_equal(recording.values, values)
    savemat(tmp_path / "two.mat", {"a": values, "b": values, "fs": RATE})
    with pytest.raises(ValueError, match=r"--variable.* a \(3 x 1000\), b \(3 x 1000\), fs \(one value\)"):
        read_recording(tmp_path / "two.mat", unit="V")
    assert read_recording(tmp_path / "two.mat", unit="V", variable="b").values.shape == (3, 1000)


@pytest.mark.parametrize("lfp", [np.arange(500.0)[:, None], np.arange(500.0)[None]], ids=["column", "row"])
def test_a_textbook_s_matlab_file_just_works(lfp, tmp_path):
    """One channel, as a column or a row, and its times in seconds."""
    savemat(tmp_path / "x.mat", {"LFP": lfp, "t": np.arange(500)[:, None] / RATE})
    recording = read_recording(tmp_path / "x.mat", unit="mV")
    assert recording.sampling_rate == RATE
    np.testing.assert_array_equal(recording.values, np.arange(500.0)[None])


def test_trials_in_a_matlab_file_are_not_taken_for_channels(tmp_path):
    savemat(tmp_path / "x.mat", {"lfp": np.zeros((20, 3, 100)), "fs": RATE, "about": {"subject": 1}})
    with pytest.raises(ValueError, match=r"it holds 20 trials \(trials x channels x samples\)"):
        read_recording(tmp_path / "x.mat", unit="V")


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


def whole_file(name, folder, values) -> bytes:
    path = folder / name
    if name == "v5.mat":
        savemat(path, {"LFP": values[:, :40], "t": np.arange(40) / RATE, "unit": "V"}, do_compression=True)
    elif name == "plain.mat":
        savemat(path, {"LFP": values[:, :40], "fs": RATE, "unit": "V"})
    elif name == "x.edf":
        write_edf(path, 1e6 * values)
    elif name == "x.vhdr":
        write_brainvision(folder, 1e6 * values)
    else:
        with h5py.File(path, "w") as file:
            file["values"], file["fs"] = values[:, :40].T, RATE
        return b"MATLAB 7.3".ljust(128) + path.read_bytes()
    return path.read_bytes()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["v5.mat", "plain.mat", "v73.mat", "x.edf", "x.vhdr"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_read_or_refused(name, data, tmp_path):
    """A few bytes changed, most of them where the headers are, and the end cut off."""
    content = bytearray(whole_file(name, tmp_path, 1e-5 * np.random.default_rng(0).standard_normal((3, 1000))))
    for _ in range(data.draw(st.integers(0, 4))):
        last = data.draw(st.sampled_from([min(400, len(content) - 1), len(content) - 1]))
        content[data.draw(st.integers(0, last))] = data.draw(st.integers(0, 255))
    path = tmp_path / name
    path.write_bytes(content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))])
    try:
        assert isinstance(read_recording(path, sampling_rate=RATE, unit="V"), Recording)
    except ValueError as error:
        # Either outcome is right, but not a mistake of our own in the guise of a damaged file.
        assert str(path) in str(error)  # noqa: PT017
        assert not isinstance(error.__cause__, NameError | TypeCheckError)  # noqa: PT017


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
    monkeypatch.setattr("inference.recordings.contents.LARGEST_BYTES", 10_000)
    for name in ("x_raw.fif", "x.nwb", "x.mat", "hdf5.mat", "x.plx"):
        with pytest.raises(ValueError, match=rf"{name}: it unpacks to"):
            read_recording(tmp_path / name, sampling_rate=RATE, unit="V")
