TITLE Delayed-rectifier potassium current whose dependence on the voltage can be moved along the axis

COMMENT
Activation: n^4 of Hodgkin and Huxley 1952. Inactivation, slow: steady state and time constant of Korngreen and
Sakmann 2000, J. Physiol. 525:621. shift moves the steady states and time constants of both; positive to the right.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX kdrshift
    USEION k READ ek WRITE ik
    RANGE gbar, shift, g, ninf, linf, ntau, ltau
}

UNITS {
    (mA) = (milliamp)
    (mV) = (millivolt)
    (S) = (siemens)
}

PARAMETER {
    gbar = 0.01 (S/cm2) <0, 1e9>
    shift = 0 (mV)
}

ASSIGNED {
    v (mV)
    celsius (degC)
    ek (mV)
    ik (mA/cm2)
    g (S/cm2)
    ninf
    linf
    ntau (ms)
    ltau (ms)
}

STATE {
    n
    l
}

INITIAL {
    rates(v - shift)
    n = ninf
    l = linf
}

BREAKPOINT {
    SOLVE states METHOD cnexp
    g = gbar*n^4*l
    ik = g*(v - ek)
}

DERIVATIVE states {
    rates(v - shift)
    n' = (ninf - n)/ntau
    l' = (linf - l)/ltau
}

PROCEDURE rates(u (mV)) {
    LOCAL alpha, beta
    alpha = 0.1*ratio(-(u + 55(mV))/10(mV))
    beta = 0.125*exp(-(u + 65(mV))/80(mV))
    ninf = alpha/(alpha + beta)
    ntau = 1(ms)/(alpha + beta)/3^((celsius - 6.3(degC))/10(degC))
    linf = 1/(1 + exp((u + 54(mV))/11(mV)))
    ltau = (360(ms) + (1010(ms) + 24(ms/mV)*(u + 55(mV)))*exp(-((u + 75(mV))/48(mV))^2))/2.3^((celsius - 21(degC))/10(degC))
}

: x/(exp(x) - 1), also where both vanish.
FUNCTION ratio(x) {
    if (fabs(x) < 1e-6) {
        ratio = 1 - x/2
    } else {
        ratio = x/(exp(x) - 1)
    }
}
