"""The page of 'explain': the verdict first, no number that is not to be trusted, nothing from elsewhere."""

import html
import re
from pathlib import Path

import numpy as np
import pytest
from explanations import LOW, MAINS, RNG, N, estimate, explained
from typer.testing import CliRunner

from inference.cli import app
from inference.explaining.comparison import BACKGROUND
from inference.explaining.explain import DOUBTFUL, EXPLAINED, NOT_EXPLAINED
from inference.explaining.spectra import RATE_HZ
from inference.recordings.files import write_recording
from inference.reports.explained_page import (
    MEASURED,
    caution,
    lines_of,
    next_steps,
    standing,
    told_of,
    write_explained_page,
)
from inference.workflows.explain import CIRCUITS
from simulators.recording import Recording


@pytest.fixture
def page(tmp_path):
    def written(**changes) -> str:
        write_explained_page(tmp_path / "page.html", explained(**changes))
        return html.unescape((tmp_path / "page.html").read_text(encoding="utf-8"))

    return written


def words(text: str) -> str:
    return " ".join(re.sub("<[^>]*>", " ", text.partition("<body>")[2]).split())


def test_the_verdict_comes_first_and_all_parts_follow(page):
    text = words(page())
    parts = [
        "Verdict: explained", "A sentence that says it.", "Circuits", "ab explains it", "Spectra The recording",
        "Parameters of ab", "What to try next", "Try this.",
        "What spectra cannot see", "phases drawn at random has the same spectrum",
        "How often this is right", f"{MEASURED['strangers_accepted']} %", "Where this comes from",
    ]  # fmt: skip
    places = [text.find(part) for part in parts]
    assert -1 not in places, parts[places.index(-1)]
    assert places == sorted(places)


@pytest.mark.parametrize("status", [EXPLAINED, DOUBTFUL, NOT_EXPLAINED])
def test_nothing_on_the_page_comes_from_elsewhere(status, page):
    written = page(status=status, departures=(LOW,))
    assert not re.search(r'https?://|="//|<script|<link|@import|url\(', written)
    assert set(re.findall(r'(?:src|href)="([^"]{4})', written)) <= {"data", "#uns", "#err"}
    assert "default-src 'none'" in written


def test_trusted_parameters_have_intervals(page):
    text = words(page())
    assert re.search(r"J of a synapse 0\.1 … 0\.3 mV 0\.12\d* mV 0\.1\d+ … 0\.1\d+", text)
    assert "0 %" in text or "1 %" in text


def test_what_is_not_to_be_trusted_has_no_number(page):
    """Trusted parameters are the control: they are there."""
    text = words(page(made=estimate(trusted=False)))
    assert "There are no parameters to be trusted, so none are shown: the posterior is far from normal" in text
    assert "0.12" not in text
    assert "0.12" in words(page())


def test_a_parameter_that_is_left_open_has_no_number():
    wide = estimate(spread=5.0)
    (told,) = told_of(explained(made=wide))
    assert [(row.value, row.interval) for row in told.rows] == [("", ""), ("", "")]
    assert all("constrained" in row.left for row in told.rows)


def test_parameters_are_of_the_circuits_that_the_verdict_speaks_of():
    assert [t.name for t in told_of(explained())] == ["ab"]
    assert [t.name for t in told_of(explained(status=DOUBTFUL, fitting=("ab", "ac", "d")))] == ["ab", "ac"]
    assert told_of(explained(status=DOUBTFUL, best=None)) == []
    assert told_of(explained(status=NOT_EXPLAINED, best=None, fitting=())) == []


def test_each_circuit_is_explained_doubtful_or_not():
    def found(one):
        return [standing(one, e) for e in one.explanations]

    both = explained(fitting=("ab", "ac", "d"))
    assert found(both) == [EXPLAINED, EXPLAINED, DOUBTFUL, NOT_EXPLAINED]  # one circuit's ranges are one
    unsure = explained(status=DOUBTFUL, fitting=("ab", BACKGROUND))
    assert found(unsure) == [DOUBTFUL, NOT_EXPLAINED, NOT_EXPLAINED, DOUBTFUL]
    noise = explained(status=NOT_EXPLAINED, best=None, fitting=(BACKGROUND,))
    assert found(noise) == [NOT_EXPLAINED] * 3 + [EXPLAINED]


def test_a_line_says_where_by_how_much_and_how_probable():
    lines = {line.name: line for line in lines_of(explained(fitting=("ab", "d"), departures=(LOW, MAINS)))}
    assert lines["ac"].where == ("at 12-28 Hz by -10.0 dB", "at 48-52 Hz by +10.0 dB")
    assert lines["ac"].probability == "(36%)"
    assert (lines["ab"].words, lines["ab"].probability, lines["ab"].background) == ("explains it", "60%", "25%")
    assert (lines["d"].words, lines["d"].where) == ("doubtful", ("others are more probable",))
    assert next(iter(lines)) == "ab"


def test_line_noise_is_what_to_try_first():
    at_50 = list(next_steps(explained(status=NOT_EXPLAINED, best=None, fitting=(), departures=(MAINS,))))
    assert "line noise" in at_50[0]
    low = list(next_steps(explained(status=NOT_EXPLAINED, best=None, fitting=(), departures=(LOW,))))
    assert low == ["Try this."]


def test_a_spectrum_outside_of_the_named_circuits_band_is_told():
    assert caution(explained()) == ""
    assert "only 60% of the spectrum lies in the band of ab" in caution(explained(inside=0.6))
    assert caution(explained(best=None, inside=0.6)) == ""


def test_names_from_files_stay_text(tmp_path):
    write_explained_page(tmp_path / "page.html", explained(name="<script>alert(1)</script>.npz"))
    assert "<script" not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_error_rates_on_the_page_are_those_measured():
    measured = (Path(__file__).parents[1] / "docs" / "measured.md").read_text(encoding="utf-8")
    section = measured.partition("## Which circuit\n")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| (.+?) \| (.+) \|$", section, re.MULTILINE))
    assert rows["own recordings accepted (explained, or with a doubt)"] == f"{MEASURED['own_accepted']} %"
    named = rows["the maker is said, without a doubt; another circuit is"]
    assert named == f"{MEASURED['maker_named']} %; {MEASURED['another_named']} %"
    strangers = rows["strangers of which a circuit is said, without a doubt"]
    assert strangers.startswith(f"**{MEASURED['strangers_accepted']} %**")
    first = next(value for name, value in rows.items() if name.startswith("of these: backgrounds"))
    assert float(first.split(";")[0]) == MEASURED["backgrounds_accepted"]
    assert f"--each {MEASURED['each']} --strangers {MEASURED['strangers']} " in section


# --- the command ---

run = CliRunner().invoke


def test_several_recordings_need_a_folder(tmp_path):
    answered = run(app, ["explain", "a.npz", "b.npz", "--report", str(tmp_path / "page.html")])
    assert answered.exit_code == 2
    assert "name a folder" in " ".join(answered.output.split())


@pytest.mark.skipif(not CIRCUITS.is_dir(), reason="the circuits of 'explain' are not shipped here")
def test_a_folder_has_a_page_for_each_recording_that_is_answered(tmp_path):
    time = np.arange(N) / RATE_HZ
    wave = sum(np.sin(2 * np.pi * f * time) for f in (31.0, 73.0, 121.0)) + 0.05 * RNG.standard_normal(N)
    paths = [tmp_path / "broken.npz", tmp_path / "sines.npz"]
    paths[0].write_bytes(b"nothing")
    write_recording(Recording(wave[None], RATE_HZ, "1", ("signal",)), paths[1])
    answered = run(app, ["explain", *map(str, paths), "--report", str(tmp_path / "pages")])
    assert answered.exit_code == 4, answered.output
    (page,) = (tmp_path / "pages").iterdir()
    assert page.name == "sines.html"
    assert "Verdict: not explained No circuit explains this recording" in words(page.read_text(encoding="utf-8"))
