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
    assert cells[0].startswith("0.5  [0.4")
    assert cells[1:] == ["-", "0.5"]
