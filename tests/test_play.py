"""The page to play with: it computes what Python does, at once, offline, with a keyboard, whatever names it holds."""

import base64
import functools
import html
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import CHROMIUM, Browser
from scipy.stats import gamma
from typer.testing import CliRunner

from inference.cli import app
from inference.estimate import Estimate
from inference.estimators.gradient_fit import GradientFit
from inference.estimators.load import load_estimator
from inference.recordings.files import write_recording
from inference.reports.play import Slider, laid_out, play_of, playable, script, write_play
from inference.reports.play_numbers import counted, emulated_powers, packed
from inference.reports.play_start import background_of, start_of
from inference.reports.recording_page import write_report
from inference.workflows.play import chosen_fit, circuit_names, play_file
from inference.workflows.shipped import SHIPPED
from simulators.interface import ParameterSpace
from simulators.recording import Recording
from surrogates.spectra.background import Background, NoiseFloor

NASTY = "</script><script>document.title='broken'</script><!-- & \"quoted\" '"
EXACT = 0.01
ROOT = Path(__file__).parents[1]
DATA = re.compile(r'<script type="application/json" id="play-data">(.*?)</script>')
FRAME_MS = 16.0

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")


@functools.cache
def six_contacts() -> GradientFit:
    return load_estimator(SHIPPED / "brunel_ai_gradient.safetensors")


@functools.cache
def column() -> GradientFit:
    return chosen_fit(circuit="column")


@functools.cache
def recorded(seed=5, duration_ms=3000.0, theta=(0.17, 5.2, 2.0)) -> Recording:
    """What the emulator draws: a recording that the fit explains."""
    fit = six_contacts()
    (drawn,) = fit.draw(np.array([theta]), duration_ms, torch.zeros(0), np.random.default_rng(seed))
    return drawn


def answer(fit=None, centre=(0.17, 5.2, 2.0), seed=0, **changes) -> Estimate:
    space = (fit or six_contacts()).parameters
    samples = np.array(centre) * (1 + 0.01 * np.random.default_rng(seed).normal(size=(300, len(space))))
    return Estimate(space, samples.mean(0), samples, "gradient fit", **changes)


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


def expected_powers(fit, theta, seconds=4.0):
    """Auto-spectra (one-sided) by another way: the kernels at every frequency of a recording, averaged over bands."""
    emulator, view = fit.model.emulator, fit.model.view
    spectra = emulator.spectra(theta[None])[0]
    if view is None:
        return 2 * np.einsum("fcc->cf", spectra).real
    bands, powers = emulator.bands, []
    by_name = dict(zip(emulator.parameters.names, theta, strict=True))
    weights = np.diag([w.of(by_name) for w in view.weights])
    for f, (low, high) in enumerate(zip(bands.edges[:-1], bands.edges[1:], strict=True)):
        seen = view.transfer(np.arange(low, high, 1 / seconds) + 0.5 / seconds) @ weights
        powers.append(np.einsum("fck,kl,fcl->fc", seen, spectra[f], seen.conj()).real.mean(0))
    return 2 * np.array(powers).T


@pytest.mark.parametrize(
    ("values", "bits"), [([0.5, -1.25, 2.0**-20], 16), ([0.1, 2.0], 32), ([1e6], 32), ([[1.0, 2.0], [0.0, -4.0]], 16)]
)
def test_arrays_are_packed_in_as_few_bits_as_lose_nothing(values, bits):
    made = packed(np.array(values))
    raw = np.frombuffer(base64.b64decode(made["data"]), "<f2" if bits == 16 else "<f4")
    assert made["bits"] == bits
    np.testing.assert_array_equal(raw.astype(np.float32).reshape(made["shape"]), np.array(values, dtype=np.float32))


def test_networks_that_ship_are_halved_without_a_loss():
    found = play_of(six_contacts()).numbers
    assert {part["bits"] for layer in found["spectra"]["layers"] for part in layer} == {16}
    assert len(json.dumps(found)) < 220_000


def test_powers_of_python_are_those_of_the_instrument(rng):
    fit = six_contacts()
    theta = fit.parameters.sample(5, rng)
    made = emulated_powers(fit.model, theta, fit.model.counting)
    for one, t in zip(made, theta, strict=True):
        np.testing.assert_allclose(one, expected_powers(fit, t), rtol=2e-3)


@needs_chromium
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


@needs_chromium
@pytest.mark.parametrize("name", circuit_names())
def test_the_page_computes_every_circuit_of_one_channel(opened, name, rng):
    fit = chosen_fit(circuit=name)
    page = opened(play_of(fit))
    for theta in fit.parameters.sample(5, rng):
        move(page, **{f"theta{k}": float(value) for k, value in enumerate(theta)})
        np.testing.assert_allclose(numbers(page)["emulated"], expected_powers(fit, at_sliders(page))[0], rtol=EXACT)


@needs_chromium
def test_the_first_curve_is_that_of_the_exact_estimate(opened):
    fit, estimate = six_contacts(), answer()
    page = opened(play_of(fit, recorded(), estimate))
    np.testing.assert_allclose(numbers(page)["emulated"], expected_powers(fit, estimate.point)[0], rtol=EXACT)


@needs_chromium
def test_the_recording_is_drawn_in_the_emulators_bands(opened):
    page = opened(play_of(six_contacts(), recorded(), answer()))
    transform, kept = counted(six_contacts().model, recorded(), 0.0)
    power = 2 * transform.averaged(np.abs(transform.values[0]) ** 2)[kept]
    np.testing.assert_allclose(numbers(page)["recording"], power, rtol=1e-4)


@needs_chromium
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


@needs_chromium
def test_without_components_spectra_scatter_as_a_gamma_distribution(opened):
    play = play_of(six_contacts())
    play.numbers["sizes"] = []
    found, samples = numbers(opened(play)), np.array(play.numbers["samples"])
    for end, quantile in (("band from", 0.05), ("to", 0.95)):
        np.testing.assert_allclose(found[end] / found["emulated"], gamma.ppf(quantile, samples) / samples, rtol=2e-3)


@needs_chromium
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


def test_densities_of_found_backgrounds_are_those_of_the_fit():
    frequencies = torch.linspace(3, 400, 50)
    for noise, variables in ((NoiseFloor(), [-11.0, -9.0]), (Background(1), [-12.0, 1.2, 1.0, -3.0, 0.5, 3.0, 0.6])):
        own = torch.tensor(variables)
        expected = 2 * noise.density(own, frequencies).numpy()
        found = background_of(noise, own).density(frequencies.numpy())
        np.testing.assert_allclose(found, expected, rtol=1e-4)


@needs_chromium
def test_gain_multiplies_the_circuit_and_not_the_background(opened):
    page = opened(play_of(six_contacts()))
    alone = numbers(page)["emulated"]
    page.evaluate("document.querySelector('[data-part=with-background]').click()")
    own = numbers(page)["emulated"] - alone
    move(page, gain=6.0)
    np.testing.assert_allclose(numbers(page)["emulated"], 10**0.6 * alone + own, rtol=1e-3)


@needs_chromium
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


@needs_chromium
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


@needs_chromium
def test_a_move_takes_less_than_a_frame(opened):
    """Loosely, as other work goes on beside: it takes about one millisecond."""
    for play in (play_of(six_contacts(), recorded(), answer()), play_of(column())):
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


@needs_chromium
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


@needs_chromium
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


@needs_chromium
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


def test_gains_of_receptors_share_a_cell():
    names = ("A_A_ampa", "A_A_nmda", "A_B_gabaa", "B_B_ampa", "B_A_ampa", "noise_gain")
    sliders, matrix = _laid_out(names)
    assert matrix.populations == ("A", "B")
    assert [s.extra for s in matrix.cells[0][0]] == ["ampa", "nmda"]
    assert [s.name for s in sliders] == ["noise_gain"]
    assert _laid_out(("tau_m", "C_m", "V_th", "t_ref"))[1] is None


def _laid_out(names):
    return laid_out([Slider(f"theta{k}", name, "", "", -1.0, 1.0, 0.0) for k, name in enumerate(names)])


@needs_chromium
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


@needs_chromium
def test_no_other_script_runs(browser, tmp_path):
    write_play(tmp_path / "play.html", "Play", play_of(six_contacts()))
    text = (tmp_path / "play.html").read_text(encoding="utf-8")
    (tmp_path / "play.html").write_text(text.replace("</body>", "<script>document.title='broken'</script></body>"))
    browser.open(tmp_path / "play.html")
    browser.wait("document.querySelector('#play.ready') !== null")
    assert browser.evaluate("document.title") == "Play"
    assert any("Content Security Policy" in text for text in browser.errors)


def test_the_script_is_plain_and_small():
    text = str(script())
    assert text.isascii()  # what shows control characters leaves it as it is, and so its hash
    assert not re.search(
        r"</script|<!--|\beval\b|\bimport\b|https?://(?!www\.w3\.org/2000/svg)|innerHTML|fetch\(", text
    )
    assert text.count("\n") < 700


def test_numbers_cannot_end_the_element_that_holds_them():
    play = play_of(six_contacts())
    play.numbers["units"] = [NASTY]
    assert "<" not in str(play.data)
    assert json.loads(html.unescape(str(play.data)))["units"] == [NASTY]


def test_where_a_mean_fits_worse_than_every_sample_the_sliders_begin_at_the_best():
    fit = six_contacts()
    samples = np.repeat([[0.12, 5.2, 2.0], [0.22, 5.2, 2.0]], 50, 0)
    samples = samples * (1 + 0.001 * np.random.default_rng(0).normal(size=samples.shape))
    wide = Estimate(fit.parameters, samples.mean(0), samples, "gradient fit")
    recording = recorded(theta=(0.22, 5.2, 2.0), seed=1)
    start = start_of(fit, recording, wide, 0.0)
    np.testing.assert_allclose(start.theta[0], 0.22, rtol=0.01)
    np.testing.assert_allclose(start.mean, wide.point)
    assert start_of(fit, recorded(), answer(), 0.0).mean is None


def test_known_parameters_keep_their_values_and_their_sliders():
    fit = six_contacts().given({"g": 5.5})
    space = ParameterSpace(tuple(p for p in fit.parameters))
    estimate = Estimate(space, np.array([0.2, 2.0]), None, "gradient fit")
    assert [(s.name, s.value) for s in play_of(fit, recorded(), estimate).sliders] == [
        ("J", 0.2), ("g", 5.5), ("eta", 2.0),
    ]  # fmt: skip


def test_bands_that_do_not_count_are_left_out():
    found = play_of(six_contacts().within(10, 100)).numbers
    assert found["frequencies"][0] == 15
    assert found["frequencies"][-1] == 95
    assert found["instrument"]["products"]["shape"][1] == len(found["frequencies"])


@needs_chromium
def test_fewer_bands_give_the_same_spectrum(opened):
    fit = six_contacts()
    theta = (fit.parameters.low + fit.parameters.high) / 2
    found = numbers(opened(play_of(fit.within(10, 100))))
    kept = np.isin(fit.model.emulator.bands.centres, found["Hz"])
    np.testing.assert_allclose(found["emulated"], expected_powers(fit, theta)[0][kept], rtol=EXACT)


@pytest.fixture(scope="module")
def shown_pages(tmp_path_factory):
    """Title and contents of the documentation's pages, made again."""
    sys.path.insert(0, str(ROOT / "scripts"))
    from make_play_pages import OUT, pages

    folder = tmp_path_factory.mktemp("pages")
    for name, (title, sentence, play) in pages().items():
        write_play(folder / name, title, play, [sentence])
    return {path.name: (path, OUT / path.name) for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("name", ["play_asynchronous.html", "play_column.html"])
def test_pages_of_the_documentation_are_those_of_the_fits_that_ship(shown_pages, name):
    """python scripts/make_play_pages.py makes them again. Digits of the estimate may differ between machines."""
    made, there = ((path.read_text(encoding="utf-8")) for path in shown_pages[name])
    numbers_made, numbers_there = (json.loads(DATA.search(page)[1]) for page in (made, there))
    for key in ("spectra", "dispersion", "sizes", "components", "instrument", "low", "high", "channels", "units"):
        assert numbers_made.get(key) == numbers_there.get(key), key
    if numbers_there["recording"] is not None:
        np.testing.assert_allclose(numbers_made["recording"], numbers_there["recording"], rtol=1e-3)
    words = [re.sub(r"-?\d+\.?\d*(e-?\d+)?", "#", DATA.sub("", page)) for page in (made, there)]
    assert words[0] == words[1]


def test_an_estimate_that_is_not_trusted_has_no_intervals():
    play = play_of(six_contacts(), recorded(), answer(trusted=False))
    assert not play.trusted
    assert all(s.place is None for s in play.sliders)


def test_sliders_say_as_many_digits_as_their_steps_have():
    (J, g, eta) = play_of(six_contacts()).sliders
    assert (J.digits, g.digits, eta.digits) == (3, 2, 2)
    assert J.step == pytest.approx(0.15 / 200)


def test_only_a_gradient_fit_can_be_played_with():
    assert playable(six_contacts())
    assert not playable(load_estimator(SHIPPED / "brunel_ai_cnn.safetensors"))


def test_a_file_is_answered_and_shown(tmp_path):
    write_recording(recorded(), tmp_path / "lfp.npz")
    play = play_file(six_contacts(), tmp_path / "lfp.npz")
    assert play.measured
    assert play.estimated
    assert all(s.place is not None for s in play.sliders)
    with pytest.raises(ValueError, match="no circuit 'nobody'"):
        chosen_fit(circuit="nobody")
    with pytest.raises(ValueError, match="found cnn"):
        chosen_fit(model=SHIPPED / "brunel_ai_cnn.safetensors")


def report_of(path, **named):
    parts = dict(title="A report", recording=recorded(), features=six_contacts().features, estimates=[answer()])
    write_report(path, **{**parts, **named})
    return path.read_text(encoding="utf-8")


@needs_chromium
def test_a_report_with_a_gradient_fit_has_sliders(browser, tmp_path):
    text = report_of(tmp_path / "report.html", fit=six_contacts())
    assert text.index("<h2>Spectra</h2>") < text.index("Play with the parameters") < text.index("<h2>Posterior</h2>")
    browser.open(tmp_path / "report.html")
    browser.wait("document.querySelector('#play.ready') !== null")
    assert browser.errors == []
    assert all(address.startswith(("file:", "data:image/png;")) for address in browser.asked)


@pytest.mark.parametrize(
    "named",
    [{}, {"fit": load_estimator(SHIPPED / "brunel_ai_cnn.safetensors")}, {"fit": six_contacts(), "estimates": []}],
)
def test_other_reports_have_no_script(tmp_path, named):
    text = report_of(tmp_path / "report.html", **named)
    assert "<script" not in text
    assert "script-src" not in text


def test_a_page_of_the_command(tmp_path):
    page = tmp_path / "ring.html"
    done = CliRunner().invoke(app, ["play", "--circuit", "ring", "--out", str(page)])
    assert done.exit_code == 0, done.output
    assert "log_ratio" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--circuit", "nobody"], "choose one of brunel-alpha"),
        (["--out", "play.txt"], "written as .html"),
        (["--circuit", "ring", "--model", "models"], "give one of them"),
    ],
)
def test_what_the_command_refuses(tmp_path, monkeypatch, options, why):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["play", *options])
    assert done.exit_code == 2
    assert why in done.output
    assert list(tmp_path.iterdir()) == []
