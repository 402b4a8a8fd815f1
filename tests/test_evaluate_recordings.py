"""The script that lays a folder of recordings before all circuits: a row for each, also where there is no answer."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import evaluate_recordings as script
from explanations import estimate, explained

from inference.recordings.files import write_recording
from inference.workflows.explain import CIRCUITS
from simulators.recording import Recording


def two_channels(path: Path, samples: int = 200) -> None:
    values = np.random.default_rng(0).standard_normal((2, samples))
    write_recording(Recording(values, 1000.0, "uV", ("Fz", "Cz")), path)


def test_files_that_no_reader_takes_are_named(tmp_path):
    two_channels(tmp_path / "a.npz")
    (tmp_path / "README.txt").write_text("about these")
    taken, left_out = script.recordings_in(tmp_path)
    assert [p.name for p in taken] == ["a.npz"]
    assert [p.name for p in left_out] == ["README.txt"]
    (tmp_path / "a.npz").unlink()
    with pytest.raises(ValueError, match="holds no recording"):
        script.recordings_in(tmp_path)


def test_all_channels_or_the_middle_one(tmp_path):
    two_channels(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"nothing")
    paths = [tmp_path / "a.npz", tmp_path / "b.npz"]
    assert list(script.jobs_of(paths, script.MIDDLE)) == [(p, None) for p in paths]
    assert list(script.jobs_of(paths, script.ALL)) == [(paths[0], "Fz"), (paths[0], "Cz"), (paths[1], None)]


def test_a_row_has_the_parameters_that_the_recording_tells(monkeypatch):
    def row(one):
        monkeypatch.setattr(script, "explain_files", lambda *_, **__: iter([one]))
        return script.row_of((Path("a.npz"), None))

    told = row(explained())
    assert told["verdict"] == "explained"
    assert told["circuit"] == "ab"
    assert told["parameters"]["J"] == pytest.approx([0.123, 0.119, 0.127], abs=2e-3)
    refused = row(explained(made=estimate(trusted=False)))
    assert refused["parameters"] == {}
    assert "far from normal" in refused["no_parameters"]
    assert row(explained(made=estimate(spread=5.0)))["no_parameters"] == "all left open"
    unnamed = row(replace(explained(status="not explained", fitting=()), best=None))
    assert unnamed["no_parameters"] == "the verdict names no circuit"
    assert not any(c["fits"] for c in unnamed["circuits"].values())


@pytest.mark.skipif(not CIRCUITS.is_dir(), reason="the circuits of 'explain' are not shipped here")
def test_failures_are_rows_and_the_last_line_is_json(tmp_path, monkeypatch, capsys):
    two_channels(tmp_path / "short.npz")
    (tmp_path / "broken.npz").write_bytes(b"nothing")
    arguments = ["evaluate_recordings.py", str(tmp_path), "--channels", "all", "--workers", "1"]
    monkeypatch.setattr(sys, "argv", arguments)
    script.main()
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["verdicts"] == {"failed": 3}
    assert [(r["recording"], r["channel"]) for r in found["rows"]] == [
        ("broken.npz", None), ("short.npz", "Fz"), ("short.npz", "Cz"),
    ]  # fmt: skip
    assert "lasts 0.2 s" in found["rows"][1]["sentence"]
