"""Formulas by which files of parameters let values change along a cell: arithmetic, and nothing else."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.cells.detailed.parameters import Formula

numbers = st.floats(0.1, 10).map(lambda x: f"{x:.3g}")
names = st.sampled_from(["{value}", "{distance}", "value", "distance"])
arithmetic = st.recursive(
    numbers | names,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" + ", "-", "*"]), inner).map("".join),
        inner.map(lambda x: f"({x})"),
        inner.map(lambda x: f"(-{x})"),
        inner.map(lambda x: f"math.exp(-({x})**2)"),
        inner.map(lambda x: f"1 / (1 + ({x})**2)"),
    ),
    max_leaves=8,
)


@given(arithmetic, st.floats(-2, 2), st.floats(0, 5))
def test_formulas_are_arithmetic(text, value, distance):
    expected = eval(text.replace("{", "").replace("}", ""), {"math": math, "value": value, "distance": distance})
    assert Formula(text)(value, distance) == pytest.approx(expected)


@given(
    arithmetic, st.sampled_from(["sin", "math.sin", "open", "math.exp.x", "exp", "print", "e", "value.x", "__name__"])
)
def test_formulas_are_nothing_else(text, other):
    for bad in (f"{text} + {other}", f"{other}({text})", f"[{text}]", f"{text} if {text} else 1", f"({text})[0]"):
        with pytest.raises(ValueError, match="is not arithmetic"):
            Formula(bad)


@pytest.mark.parametrize("text", ["", "1; 2", "x := 1", "lambda: 1", "'a'", "True", "1j", "{value!r}", "(" * 300, "~1"])
def test_odd_formulas_are_refused(text):
    with pytest.raises(ValueError, match="is not arithmetic"):
        Formula(text)


@pytest.mark.parametrize("text", ["1/({distance} - 3)", "9**9**9**9", "(-8)**.5", "math.exp(1e9)", "1e308*10"])
def test_formulas_without_a_value_say_so(text):
    with pytest.raises(ValueError, match="has no value 3 um from the soma"):
        Formula(text)(1.0, 3.0)
