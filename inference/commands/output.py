"""What the commands write on the terminal."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from simulators.files import refuse_unwritable
from simulators.text import printable


class SafeConsole(Console):
    """A console that shows what is in a text and never obeys it: no markup, no escape sequences.

    Names of files, channels and parameters come from strangers' files. Lines are left for the terminal to break, so
    that a path can be copied.
    """

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, soft_wrap=True)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text, kept="\n"))


console = SafeConsole()
_errors = SafeConsole(stderr=True)


def warn(about: str, text: str) -> None:
    """One line on the terminal: what is doubtful, and why."""
    console.print(Text.assemble((f"{about}:", "bold yellow"), f" {text}"))


def refuse_no_picture(path: Path) -> None:
    """Raises ValueError where no picture can be written, before the work for it is done."""
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.lower().lstrip(".") not in kinds:
        raise ValueError(f"{path} does not end in a kind of picture: {', '.join(sorted(kinds))}")
    refuse_unwritable(path)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Errors a user can mend are one message and exit status 2, without a traceback."""
    from simulators.campaigns.store import CampaignError

    try:
        yield
    except (ValueError, CampaignError, ImportError, OSError) as error:
        said = _of_files(error) if isinstance(error, OSError) and error.filename else str(error)
        _errors.print(Text.assemble(("error:", "bold red"), f" {said}"), highlight=False)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        console.print("stopped; what was finished is kept")
        raise typer.Exit(130) from None


def _of_files(error: OSError) -> str:
    return f"{error.filename} can be neither read nor written ({error.strerror or error}); name another file or folder"
