"""What a page to play with is made of: numbers, where its sliders begin, names; reports, and the command."""

import base64
import html
import json
import re
import sys
from pathlib import Path

import data_sets
import numpy as np
import pytest
import torch
from played import NASTY, answer, expected_powers, following, recorded, report_of, six_contacts
from typer.testing import CliRunner

from inference.cli import app
from inference.estimate import Estimate
from inference.estimators.load import load_estimator
from inference.recordings.files import write_recording
from inference.reports.play import Slider, laid_out, play_of, playable, script, write_play
from inference.reports.play_numbers import emulated_powers, packed
from inference.reports.play_start import background_of, start_of
from inference.workflows.play import chosen_fit, play_file
from inference.workflows.shipped import SHIPPED
from simulators.interface import ParameterSpace
from surrogates.spectra.background import Background, NoiseFloor

ROOT = Path(__file__).parents[1]
DATA = re.compile(r'<script type="application/json" id="play-data">(.*?)</script>')


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


def test_densities_of_found_backgrounds_are_those_of_the_fit():
    frequencies = torch.linspace(3, 400, 50)
    for noise, variables in ((NoiseFloor(), [-11.0, -9.0]), (Background(1), [-12.0, 1.2, 1.0, -3.0, 0.5, 3.0, 0.6])):
        own = torch.tensor(variables)
        expected = 2 * noise.density(own, frequencies).numpy()
        found = background_of(noise, own).density(frequencies.numpy())
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_gains_of_receptors_share_a_cell():
    names = ("A_A_ampa", "A_A_nmda", "A_B_gabaa", "B_B_ampa", "B_A_ampa", "noise_gain")
    sliders, matrix = _laid_out(names)
    assert matrix.populations == ("A", "B")
    assert [s.extra for s in matrix.cells[0][0]] == ["ampa", "nmda"]
    assert [s.name for s in sliders] == ["noise_gain"]
    assert _laid_out(("tau_m", "C_m", "V_th", "t_ref"))[1] is None


def _laid_out(names):
    return laid_out([Slider(f"theta{k}", name, "", "", -1.0, 1.0, 0.0) for k, name in enumerate(names)])


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


def test_warnings_of_the_estimate_stand_above_the_sliders(tmp_path):
    doubtful = play_of(six_contacts(), recorded(), answer(trusted=False, warnings=("nothing explains it", NASTY)))
    write_play(tmp_path / "play.html", "Play", doubtful)
    text = (tmp_path / "play.html").read_text(encoding="utf-8")
    assert text.index("The estimate is not to be trusted") < text.index("nothing explains it") < text.index("<svg")
    assert html.escape(NASTY, quote=False) in text.replace("&#34;", '"').replace("&#39;", "'")


def test_sliders_say_as_many_digits_as_their_steps_have():
    (J, g, eta) = play_of(six_contacts()).sliders
    assert (J.digits, g.digits, eta.digits) == (3, 2, 2)
    assert J.step == pytest.approx(0.15 / 200)


def test_powers_through_kernels_that_follow_theta_are_those_of_kernels_at_theta(rng):
    fit = following()
    view, emulator = fit.model.view, fit.model.emulator
    theta = emulator.parameters.sample(3, rng)
    made = emulated_powers(fit.model, theta, fit.model.counting)
    for one, t in zip(made, theta, strict=True):
        seen = view.at(dict(zip(emulator.parameters.names, t, strict=True))).transfer(emulator.bands.centres)
        expected = 2 * np.einsum("fck,fkl,fcl->cf", seen, emulator.spectra(t[None])[0], seen.conj()).real
        low = emulator.bands.centres < 200  # above, what further aliases add of kernels as jagged as these
        np.testing.assert_allclose(one[:, low], expected[:, low], rtol=0.01)


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


def test_other_reports_have_no_script(tmp_path):
    cnn = load_estimator(SHIPPED / "brunel_ai_cnn.safetensors")
    for parts in ({}, {"fit": cnn}, {"fit": six_contacts(), "estimates": []}):
        text = report_of(tmp_path / "report.html", **parts)
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
        (["--circuit", "ring", "--range", "full"], "--range and --circuit all say what to play with"),
        ([".", "--circuit", "ring"], "holds several recordings; name one of them"),
    ],
)
def test_what_the_command_refuses(tmp_path, monkeypatch, options, why):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["play", *options])
    assert done.exit_code == 2
    assert why in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_bad_channel_is_not_played_with(tmp_path):
    """Of three the middle one is bad, as channels.tsv says: the page is of another, and says so."""
    folder = tmp_path / "sub-01" / "eeg"
    folder.mkdir(parents=True)
    (tmp_path / "dataset_description.json").write_text('{"Name": "one", "BIDSVersion": "1.8.0"}')
    names = ("Fz", "Cz", "Pz")
    data_sets.write_edf(folder / "sub-01_task-rest_eeg.edf", data_sets.noise(0.0, 0, seconds=8, channels=3), names)
    data_sets.write_channels(folder / "sub-01_task-rest_channels.tsv", ["uV"] * 3, names, bad=("Cz",))
    made = play_file(chosen_fit(circuit="ring"), folder / "sub-01_task-rest_eeg.edf")
    assert made.channels == ("Pz",)
    assert any("Cz (bad)" in warning for warning in made.warnings)
