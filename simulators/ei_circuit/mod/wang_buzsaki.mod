COMMENT
Sodium, potassium and leak of the fast-spiking interneuron of Wang and Buzsaki (1996, J Neurosci 16), phi = 5.
Gates take an exponential step from a table, so that a compiled circuit can do the same.
ENDCOMMENT

NEURON {
    SUFFIX WangBuzsaki
    NONSPECIFIC_CURRENT i
    RANGE gna, gk, gl, ena, ek, el, current
    THREADSAFE
}

UNITS { (mV) = (millivolt) (mA) = (milliamp) (S) = (siemens) }

PARAMETER {
    gna = 0.035 (S/cm2)
    gk = 0.009 (S/cm2)
    gl = 0.0001 (S/cm2)
    ena = 55 (mV)
    ek = -90 (mV)
    el = -65 (mV)
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
    a = 5*ratio((v + 35)/10)
    b = 20*exp(-(v + 60)/18)
    minf = a/(a + b)
    mstep = 1 - exp(-dt*(a + b))
    a = 0.35*exp(-(v + 58)/20)
    b = 5/(1 + exp(-(v + 28)/10))
    hinf = a/(a + b)
    hstep = 1 - exp(-dt*(a + b))
    a = 0.5*ratio((v + 34)/10)
    b = 0.625*exp(-(v + 44)/80)
    ninf = a/(a + b)
    nstep = 1 - exp(-dt*(a + b))
}
UNITSON
