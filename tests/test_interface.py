"""Parameters, recordings and spikes: what they promise and what they refuse."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from simulators import ForwardModel, Observed, Parameter, ParameterSpace, Recording, Simulator, Spikes
from simulators.interface import simulate_all

SPACE = ParameterSpace((Parameter("J", "mV", 0.1, 0.25, "synaptic strength"), Parameter("g", "1", -6.0, 6.0)))


@st.composite
def parameters(draw):
    """Parameters as JSON has them."""
    names = draw(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=5, unique=True))
    lows = [draw(st.floats(-1e3, 1e3)) for _ in names]
    widths = [draw(st.floats(1e-3, 1e3)) for _ in names]
    units = [draw(st.sampled_from(["mV", "1", "ms"])) for _ in names]
    return [
        {"name": name, "unit": unit, "low": low, "high": low + width, "meaning": ""}
        for name, unit, low, width in zip(names, units, lows, widths, strict=True)
    ]


# --- parameters ---


@given(parameters=parameters(), data=st.data())
def test_the_unit_cube_and_back(parameters, data):
    space = ParameterSpace.from_json(parameters)
    shape = data.draw(st.sampled_from([(len(space),), (3, len(space)), (2, 0, len(space))]))
    unit = data.draw(hnp.arrays(float, shape, elements=st.floats(0, 1)))
    np.testing.assert_allclose(space.to_unit(space.from_unit(unit)), unit, atol=1e-9)
    assert space.to_unit(space.low).tolist() == [0.0] * len(space)
    assert space.from_unit(np.ones(len(space))) == pytest.approx(space.high)


@given(parameters=parameters())
def test_a_space_survives_json(parameters):
    space = ParameterSpace.from_json(parameters)
    assert space.to_json() == parameters
    assert ParameterSpace.from_json(json.loads(json.dumps(space.to_json()))) == space


@given(parameters=parameters(), m=st.integers(0, 20), extra=st.integers(0, 20), seed=st.integers(0, 2**32))
def test_samples_lie_inside_and_the_first_do_not_depend_on_their_number(parameters, m, extra, seed):
    space = ParameterSpace.from_json(parameters)
    few = space.sample(m, np.random.default_rng(seed))
    many = space.sample(m + extra, np.random.default_rng(seed))
    assert few.shape == (m, len(space))
    np.testing.assert_array_equal(many[:m], few)
    unit = space.to_unit(many)
    assert ((unit > -1e-9) & (unit < 1 + 1e-9)).all()


def test_samples_fill_the_box_evenly(rng):
    unit = SPACE.to_unit(SPACE.sample(20_000, rng))
    np.testing.assert_allclose(unit.mean(0), 0.5, atol=0.01)
    np.testing.assert_allclose(unit.var(0), 1 / 12, atol=0.002)
    assert abs(np.corrcoef(unit.T)[0, 1]) < 0.03


def test_edges_belong_to_the_box():
    corners = np.array([[0.1, -6.0], [0.25, 6.0], [0.26, 0.0], [0.2, np.nan]])
    assert SPACE.contains(corners).tolist() == [True, True, False, False]
    np.testing.assert_array_equal(SPACE.check([0.1, 6]), [0.1, 6.0])


@pytest.mark.parametrize(
    ("theta", "said"),
    [
        ([0.3, 0.0], r"J = 0\.3 mV lies outside 0\.1 \.\.\. 0\.25; choose a value inside"),
        ([0.2, -7.0], r"g = -7 lies outside -6 \.\.\. 6"),
        ([0.2, float("nan")], "g = nan"),
        ([float("inf"), 0.0], "J = inf"),
        ([0.2], r"shape \(1,\); expected 2 values: J, g"),
        (np.array([[0.2, 0.0]]), r"shape \(1, 2\); expected 2 values"),
    ],
)
def test_a_theta_that_does_not_fit_is_refused_by_name(theta, said):
    with pytest.raises(ValueError, match=said):
        SPACE.check(theta)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_a_range_must_be_an_interval(low, high):
    with pytest.raises(ValueError, match=r"parameter J: range .* is not an interval"):
        Parameter("J", "mV", low, high)


@pytest.mark.parametrize("parameters", [(), (SPACE.parameters[0],) * 2])
def test_a_space_needs_parameters_with_distinct_names(parameters):
    with pytest.raises(ValueError, match="distinct names"):
        ParameterSpace(parameters)


def test_a_space_is_an_ordered_collection():
    assert [p.name for p in SPACE] == list(SPACE.names) == ["J", "g"]
    assert SPACE.units == ("mV", "1")
    assert len(SPACE) == 2


# --- recordings and spikes ---


def recording(shape=(2, 10), sampling_rate=1000.0, channels=("a", "b"), transient=0):
    return Recording(np.arange(np.prod(shape), dtype=float).reshape(shape), sampling_rate, "mV", channels, transient)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"shape": (0, 10)}, r"neither of them empty; got shape \(0, 10\)"),
        ({"shape": (2, 0)}, r"neither of them empty; got shape \(2, 0\)"),
        ({"sampling_rate": 0.0}, "sampling rate is 0.0 Hz"),
        ({"sampling_rate": float("nan")}, "sampling rate is nan Hz"),
        ({"channels": ("a",)}, "1 channel names for 2 channels"),
        ({"transient": 10}, "transient of 10 samples leaves nothing of 10"),
        ({"transient": -1}, "transient of -1 samples"),
    ],
)
def test_a_recording_that_does_not_fit_together_is_refused(changed, said):
    with pytest.raises(ValueError, match=said):
        recording(**changed)


def test_the_steady_part_follows_the_transient():
    of_500_hz = recording(sampling_rate=500.0, transient=4)
    np.testing.assert_array_equal(of_500_hz.steady, of_500_hz.values[:, 4:])
    assert of_500_hz.duration_ms == 12.0
    np.testing.assert_allclose(of_500_hz.times_ms, np.arange(-8, 12, 2))


def test_silence_is_judged_after_the_transient():
    values = np.zeros((2, 10))
    values[:, :3] = [[1, 2, 3], [4, 5, 6]]
    assert recording(transient=3).with_values(values).is_silent()
    assert not recording(transient=2).with_values(values).is_silent()
    assert recording().with_values(np.full((2, 10), 7.0)).is_silent()


def test_other_values_keep_everything_else():
    before = recording(transient=3)
    after = before.with_values(-before.values)
    assert (after.sampling_rate, after.unit, after.channels, after.transient) == (1000.0, "mV", ("a", "b"), 3)
    assert (after.values == -before.values).all()


def test_spikes_of_one_population():
    spikes = Spikes(np.arange(5.0), np.array([0, 3, 1, 2, 3]), {"excitatory": (0, 2), "inhibitory": (2, 4)})
    inhibitory = spikes.of("inhibitory")
    assert inhibitory.senders.tolist() == [3, 2, 3]
    assert inhibitory.times_ms.tolist() == [1.0, 3.0, 4.0]
    assert inhibitory.populations == {"inhibitory": (2, 4)}


# --- composition and import ---


class Ramp:
    """The smallest simulator."""

    parameters = SPACE

    def simulate(self, theta, rng):
        return recording().with_values(theta[0] * recording().values)


class Negative:
    """The smallest forward model; it also sees theta."""

    def observe(self, source, theta):
        return source.with_values(-theta[1] * source.values)


def test_a_simulator_seen_through_a_forward_model_is_a_simulator(rng):
    assert isinstance(Negative(), ForwardModel)
    observed = Observed(Ramp(), Negative())
    assert isinstance(observed, Simulator)
    assert observed.parameters is SPACE
    values = observed.simulate(np.array([0.2, 3.0]), rng).values
    np.testing.assert_allclose(values, -0.6 * recording().values)


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, simulators, simulators.brunel.compiled_network, simulators.brunel.nest_network\n"
        "print([name for name in ('nest', 'neuron', 'torch', 'LFPy', 'hnn_core') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


class TestSimulateAll:
    """One after another, or side by side in batches: the same recordings in the same order."""

    class Alone:
        parameters = ParameterSpace((Parameter("a", "1", 0.0, 1.0),))

        def simulate(self, theta, rng):
            return Recording(theta[0] + rng.normal(size=(1, 5)), 1000.0, "1", ("a",))

    class Batched(Alone):
        batch_size = 3

        def __init__(self):
            self.sizes = []

        def simulate_batch(self, thetas, rngs):
            self.sizes.append(len(thetas))
            return [self.simulate(theta, rng) for theta, rng in zip(thetas, rngs, strict=True)]

    def test_batches_make_no_difference(self):
        thetas, batched = np.linspace(0, 1, 7)[:, None], self.Batched()
        one, many = (
            simulate_all(simulator, thetas, [np.random.default_rng(k) for k in range(7)])
            for simulator in (self.Alone(), batched)
        )
        assert batched.sizes == [3, 3, 1]
        for a, b in zip(one, many, strict=True):
            np.testing.assert_array_equal(a.values, b.values)
