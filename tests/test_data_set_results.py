"""The folder of results: resumed after a kill, the same in parallel, never mixed, and with every failure as a row."""

import os
from pathlib import Path

import numpy as np
import pytest
import xarray
from data_sets import (
    SPACE,
    estimator,
    infer,
    noise,
    rows_of,
    save,
    saved_estimator,
    stamps,
    write_bids,
    write_channels,
    write_edf,
    write_plain,
)
from typer.testing import CliRunner

from inference.cli import app
from inference.recordings.dataset import Listed, listed
from inference.reports.results import Record, open_results, state_of, write_all_samples
from inference.workflows.methods import Methods, loaded

ROOT = Path(__file__).parents[1]
MANY = 20
run = CliRunner().invoke


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved_estimator(tmp_path_factory.mktemp("model"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A plain folder with two conditions, and something broken in it."""
    monkeypatch.chdir(tmp_path)
    return write_plain(Path("data"))


def test_a_folder_is_a_table_with_a_row_each(folder, model):
    result, said = infer(folder, "--model", model, "--workers", 1, "--posteriors", "all.nc", "--out", "copy.csv")
    assert result.exit_code == 0, result.output
    assert "4 recordings, 4 rows, 1 failed, 3 ok" in said
    rows = rows_of("infer-results/table.csv")
    assert rows == rows_of("copy.csv")
    assert [(row["recording"], row["condition"], row["status"]) for row in rows] == [
        ("data/sleep/broken.npz", "sleep", "failed"), ("data/sleep/c.npz", "sleep", "ok"),
        ("data/wake/a.npz", "wake", "ok"), ("data/wake/b.npz", "wake", "ok"),
    ]  # fmt: skip
    assert list(rows[0])[:3] == ["recording", "condition", "window"]
    assert [float(row["level"]) for row in rows[1:]] == pytest.approx([0.1, -0.5, -0.2], abs=0.15)
    with xarray.open_datatree("all.nc", engine="h5netcdf") as tree:
        posterior = tree["nearest/2/0/posterior"]
        assert posterior["level"].dims == ("chain", "draw")
        assert (posterior.attrs["condition"], posterior.attrs["recording"]) == ("wake", "data/wake/a.npz")
        assert "broken.npz" in np.atleast_1d(tree.attrs["failures"])[0]
        assert list(tree.attrs["recordings"]) == [row["recording"] for row in rows]


def test_files_without_labels_have_the_table_that_they_always_had(folder, model):
    infer("data/wake/a.npz", "data/wake/b.npz", "--model", model)
    assert list(rows_of("estimates.csv")[0]) == [
        "recording", "window", "start_s", "method", "status", "verdict", "level", "level_low", "level_high", "remarks",
    ]  # fmt: skip
    assert not Path("infer-results").exists()
    mixed, said = infer("data/wake/a.npz", "data/sleep", "--model", model, "--workers", 1)
    assert mixed.exit_code == 0, said
    assert [row["recording"] for row in rows_of("infer-results/table.csv")] == [
        "data/wake/a.npz", "data/sleep/broken.npz", "data/sleep/c.npz",
    ]  # fmt: skip
    assert "condition" not in rows_of("infer-results/table.csv")[0]
    assert infer("data/wake/a.npz", "--workers", 2)[0].exit_code == 2


def test_a_second_run_asks_only_what_failed_or_changed(folder, model):
    order = (folder, "--model", model, "--workers", 1)
    infer(*order)
    before, table = stamps("infer-results"), Path("infer-results/table.csv").read_bytes()
    said = infer(*order)[1]
    assert "3 of 4 recordings are answered already" in said
    after = stamps("infer-results")
    assert {name for name in before if after[name] != before[name]} == {
        name for name in before if name.startswith("broken")
    }
    assert Path("infer-results/table.csv").read_bytes() == table
    save(folder / "sleep/broken.npz", 0.0, 9)  # mended
    save(folder / "wake/a.npz", 0.7, 8)  # another recording under the name
    save(folder / "new.npz", 0.0, 7)
    assert "2 of 5 recordings are answered already" in infer(*order)[1]
    rows = rows_of("infer-results/table.csv")
    assert [row["status"] for row in rows] == ["ok"] * 5
    assert float(rows[3]["level"]) == pytest.approx(0.7, abs=0.15)


@pytest.mark.parametrize("spoil", ["samples", "rows", "no samples", "foreign"])
def test_what_is_not_whole_is_answered_again(folder, model, spoil):
    order = (folder, "--model", model, "--workers", 1)
    infer(*order)
    table = Path("infer-results/table.csv").read_bytes()
    samples, rows = (next(Path("infer-results/recordings").glob(f"a-*.{end}")) for end in ("nc", "json"))
    whole = samples.read_bytes()
    if spoil == "samples":
        samples.write_bytes(whole[: len(whole) // 2])
    elif spoil == "rows":
        rows.write_text(rows.read_text()[:100])
    elif spoil == "no samples":
        samples.unlink()
    else:
        rows.write_text("[1, 2]")
    (samples.parent / f".1-{samples.name}").write_bytes(b"half of it")
    assert "2 of 4 recordings are answered already" in infer(*order)[1]
    assert Path("infer-results/table.csv").read_bytes() == table
    assert not list(samples.parent.glob(".*"))
    with xarray.open_datatree(samples, engine="h5netcdf") as tree:
        assert tree["nearest/0/0/posterior"].sizes["draw"] == 20


def test_other_options_and_models_are_refused_and_nothing_is_overwritten(folder, model, tmp_path):
    infer(folder, "--model", model, "--workers", 1)
    before = stamps("infer-results")
    for other, told in (
        (("--model", model, "--window", 0.5), "asked.window_s: there null, asked 0.5"),
        (("--model", model, "--unit", "mV"), "asked.unit"),
    ):
        result, said = infer(folder, *other)
        assert result.exit_code == 2
        assert "holds answers to something else, and none of them is overwritten" in said
        assert told in said
    another = estimator()
    another.neighbours = 7
    another.save(tmp_path / "nearest.safetensors")
    assert "asked.estimators" in infer(folder, "--model", tmp_path / "nearest.safetensors")[1]
    assert "command" in " ".join(run(app, ["explain", "data", "--results", "infer-results"]).output.split())
    assert stamps("infer-results") == before
    assert infer(folder, "--model", model, "--window", 0.5, "--results", "halves", "--workers", 1)[0].exit_code == 0
    assert len(rows_of("halves/table.csv")) == 1 + 3 * 2  # negative control: elsewhere it is answered


def test_a_folder_that_holds_something_else_is_no_place_for_results(folder, model):
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("")
    assert "holds something else than results" in infer(folder, "--model", model, "--results", "mine")[1]
    assert "is no folder" in infer(folder, "--model", model, "--results", "data/wake/a.npz")[1]
    Path("mine/circuitsbi-results.json").write_text("{")
    assert "cannot be read" in infer(folder, "--model", model, "--results", "mine")[1]
    assert [path.name for path in sorted(Path("mine").iterdir())] == ["circuitsbi-results.json", "thesis.tex"]


def test_nothing_to_answer_is_an_error_with_the_reasons(folder, model):
    for path in folder.rglob("*.npz"):
        path.write_bytes(b"no recording")
    result, said = infer(folder, "--model", model, "--workers", 1)
    assert result.exit_code == 2
    assert "and 1 more in infer-results/table.csv" in said
    assert len(rows_of("infer-results/table.csv")) == 4


def test_pages_are_made_for_all_also_after_the_rest(folder, model):
    infer(folder, "--model", model, "--workers", 1)
    assert infer(folder, "--model", model, "--workers", 1, "--report", "page.html")[0].exit_code == 2
    infer(folder, "--model", model, "--workers", 1, "--report", "pages")
    assert sorted(path.name for path in Path("pages").iterdir()) == ["a.html", "b.html", "c.html"]
    Path("pages/b.html").unlink()
    said = infer(folder, "--model", model, "--workers", 1, "--report", "pages")[1]
    assert "2 of 4 recordings are answered already" in said
    assert Path("pages/b.html").stat().st_size > 1000


def test_labels_are_in_table_and_samples(tmp_path, model, monkeypatch):
    pytest.importorskip("mne_bids", reason="mne-bids reads the names of BIDS files and is not installed")
    monkeypatch.chdir(tmp_path)
    (path, _) = write_bids(Path("ds"))
    assert infer("ds", "--model", model, "--workers", 1)[0].exit_code == 0
    assert {(row["subject"], row["condition"]) for row in rows_of("infer-results/table.csv")} == {
        ("01", "rest"), ("02", "rest"),
    }  # fmt: skip
    Path("ds/participants.tsv").write_text("participant_id\tgroup\nsub-01\tcontrol\n")
    assert "1 of 2 recordings are answered already" in infer("ds", "--model", model, "--workers", 1)[1]
    first, second = rows_of("infer-results/table.csv")
    assert (first["group"], second["group"]) == ("control", "")
    (samples,) = Path("infer-results/recordings").glob("sub-01*.nc")
    with xarray.open_datatree(samples, engine="h5netcdf") as tree:
        labels = tree["nearest/0/0/posterior"].attrs
        assert (labels["subject"], labels["condition"], labels["group"]) == ("01", "rest", "control")
    path.with_name("sub-01_task-rest_channels.tsv").unlink()  # what stands beside has changed
    assert "1 of 2 recordings are answered already" in infer("ds", "--model", model, "--workers", 1)[1]
    assert "no sub-01_task-rest_channels.tsv" in rows_of("infer-results/table.csv")[0]["remarks"]


def test_of_a_bad_data_set_each_fault_is_named_and_the_rest_is_done(tmp_path, model, monkeypatch):
    pytest.importorskip("mne_bids", reason="mne-bids reads the names of BIDS files and is not installed")
    monkeypatch.chdir(tmp_path)
    _, _, two_units, bare, silent, _, bad = write_bids(Path("ds"), [f"{i}" for i in range(7)])
    _, corrupt, *_ = listed([Path("ds")])
    corrupt.path.write_bytes(b"no recording")
    write_channels(two_units.with_name("sub-2_task-rest_channels.tsv"), ["V", "V"])
    for name in ("channels.tsv", "eeg.json"):
        bare.with_name(f"sub-3_task-rest_{name}").unlink()
        silent.with_name(f"sub-4_task-rest_{name}").unlink()
    write_edf(silent, noise(0.0, 4), unit="")
    write_channels(bad.with_name("sub-6_task-rest_channels.tsv"), ["uV", "uV"], bad=["lower"])
    result, said = infer("ds", "--model", model, "--workers", 1)
    assert result.exit_code == 0, said
    rows = {row["subject"]: row for row in rows_of("infer-results/table.csv")}
    assert "".join(rows) == "0123456"
    assert [row["status"] for row in rows.values()] == ["ok", "failed", "failed", "ok", "failed", "ok", "failed"]
    for subject, reason in {
        "1": "sub-1_task-rest_eeg.edf: Bad EDF",
        "2": "two units: the file says 'µV' of channel upper, sub-2_task-rest_channels.tsv says 'V'",
        "3": "no sub-3_task-rest_channels.tsv and no sub-3_task-rest_eeg.json",
        "4": "does not say its unit; give unit='mV', 'uV', 'V' or 'nAm' (--unit); there is no sub-4_task-rest_chann",
        "6": "recording has 1 channel; this estimator was trained for 2",
    }.items():
        assert reason in rows[subject]["remarks"]
    assert "left out, as sub-6_task-rest_channels.tsv says: lower (bad)" in rows["6"]["remarks"]
    assert rows["0"]["remarks"] == rows["5"]["remarks"] == ""


def test_what_belongs_to_a_recording_is_looked_at(tmp_path):
    header, data, other = (tmp_path / name for name in ("x.vhdr", "x.eeg", "x.txt"))
    part, next_part = (tmp_path / f"sub-1_split-0{i}_meg.fif" for i in (1, 2))
    for path in (header, data, other, part, next_part):
        path.write_bytes(b"1")
    before = state_of(Listed(header)), state_of(Listed(part))
    other.write_bytes(b"22")
    assert (state_of(Listed(header)), state_of(Listed(part))) == before  # negative control
    data.write_bytes(b"22")
    next_part.write_bytes(b"22")
    assert state_of(Listed(header)) != before[0]
    assert state_of(Listed(part)) != before[1]


def test_names_that_are_no_text_end_no_data_set(folder, model):
    odd = folder / os.fsdecode(b"\xff\x1b[31m")
    save(odd / os.fsdecode(b"=\xfe\n.npz"), 0.2, 4)
    result, said = infer(folder, "--model", model, "--workers", 1, "--posteriors", "all.nc", "--report", "pages")
    assert result.exit_code == 0, said
    text = Path("infer-results/table.csv").read_text(encoding="utf-8")
    assert r"\udcff\x1b[31m" in text
    assert "\x1b" not in text + result.output
    assert sum(row["status"] == "ok" for row in rows_of("infer-results/table.csv")) == 4


def test_samples_of_nothing_cannot_be_written(tmp_path):
    results = open_results(tmp_path / "r", {})
    record = Record("a", ({"status": "failed"},), ())
    with pytest.raises(ValueError, match="no recording could be answered"):
        write_all_samples(tmp_path / "s.nc", results, [(Listed(tmp_path / "a"), record)])


def test_the_same_estimators_are_loaded_once(model):
    assert loaded(Methods((model,))) is loaded(Methods((model,)))
    assert loaded(Methods((model,))).estimators[0].parameters == SPACE


def test_explain_keeps_what_it_finds(folder, monkeypatch):
    """Without fits, which take long: what is asked of each recording is a stand-in."""
    from explanations import explained

    from inference.workflows import work

    def stand_in(recordings, **_):
        (one,) = recordings
        if "broken" in one.path.name:
            yield str(one.path), "it is broken"
        else:
            yield explained(name=str(one.path))

    monkeypatch.setattr(work, "explain_files", stand_in)
    first = run(app, ["explain", "data", "--workers", "1", "--report", "pages", "--out", "copy.csv"])
    assert first.exit_code == 0, first.output
    rows = rows_of("explain-results/table.csv")
    assert rows == rows_of("copy.csv")
    assert [row["condition"] for row in rows] == ["sleep"] * 5 + ["wake"] * 8
    assert [row["status"] for row in rows] == ["failed"] + ["explained"] * 12
    assert len(list(Path("pages").iterdir())) == 3
    (samples,) = Path("explain-results/recordings").glob("a-*.nc")
    with xarray.open_datatree(samples, engine="h5netcdf") as tree:
        assert tree["ab/0/0/posterior"].attrs["condition"] == "wake"
        assert tree["ab/0/0/posterior"].attrs["status"] == "explained"
    again = " ".join(run(app, ["explain", "data", "--workers", "1", "--report", "pages"]).output.split())
    assert "3 of 4 recordings are answered already" in again
    refused = run(app, ["explain", "data", "--figure", "x.png"])
    assert refused.exit_code == 2
    assert "take --report FOLDER" in " ".join(refused.output.split())
