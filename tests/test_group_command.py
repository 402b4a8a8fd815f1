"""From a folder of results to a comparison of its groups: who counts, what is said, and bad input."""

import csv
import re
from shutil import copytree

import numpy as np
import pytest
import xarray
from data_sets import CHANNELS, RATE, SPACE, estimator, noise
from typer.testing import CliRunner

from inference.cli import app
from inference.groups.compare import Answered, compared
from inference.recordings.files import write_recording
from inference.reports.groups import sharing
from inference.workflows.groups import group_study, kept_answers
from inference.workflows.shipped import SHIPPED, reference_campaign
from inference.workflows.study import study_of
from simulators.recording import Recording

RUNNER = CliRunner()
SHIFT = 0.3


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Levels of six subjects under two conditions, one of them under one only, one recording no file at all."""
    root = tmp_path_factory.mktemp("study")
    data, model = root / "data", root / "level.safetensors"
    estimator().save(model)
    rng, rows = np.random.default_rng(1), ["file,subject,condition,group"]
    for subject in range(6):
        own = rng.normal(-0.2, 0.15)
        for k, condition in enumerate(("rest", "task")):
            if (subject, condition) == (5, "task"):
                continue
            folder = data / condition
            folder.mkdir(parents=True, exist_ok=True)
            values = noise(own + SHIFT * k, 10 * subject + k, seconds=2)
            write_recording(Recording(values, float(RATE), "mV", CHANNELS), folder / f"m{subject}.npz")
            rows.append(f"{condition}/m{subject}.npz,m{subject},{condition},{'old' if subject else 'young'}")
    (data / "rest" / "m9.npz").write_bytes(b"no recording")
    rows.append("rest/m9.npz,m9,rest,old")
    (data / "recordings.csv").write_text("\n".join(rows))
    done = RUNNER.invoke(
        app, ["infer", str(data), "--model", str(model), "--results", str(root / "results"), "--workers", "1"]
    )
    assert done.exit_code == 0, done.output
    return root / "results"


def test_subjects_are_compared_with_themselves_and_the_rest_is_named(results, tmp_path):
    page, table = tmp_path / "g.html", tmp_path / "g.csv"
    done = RUNNER.invoke(app, ["groups", str(results), "--report", str(page), "--out", str(table)])
    assert done.exit_code == 0, done.output
    assert "level differs: task against rest" in done.output
    assert "in one of rest and task only, so not among the pairs: m5" in done.output
    assert "m9.npz has no answer" in done.output
    (row,) = csv.DictReader(table.open(encoding="utf-8"))
    assert float(row["low"]) < SHIFT < float(row["high"])
    assert (row["first"], row["second"], row["paired"], row["subjects_first"]) == ("rest", "task", "True", "5")
    text = page.read_text(encoding="utf-8")
    assert "level differs: task against rest" in text
    assert "left out" in text
    assert "http" not in re.sub(r"data:[^\"]*", "", text).replace("http-equiv", "")


def test_a_page_shows_each_recording_in_the_band_of_its_answer(tmp_path):
    """Results of a gradient fit hold spectra: of a network its own, of noise none that lie in the band."""
    campaign = reference_campaign()
    study = study_of(campaign)
    theta, recordings = study.recordings(campaign, campaign.usable[-4:])
    space = campaign.parameters
    for k, recording in enumerate(recordings):
        folder = tmp_path / "data" / ("low" if space.to_unit(theta)[k, 2] < 0.5 else "high")
        folder.mkdir(parents=True, exist_ok=True)
        write_recording(recording, folder / f"m{k}.npz")
    noise = np.random.default_rng(0).standard_normal(recordings[0].values.shape)
    write_recording(recordings[0].with_values(noise), tmp_path / "data" / "low" / "noise.npz")
    model = SHIPPED / "brunel_ai_gradient.safetensors"
    arguments = ["infer", str(tmp_path / "data"), "--model", str(model), "--results", str(tmp_path / "r")]
    assert RUNNER.invoke(app, [*arguments, "--workers", "1"]).exit_code == 0
    _, kept = kept_answers(tmp_path / "r")
    inside = {}
    for one in kept:
        seen = one.predicted
        assert seen is not None
        inside[one.recording.rsplit("/", 1)[1]] = np.mean((seen.low < seen.measured) & (seen.measured < seen.high))
        assert len(seen.frequencies) == len(seen.measured)
    assert inside.pop("noise.npz") < 0.2
    assert min(inside.values()) > 0.4


def test_unpaired_is_less_sure(results):
    paired, unpaired = (group_study(results, "condition", paired=p).found.contrasts[0] for p in (None, False))
    assert paired.paired
    assert not unpaired.paired
    assert unpaired.subjects == (6, 5)
    assert np.std(unpaired.differences[0].draws) > 1.5 * np.std(paired.differences[0].draws)


def test_a_parameter_that_is_shared_is_compared_no_more(results):
    with pytest.raises(ValueError, match="no parameter is left to compare"):
        group_study(results, "condition", shared="level")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--between", "drug"], "no recording has a drug; they have condition, group, subject"),
        (["--method", "npe"], "no answers by 'npe'"),
        (["--between", "group", "--paired"], "two groups of two subjects or more are needed"),
        (
            ["--shared", "gain"],
            "says nothing of gain, so that it cannot be shared; it has level. Train with",
        ),
        (["--shared", " , "], "--shared names nothing"),
        (["--between", "group"], "two groups of two subjects or more are needed to compare by group"),
        (["--report", "page.pdf"], "would be written as .html"),
        (["--out", "page.txt"], "would be written as .csv"),
    ],
)
def test_what_cannot_be_compared_is_said(results, arguments, said):
    done = RUNNER.invoke(app, ["groups", str(results), *arguments])
    assert done.exit_code != 0
    assert said in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_a_folder_of_something_else_is_refused(tmp_path):
    done = RUNNER.invoke(app, ["groups", str(tmp_path)])
    assert done.exit_code != 0
    assert "holds no results" in done.output


DAMAGED = [
    "{",
    "[]",
    '{"rows": 3, "asked_of": {"labels": {}}}',
    '{"rows": [{}], "asked_of": {"labels": {}}}',
    "[" * 10**5,
]


@pytest.mark.parametrize("content", DAMAGED, ids=["no end", "a list", "no rows", "an empty row", "deep"])
def test_a_damaged_record_is_named(results, tmp_path, content):
    copy = copytree(results, tmp_path / "results")
    (copy / "recordings" / "a.json").write_text(content)
    with pytest.raises(ValueError, match=r"a\.json is no record of an answer"):
        kept_answers(copy)


def some_samples(folder):
    return next(p for p in sorted((folder / "recordings").glob("*.nc")) if p.stat().st_size)


def test_samples_of_strangers_are_refused(results, tmp_path):
    copy = copytree(results, tmp_path / "results")
    some_samples(copy).write_bytes(b"not a netCDF file")
    with pytest.raises(ValueError, match="holds no samples as 'circuitsbi infer' writes them"):
        kept_answers(copy)


SEEN = ("measured", "low", "high", "frequency")


@pytest.mark.parametrize(
    ("group", "dataset"),
    [
        ("predicted/0/0", {name: ("xy"[name == "low"], [0.0] * (1 + (name == "low"))) for name in SEEN}),
        ("nearest/0/0/nuisances", {"log_gain": ("draw", [np.nan] * 3)}),
        ("nearest/0/0/nuisances", {"log_gain": ("draw", [0.0] * 7)}),
        ("nearest/0/0/nuisances", {"depth": ("draw", np.arange(20.0), {"low": 5.0, "high": 5.0})}),
        ("nearest/0/0/nuisances", {"depth": ("draw", np.arange(20.0), {"low": "a", "high": np.nan})}),
        ("nearest/0/0/nuisances", {"x": ("draw", np.arange(20.0), {"prior_mean": 0.0, "prior_sd": -1.0})}),
    ],
    ids=["spectra of several lengths", "no numbers", "too few draws", "no range", "no numbers as a range", "no prior"],
)  # fmt: skip
def test_files_that_do_not_fit_together_are_refused(results, tmp_path, group, dataset):
    copy = copytree(results, tmp_path / "results")
    file = some_samples(copy)
    with xarray.open_datatree(file, engine="h5netcdf") as tree:
        changed = {n.path: n.to_dataset(inherit=False).load() for n in tree.subtree if n.has_data}
    changed[f"/{group}"] = xarray.Dataset(dataset)
    xarray.DataTree.from_dict(changed).to_netcdf(file, engine="h5netcdf")
    with pytest.raises(ValueError, match="holds no samples as 'circuitsbi infer' writes them"):
        kept_answers(copy)


def test_what_was_taken_out_of_the_data_set_counts_no_more(results, tmp_path):
    copy = copytree(results, tmp_path / "results")
    lines = (copy / "table.csv").read_text().splitlines()
    (copy / "table.csv").write_text("\n".join(line for line in lines if "m3.npz" not in line))
    _, before = kept_answers(results)
    _, after = kept_answers(copy)
    assert len(before) - len(after) == 2
    assert not any("m3.npz" in one.recording for one in after)
    assert group_study(copy, "condition").found.contrasts[0].subjects == (4, 4)


def test_results_of_explain_and_answers_that_are_no_posteriors_are_refused(results, tmp_path):
    copy = copytree(results, tmp_path / "results")
    mark = copy / "circuitsbi-results.json"
    mark.write_text(mark.read_text().replace('"infer"', '"explain"'))
    with pytest.raises(ValueError, match="holds results of 'circuitsbi explain'"):
        kept_answers(copy)
    copy = copytree(results, tmp_path / "others")
    for record in (copy / "recordings").glob("*.json"):
        record.write_text(record.read_text().replace('"nearest"', '"cnn"'))
    with pytest.raises(ValueError, match="'cnn' gives a point and its errors, no posterior"):
        kept_answers(copy)


def test_windows_of_a_recording_are_of_one_subject(tmp_path):
    """Where no subject is named, too: one recording a condition tells no spread, into however many it is cut."""
    model = tmp_path / "level.safetensors"
    estimator().save(model)
    for k, condition in enumerate(("rest", "task")):
        (tmp_path / "data" / condition).mkdir(parents=True)
        values = noise(0.2 * k, k, seconds=8)
        write_recording(Recording(values, float(RATE), "mV", CHANNELS), tmp_path / "data" / condition / "m.npz")
    asked = ["infer", str(tmp_path / "data"), "--model", str(model), "--window", "1", "--workers", "1"]
    assert RUNNER.invoke(app, [*asked, "--results", str(tmp_path / "r")]).exit_code == 0
    _, kept = kept_answers(tmp_path / "r")
    assert len(kept) == 16
    with pytest.raises(ValueError, match=r"there are rest \(1\), task \(1\)"):
        group_study(tmp_path / "r", "condition")


def test_a_shared_gain_goes_through_the_command(tmp_path, results):
    """Samples of a gain beside those of the level; one recording has another gain, and is named."""
    copy, rng = copytree(results, tmp_path / "results"), np.random.default_rng(2)
    files = sorted((copy / "recordings").glob("*.nc"))
    for k, file in enumerate(files):
        with xarray.open_datatree(file, engine="h5netcdf") as tree:
            changed = {n.path: n.to_dataset(inherit=False).load() for n in tree.subtree if n.has_data}
        n = changed["/nearest/0/0/posterior"].sizes["draw"]
        gain = np.log(3.0 if k else 60.0) + 0.05 * rng.standard_normal((1, n))
        changed["/nearest/0/0/nuisances"] = xarray.Dataset({"log_gain": (("chain", "draw"), gain)})
        xarray.DataTree.from_dict(changed).to_netcdf(file, engine="h5netcdf")
    done = RUNNER.invoke(app, ["groups", str(copy), "--shared", "gain", "--report", str(tmp_path / "g.html")])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert re.search(r"the same in all recordings: gain a factor of (2\.9|3|3\.0)", said)
    assert "their gain is not that of the others, so they share it with none" in said
    assert "a factor of" in (tmp_path / "g.html").read_text(encoding="utf-8")


def test_subjects_share_among_themselves(tmp_path, results):
    """Every subject has a depth of its own; the first subject's recordings contradict no other one's."""
    copy, rng = copytree(results, tmp_path / "results"), np.random.default_rng(2)
    for file in sorted((copy / "recordings").glob("*.nc")):
        with xarray.open_datatree(file, engine="h5netcdf") as tree:
            changed = {n.path: n.to_dataset(inherit=False).load() for n in tree.subtree if n.has_data}
        n = changed["/nearest/0/0/posterior"].sizes["draw"]
        depth = -100.0 * (1 + int(re.search(r"m(\d)", file.name)[1])) + rng.standard_normal((1, n))
        changed["/nearest/0/0/nuisances"] = xarray.Dataset({"depth": (("chain", "draw"), depth)})
        xarray.DataTree.from_dict(changed).to_netcdf(file, engine="h5netcdf")
    study = group_study(copy, "condition", shared="depth", within="subject")
    assert not study.contradicting
    assert len(study.shared) > 2
    told = sharing(study)
    assert told.startswith("Taken to be the same in all recordings of one subject: m")
    assert re.search(r"m0: depth -(99\.\d|10[01]) \+- 0\.\d.*m4: depth -(499|50[01]) \+- 0\.\d", told)
    assert group_study(copy, "condition", shared="depth").contradicting
    with pytest.raises(ValueError, match="no recording has a amplifier"):
        group_study(copy, "condition", shared="depth", within="amplifier")
    with pytest.raises(ValueError, match="say what the recordings of one subject share"):
        group_study(copy, "condition", within="subject")


# --- who counts ---


def answered(recording, condition, status="ok", subject="", level=0.5, seed=0):
    draws = np.clip(level + 0.05 * np.random.default_rng(seed).standard_normal((400, 1)), 0.0, 1.0)
    labels = {"condition": condition} | ({"subject": subject} if subject else {})
    return Answered(recording, labels, status, "", None if status == "failed" else draws)


def test_what_no_parameters_explain_is_left_out_and_what_that_changes_is_said():
    kept = [answered(f"{c}{k}", c, seed=k, level=0.45 + 0.02 * k) for c in ("a", "b") for k in range(5)]
    refused = [answered(f"bad{k}", "b", "refused", seed=k, level=0.95) for k in range(5)]
    found = compared(SPACE, [*kept, *refused], "condition")
    assert not found.contrasts[0].differences[0].differs
    assert found.with_all[0].differences[0].differs
    assert [name for name, _ in found.left_out] == [f"bad{k}" for k in range(5)]
    assert not compared(SPACE, kept, "condition").with_all


def test_a_condition_of_one_recording_is_named_and_the_others_are_compared():
    kept = [answered(f"{c}{k}", c, seed=k) for c in ("a", "b") for k in range(3)] + [answered("c0", "c")]
    found = compared(SPACE, kept, "condition")
    assert found.too_few == ("c",)
    assert set(found.groups) == {"a", "b"}


def test_three_groups_are_three_contrasts():
    kept = [answered(f"{c}{k}", c, seed=k) for c in "abc" for k in range(3)]
    assert [(c.first, c.second) for c in compared(SPACE, kept, "condition").contrasts] == [
        ("a", "b"), ("a", "c"), ("b", "c"),
    ]  # fmt: skip


def test_subjects_in_both_groups_are_named_where_they_are_not_compared_with_themselves():
    first = [answered(f"a{k}", "a", seed=k, subject=f"m{k}") for k in range(8)]
    second = [answered(f"b{k}", "b", seed=k, subject=f"m{k + 6}") for k in range(8)]
    (contrast,) = compared(SPACE, [*first, *second], "condition").contrasts
    assert not contrast.paired
    assert contrast.twice == ("m6", "m7")


def test_without_a_refused_recording_in_the_groups_there_is_nothing_to_change():
    kept = [answered(f"{c}{k}", c, seed=k) for c in "ab" for k in range(3)]
    elsewhere = Answered("x", {}, "refused", "", np.full((9, 1), 0.5))
    assert not compared(SPACE, [*kept, elsewhere], "condition").with_all


def test_pairs_that_are_asked_for_must_be_there():
    kept = [answered(f"{c}{k}", c, seed=k, subject=f"{c}{k}") for c in "ab" for k in range(3)]
    with pytest.raises(ValueError, match="a and b have 0 subjects in common"):
        compared(SPACE, kept, "condition", paired=True)
