"""Make the pages to play with that the documentation shows, from the fits that ship.

    python scripts/make_play_pages.py [--out docs/assets]      (half a minute)

play_asynchronous.html begins at the estimate of the last simulation that ships, on which nothing was trained;
play_column.html has the column's connections as a matrix, with all gains at one. The last line is one JSON object: the
size of each page in kB.
"""

import argparse
import json
from pathlib import Path

from inference.reports.play import Play, play_of, write_play
from inference.workflows.brunel import brunel_study
from inference.workflows.play import chosen_fit
from inference.workflows.shipped import reference_campaign

OUT = Path(__file__).resolve().parents[1] / "docs" / "assets"


def pages() -> dict[str, tuple[str, str, Play]]:
    """Name of the file -> title, a sentence, and what the page holds."""
    study, campaign, fit = brunel_study(), reference_campaign(), chosen_fit()
    _, (lfp,) = study.recordings(campaign, campaign.usable[-1:])
    return {
        "play_asynchronous.html": (
            "A network's parameters and its LFP",
            "Brunel's network (2000) under a laminar probe of six contacts, and the LFP of a simulation that nothing "
            "was trained on.",
            play_of(fit, fit.ready(lfp), fit.estimate(lfp)),
        ),
        "play_column.html": (
            "The connections of a cortical column and its dipole",
            "The column of the Human Neocortical Neurosolver under noise: layers 2 and 5, excitatory (e) and "
            "inhibitory (i) cells; a gain of 0 leaves a connection as it is, 0.3 doubles it.",
            play_of(chosen_fit(circuit="column")),
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the pages")
    out = parser.parse_args().out
    sizes = {}
    for name, (title, sentence, play) in pages().items():
        write_play(out / name, title, play, [sentence])
        sizes[name] = round((out / name).stat().st_size / 1e3)
    print(json.dumps(sizes))


if __name__ == "__main__":
    main()
