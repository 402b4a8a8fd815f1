COMMENT
Sodium, potassium and leak of the reduced Traub-Miles excitatory cell (Olufsen et al. 2003, J Neurophysiol 90).
Gates take an exponential step from a table, so that a compiled circuit can do the same.
ENDCOMMENT

NEURON {
    SUFFIX TraubMiles
    NONSPECIFIC_CURRENT i
    RANGE gna, gk, gl, ena, ek, el, current
    THREADSAFE
}

UNITS { (mV) = (millivolt) (mA) = (milliamp) (S) = (siemens) }

PARAMETER {
    gna = 0.1 (S/cm2)
    gk = 0.08 (S/cm2)
    gl = 0.0001 (S/cm2)
    ena = 50 (mV)
    ek = -100 (mV)
    el = -67 (mV)
    current = 0 (mA/cm2)
}

ASSIGNED { v (mV) i (mA/cm2) dt (ms) minf hinf ninf mstep hstep nstep }

STATE { m h n }

INITIAL {
    rates(v)
    m = minf
    h = hinf
    n = ninf
}

BREAKPOINT {
    SOLVE states
    i = gna*m*m*m*h*(v - ena) + gk*n*n*n*n*(v - ek) + gl*(v - el) - current
}

PROCEDURE states() {
    rates(v)
    m = m + mstep*(minf - m)
    h = h + hstep*(hinf - h)
    n = n + nstep*(ninf - n)
}

UNITSOFF
FUNCTION ratio(x) {
    if (fabs(x) < 1e-6) { ratio = 1 + x/2 } else { ratio = x/(1 - exp(-x)) }
}

PROCEDURE rates(v) {
    LOCAL a, b
    TABLE minf, hinf, ninf, mstep, hstep, nstep DEPEND dt FROM -120 TO 80 WITH 800
    a = 1.28*ratio((v + 54)/4)
    b = 1.4*ratio(-(v + 27)/5)
    minf = a/(a + b)
    mstep = 1 - exp(-dt*(a + b))
    a = 0.128*exp(-(v + 50)/18)
    b = 4/(1 + exp(-(v + 27)/5))
    hinf = a/(a + b)
    hstep = 1 - exp(-dt*(a + b))
    a = 0.16*ratio((v + 52)/5)
    b = 0.5*exp(-(v + 57)/40)
    ninf = a/(a + b)
    nstep = 1 - exp(-dt*(a + b))
}
UNITSON
