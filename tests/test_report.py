"""The report and its figures: complete with every part missing, safe with any name, true to the estimates."""

import base64
import functools
import html
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from inference.estimate import Estimate
from inference.evaluation.departures import predictive_check
from inference.evaluation.predictive import share_inside
from inference.features.spectra import SpectralFeatures
from inference.reports.figures import (
    activity_figure,
    posterior_figure,
    quantity,
    spectra_figure,
    summary_figure,
    traces_figure,
)
from inference.reports.recording_page import table_rows, write_report
from simulators.brunel.model import ASYNCHRONOUS_RANGE
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording, Spikes
from simulators.text import printable

FEATURES = SpectralFeatures()
TRUTH = np.array([0.172, 5.21, 2.04])
SPREAD = np.array([0.004, 0.06, 0.03])
CNN = Estimate(ASYNCHRONOUS_RANGE, TRUTH + SPREAD, None, "CNN", ("trained on few simulations",))
NASTY = "<script>alert('1')</script> & $\\frac"
TINY = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def posterior(seed=0, centre=TRUTH, spread=SPREAD, method="neural posterior"):
    samples = centre + spread * np.random.default_rng(seed).normal(size=(500, 3))
    return Estimate(ASYNCHRONOUS_RANGE, samples.mean(0), samples, method)


def lfp(seed=0, channels=3, unit="mV"):
    values = np.random.default_rng(seed).normal(size=(channels, 1000))
    return Recording(values, 1000.0, unit, tuple(f"z = {-100 * k} um" for k in range(channels)), 150)


def predictive(n=20, channels=3, gain=0.0):
    return gain + np.stack([FEATURES(lfp(seed, channels)) for seed in range(1, n + 1)])


def network():
    rng = np.random.default_rng(0)
    populations = {"excitatory": (0, 400), "inhibitory": (400, 500)}
    times, senders = np.sort(rng.uniform(0, 1000, 15_000)), rng.integers(0, 500, 15_000)
    counts = [np.histogram(times[(senders >= a) & (senders < b)], np.arange(1001))[0] for a, b in populations.values()]
    return Spikes(times, senders, populations), Recording(np.stack(counts), 1000.0, "1", tuple(populations), 150)


SPIKES, COUNTS = network()
CHECK = predictive_check(lfp(), FEATURES, predictive())
FULL = dict(
    title="A report",
    recording=lfp(),
    features=FEATURES,
    estimates=[CNN, posterior()],
    spikes=SPIKES,
    counts=COUNTS,
    truth=TRUTH,
    predictive=predictive(),
    notes=["a note"],
    provenance={"seed": 7, "versions": {"nest": "3.10"}, "sd": list(range(500))},
)


SECTIONS = [
    "Verdict: with care",
    "Parameters",
    "Network activity",
    "Recording",
    "Spectra",
    "Posterior",
    "Warnings in detail",
    "Where this comes from",
]


@pytest.fixture
def drawn_page(tmp_path, monkeypatch):
    """Writes a report, the full one but for what is given, and reads it. Coarse figures are faster."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", functools.partialmethod(Figure.savefig, dpi=20))

    def write(**parts):
        write_report(tmp_path / "report.html", **{**FULL, **parts})
        return (tmp_path / "report.html").read_text(encoding="utf-8")

    return write


@pytest.fixture
def page(drawn_page, monkeypatch):
    """The same without its figures, for tests of its words."""
    for kind in ("activity", "traces", "spectra", "posterior"):
        monkeypatch.setattr(f"inference.reports.recording_page.{kind}_figure", lambda *_: Figure((0.1, 0.1)))
    return drawn_page


class Elements(HTMLParser):
    """Tags and attributes of a page, and the text of its elements."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]

    def handle_data(self, data):
        self.text.append(data)


def sections(page):
    return re.findall(r"<h2>(.*?)</h2>", page)


def test_the_verdict_comes_first_and_nothing_is_left_out(page):
    written = page()
    assert sections(written) == SECTIONS
    assert "CNN: trained on few simulations" in written
    assert "a note" in written
    assert "versions: nest" in written
    assert written.count("<img") == 4


@pytest.mark.parametrize(
    ("parts", "gone"),
    [
        (dict(spikes=None, counts=None), {"Network activity"}),
        (dict(spikes=None), set()),
        (dict(counts=None), set()),
        (dict(truth=None), set()),
        (dict(predictive=None), set()),
        (dict(provenance=None), {"Where this comes from"}),
        (dict(estimates=[CNN]), {"Posterior"}),
        (
            dict(estimates=[], truth=None, notes=[]),
            {"Parameters", "Posterior", "Verdict: with care", "Warnings in detail"},
        ),
        (dict(recording=lfp(channels=1), predictive=predictive(channels=1)), set()),
        (dict(recording=lfp(channels=7), predictive=None), set()),
        (dict(features=SpectralFeatures(relative=True), recording=lfp(unit="a.u."), predictive=None), set()),
    ],
)
def test_parts_may_be_missing(parts, gone, drawn_page):
    assert set(SECTIONS) - set(sections(drawn_page(**parts))) == gone


def test_the_page_needs_nothing_beside_itself(drawn_page):
    written = drawn_page()
    elements = Elements(written)
    links = [value for _, name, value in elements.attributes if name in {"src", "href", "srcset", "data", "action"}]
    assert links
    assert all(link.startswith("data:image/png;base64,") for link in links)
    assert {"script", "link", "iframe", "object", "form"}.isdisjoint(elements.tags)
    assert not re.search(r"https?:|@import|url\(", written)
    for link in links:
        assert base64.b64decode(link.split(",")[1]).startswith(b"\x89PNG")


def test_names_from_files_stay_text(drawn_page):
    channels = (NASTY, "<img src=x onerror=alert(2)>", "c")
    recording = Recording(lfp().values, 1000.0, NASTY, channels)
    written = drawn_page(
        title=NASTY,
        recording=recording,
        estimates=[Estimate(ASYNCHRONOUS_RANGE, TRUTH, posterior().samples, NASTY, (NASTY,))],
        notes=[NASTY],
        provenance={NASTY: {NASTY: NASTY}},
    )
    elements = Elements(written)
    assert "script" not in elements.tags
    assert not [name for _, name, _ in elements.attributes if name.startswith("on")]
    assert sum(NASTY in text for text in elements.text) >= 6


@TINY
@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40))
def test_any_text_is_shown_as_it_is(text, page):
    elements = Elements(page(title=text, notes=[text], provenance={"file": text}))
    assert elements.text.count(printable(text)) >= 3  # marks that turn the direction of writing are shown as well
    assert elements.tags == Elements(page(title="A report", notes=["a note"], provenance={"file": "a file"})).tags


# --- the numbers ---


@TINY
@given(
    centre=st.tuples(st.floats(0.1, 0.25), st.floats(4.5, 6), st.floats(1.5, 3)),
    relative_spread=st.floats(1e-5, 0.3),
)
def test_the_table_shows_the_estimates(centre, relative_spread):
    estimate = posterior(
        centre=np.array(centre), spread=relative_spread * (ASYNCHRONOUS_RANGE.high - ASYNCHRONOUS_RANGE.low)
    )
    for k, row in enumerate(table_rows([estimate, CNN], TRUTH)):
        low, high = estimate.interval(0.95)[k]
        digit = 0.05 * (high - low) + 1e-12
        shown = [float(x) for x in row.cells[0].interval.split(" … ")]
        np.testing.assert_allclose([number(row.cells[0].value), *shown], [estimate.point[k], low, high], atol=digit)
        np.testing.assert_allclose(number(row.cells[1].value), CNN.point[k], atol=digit)
        np.testing.assert_allclose(number(row.truth), TRUTH[k], atol=digit)
        assert row.cells[0].missed == (not low <= TRUTH[k] <= high)
        assert (row.cells[1].interval, row.cells[1].missed) == ("", False)


def number(text):
    return float(text.split()[0])


def test_the_tables_numbers_and_units_are_on_the_page(page):
    text = html.unescape(page())
    for row in table_rows(FULL["estimates"], TRUTH):
        for shown in (
            row.name,
            row.meaning,
            row.range,
            row.truth,
            *(c.value for c in row.cells),
            row.cells[1].interval,
        ):
            assert f">{shown}<" in text
    rows = table_rows(FULL["estimates"], TRUTH)
    assert (rows[0].truth, rows[1].range) == ("0.172 mV", "4.5 … 6")


def test_an_interval_that_misses_the_truth_says_so(page):
    assert "misses the truth" not in page()
    assert "misses the truth" in page(estimates=[posterior(centre=TRUTH + 5 * SPREAD)])


def test_estimates_without_spread_have_digits_too():
    assert [row.cells[0].value for row in table_rows([CNN])] == ["0.176 mV", "5.27", "2.07"]


def test_a_posterior_without_draws_has_no_numbers():
    """A neural posterior of whose draws none lies in the box holds one place, the centre of the box."""
    nowhere = Estimate(ASYNCHRONOUS_RANGE, TRUTH, TRUTH[None], "neural posterior", ("no draw",), trusted=False)
    assert {(cell.value, cell.interval) for row in table_rows([nowhere]) for cell in row.cells} == {
        ("–", "no posterior")
    }


# --- what to know before believing them ---


def test_a_refused_recording_looks_like_no_other(page):
    """One method that refuses is enough: all numbers are grey and in brackets, below a verdict that says so."""
    refusing = replace(posterior(), warnings=("nothing fits, by 7 nats",), trusted=False)
    written = page(estimates=[CNN, refusing])
    assert sections(written)[0] == "Verdict: not to be trusted"
    assert "say" in written
    assert "Do not trust these numbers" in written
    assert written.index("Do not trust") < written.index("<table") < written.index("by 7 nats")
    values = re.findall(r'<td( class="untrusted")?><span class="value">(.*?)</span>', written)
    assert len(values) == 6
    assert all(grey and value.startswith("(") for grey, value in values)
    assert not any(grey for grey, _ in re.findall(r'<td( class="untrusted")?><span class="value">(.*?)</span>', page()))


def test_a_spectrum_outside_the_predictive_band_is_a_warning(page):
    assert "do not give this spectrum" not in page()
    assert "do not give this spectrum" in page(predictive=predictive(gain=1.0))


def test_the_share_inside_the_band_is_as_expected_where_the_model_is_right(rng):
    """Observation and draws from one distribution; twice too narrow a band is the negative control."""
    observed, draws = rng.normal(size=(30, 200)), rng.normal(size=(24, 30, 200))
    inside, expected = share_inside(observed, draws)
    assert expected == pytest.approx(0.828)
    assert inside == pytest.approx(expected, abs=0.02)
    assert share_inside(observed, draws / 2)[0] < expected - 0.15


@pytest.mark.parametrize(("g", "says"), [(4.5, "edge (4.5) of"), (6.0, "edge (6) of"), (5.25, None)])
def test_an_interval_at_the_edge_of_the_range_is_a_warning(g, says, page):
    samples = np.clip(
        posterior(centre=np.array([0.17, g, 2.0])).samples, ASYNCHRONOUS_RANGE.low, ASYNCHRONOUS_RANGE.high
    )
    written = page(estimates=[Estimate(ASYNCHRONOUS_RANGE, samples.mean(0), samples, "posterior")])
    assert (says in written) if says else ("reaches the edge" not in written)


# --- figures ---

SHAPES = "predictive spectra have shape"
OTHER = ParameterSpace((Parameter("a", "1", 0.0, 1.0),))


@pytest.mark.parametrize(
    ("draw", "says"),
    [
        (lambda: activity_figure(None, None), "neither spikes nor counts"),
        (lambda: posterior_figure([]), "no estimates"),
        (lambda: posterior_figure([CNN, Estimate(OTHER, np.array([0.5]))]), "different parameters"),
        (lambda: predictive_check(lfp(), FEATURES, predictive(channels=2)), SHAPES),
        (lambda: spectra_figure(lfp(), FEATURES, replace(CHECK, spectra=predictive(channels=2))), SHAPES),
        (lambda: share_inside(FEATURES(lfp(channels=1)), predictive(channels=2)), SHAPES),
        (lambda: table_rows([CNN], TRUTH[:2]), "truth has shape"),
    ],
)
def test_what_does_not_fit_is_refused(draw, says):
    with pytest.raises(ValueError, match=says):
        draw()


def test_the_summary_has_the_size_of_a_banner(tmp_path):
    figure = summary_figure(lfp(), FEATURES, [CNN, posterior()], truth=TRUTH, check=CHECK)
    figure.savefig(tmp_path / "summary.png")
    header = (tmp_path / "summary.png").read_bytes()[16:24]
    assert (int.from_bytes(header[:4], "big"), int.from_bytes(header[4:], "big")) == (1600, 700)


@pytest.mark.parametrize("channels", [1, 2, 7, 16])
def test_figures_for_any_number_of_channels(channels, tmp_path):
    recording = lfp(channels=channels)
    summary_figure(recording, FEATURES, [posterior()]).savefig(tmp_path / "s.png", dpi=30)
    for figure in (traces_figure(recording), spectra_figure(recording, FEATURES)):
        figure.savefig(tmp_path / "f.png", dpi=30)


def test_one_parameter_has_a_posterior_too(tmp_path):
    samples = np.random.default_rng(0).random((100, 1))
    figure = posterior_figure([Estimate(OTHER, samples.mean(0), samples, "m")], np.array([0.3]))
    figure.savefig(tmp_path / "p.png", dpi=30)


def test_the_raster_shows_spikes_after_the_transient_only():
    figure = activity_figure(SPIKES, COUNTS, window_ms=100)
    drawn = np.concatenate([c.get_offsets() for c in figure.axes[0].collections])
    assert len(drawn) == pytest.approx(15_000 * 0.1 / 5, rel=0.2)
    rates = figure.axes[1].lines[0].get_ydata()
    np.testing.assert_allclose(rates, COUNTS.values[0, 150:250] * 1e3 / 400)


def test_drawing_leaves_nothing_behind(drawn_page):
    """No figure enters pyplot, which would keep it."""
    drawn_page()
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []
    assert isinstance(traces_figure(lfp()), Figure)


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(0.5, "mV", "500 µV"), (2.0, "mV", "2 mV"), (2e-5, "mV", "20 nV"), (0.05, "a.u.", "0.05 a.u."), (3.0, "1", "3")],
)
def test_quantities_have_readable_units(value, unit, shown):
    assert quantity(value, unit) == shown
