"""The examples of docs/gallery: each runs as it is printed, in its short form, and makes the figure beside it."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import make_gallery as gallery
import test_features_protocol as promises
from test_documents import assert_same_output

from inference.features import load

SLOW = ("a_study", "column_rhythm")  # 10 s each
NAMES = gallery.names()
MOST_BYTES, MOST_LINES, WIDEST = 80_000, 80, 105


def without_numbers(text):
    return re.sub(r"[-\d.]+", "#", text)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in NAMES]
)
def test_an_example_runs_and_makes_its_figure(name, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    found = gallery.run(name, tmp_path, short=True)
    assert found, "it prints nothing"
    for output in found:
        assert output.printed.strip()
        if not gallery.SHORT.search(gallery.text_of(name)):
            assert_same_output(output.shown, output.printed)
        elif output.in_any_form:
            assert without_numbers(output.shown) == without_numbers(output.printed)
    made = imread(tmp_path / f"{name}.png")
    assert made.shape[1] >= 900
    assert shows_something(made)


def shows_something(picture):
    """Whether it is neither blank nor all but blank."""
    return (np.abs(picture[..., :3] - picture[0, 0, :3]).max(-1) > 0.1).mean() > 0.01


def test_a_blank_picture_is_told():
    blank = np.ones((400, 1000, 4))
    assert not shows_something(blank)
    blank[100:200, 100:300, :3] = 0
    assert shows_something(blank)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_shows_its_figure_and_what_was_printed(name):
    figure = gallery.GALLERY / f"{name}.png"
    text = gallery.text_of(name)
    assert f"]({name}.png)" in text
    assert figure.stat().st_size < MOST_BYTES
    assert shows_something(imread(figure))
    assert "**What one sees.**" in text
    assert "**What one must not conclude.**" in text
    blocks = list(gallery.BLOCK.finditer(text))
    code = [b["body"] for b in blocks if b["mark"] not in gallery.OUTPUT]
    assert 15 <= sum(bool(line.strip()) for body in code for line in body.splitlines()) <= MOST_LINES
    assert all(b["body"].strip() for b in blocks), "an output is missing: run scripts/make_gallery.py"
    assert not [line for body in code for line in body.splitlines() if len(line) > WIDEST]


def test_every_page_is_in_the_index_and_every_figure_on_a_page():
    assert {p.stem for p in gallery.GALLERY.glob("*.md")} == {"index", *NAMES}
    assert {p.stem for p in gallery.GALLERY.glob("*.png")} == set(NAMES)
    assert len(NAMES) == 10


@pytest.mark.parametrize(
    ("line", "short"),
    [
        ("n = 2000  # short: 60", "n = 60"),
        ("    first, each = f(9, 3_000)  # short: 12", "    first, each = f(9, 12)"),
        ("seconds = 1.5  # short: 0.2", "seconds = 0.2"),
        ("circuitsbi infer x2 --n 300 --out y  # short: 4", "circuitsbi infer x2 --n 4 --out y"),
        ("n = 2000  # 60 would be short", "n = 2000  # 60 would be short"),
    ],
)
def test_the_short_form_replaces_the_last_number(line, short):
    assert gallery.shortened(line) == short


def test_what_a_page_may_not_do_is_an_error(tmp_path, monkeypatch):
    page = "```sh\n{}\n```\n"
    for line, said in (("rm -r x", "only circuitsbi is run"), ("circuitsbi infer nothing.npz", "ended in an error")):
        monkeypatch.setattr(gallery, "text_of", lambda name, line=line: page.format(line))
        with pytest.raises(ValueError, match=said):
            gallery.run("page", tmp_path, short=True)


def test_features_of_one_s_own_keep_what_all_promise(tmp_path, monkeypatch):
    """The conformance test of features, on those that a page shows."""
    text = gallery.text_of("extending")
    (block,) = (b for b in gallery.BLOCK.finditer(text) if 'title="asymmetry.py"' in b["rest"])
    (tmp_path / "asymmetry.py").write_text(block["body"])
    with gallery.in_folder(tmp_path):
        from asymmetry import Asymmetry
    monkeypatch.setitem(load._KINDS, "asymmetry", Asymmetry)
    features = Asymmetry()
    promises.test_named_rows_and_a_column_a_value_of_the_axis(features)
    promises.test_json_and_back(features)
    promises.test_the_transient_is_not_looked_at(features)
    promises.test_channels_keep_their_order_and_may_be_one(features)
    promises.test_another_rate_or_too_short_a_recording_is_refused(features)
    promises.test_of_many_recordings_the_one_without_features_is_named(features)
    for gain, bad in ((1e-6, np.nan), (1e6, np.inf)):
        promises.test_gain_does_not_matter_to_what_is_scale_free(features, gain)
        promises.test_values_that_are_not_finite_are_refused_by_channel(features, bad)
