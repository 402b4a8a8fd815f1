TITLE NMDA receptors: a conductance of two exponentials, blocked by magnesium depending on the voltage

COMMENT
An event of weight w (uS) adds a conductance that would peak at w if nothing were blocked, as Exp2Syn's does.
Block: Jahr and Stevens 1990, J. Neurosci. 10:3178.
ENDCOMMENT

NEURON {
    THREADSAFE
    POINT_PROCESS NMDASyn
    RANGE tau1, tau2, e, mg, g, i
    NONSPECIFIC_CURRENT i
}

UNITS {
    (nA) = (nanoamp)
    (mV) = (millivolt)
    (uS) = (microsiemens)
    (mM) = (milli/liter)
}

PARAMETER {
    tau1 = 2 (ms) <1e-9, 1e9>
    tau2 = 80 (ms) <1e-9, 1e9>
    e = 0 (mV)
    mg = 1 (mM) <0, 1e9>
}

ASSIGNED {
    v (mV)
    i (nA)
    g (uS)
    factor
}

STATE {
    A (uS)
    B (uS)
}

INITIAL {
    LOCAL peak
    : Equal time constants would divide by zero, and times apart by many orders leave nothing of the rise.
    if (tau1/tau2 > 0.9999) {
        tau1 = 0.9999*tau2
    }
    if (tau1/tau2 < 1e-9) {
        tau1 = tau2*1e-9
    }
    A = 0
    B = 0
    peak = (tau1*tau2)/(tau2 - tau1)*log(tau2/tau1)
    factor = 1/(exp(-peak/tau2) - exp(-peak/tau1))
}

BREAKPOINT {
    SOLVE state METHOD cnexp
    g = B - A
    i = g*unblocked(v)*(v - e)
}

DERIVATIVE state {
    A' = -A/tau1
    B' = -B/tau2
}

NET_RECEIVE (weight (uS)) {
    A = A + weight*factor
    B = B + weight*factor
}

FUNCTION unblocked(v (mV)) {
    unblocked = 1/(1 + exp(-0.062(/mV)*v)*mg/3.57(mM))
}
