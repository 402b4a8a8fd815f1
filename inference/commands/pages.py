"""Where a command writes its pages: one page, or a folder with a page for each recording."""

from collections.abc import Sequence
from pathlib import Path

from simulators.files import refuse_unwritable


def is_page(report: Path) -> bool:
    """Whether it names a page, and not a folder for pages."""
    return report.suffix.lower() in (".html", ".htm")


def refuse_pages(report: Path, many: bool, of: str = "recordings") -> None:
    """Makes the folder. Raises ValueError for what cannot be written, before the work is done."""
    if is_page(report) and many:
        raise ValueError(f"{report} is one page, and there are several {of}: name a folder for them")
    if not is_page(report):
        report.mkdir(parents=True, exist_ok=True)
    if not report.is_dir():
        refuse_unwritable(report)


def page_of(report: Path, recordings: Sequence[Path], recording: Path, ending: str = "") -> Path:
    """The page itself; or one in the folder, named by the recording, its place among namesakes, and an ending."""
    if is_page(report):
        return report
    namesakes = [path for path in dict.fromkeys(recordings) if path.stem == recording.stem]
    place = f"_{namesakes.index(recording) + 1}" if len(namesakes) > 1 else ""
    return report / f"{recording.stem}{place}{ending}.html"
