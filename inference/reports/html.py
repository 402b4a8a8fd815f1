"""HTML pages that need nothing beside themselves."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure

from simulators.text import printable

_LONGEST = 300  # characters of a value in the provenance table


def rendered(template: str, **values: Any) -> str:
    """A page from one of this folder's templates; everything put into it is escaped, and control characters shown."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return printable(environment.get_template(template).render(**values), kept="\n\t")


def embedded(figure: Figure) -> str:
    """A figure as a data URI."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def flat(provenance: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Names and values of nested mappings; long values are cut."""
    rows: list[tuple[str, str]] = []
    for name, value in provenance.items():
        if isinstance(value, Mapping):
            rows += flat(value, f"{prefix}{name}: ")
        else:
            text = str(value)
            rows.append((f"{prefix}{name}", text if len(text) <= _LONGEST else text[:_LONGEST] + " …"))
    return rows
