"""What the experiments come to: a published number beside those found here."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One number. published_neuron, neuron: of the cell itself, where the surrogate's is to be near it.

    reimplemented: of the published architecture trained here; default: of the project's own network.
    """

    figure: str
    what: str
    published: float | None = None
    reimplemented: float | None = None
    default: float | None = None
    neuron: float | None = None
    published_neuron: float | None = None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Numbers of four digits; None for what is not a number."""
        return {k: _rounded(v) if isinstance(v, float) else v for k, v in asdict(self).items()}


def row_of(
    figure: str,
    what: str,
    published: float | None,
    said: Iterable[float],
    published_neuron: float | None = None,
    note: str = "",
) -> Row:
    """said: by the published architecture, by the default, and, if there is a third, by NEURON."""
    reimplemented, default, neuron, *_ = (*said, None)
    return Row(figure, what, published, reimplemented, default, neuron, published_neuron, note)


def _rounded(x: float) -> float | None:
    return float(f"{x:.4g}") if math.isfinite(x) else None


def table_of(rows: Sequence[Row]) -> Table:
    """All rows; "(N ...)" is NEURON's own."""
    table = Table("fig.", "what", "published", "re-implemented", "default", "NEURON", "note", show_lines=False)
    for row in rows:
        published = _text(row.published)
        if row.published_neuron is not None:
            published += f" (N {_text(row.published_neuron)})"
        table.add_row(
            row.figure,
            row.what,
            published,
            _text(row.reimplemented),
            _text(row.default),
            _text(row.neuron),
            row.note,
        )
    return table


def _text(x: float | None) -> str:
    if x is None:
        return "-"
    return f"{x:.5g}" if math.isfinite(x) else "none"
