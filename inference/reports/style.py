"""What all figures share: colours, axes without ornament, names as the user wrote them."""

from typing import Any

from matplotlib.axes import Axes

INK, MUTED, BAND_COLOUR = "#222222", "#6b7280", "#8fbfe0"


def legend(place: Any, *handles_and_labels: list, **style: Any) -> None:
    """A legend without a frame; names that users chose are taken literally, not as formulas."""
    drawn = place.legend(*handles_and_labels, frameon=False, **style)
    for text in drawn.get_texts():
        text.set_parse_math(False)
        text.set_color(INK)


def short(name: str, length: int = 24) -> str:
    """A channel's name where there is little room."""
    name = name if len(name) <= length else name[: length - 1] + "…"
    return name.replace(" um", " µm")


def plain(ax: Axes, left: bool = True) -> None:
    """Only the axes that carry numbers."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines["left"].set_visible(left)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.tick_params(which="both", color=MUTED, labelcolor=INK, labelsize=9)
