"""Tables for the terminal."""

import io

import numpy as np
from rich.console import Console

from inference.estimate import Estimate
from inference.reports.tables import estimates_table
from simulators.interface import Parameter, ParameterSpace

SPACE = ParameterSpace((Parameter("J", "mV", 0.0, 1.0),))


def drawn(table) -> str:
    console = Console(width=120, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def test_an_interval_is_shown_where_there_is_one(rng):
    samples = rng.uniform(0.4, 0.6, (100, 1))
    some = Estimate(SPACE, np.array([0.5]), samples, "posterior", ())
    none = Estimate(SPACE, np.array([0.5]), np.full((100, 1), 0.5), "no posterior", ())
    point = Estimate(SPACE, np.array([0.5]), None, "network", ())
    row = next(line for line in drawn(estimates_table([some, none, point])).splitlines() if "J (mV)" in line)
    cells = [cell.strip() for cell in row.split("│")[2:5]]
    assert cells == ["0.5", "-", "0.5"]
    assert "[0.40" in drawn(estimates_table([some, none, point]))


def test_numbers_of_a_refused_recording_look_like_no_others(rng):
    samples = rng.uniform(0.4, 0.6, (100, 1))
    good = Estimate(SPACE, np.array([0.5]), samples, "network")
    refusing = Estimate(SPACE, np.array([0.7]), samples, "gradient fit", ("nothing fits",), trusted=False)
    assert "not to be trusted" not in drawn(estimates_table([good]))
    table = drawn(estimates_table([good, refusing]))
    assert table.count("not to be trusted") == 2  # what one method refuses, no other's number stands for
    assert "(0.5" in table
    assert "(0.7" in table
