"""``circuitsbi column``: a dipole simulated, a rhythm found, gains inferred, and plain words for what cannot be."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from inference.cli import app
from inference.estimate import Estimate
from inference.estimators.neural_posterior import NeuralPosterior
from inference.evaluation.rhythm import Rhythm, activity_of
from inference.features.spectra import SpectralFeatures
from inference.fitting.rounds import Fitted
from inference.recordings.files import read_recording, write_recording
from inference.workflows.column import rhythm_study
from inference.workflows.column_rhythm import FoundRhythm, Wanted, noisy_column
from simulators.recording import Recording

run = CliRunner().invoke
SCALES = {"nAm": 1.0, "fAm": 1e6, "1": 1e3}


def flat(result):
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A recording in several units, and a posterior that learned from few columns."""
    path = tmp_path_factory.mktemp("column")
    result = run(app, ["column", "simulate", "--gain", "L5i_L5e=0.3", "--seed", "3", "--out", str(path / "dipole.npz")])
    assert result.exit_code == 0, result.output
    dipole = read_recording(path / "dipole.npz")
    for unit, scale in SCALES.items():
        write_recording(replace(dipole, values=scale * dipole.values, unit=unit), path / f"in {unit}.npz")
    write_recording(dipole.with_values(0 * dipole.values), path / "silent.npz")
    study = rhythm_study()
    rng = np.random.default_rng(0)
    theta = study.parameters.sample(64, rng)
    recordings = study.simulator.simulate_batch(theta, rng.spawn(64))
    posterior = NeuralPosterior(study.parameters, study.features, members=1, epochs=3, draws=400).fit(theta, recordings)
    posterior._set_width(1.7)  # so few columns leave it open where in the box; most of it is to lie inside
    posterior.save(path / "posterior.safetensors")
    return path


# --- simulate ---


def test_a_run_is_a_recording_and_a_picture(tmp_path):
    out, figure = tmp_path / "dipole.npz", tmp_path / "column.png"
    done = run(app, ["column", "simulate", "--duration", "0.6", "--out", str(out), "--figure", str(figure)])
    assert done.exit_code == 0, done.output
    dipole = read_recording(out)
    assert (dipole.unit, dipole.channels, dipole.duration_ms) == ("nAm", ("dipole",), 600.0)
    assert not dipole.is_silent()
    assert figure.stat().st_size > 10_000


def test_gains_and_rates_make_another_dipole(folder, tmp_path):
    def simulated(*options):
        out = tmp_path / "d.npz"
        assert run(app, ["column", "simulate", "--seed", "3", *options, "--out", str(out)]).exit_code == 0
        return read_recording(out).steady

    there = read_recording(folder / "dipole.npz").steady
    np.testing.assert_array_equal(simulated("--gain", "L5i_L5e=0.3"), there)
    (tmp_path / "gains.json").write_text('{"gains": {"L5i_L5e": 0.3}}')
    np.testing.assert_array_equal(simulated("--gains", str(tmp_path / "gains.json")), there)
    assert not np.array_equal(simulated(), there)
    assert not np.array_equal(simulated("--gain", "L5i_L5e=0.3", "--rate", "60"), there)


def test_gains_beyond_what_surrogates_learned_are_told(tmp_path):
    far = ["column", "simulate", "--gain", "L2e_L2e=1.5", "--duration", "0.1", "--out", str(tmp_path / "d.npz")]
    assert "L2e_L2e beyond ±0.8: the surrogates learned from less" in flat(run(app, far))


# --- infer ---


def numbers(result):
    """All of the table, without the name of the file."""
    assert result.exit_code == 0, result.output
    return [line for line in result.output.splitlines() if line.startswith(("│", "┃"))]


def test_any_scale_gives_the_same_answer(folder):
    model = str(folder / "posterior.safetensors")
    answers = [run(app, ["column", "infer", str(folder / f"in {unit}.npz"), "--model", model]) for unit in SCALES]
    assert "L5e_L5e" in answers[0].output
    assert "range left" in answers[0].output
    for answer in answers[1:]:
        assert numbers(answer) == numbers(answers[0])
    general = [run(app, ["infer", str(folder / f"in {unit}.npz"), "--model", model]) for unit in ("nAm", "fAm")]
    assert numbers(general[0]) == numbers(general[1])


def test_the_page_says_what_the_recording_does_not_tell(folder, tmp_path):
    page, figure = tmp_path / "circuit.html", tmp_path / "circuit.png"
    done = run(
        app,
        ["column", "infer", str(folder / "in fAm.npz"), "--model", str(folder / "posterior.safetensors"),
         "--report", str(page), "--figure", str(figure)],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    text = page.read_text(encoding="utf-8")
    for part in (
        "<h2>Verdict", "<h2>Circuit</h2>", "constrained", "64 networks simulated", "<h2>Posterior</h2>",
        ">Play with the parameters</h2>", 'type="range"',
    ):  # fmt: skip
        assert part in text
    assert text.index("<h2>Verdict") < text.index("<h2>Circuit") < text.index("<h2>Parameters")
    assert figure.stat().st_size > 50_000


def test_what_no_column_makes_is_not_trusted(folder, tmp_path):
    """Numbers in brackets, and no word on what the recording tells."""
    t = np.arange(1200) / 500
    sine = Recording(np.sin(2 * np.pi * 33 * t)[None], 500.0, "nAm", ("dipole",))
    write_recording(sine, tmp_path / "sine.npz")
    page = tmp_path / "sine.html"
    done = run(
        app,
        ["column", "infer", str(tmp_path / "sine.npz"), "--model", str(folder / "posterior.safetensors"),
         "--report", str(page)],
    )  # fmt: skip
    assert flat(done).startswith("Do not trust these numbers")
    assert "range left" not in done.output
    assert "The gains are not to be trusted" in page.read_text(encoding="utf-8")


# --- fit ---


@pytest.fixture(scope="module")
def fitted(folder):
    """The smallest of fits, for a band and a spectrum at once."""
    out, page = folder / "gains.json", folder / "rhythm.html"
    done = run(
        app,
        ["column", "fit", "--band", "15,60", "--like", str(folder / "in fAm.npz"), "--rounds", "1", "--first", "32",
         "--each", "16", "--out", str(out), "--report", str(page)],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return done, json.loads(out.read_text()), page.read_text(encoding="utf-8")


def test_a_fit_tells_gains_before_and_after(fitted):
    done, found, page = fitted
    assert set(found["gains"]) == set(noisy_column().parameters.names)
    assert all(abs(gain) <= 0.8 for gain in found["gains"].values())
    before, after = (found["found"][f"surrogates, {which}"] for which in ("as it comes", "found gains"))
    assert set(before["rates_Hz"]) == {"L2e", "L2i", "L5e", "L5i"}
    assert before["share_in_band"] != after["share_in_band"]
    assert before["unlike_decades"] > 0
    assert flat(done).count("With care") == 1  # NEURON was not asked
    for part in ("Verdict: with care", "Before and after", "power in the band", "off the wanted spectrum"):
        assert part in page


def test_a_found_rhythm_can_be_simulated(fitted, folder, tmp_path):
    out = tmp_path / "found.npz"
    again = ["column", "simulate", "--gains", str(folder / "gains.json"), "--duration", "0.1", "--out", str(out)]
    assert run(app, again).exit_code == 0


def rhythm(frequency, spikes=20):
    """Runs of one cell of each type, a sine in noise as their dipole."""
    rng, t = np.random.default_rng(0), np.arange(2400) / 2000
    trains = np.zeros((4, 2400))
    trains[:, :: 2400 // spikes] = 1
    cells = {name: np.array([k]) for k, name in enumerate(("L2e", "L2i", "L5e", "L5i"))}

    def dipole():
        values = np.sin(2 * np.pi * (frequency * t + rng.random())) + 0.1 * rng.standard_normal(2400)
        return Recording(values[None], 2000.0, "nAm", ("dipole",))

    features = SpectralFeatures(500.0, 500.0, (2.0, 100.0))
    return Rhythm(tuple(activity_of(dipole(), trains, cells) for _ in range(5)), features)


def test_a_rhythm_knows_its_peak_its_band_and_its_rates():
    slow = rhythm(10.0, spikes=24)
    assert set(slow.peaks_Hz) == {10.0}
    assert slow.share((8.0, 12.0)) > 0.9 > 0.1 > slow.share((15.0, 60.0))
    assert slow.rates_Hz == pytest.approx(dict.fromkeys(("L2e", "L2i", "L5e", "L5i"), 20.0))


def test_what_neuron_does_decides():
    """The same gains: not asked, agreeing, and with a rhythm or rates of its own."""
    wanted = Wanted((15.0, 60.0))
    slow, fast, silent = rhythm(10.0), rhythm(40.0), rhythm(40.0, spikes=1)
    assert (wanted.missing(fast), wanted.missing(slow)) == ("", "the peak lies in the band under 0 of 5 drives")
    assert "L2i at 0.833 Hz" in wanted.missing(silent)

    space = noisy_column().parameters
    fitted = Fitted(Estimate(space, np.zeros(len(space))), 0.1, np.empty((0, len(space))), ())

    def verdict(**ends):
        return FoundRhythm(wanted, fitted, slow, **ends).verdict

    assert verdict(after=slow).status == "doubtful"
    assert "NEURON's column was not asked" in verdict(after=fast).sentence
    assert verdict(after=fast, neuron_before=slow, neuron=fast).status == "ok"
    refused = verdict(after=fast, neuron_before=slow, neuron=slow)
    assert refused.status == "refused"
    assert refused.sentence.startswith("Do not trust these gains")


# --- bad input ---


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["simulate", "--gain", "L2i_L5i=1"], "the column has no connection 'L2i_L5i'; its pairs are L2i_L2i"),
        (["simulate", "--gain", "L5i_L5e=inf"], "the gain L5i_L5e is inf; a log10 gain is a finite number"),
        (["simulate", "--gain", "L5i_L5e=400"], "the gain L5i_L5e is 400, in decades; nothing beyond ±3"),
        (["simulate", "--gain", "L5i_L5e"], "'L5i_L5e' is no gain; write it as L5i_L5e=0.3"),
        (["simulate", "--gain", "L5i_L5e=strong"], "is no gain"),
        (["simulate", "--rate", "0"], "noise of 0 Hz drives nothing; give a rate above 0"),
        (["simulate", "--rate", "-5"], "noise of -5 Hz drives nothing"),
        (["simulate", "--duration", "nan"], "no run of nan s"),
        (["simulate", "--out", "dipole.csv"], "dipole.csv is written as .npz"),
        (["simulate", "--figure", "dipole.npz"], "does not end in a kind of picture"),
        (["simulate", "--gains", "{folder}/silent.npz"], "silent.npz is no file of gains"),
        (["fit"], "nothing is wanted; give a band, such as --band 15,60"),
        (["fit", "--band", "60,15"], "60 ... 15 Hz is no band; give the lower end first"),
        (["fit", "--band", "15"], "--band is '15'; give two numbers"),
        (["fit", "--band", "15,60", "--rates", "60,1"], "rates of 60 ... 1 Hz cannot be"),
        (["fit", "--band", "15,60", "--rate", "0"], "noise of 0 Hz drives nothing"),
        (["fit", "--like", "{folder}/silent.npz"], "what is wanted never changes"),
        (["infer", "{folder}/silent.npz", "--model", "{model}"], "the recording never changes (dipole)"),
        (["infer", "{folder}/dipole.npz", "--unit", "furlong", "--model", "{model}"], "you say 'furlong'"),
        (["infer", "{folder}/raw.npy", "--unit", "furlong", "--sampling-rate", "500", "--model", "{model}"],
         "the unit is 'furlong', which is no current dipole's"),
        (["infer", "{folder}/raw.npy", "--unit", "uV", "--sampling-rate", "500", "--model", "{model}"],
         "they measure different things"),
        (["infer", "{folder}/raw.npy", "--sampling-rate", "500", "--model", "{model}"], "or 'nAm' (--unit)"),
        (["infer", "{folder}/dipole.npz", "--neuron", "2", "--model", "{model}"], "2 columns are no band; take 8"),
        (["infer", "{folder}/raw.npy", "--unit", "nAm", "--sampling-rate", "50", "--model", "{model}"], "50 Hz"),
    ],
)  # fmt: skip
def test_bad_input_is_one_plain_message(words, said, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save(folder / "raw.npy", np.random.default_rng(0).standard_normal((1, 1200)))
    texts = [word.format(folder=folder, model=folder / "posterior.safetensors") for word in words]
    result = run(app, ["column", *texts])
    assert result.exit_code == 2, result.output
    assert said in flat(result), flat(result)
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


def test_a_posterior_of_something_else_is_refused(folder, tmp_path):
    from inference.workflows.shipped import SHIPPED

    other = SHIPPED / "brunel_ai_npe.safetensors"
    result = run(app, ["column", "infer", str(folder / "dipole.npz"), "--model", str(other)])
    assert result.exit_code == 2
    assert "is of J, g, eta; the column's parameters are L2i_L2i" in flat(result)
