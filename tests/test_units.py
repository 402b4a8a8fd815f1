"""Units as text: what converts, by which factor, and what does not."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.units import factor


@pytest.mark.parametrize(
    ("unit", "to", "expected"),
    [
        ("V", "mV", 1e3),
        ("nV", "uV", 1e-3),
        ("µV", "mV", 1e-3),
        ("μV", "uV", 1),
        ("pA", "nA", 1e-3),
        ("uS", "nS", 1e3),
        ("kHz", "Hz", 1e3),
        ("cm", "um", 1e4),
        ("ms", "s", 1e-3),
        ("m s", "mm s", 1e3),
        ("pF", "nF", 1e-3),
        ("nA um", "nA*um", 1),
        ("nA um", "nAm", 1e-6),
        ("A m", "nA um", 1e15),
        ("nA·µm", "fA m", 1),
        ("um nA", "nAm", 1e-6),
        ("nS mV", "pA", 1),
        ("pF Hz", "pS", 1),
        ("mV 1", "V", 1e-3),
        ("1", "1", 1),
        ("a.u.", "a.u.", 1),
    ],
)
def test_units_convert(unit, to, expected):
    assert factor(unit, to) == pytest.approx(expected, rel=1e-12)
    assert factor(to, unit) == pytest.approx(1 / expected, rel=1e-12)


@pytest.mark.parametrize(("unit", "to"), [("pA", "mV"), ("1", "mV"), ("mS", "ms"), ("nA um", "nA"), ("Hz", "s")])
def test_what_measures_different_things_does_not_convert(unit, to):
    with pytest.raises(ValueError, match=f"cannot convert '{unit}' to '{to}': they measure different things; give"):
        factor(unit, to)


@pytest.mark.parametrize("unit", ["a.u.", "", "mv", "VV", "xV", "mV, 1", "2", "uV^2/Hz"])
def test_unknown_units_are_named_with_what_is_known(unit):
    with pytest.raises(ValueError, match=rf"'{re.escape(unit)}' is no unit known here; write V, A, m, s, S, F, Hz"):
        factor(unit, "mV")


@given(text=st.text(max_size=12))
def test_any_text_converts_or_is_refused(text):
    try:
        assert factor(text, "mV") > 0
    except ValueError as error:
        assert "do" in str(error) or "write" in str(error)  # noqa: PT017
