"""Drives that published studies of the column begin with."""

from simulators.column.drives import BurstDrive, EvokedDrive, PoissonDrive


def noise(rate_Hz: float = 120.0, pyramidal_uS: float = 3e-3, basket_uS: float = 1e-4) -> PoissonDrive:
    """Proximal Poisson noise on every cell, under which the column as it comes has a rhythm of about 10 Hz."""
    weights = {
        "L2_basket": basket_uS,
        "L2_pyramidal": pyramidal_uS,
        "L5_basket": basket_uS,
        "L5_pyramidal": pyramidal_uS,
    }
    return PoissonDrive(
        name="noise", location="proximal", weights_uS={t: {"ampa": w} for t, w in weights.items()}, rate_Hz=rate_Hz
    )


EVOKED = (
    EvokedDrive(
        name="evprox1",
        location="proximal",
        weights_uS={
            "L2_basket": {"ampa": 0.08831},
            "L2_pyramidal": {"ampa": 0.01525},
            "L5_basket": {"ampa": 0.19934},
            "L5_pyramidal": {"ampa": 0.00865},
        },
        mean_ms=26.61,
        sd_ms=2.47,
    ),
    EvokedDrive(
        name="evdist1",
        location="distal",
        weights_uS={
            "L2_basket": {"ampa": 0.006562, "nmda": 0.019482},
            "L2_pyramidal": {"ampa": 7e-6, "nmda": 0.004317},
            "L5_pyramidal": {"ampa": 0.1423, "nmda": 0.080074},
        },
        delays_ms={"L2_basket": 0.1, "L2_pyramidal": 0.1, "L5_pyramidal": 0.1},
        mean_ms=63.53,
        sd_ms=3.85,
    ),
    EvokedDrive(
        name="evprox2",
        location="proximal",
        weights_uS={
            "L2_basket": {"ampa": 3e-6},
            "L2_pyramidal": {"ampa": 1.43884},
            "L5_basket": {"ampa": 0.008958},
            "L5_pyramidal": {"ampa": 0.684013},
        },
        mean_ms=137.12,
        sd_ms=8.33,
    ),
)
"""A tactile evoked response at threshold: a volley to the proximal dendrites, one to the distal ones, and a second
proximal one, in ms after the stimulus (Jones et al. 2007, 2009; numbers of hnn-core's example)."""


def beta_event(start_ms: float = 50.0) -> tuple[BurstDrive, BurstDrive]:
    """Simultaneous proximal and distal bursts, of which a transient beta event comes (Sherman et al. 2016; numbers of
    Law et al. 2022, whose column is the model "law_2021")."""
    distal = BurstDrive(
        name="beta_dist",
        location="distal",
        weights_uS={"L2_basket": {"ampa": 3.2e-4}, "L2_pyramidal": {"ampa": 8e-5}, "L5_pyramidal": {"ampa": 4e-5}},
        delays_ms={"L2_basket": 0.5, "L2_pyramidal": 0.5, "L5_pyramidal": 0.5},
        start_ms=start_ms,
        sd_ms=10.0,
        stop_ms=start_ms + 50.0,
    )
    proximal = BurstDrive(
        name="beta_prox",
        location="proximal",
        weights_uS={
            "L2_basket": {"ampa": 4e-5},
            "L2_pyramidal": {"ampa": 2e-5},
            "L5_basket": {"ampa": 2e-5},
            "L5_pyramidal": {"ampa": 2e-5},
        },
        start_ms=start_ms,
        sd_ms=20.0,
        stop_ms=start_ms + 50.0,
    )
    return distal, proximal
