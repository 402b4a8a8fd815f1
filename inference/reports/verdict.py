"""What to make of the methods' answers to one recording: one plain sentence, before any number."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from inference.estimate import DOUBTFUL, FAILED, OK, REFUSED, Estimate
from inference.evaluation.agreement import Agreement, agreement
from inference.evaluation.constraint import LITTLE, range_left
from inference.evaluation.departures import PredictiveCheck

_LABELS = {OK: "no objection", DOUBTFUL: "with care", REFUSED: "not to be trusted", FAILED: "no answer"}
LOOK_AGAIN = (
    "Check unit, sampling rate, order of channels and filters. If only some frequencies are unlike the circuit's, "
    "let the others alone count (--band 2,150), or train on them ('circuitsbi train --band 2,150'). Else the simulated "
    "circuit does not make such recordings"
)
_AT_THE_EDGE = 0.02  # of the range: an interval that ends closer to its edge is cut off by it


@dataclass(frozen=True)
class Verdict:
    """Whether to believe the numbers (ok, doubtful, refused, failed), in one ``sentence``.

    where: frequencies and channels at which the recording is unlike the fit; advice: what to do next; agreed: whether
    the methods agree; unconstrained: parameters of which the recording tells little; details: every warning as its
    method words it. All may be empty.
    """

    status: str
    sentence: str
    where: str = ""
    advice: str = ""
    agreed: str = ""
    unconstrained: str = ""
    details: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The status for a headline."""
        return _LABELS[self.status]


def verdict(
    estimates: Sequence[Estimate],
    quality_warnings: Sequence[str] = (),
    check: PredictiveCheck | None = None,
    reasons: Sequence[str] = (),
    elsewhere: str = "",
) -> Verdict:
    """The verdict on the methods' estimates of one recording.

    quality_warnings: about the recording itself; check: of the spectra that the estimates give; reasons: of methods
    that could not answer; elsewhere: what is known of other ranges of parameters, where these refuse.
    """
    if not estimates:
        return Verdict(FAILED, f"No method could answer: {reasons[0] if reasons else 'none was asked'}")
    details = [f"recording: {warning}" for warning in quality_warnings]
    refusing = [e.method or "estimate" for e in estimates if not e.trusted]
    # Where one method finds the recording unlike the circuit, the edges of the others' intervals say nothing more.
    details += [
        f"{e.method or 'estimate'}: {remark}"
        for e in estimates
        for remark in (e.warnings if refusing else remarks_on(e))
    ]
    details += [f"a method could not answer: {reason}" for reason in dict.fromkeys(reasons)]
    between = agreement(estimates)
    where = ""
    if check is not None and check.departures:
        most = ", and ".join(map(str, check.departures))
        where = f"The recording departs most from what the fitted circuit makes {most}."
    agreed, unconstrained = _agreed(between), _unconstrained(estimates)
    found = Verdict(OK, "", where, agreed=agreed, unconstrained=unconstrained, details=tuple(details))
    if refusing:
        standing = [e.method or "estimate" for e in estimates if e.trusted]
        but = (
            f"; that {_listed(standing)} {_verb(standing, 'does', 'do')} not object means little then"
            if standing
            else ""
        )
        sentence = (
            f"Do not trust these numbers: this recording is not like those of the simulated circuit, "
            f"{_verb(refusing, 'says', 'say')} {_listed(refusing)}{but}."
        )
        advice = _after_refusal(quality_warnings, elsewhere)
        return replace(found, status=REFUSED, sentence=sentence, advice=advice, unconstrained="")
    if check is not None and check.poor:
        sentence = (
            f"With care: simulations with the estimated parameters do not give this spectrum, {check.inside:.0%} "
            f"of it lies in their band and {check.expected:.0%} would be expected; the circuit may "
            f"be wrong for this recording."
        )
        return replace(found, status=DOUBTFUL, sentence=sentence)
    if between is not None and not between.good:
        return replace(found, status=DOUBTFUL, sentence=f"With care: {found.agreed}", agreed="")
    if details:
        more = f" ({len(details) - 1} more below)" if len(details) > 1 else ""
        return replace(found, status=DOUBTFUL, sentence=f"With care: {details[0]}{more}.")
    return replace(found, sentence=f"No check raised a doubt. {found.agreed}".rstrip(), agreed="")


def remarks_on(estimate: Estimate) -> tuple[str, ...]:
    """An estimate's warnings, and the intervals that the edge of a parameter's range cuts off.

    An interval of more than three quarters of the range reaches an edge for another reason: the recording tells little.
    """
    if not estimate.trusted or not estimate.has_interval:
        return estimate.warnings
    edges = (_edge(estimate, k) for k, left in enumerate(range_left(estimate)) if left <= LITTLE)
    return (*estimate.warnings, *(edge for edge in edges if edge))


def _edge(estimate: Estimate, k: int) -> str:
    p = list(estimate.parameters)[k]
    low, high = estimate.interval(0.95)[k]
    margin = _AT_THE_EDGE * (p.high - p.low)
    ends = [f"{p.low:g}"] * bool(low < p.low + margin) + [f"{p.high:g}"] * bool(high > p.high - margin)
    if not ends:
        return ""
    unit = "" if p.unit == "1" else f" {p.unit}"
    return (
        f"the interval of {p.name} reaches the edge ({' and '.join(ends)}{unit}) of the range that was simulated; the "
        f"true value may lie beyond it"
    )


def _unconstrained(estimates: Sequence[Estimate]) -> str:
    """The parameters of which no method tells much."""
    wide = [range_left(e) > LITTLE for e in estimates if e.has_interval]
    if not wide:
        return ""
    names = [name for name, all_wide in zip(estimates[0].names, zip(*wide, strict=True), strict=True) if all(all_wide)]
    if not names:
        return ""
    which = "any parameter" if len(names) == len(estimates[0].names) else ", ".join(names)
    return (
        f"The recording tells little of {which}: 95 % intervals take up more than three quarters of the range "
        f"that was simulated, and true values may lie beyond it."
    )


def _agreed(between: Agreement | None) -> str:
    if between is None:
        return ""
    a, b = between.methods
    by = f"by {between.distance:.1f} times their joint 95 % half width"
    if between.good:
        return f"The methods agree: the two answers furthest apart, {a} and {b} for {between.parameter}, differ {by}."
    return f"The methods disagree: {a} and {b} differ in {between.parameter} {by}."


def _after_refusal(quality_warnings: Sequence[str], elsewhere: str) -> str:
    """What to do next, the likeliest cause first."""
    if quality_warnings:
        return f"Mend the recording first: {quality_warnings[0]}. Then estimate again."
    return elsewhere or f"{LOOK_AGAIN} in this range: take a wider range, or another circuit."


def _listed(names: Sequence[str]) -> str:
    called = [n if n.startswith("the ") else f"the {n}" for n in names]
    return called[0] if len(called) == 1 else f"{', '.join(called[:-1])} and {called[-1]}"


def _verb(names: Sequence[str], one: str, many: str) -> str:
    return one if len(names) == 1 else many
