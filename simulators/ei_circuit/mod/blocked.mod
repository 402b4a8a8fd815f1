COMMENT
A conductance that jumps and decays, blocked by magnesium (Jahr and Stevens 1990). The block is that of V at the end of
the step before, as gates are, so that a step stays linear in V.
ENDCOMMENT

NEURON {
    POINT_PROCESS BlockedSyn
    NONSPECIFIC_CURRENT i
    RANGE tau, e, mg
    THREADSAFE
}

UNITS { (mV) = (millivolt) (nA) = (nanoamp) (uS) = (microsiemens) }

PARAMETER {
    tau = 100 (ms)
    e = 0 (mV)
    mg = 1 (mM)
}

ASSIGNED { v (mV) i (nA) dt (ms) open }

STATE { g (uS) }

INITIAL {
    g = 0
    open = 1/(1 + mg/3.57*exp(-0.062*v))
}

BREAKPOINT {
    SOLVE decays
    i = g*open*(v - e)
}

UNITSOFF
PROCEDURE decays() {
    g = g*exp(-dt/tau)
    open = 1/(1 + mg/3.57*exp(-0.062*v))
}
UNITSON

NET_RECEIVE(weight (uS)) { g = g + weight }
