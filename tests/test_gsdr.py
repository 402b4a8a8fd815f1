"""The delta rule and its objective: solved tasks, noise, logs that go on, and what it says where nothing helps."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inference.estimators.delta_rule import DeltaRuleFit
from inference.evaluation.scores import score_all
from inference.features.spectra import SpectralFeatures
from inference.fitting.gsdr import DeltaRule, TuneByDeltaRule, reflected
from inference.fitting.objective import FAILED_LOSS, Objective
from inference.fitting.targets import BandPower, Level, Peak, Rate, Resembles
from simulators import Parameter, ParameterSpace, Recording
from simulators.ei_circuit.simulator import CompiledEICircuit

SPACE = ParameterSpace(tuple(Parameter(name, "mV", 0.0, 10.0) for name in ("a", "b", "c")))


@dataclass(frozen=True)
class Mixed:
    """Two channels that mix three parameters, with noise; it falls silent where "c" is large, and fails at its end."""

    noise: float = 0.05
    parameters: ParameterSpace = SPACE

    def simulate(self, theta: np.ndarray, rng: np.random.Generator) -> Recording:
        a, b, c = self.parameters.check(theta)
        if c > 9.9:
            raise RuntimeError("it runs away")
        means = np.array([[a + b], [a - 0.5 * b]])
        values = means + self.noise * rng.standard_normal((2, 1)) + 0.01 * rng.standard_normal((2, 40))
        return Recording(values * (c < 8), 1000.0, "mV", ("sum", "difference"))


SIZE = ParameterSpace((Parameter("sd", "mV", 0.1, 10.0),))
LEVELS = [
    Level(channel="sum", low=9.9, high=10.1, scale=1.0),
    Level(channel="difference", low=0.9, high=1.1, scale=1.0),
]
START = np.array([0.0, 0.0, 3.0])


@given(v=hnp.arrays(float, 5, elements=st.floats(-50, 50)))
def test_the_cube_is_left_by_no_step_and_its_inside_is_itself(v):
    u = reflected(v)
    assert ((u >= 0) & (u <= 1)).all()
    np.testing.assert_allclose(reflected(u), u, atol=1e-12)
    np.testing.assert_allclose(reflected(-v), u, atol=1e-9)


def test_the_rule_solves_a_task_from_zero_and_says_whose_spread_it_has():
    """Two of three parameters matter: a = 4, b = 6; a weight of zero moves."""
    tuned = TuneByDeltaRule(Mixed(), LEVELS, START, runs=3, progress=False).fit()
    assert tuned.solved == (True, True, True)
    assert max(tuned.simulations) <= 60
    np.testing.assert_allclose(tuned.ends[:, 0], 4, atol=0.4)
    np.testing.assert_allclose(tuned.ends[:, 1], 6, atol=0.4)
    assert tuned.estimate.method == "gSDR (spread of 3 runs)"
    assert "not of a posterior" in " ".join(tuned.estimate.warnings)
    assert tuned.estimate.trusted
    one = TuneByDeltaRule(Mixed(), LEVELS, START, progress=False).fit()
    assert one.estimate.samples is None
    np.testing.assert_array_equal(one.ends[0], tuned.ends[0])


def test_what_past_steps_taught_saves_simulations():
    """Negative control of the direction: without it the same seeds need more."""
    needed = {
        share: np.median(
            TuneByDeltaRule(Mixed(), LEVELS, START, DeltaRule(directed=share), 8, 400, progress=False).fit().simulations
        )
        for share in (0.5, 0.0)
    }
    assert needed[0.5] < 0.8 * needed[0.0]


def test_a_task_that_cannot_be_solved_is_not_called_solved():
    apart = [LEVELS[0], Level(channel="difference", low=-30.0, high=-20.0, scale=1.0)]
    tuned = TuneByDeltaRule(Mixed(), apart, START, budget=30, progress=False).fit()
    assert tuned.solved == (False,)
    assert tuned.simulations == (30,)
    assert not tuned.estimate.trusted
    assert "no run met the targets in 30 simulations" in tuned.estimate.warnings[0]


@pytest.mark.parametrize(("c", "state"), [(9.0, "silent"), (10.0, "failed: RuntimeError: it runs away")])
def test_silence_and_failure_are_states_and_end_nothing(c, state):
    """A spectrum of a channel that never changes: the loss is finite, and the search goes on to where there is one."""
    targets = [BandPower(channel="sum", band_hz=(100.0, 300.0), of_hz=(10.0, 400.0), enough=0.1)]

    @dataclass(frozen=True)
    class Long(Mixed):
        def simulate(self, theta, rng):
            short = super().simulate(theta, rng)
            noise = rng.standard_normal((2, 600)) * (theta[2] < 8)
            return Recording(noise, short.sampling_rate, short.unit, short.channels)

    objective = Objective(Long(), targets, budget=60)
    start = np.array([1.0, 1.0, c])
    first = []

    def method(search, u, rng):
        first.append(search(u))
        DeltaRule()(search, u, rng)

    end = objective.search(method, start)
    assert first[0].state.startswith(state)
    assert first[0].loss == FAILED_LOSS
    assert objective.solved
    assert end.loss == 0


def test_one_lucky_simulation_solves_nothing():
    """A noise as large as the task's width: what looks solved is simulated again, and counted."""
    objective = Objective(Mixed(noise=2.0), LEVELS, budget=400, confirmations=6)
    met = []
    objective.search(lambda search, u, rng: met.extend(search(np.array([0.4, 0.6, 0.1])) for _ in range(999)), START)
    assert not objective.solved or objective.best.simulations == 7
    assert any(e.simulations == 7 for e in met) or objective.solved
    assert objective.simulations <= 400


def test_a_budget_that_ends_while_a_place_is_confirmed_leaves_that_place():
    """The first simulation solves it; of three to confirm the budget allows one."""
    objective = Objective(Mixed(noise=0.0), LEVELS, budget=2)
    end = objective.search(DeltaRule(), np.array([4.0, 6.0, 1.0]))
    assert not objective.solved
    assert objective.simulations == end.simulations == 2


def test_what_is_left_of_a_lucky_best_is_its_mean():
    """The best is simulated again by the rule; an unsolved search ends with the mean, not with the luckiest."""
    objective = Objective(Mixed(noise=2.0), LEVELS, budget=40, seed=2)
    end = objective.search(DeltaRule(again=1), START)
    assert not objective.solved
    assert end.simulations > 1


def test_a_search_that_was_stopped_goes_on(tmp_path):
    """Simulations in the log are not made again, a line cut short is, and both ends are the same."""
    whole = TuneByDeltaRule(Mixed(), LEVELS, START, seed=3, log=tmp_path / "whole", progress=False).fit()
    path = tmp_path / "whole" / "run_0.jsonl"
    lines = path.read_text().splitlines()
    header, rows = json.loads(lines[0]), [json.loads(line) for line in lines[1:]]
    assert header["seed"] == 3000
    assert len(rows) == whole.simulations[0]
    assert {"reach", "L", "R", "directed"} <= set(rows[2]["note"])
    (tmp_path / "cut").mkdir()
    cut = tmp_path / "cut" / "run_0.jsonl"
    cut.write_text("\n".join(lines[:6]) + "\n" + lines[6][:40])
    again = TuneByDeltaRule(Mixed(), LEVELS, START, seed=3, log=tmp_path / "cut", progress=False).fit()
    np.testing.assert_array_equal(again.ends, whole.ends)
    assert cut.read_text() == path.read_text()


def test_another_searchs_log_is_refused(tmp_path):
    TuneByDeltaRule(Mixed(), LEVELS, START, log=tmp_path, progress=False).fit()
    with pytest.raises(ValueError, match="is the log of another search"):
        TuneByDeltaRule(Mixed(noise=0.5), LEVELS, START, log=tmp_path, progress=False).fit()
    with pytest.raises(ValueError, match="is the log of another search"):
        TuneByDeltaRule(Mixed(), [LEVELS[0]], START, log=tmp_path, progress=False).fit()
    with pytest.raises(ValueError, match="took another way from simulation"):
        TuneByDeltaRule(Mixed(), LEVELS, START, DeltaRule(floor=0.5), log=tmp_path, progress=False).fit()
    path = tmp_path / "run_0.jsonl"
    header = path.read_text().splitlines()[0]
    for row in ("[]", '{"u": 3}', '{"u": [0, 0, 0], "state": "ok", "features": [[1]]}', '{"u": [0], "features": "x"}'):
        path.write_text(f"{header}\n{row}\n")
        with pytest.raises(ValueError, match=r"line 2 of .* is no simulation of this search"):
            TuneByDeltaRule(Mixed(), LEVELS, START, log=tmp_path, progress=False).fit()
    for text in ("{not json", "", "{not json\n", '"\xff"\n'):
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(ValueError, match=r"is no log of a search|is the log of another search"):
            TuneByDeltaRule(Mixed(), LEVELS, START, log=tmp_path, progress=False).fit()


def test_a_circuit_is_tuned_from_beta_to_gamma():
    """80 + 20 + 20 cells by nine strengths, 1 s each: a peak in 30-90 Hz."""
    simulator = CompiledEICircuit(record=("lfp", "spikes"))
    start = np.array([simulator.circuit.strengths[name] for name in simulator.parameters.names])
    targets = [
        Peak(channel="lfp", of_hz=(6.0, 100.0), bins=47, band_hz=(30.0, 90.0), height=5.0),
        Rate(channel="E spikes", cells=80, low_Hz=2.0, high_Hz=30.0),
    ]
    tuned = TuneByDeltaRule(simulator, targets, start, budget=60, confirmations=1, seed=1, progress=False).fit()
    assert tuned.solved == (True,)


@dataclass(frozen=True)
class Noise:
    """White noise of a size, 4 s; its power tells the size."""

    parameters: ParameterSpace = SIZE

    def simulate(self, theta: np.ndarray, rng: np.random.Generator) -> Recording:
        return Recording(theta[0] * rng.standard_normal((1, 4000)), 1000.0, "mV", ("x",))


def test_a_search_is_an_estimator():
    """Of a recording it can make it finds the size; of one it cannot, it says so and is not trusted."""
    fit = DeltaRuleFit(Noise(), SpectralFeatures(), budget=20)
    recording = Noise().simulate(np.array([3.0]), np.random.default_rng(9))
    estimate = fit.fit(np.empty((0, 1)), []).estimate(recording)
    assert estimate.point[0] == pytest.approx(3.0, rel=0.2)
    assert estimate.trusted
    assert "spread of 3 runs" in estimate.method
    assert score_all({"gsdr": fit}, np.array([[3.0]]), [recording], progress=False)["gsdr"].error[0] < 0.1
    slow = np.cumsum(np.random.default_rng(0).standard_normal((1, 4000)), axis=1)
    strange = fit.estimate(recording.with_values(slow - slow.mean()))
    assert not strange.trusted
    assert "no simulation of 60 resembles the recording" in strange.warnings[0]
    with pytest.raises(ValueError, match="nothing to keep in a file"):
        fit.save("x.safetensors")


def test_a_recording_is_resembled():
    """The features are an estimator's."""
    like = Noise().simulate(np.array([3.0]), np.random.default_rng(9))
    target = Resembles(seen=SpectralFeatures(), like=like, sd=0.2)
    tuned = TuneByDeltaRule(Noise(), [target], np.array([9.0]), tolerance=0.5, budget=80, progress=False).fit()
    assert tuned.solved == (True,)
    assert tuned.estimate.point[0] == pytest.approx(3.0, rel=0.3)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Objective(Mixed(), []), "nothing is wanted"),
        (lambda: Objective(Mixed(), LEVELS, budget=0), "0 simulations"),
        (lambda: Objective(Mixed(), [*LEVELS, Level(channel="sum", low=1.0, high=2.0)]), "which cannot both be"),
        (
            lambda: Objective(
                Mixed(),
                [Rate(channel="x", cells=1, low_Hz=1, high_Hz=2), Rate(channel="x", cells=1, low_Hz=5, high_Hz=9)],
            ),
            "want rate of 'x' in 1 ... 2 and in 5 ... 9",
        ),
        (lambda: TuneByDeltaRule(Mixed(), LEVELS, runs=0).fit(), "0 runs find nothing"),
        (lambda: TuneByDeltaRule(Mixed(), LEVELS, START + 99, progress=False).fit(), "lies outside"),
        (
            lambda: TuneByDeltaRule(
                Mixed(), [BandPower(channel="sum", band_hz=(10.0, 900.0), of_hz=(1.0, 1000.0))], progress=False
            ).fit(),
            "no spectrum up to 1000 Hz",
        ),
        (lambda: TuneByDeltaRule(Mixed(), [Level(channel="V", low=0, high=1)], progress=False).fit(), "no channel 'V'"),
        (lambda: DeltaRule(exploration=0.0), "make no rule"),
        (lambda: DeltaRule(restore=0.5), "1 or more"),
        (lambda: Peak(channel="x", band_hz=(10.0, 30.0), height=0.5), "cannot be"),
        (lambda: Peak(channel="x", band_hz=(1.0, 100.0)), "all lie in"),
        (lambda: Level(channel="x", low=2.0, high=1.0), "cannot be"),
        (lambda: BandPower(channel="x", band_hz=(10.0, 30.0), enough=0.0), "cannot be enough"),
    ],
)
def test_bad_wishes_are_said(make, said):
    with pytest.raises(ValueError, match=said):
        make()
