"""The page to play with, in Chromium: it computes what Python does, at once, offline, by keyboard, with any names."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from browser import CHROMIUM, Browser
from played import NASTY, answer, column, expected_powers, following, recorded, report_of, six_contacts
from scipy.stats import gamma

from inference.reports.play import play_of, write_play
from inference.reports.play_numbers import counted, emulated_powers
from inference.workflows.play import chosen_fit, circuit_names
from surrogates.spectra.background import Background

EXACT = 0.01
FRAME_MS = 16.0

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")


@pytest.fixture(scope="module")
def browser():
    started = Browser()
    yield started
    started.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Writes a page and opens it, with its table of numbers."""

    def open_page(play):
        write_play(tmp_path / "play.html", "Play", play)
        browser.open(tmp_path / "play.html")
        browser.wait("document.querySelector('#play.ready') !== null")
        browser.evaluate("document.querySelector('details').open = true")
        browser.wait("document.querySelector('details tbody tr') !== null")
        return browser

    return open_page


def move(browser, **values):
    """Set sliders by their key, as a hand does."""
    browser.evaluate(
        f"""for (const [key, value] of Object.entries({json.dumps(values)})) {{
          const slider = document.querySelector(`input[data-key=${{key}}]`);
          slider.value = value;
          slider.dispatchEvent(new Event("input", {{ bubbles: true }}));
        }}"""
    )


def at_sliders(browser):
    """Theta as the sliders have it, rounded to their steps."""
    return np.array(
        browser.evaluate(
            "Array.from(document.querySelectorAll('input[data-key^=theta]'), (s) => [s.dataset.key, s.valueAsNumber])"
            ".sort((a, b) => a[0].slice(5) - b[0].slice(5)).map((pair) => pair[1])"
        )
    )


def numbers(browser):
    """The table's columns by their headings."""
    heads, rows = browser.evaluate(
        "[Array.from(document.querySelectorAll('details thead th'), (c) => c.textContent),"
        " Array.from(document.querySelectorAll('details tbody tr'), (r) => Array.from(r.cells, (c) => +c.textContent))]"
    )
    return dict(zip(heads, np.array(rows).T, strict=True))


def said(browser):
    return browser.evaluate("document.querySelector('[data-part=misfit]').textContent")


def choose(browser, channel):
    browser.evaluate(
        f"(() => {{ const c = document.querySelector('select'); c.selectedIndex = {channel};"
        "c.dispatchEvent(new Event('change')); })()"
    )


@pytest.mark.parametrize("channel", [0, 3, 5])
def test_the_page_computes_the_emulator_of_six_contacts(opened, channel, rng):
    fit = six_contacts()
    page = opened(play_of(fit))
    choose(page, channel)
    for u in rng.random((8, 3)):
        move(page, **dict(zip(("theta0", "theta1", "theta2"), fit.parameters.from_unit(u).tolist(), strict=True)))
        emulated = numbers(page)["emulated"]
        np.testing.assert_allclose(emulated, expected_powers(fit, at_sliders(page))[channel], rtol=EXACT)
    assert page.errors == []


@pytest.mark.parametrize("name", circuit_names())
def test_the_page_computes_every_circuit_of_one_channel(opened, name, rng):
    fit = chosen_fit(circuit=name)
    page = opened(play_of(fit))
    for theta in fit.parameters.sample(5, rng):
        move(page, **{f"theta{k}": float(value) for k, value in enumerate(theta)})
        np.testing.assert_allclose(numbers(page)["emulated"], expected_powers(fit, at_sliders(page))[0], rtol=EXACT)


def test_the_page_computes_kernels_that_follow_the_parameters(opened, rng):
    fit = following()
    page = opened(play_of(fit))
    for number, theta in enumerate(fit.parameters.sample(8, rng)):
        choose(page, number % 4)
        move(page, **{f"theta{k}": float(value) for k, value in enumerate(theta)})
        expected = emulated_powers(fit.model, at_sliders(page)[None], fit.model.counting)[0, number % 4]
        np.testing.assert_allclose(numbers(page)["emulated"], expected, rtol=EXACT)


def test_the_first_curve_is_that_of_the_exact_estimate(opened):
    fit, estimate = six_contacts(), answer()
    page = opened(play_of(fit, recorded(), estimate))
    np.testing.assert_allclose(numbers(page)["emulated"], expected_powers(fit, estimate.point)[0], rtol=EXACT)


def test_the_recording_is_drawn_in_the_emulators_bands(opened):
    page = opened(play_of(six_contacts(), recorded(), answer()))
    transform, kept = counted(six_contacts().model, recorded(), 0.0)
    power = 2 * transform.averaged(np.abs(transform.values[0]) ** 2)[kept]
    np.testing.assert_allclose(numbers(page)["recording"], power, rtol=1e-4)


def test_the_band_is_where_recordings_drawn_from_the_emulator_lie(opened):
    """As the predictive check draws them, at one theta."""
    fit, theta = six_contacts(), np.array([0.17, 5.2, 2.0])
    page = opened(play_of(fit, recorded(), answer(centre=theta)))
    move(page, theta0=theta[0], theta1=theta[1], theta2=theta[2])
    found = numbers(page)
    drawn = fit.draw(np.tile(at_sliders(page), (400, 1)), 3000.0, torch.zeros(0), np.random.default_rng(3))
    inside = []
    for one in drawn:
        transform, kept = counted(fit.model, one, 0.0)
        power = 2 * transform.averaged(np.abs(transform.values[0]) ** 2)[kept]
        inside.append((power >= found["band from"]) & (power <= found["to"]))
    share = np.mean(inside, axis=0)
    assert share.mean() == pytest.approx(0.9, abs=0.02)
    assert share.min() > 0.75


def test_without_components_spectra_scatter_as_a_gamma_distribution(opened):
    play = play_of(six_contacts())
    play.numbers["sizes"] = []
    found, samples = numbers(opened(play)), np.array(play.numbers["samples"])
    for end, quantile in (("band from", 0.05), ("to", 0.95)):
        np.testing.assert_allclose(found[end] / found["emulated"], gamma.ppf(quantile, samples) / samples, rtol=2e-3)


def test_a_background_is_that_of_the_fit(opened):
    """A fit with a background and a rhythm begins with what it found, and adds it to every channel."""
    fit = six_contacts().with_nuisances(background=True, rhythms=1)
    variables = torch.tensor([-12.0, 1.2, 1.0, -3.0, 0.5, 3.0, 0.6])
    fit.nuisances = lambda _: variables
    page = opened(play_of(fit, recorded(), replace(answer(), samples=None)))
    centres = fit.model.emulator.bands.centres
    own = 2 * Background(1).density(variables, torch.as_tensor(centres).float()).numpy()
    np.testing.assert_allclose(numbers(page)["emulated"], expected_powers(fit, answer().point)[0] + own, rtol=EXACT)
    page.evaluate("document.querySelector('[data-part=with-background]').click()")
    np.testing.assert_allclose(numbers(page)["emulated"], expected_powers(fit, answer().point)[0], rtol=EXACT)


def test_gain_multiplies_the_circuit_and_not_the_background(opened):
    page = opened(play_of(six_contacts()))
    alone = numbers(page)["emulated"]
    page.evaluate("document.querySelector('[data-part=with-background]').click()")
    own = numbers(page)["emulated"] - alone
    move(page, gain=6.0)
    np.testing.assert_allclose(numbers(page)["emulated"], 10**0.6 * alone + own, rtol=1e-3)


def test_an_unknown_gain_begins_where_the_recording_is(opened):
    fit = chosen_fit(circuit="brunel-asynchronous")
    theta = (fit.parameters.low + fit.parameters.high) / 2
    (drawn,) = fit.draw(theta[None], 3000.0, torch.tensor([3.0]), np.random.default_rng(0))
    page = opened(play_of(fit, drawn, answer(fit, theta)))
    found = numbers(page)
    assert np.abs(np.log(found["recording"] / found["emulated"]).mean()) < 0.05
    move(page, gain=-9.0)
    page.evaluate("document.querySelector('[data-part=match]').click()")
    assert np.abs(np.log(numbers(page)["recording"] / numbers(page)["emulated"]).mean()) < 0.05


def test_the_line_says_how_far_and_where(opened):
    page = opened(play_of(six_contacts(), recorded(), answer()))
    assert "leaves the band" not in said(page)
    at_first = float(re.match(r"Misfit ([\d.]+) dB", said(page))[1])
    move(page, theta2=3.0)
    assert "leaves the band most at" in said(page)
    assert float(re.match(r"Misfit ([\d.]+) dB", said(page))[1]) > at_first + 1
    found = numbers(page)
    off = 10 * np.log10(found["recording"] / found["emulated"])
    assert f"Misfit {np.sqrt(np.mean(off**2)):.1f} dB" in said(page)
    page.evaluate("document.querySelector('[data-part=restart]').click()")
    assert float(re.match(r"Misfit ([\d.]+) dB", said(page))[1]) == at_first


def test_a_move_takes_less_than_a_frame(opened):
    """Loosely, as other work goes on beside: it takes about one millisecond."""
    for play in (play_of(six_contacts(), recorded(), answer()), play_of(column()), play_of(following())):
        page = opened(play)
        page.evaluate("document.querySelector('details').open = false")
        took = page.evaluate(
            """(() => {
              const took = [];
              for (let i = 0; i < 60; i++) {
                const slider = document.querySelector(`#play-theta${i % 3}`);
                const start = performance.now();
                slider.value = Number(slider.min) + (slider.max - slider.min) * ((i * 0.381966) % 1);
                slider.dispatchEvent(new Event("input", { bubbles: true }));
                document.getElementById("play").getBoundingClientRect();
                took.push(performance.now() - start);
              }
              return took.slice(10);
            })()"""
        )
        assert len(took) == 50
        assert np.median(took) < FRAME_MS


def test_a_keyboard_moves_sliders_and_presses_buttons(opened):
    page = opened(play_of(six_contacts(), recorded(), answer()))
    first = numbers(page)["emulated"]
    page.evaluate("document.querySelector('#play-theta0').focus()")
    before = at_sliders(page)[0]
    page.press("ArrowRight", 39)
    page.press("ArrowRight", 39)
    assert at_sliders(page)[0] == pytest.approx(before + 2 * 0.15 / 200)
    assert (numbers(page)["emulated"] != first).all()
    page.press("End", 35)
    assert at_sliders(page)[0] == pytest.approx(0.25)
    page.press("Tab", 9)
    assert page.evaluate("document.activeElement.id") == "play-theta1"
    page.evaluate("document.querySelector('[data-part=restart]').focus()")
    page.press("Enter", 13, "\r")
    np.testing.assert_array_equal(numbers(page)["emulated"], first)


def test_a_screen_reader_hears_names_values_and_now_and_then_the_misfit(opened):
    page = opened(play_of(six_contacts(), recorded(), answer()))
    page.evaluate("document.querySelector('[data-part=with-background]').click()")
    tree = page("Accessibility.getFullAXTree")["nodes"]
    heard = [(n["role"]["value"], n["name"]["value"]) for n in tree if "name" in n and not n["ignored"]]
    names = [name for role, name in heard if role == "slider"]
    assert names == ["J", "g", "eta", "recording's gain", "level", "exponent", "knee", "white"]
    assert any(role == "image" and "Power spectrum" in name for role, name in heard)
    assert {"Back to the estimate", "Match the gain"} <= {name for role, name in heard if role == "button"}
    move(page, theta0=0.2)
    assert page.evaluate("document.querySelector('#play-theta0').getAttribute('aria-valuetext')") == "0.200 mV"
    spoken = "document.querySelector('[role=status]').textContent"
    assert page.evaluate(spoken) != said(page)  # not at every move
    page.wait(f"{spoken} === document.querySelector('[data-part=misfit]').textContent")


def test_connections_are_a_matrix(opened):
    play = play_of(column())
    assert play.matrix.populations == ("L2i", "L2e", "L5i", "L5e")
    assert sum(len(cell) for row in play.matrix.cells for cell in row) == 11
    assert play.matrix.cells[0][2] == ()
    assert [s.name for s in play.sliders] == ["noise_rate_Hz", "noise_gain"]
    page = opened(play)
    tree = page("Accessibility.getFullAXTree")["nodes"]
    names = [n["name"]["value"] for n in tree if n.get("role", {}).get("value") == "slider"]
    assert "from L2e onto L5i, log10 gain" in names
    key = f"theta{column().parameters.names.index('L2e_L5i')}"
    move(page, **{key: 0.304})
    text = page.evaluate(f"document.querySelector('#play-{key}').getAttribute('aria-valuetext')")
    assert text == "0.30, times 2.0"


def test_nothing_is_asked_for_and_hostile_names_are_shown(browser, tmp_path):
    fit, recording = six_contacts(), recorded()
    names = (NASTY, *recording.channels[1:])
    play = play_of(fit, replace(recording, channels=names), answer())
    play = replace(play, sliders=tuple(replace(s, name=NASTY, meaning=NASTY, unit=NASTY) for s in play.sliders))
    write_play(tmp_path / "play.html", NASTY, play, [NASTY])
    text = (tmp_path / "play.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["']?\w+:""", re.sub(r"data:[\w/]+;base64,", "", text))
    assert text.count("<script") == text.count("</script>") == 2
    browser.open(tmp_path / "play.html")
    browser.wait("document.querySelector('#play.ready') !== null")
    assert browser.errors == []
    assert browser.asked == [(tmp_path / "play.html").as_uri()]
    assert browser.evaluate("document.title") == NASTY
    assert browser.evaluate("document.querySelector('option').textContent") == NASTY
    assert browser.evaluate("document.querySelector('#play label[for=play-theta0]').textContent") == NASTY
    move(browser, theta0=0.2)
    assert browser.evaluate("document.querySelector('#play output').textContent") == f"0.200 {NASTY}"


def test_no_other_script_runs(browser, tmp_path):
    write_play(tmp_path / "play.html", "Play", play_of(six_contacts()))
    text = (tmp_path / "play.html").read_text(encoding="utf-8")
    (tmp_path / "play.html").write_text(text.replace("</body>", "<script>document.title='broken'</script></body>"))
    browser.open(tmp_path / "play.html")
    browser.wait("document.querySelector('#play.ready') !== null")
    assert browser.evaluate("document.title") == "Play"
    assert any("Content Security Policy" in text for text in browser.errors)


def test_fewer_bands_give_the_same_spectrum(opened):
    fit = six_contacts()
    theta = (fit.parameters.low + fit.parameters.high) / 2
    found = numbers(opened(play_of(fit.within(10, 100))))
    kept = np.isin(fit.model.emulator.bands.centres, found["Hz"])
    np.testing.assert_allclose(found["emulated"], expected_powers(fit, theta)[0][kept], rtol=EXACT)


def test_a_report_with_a_gradient_fit_has_sliders(browser, tmp_path):
    text = report_of(tmp_path / "report.html", fit=six_contacts())
    assert text.index("<h2>Spectra</h2>") < text.index("Play with the parameters") < text.index("<h2>Posterior</h2>")
    browser.open(tmp_path / "report.html")
    browser.wait("document.querySelector('#play.ready') !== null")
    assert browser.errors == []
    assert all(address.startswith(("file:", "data:image/png;")) for address in browser.asked)
