"""Files -> Recording: what is read, what is refused and how it is said."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jaxtyping import TypeCheckError
from recording_files import refused, saved

from inference.recordings.files import read_counts, read_recording, write_recording
from simulators.recording import Recording
from simulators.text import printable

POPULATIONS = ("excitatory", "inhibitory")
DEPTHS = tuple(f"z = {-100 * k} um" for k in range(6))
LFP = np.random.default_rng(1).normal(size=(6, 1000))
PLACE = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def lfp(values=LFP, sampling_rate=1000.0, unit="mV", channels=None, transient=0):
    names = channels or tuple(f"ch{i}" for i in range(len(values)))
    return Recording(values, sampling_rate, unit, names, transient)


def assert_same(a: Recording, b: Recording):
    np.testing.assert_array_equal(a.values, b.values)
    assert a.values.dtype == b.values.dtype
    same = ("sampling_rate", "unit", "channels", "transient")
    assert [getattr(a, f) for f in same] == [getattr(b, f) for f in same]


# --- reading what is there ---

NAMES = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=12)
NUMBER_TYPES = st.sampled_from([np.float64, np.float32, np.int16, np.uint16, np.int64])


@st.composite
def fields_of_recordings(draw):
    shape = draw(st.tuples(st.integers(1, 4), st.integers(2, 20)))
    values = draw(hnp.arrays(draw(NUMBER_TYPES), shape))
    channels = tuple(draw(st.lists(NAMES, min_size=shape[0], max_size=shape[0])))
    one_unit = NAMES.filter(lambda name: "," not in name)
    unit = draw(one_unit | st.lists(one_unit, min_size=shape[0], max_size=shape[0]).map(",".join))
    return values, draw(st.floats(1e-3, 1e6)), unit, channels, draw(st.integers(0, shape[1] - 1))


@PLACE
@given(fields=fields_of_recordings())
def test_written_recordings_read_back_identically(fields, tmp_path):
    recording = Recording(*fields)
    write_recording(recording, tmp_path / "r.npz")
    assert_same(read_recording(tmp_path / "r.npz"), recording)


@PLACE
@given(
    values=hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(2, 20)), elements=st.floats(width=64)),
    header=st.booleans(),
    delimiter=st.sampled_from(",;\t"),
)
def test_csv_reads_back(values, header, delimiter, tmp_path):
    names = tuple(f"ch {i}" for i in range(len(values)))
    path = tmp_path / "r.csv"
    np.savetxt(path, values.T, fmt="%.17g", delimiter=delimiter, header=delimiter.join(names) if header else "")
    recording = read_recording(path, sampling_rate=500, unit="mV", channels=None if header else names)
    np.testing.assert_array_equal(recording.values, values)
    assert recording.channels == names


@pytest.mark.parametrize(
    ("column", "step", "decimals", "rate"),
    [("time_ms", 1.0, 3, 1000), ("time_s", 0.002, 4, 500), ("time", 1 / 1024, 4, 1024), ("time_ms", 1 / 30, 2, 3e4)],
)
def test_a_time_column_gives_the_sampling_rate(column, step, decimals, rate, tmp_path):
    rows = [f"{column},top,bottom", *(f"{7 + i * step:.{decimals}f},{i},{-i}" for i in range(400))]
    (tmp_path / "r.csv").write_text("\n".join(rows))
    recording = read_recording(tmp_path / "r.csv", unit="uV")
    assert recording.sampling_rate == pytest.approx(rate, rel=1e-3)
    assert recording.channels == ("top", "bottom")
    assert recording.unit == "uV"
    np.testing.assert_array_equal(recording.values[1], -np.arange(400))


@pytest.mark.parametrize(
    "text", ["\ufeffa,b\r\n1,2\r\n3,4\r\n", '"a","b"\n1,2\n\n3,4\n', "# a,b\n1,2\n3,4", "a;b\n1;2\n3;4"]
)
def test_csv_dialects(text, tmp_path):
    (tmp_path / "r.csv").write_text(text, encoding="utf-8")
    recording = read_recording(tmp_path / "r.csv", sampling_rate=1000, unit="mV")
    assert recording.channels == ("a", "b")
    np.testing.assert_array_equal(recording.values, [[1, 3], [2, 4]])


def test_an_empty_csv_cell_is_a_gap(tmp_path):
    (tmp_path / "r.csv").write_text("a,b\n1,2\n,4\n")
    values = read_recording(tmp_path / "r.csv", sampling_rate=1000, unit="mV").values
    np.testing.assert_array_equal(values, [[1, np.nan], [2, 4]])


def test_npy_and_nameless_npz_take_what_is_given(tmp_path):
    np.save(tmp_path / "r.npy", LFP[0])
    one = read_recording(tmp_path / "r.npy", sampling_rate=1000, unit="uV")
    assert (one.values.shape, one.unit, one.channels) == ((1, 1000), "uV", ("channel 1",))
    np.savez(tmp_path / "r.npz", my_lfp=LFP)
    many = read_recording(str(tmp_path / "r.npz"), sampling_rate=1000, unit="mV", channels=DEPTHS)
    assert_same(many, lfp(channels=DEPTHS))


@pytest.mark.parametrize(
    ("beside", "rate"),
    [
        (dict(t=np.arange(1000) / 250), 250),
        (dict(time=np.arange(1000)[:, None] / 250), 250),
        (dict(time_ms=np.arange(1000)), 1000),
        (dict(fs=500, t=np.arange(1000)), 500),
        (dict(t=np.arange(1000)), 100),  # in ms, it seems: the rate has to be given
        (dict(srate=np.array([[500]]), transient=3), 500),
    ],
)
def test_companions_of_a_recording_are_not_taken_for_it(beside, rate, tmp_path):
    saved(tmp_path / "r.npz", LFP=LFP, **beside)
    given_rate = {"sampling_rate": 100} if rate == 100 else {}
    recording = read_recording(tmp_path / "r.npz", unit="mV", **given_rate)
    assert recording.sampling_rate == pytest.approx(rate)
    np.testing.assert_array_equal(recording.values, LFP)


def test_one_of_several_arrays_is_chosen_by_name(tmp_path):
    saved(tmp_path / "r.npz", LFP=LFP, ECG=LFP[:1], fs=500)
    chosen = read_recording(tmp_path / "r.npz", unit="mV", variable="ECG")
    np.testing.assert_array_equal(chosen.values, LFP[:1])
    assert "no variable 'EKG'; its variables: ECG (1 x 1000), LFP (6 x 1000), fs (one value)" in refused(
        read_recording, tmp_path / "r.npz", variable="EKG"
    )
    np.save(tmp_path / "r.npy", LFP)
    assert "no variables to choose from" in refused(read_recording, tmp_path / "r.npy", variable="LFP")


def test_what_a_terminal_would_obey_is_read_as_text(tmp_path):
    """Escape sequences, a reversal of the direction of writing, half a character."""
    channels = ("\x1b[2Jred", "a\u202eb", "µ-electrode 1\n")
    write_recording(Recording(LFP[:3], 1000.0, "m\x07V", channels), tmp_path / "r.npz")
    recording = read_recording(tmp_path / "r.npz")
    assert recording.channels == (r"\x1b[2Jred", r"a\u202eb", r"µ-electrode 1\x0a")
    assert recording.unit == r"m\x07V"
    assert printable("\udc80 𝄞 \U000e0001", kept=" ") == r"\udc80 𝄞 \U000e0001"


# --- refusing what is not ---


REFUSED_NPZ = {
    "no rate": (dict(values=LFP, unit="mV"), "give sampling_rate in Hz"),
    "no unit": (dict(values=LFP, sampling_rate=1e3), "give unit='mV'"),
    "two arrays": (dict(a=LFP, b=LFP[:2]), r"several arrays.*--variable.*: a \(6 x 1000\), b \(2 x 1000\)"),
    "no array": (dict(unit="mV"), "no array that could be the recording"),
    "four axes": (dict(values=np.ones((2, 2, 2, 2))), "channels x samples"),
    "empty": (dict(values=LFP[:, :0]), "empty"),
    "complex": (dict(values=LFP * 1j), "complex128; expected real numbers"),
    "text": (dict(values=["a", "b"]), "expected real numbers"),
    "objects": (dict(values=np.array([[1, 2], [3]], dtype=object)), "Python objects"),
    "bad rate": (dict(values=LFP, sampling_rate=-1.0, unit="mV"), "-1 Hz is not possible"),
    "high rate": (
        dict(values=LFP, sampling_rate=1e8, unit="mV"),
        r"1e\+08 Hz is not possible; give .* up to 1,000,000",
    ),
    "no rate but nan": (dict(values=LFP, sampling_rate=np.nan, unit="mV"), "nan Hz is not possible"),
    "trials": (
        dict(values=np.zeros((9, 6, 50)), fs=1e3, unit="mV"),
        r"it holds 9 trials \(trials x channels x samples",
    ),
    "times of rows": (dict(values=LFP, t=np.arange(6)), r"values\.T.*as its 6 times 't' show"),
    "a missing sample": (
        dict(values=LFP, t=np.arange(1000) + (np.arange(1000) > 500)),
        "uneven: .* 500 to 502 at row 502",
    ),
    "rates": (dict(values=LFP, sampling_rate=[1.0, 2.0], unit="mV"), "sampling_rate must be one number"),
    "unit a number": (dict(values=LFP, sampling_rate=1e3, unit=3), "unit must be text"),
    "fractional transient": (dict(values=LFP, sampling_rate=1e3, unit="mV", transient=0.5), "whole number"),
    "all transient": (dict(values=LFP, sampling_rate=1e3, unit="mV", transient=1000), "leaves nothing"),
    "names": (dict(values=LFP, sampling_rate=1e3, unit="mV", channels=["a"]), "1 channel names for 6"),
    "transposed": (dict(values=LFP.T, sampling_rate=1e3, unit="mV", channels=DEPTHS), r"values\.T.*6 channel names"),
}


@pytest.mark.parametrize(("arrays", "says"), REFUSED_NPZ.values(), ids=REFUSED_NPZ)
def test_npz_that_is_no_recording(arrays, says, tmp_path):
    path = tmp_path / "r.npz"
    saved(path, **arrays)
    with pytest.raises(ValueError, match=says) as error:
        read_recording(path)
    assert str(path) in str(error.value)


REFUSED_CSV = {
    "text": ("a,b\n1,2\n1,fish\n", "fish"),
    "ragged": ("a,b\n1,2\n1,2,3\n", "columns"),
    "header too short": ("a\n1,2\n", "names 1 columns, its rows have 2"),
    "header only": ("a,b\n", "no numbers"),
    "nothing": ("", "no numbers"),
    "times only": ("time_ms\n0\n1\n", "no channel"),
    "time stands still": ("time_ms,a\n0,1\n0,2\n", "increasing"),
    "time with gaps": ("time_ms,a\n0,1\n,2\n2,2\n", "increasing"),
    "a missing sample": ("time_ms,a\n" + "".join(f"{t},1\n" for t in range(100) if t != 50), "49 to 51 at row 51"),
    "ms called time": ("time,a\n0,1\n1,2\n2,3\n", "name them 'time_ms'"),
    "decimal commas": ("a;b\n1,5;2,5\n", r"row 2, column 1 holds '1,5' .* are written as 1\.5"),
    "a letter": ("Dear all,\nhere is\nmy text", "row 2, column 1 holds 'here is' where a number belongs"),
    "text further down": ("1,2\n\n3,x\n", "row 3, column 2 holds 'x'"),
    "a longer row": ("1,2\n3,4\n5,6,7\n", "row 3 has 3 columns, the rows before it have 2"),
}


@pytest.mark.parametrize(("text", "says"), REFUSED_CSV.values(), ids=REFUSED_CSV)
def test_csv_that_is_no_recording(text, says, tmp_path):
    (tmp_path / "r.csv").write_text(text)
    given_rate = {} if text.startswith("time") else {"sampling_rate": 1000}
    with pytest.raises(ValueError, match=says):
        read_recording(tmp_path / "r.csv", unit="mV", **given_rate)


def test_what_the_file_says_is_not_overruled(tmp_path):
    write_recording(lfp(), tmp_path / "r.npz")
    assert "says 1000 Hz, you say 250 Hz" in refused(read_recording, tmp_path / "r.npz", sampling_rate=250)
    write_recording(lfp(unit="µV"), tmp_path / "micro.npz")
    assert read_recording(tmp_path / "micro.npz", unit="uV").unit == "µV"
    assert "its unit is 'mV', you say 'uV'" in refused(read_recording, tmp_path / "r.npz", unit="uV")


def test_files_that_are_not_there_or_have_no_reader(tmp_path):
    assert "No such file" in refused(read_recording, tmp_path / "none.npz")
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "subject").mkdir()
    for folder in ("folder.npz", "subject"):
        assert "it is a folder; name the files in it" in refused(read_recording, tmp_path / folder)
    assert "no reader for '.xyz'" in refused(read_recording, tmp_path / "r.xyz")
    assert "no reader for files without an ending, only for .n" in refused(read_recording, tmp_path / "r")
    (tmp_path / "r.csv").write_bytes(b"\xff\xfe1\x00,\x002")
    assert "it is no text; save it as UTF-8" in refused(read_recording, tmp_path / "r.csv")
    assert ".npz" in refused(write_recording, lfp(), tmp_path / "r.npy")


def npy_claiming(shape, data=b"") -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_2_0(out, {"shape": shape, "fortran_order": False, "descr": "<f8"})
    return out.getvalue() + data


@pytest.mark.parametrize("shape", [(6, 10**12), (10**30, 10**30), (6, 1000), (-6, -1000)])
def test_headers_that_promise_more_than_there_is(shape, tmp_path):
    (tmp_path / "r.npy").write_bytes(npy_claiming(shape, bytes(100)))
    refused(read_recording, tmp_path / "r.npy", sampling_rate=1000, unit="mV")
    with zipfile.ZipFile(tmp_path / "r.npz", "w") as archive:
        archive.writestr("values.npy", npy_claiming(shape, bytes(100)))
    refused(read_recording, tmp_path / "r.npz", sampling_rate=1000, unit="mV")


def test_what_unpacks_to_too_much_is_refused_unopened(tmp_path, monkeypatch):
    monkeypatch.setattr("inference.recordings.contents.LARGEST_BYTES", 10_000)
    for name, save in {"r.npz": np.savez_compressed, "r.npy": np.save, "r.csv": np.savetxt}.items():
        save(tmp_path / name, np.zeros((2, 5000)))
        assert "cut or downsample" in refused(read_recording, tmp_path / name, sampling_rate=1000, unit="mV")


def whole_file(suffix) -> bytes:
    out = io.BytesIO()
    if suffix == ".npz":
        np.savez_compressed(out, values=LFP[:2, :50], sampling_rate=1e3, unit="mV", counts=np.ones((2, 9), int))
    elif suffix == ".npy":
        np.save(out, LFP[:2, :50])
    else:
        np.savetxt(out, LFP[:2, :5].T, delimiter=",", header="time_ms,b")
    return out.getvalue()


def reads_or_says_why(path):
    for read in (lambda p: read_recording(p, unit="mV", sampling_rate=1e3), lambda p: read_counts(p, POPULATIONS)):
        try:
            assert isinstance(read(path), Recording)
        except ValueError as error:
            # Either outcome is right, but not a mistake of our own in the guise of a damaged file.
            assert str(path) in str(error)  # noqa: PT017
            assert not isinstance(error.__cause__, NameError | AttributeError | TypeCheckError)  # noqa: PT017


SUFFIXES = st.sampled_from([".npz", ".npy", ".csv"])
NOISY = pytest.mark.filterwarnings("ignore")


@NOISY
@PLACE
@given(suffix=SUFFIXES, content=st.binary(max_size=300))
@example(suffix=".csv", content=b"1,2\x00,3\n")
@example(suffix=".csv", content=b"\xff\xfe1,2")
@example(suffix=".npy", content=b"\x93NUMPY\x03\x00")
@example(suffix=".npy", content=b"\x93NUMPY\x01\x00\x10\x00((((((((((((((((")
def test_random_bytes_raise_nothing_but_value_errors(suffix, content, tmp_path):
    (tmp_path / f"r{suffix}").write_bytes(content)
    reads_or_says_why(tmp_path / f"r{suffix}")


@NOISY
@settings(parent=PLACE, max_examples=200)
@given(suffix=SUFFIXES, data=st.data())
def test_damaged_files_raise_nothing_but_value_errors(suffix, data, tmp_path):
    content = bytearray(whole_file(suffix))
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / f"r{suffix}").write_bytes(content[: data.draw(st.integers(0, len(content)))])
    reads_or_says_why(tmp_path / f"r{suffix}")


# --- spike counts ---


@pytest.mark.parametrize("dtype", [np.int64, np.uint16, float])
def test_counts_are_read(dtype, tmp_path):
    saved(tmp_path / "c.npz", counts=np.arange(20, dtype=dtype).reshape(2, 10), bin_ms=0.5, transient=3)
    counts = read_counts(tmp_path / "c.npz", POPULATIONS)
    assert (counts.sampling_rate, counts.unit, counts.transient) == (2000, "1", 3)
    assert counts.channels == ("excitatory", "inhibitory")
    np.testing.assert_array_equal(counts.values, np.arange(20).reshape(2, 10))


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        (dict(values=np.ones((2, 5))), "no array 'counts'"),
        (dict(counts=np.ones((5, 2))), r"\(5, 2\); expected \(2, bins\).*values\.T"),
        (dict(counts=np.ones((3, 5))), r"\(3, 5\); expected \(2, bins\)"),
        (dict(counts=-np.ones((2, 5))), "negative"),
        (dict(counts=np.full((2, 5), 0.5)), "fractional"),
        (dict(counts=np.full((2, 5), np.nan)), "not finite"),
        (dict(counts=np.ones((2, 5)), bin_ms=0), "bin_ms is 0"),
        (dict(counts=np.ones((2, 5)), bin_ms=1e-9), "not possible"),
        (dict(counts=np.ones((2, 5)), bin_ms=np.nan), "bin_ms is nan"),
        (dict(counts=np.ones((2, 5)), transient=5), "leaves nothing"),
        (dict(counts=np.array([[1, 2], [3]], dtype=object)), "Python objects"),
    ],
)
def test_counts_that_are_none(arrays, says, tmp_path):
    saved(tmp_path / "c.npz", **arrays)
    with pytest.raises(ValueError, match=says) as error:
        read_counts(tmp_path / "c.npz", POPULATIONS)
    assert "c.npz" in str(error.value)


@pytest.mark.parametrize("n", [1, 3])
def test_counts_of_any_number_of_populations(n, tmp_path):
    names = ("L4", "L5", "L6")[:n]
    saved(tmp_path / "c.npz", counts=np.ones((n, 7), int))
    assert read_counts(tmp_path / "c.npz", names).channels == names
    said = refused(read_counts, tmp_path / "c.npz", ("E", "I"))
    assert f"counts has shape ({n}, 7); expected (2, bins): E, I" in said


def test_channels_are_picked_by_name_in_the_order_asked_for(tmp_path):
    values = np.random.default_rng(0).standard_normal((3, 500))
    write_recording(Recording(values, 1000.0, "uV", ("Fz", "Cz", "Oz")), tmp_path / "eeg.npz")
    found = read_recording(tmp_path / "eeg.npz", pick=["Oz", "Fz"])
    assert found.channels == ("Oz", "Fz")
    np.testing.assert_array_equal(found.values, values[[2, 0]])
    for wrong in (["Pz"], ["Cz", "Cz"], []):
        assert "of: Fz, Cz, Oz" in refused(read_recording, tmp_path / "eeg.npz", pick=wrong)
