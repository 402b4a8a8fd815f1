"""Files of a user's own cell: the same cell as the databases publish it, and as a hoc template."""

SWC = """# soma, an axon of 200 um, two basal dendrites, an apical trunk with two branches
1 1 0 0 0 10 -1
2 2 0 10 0 0.6 1
3 2 0 60 0 0.6 2
4 2 60 110 0 0.3 3
5 2 -60 110 0 0.4 3
6 3 10 0 0 1 1
7 3 110 0 0 1 6
8 3 -10 0 0 1 1
9 3 -310 0 0 0.5 8
10 4 0 -10 0 1.5 1
11 4 0 -210 0 1 10
12 4 60 -290 0 0.5 11
13 4 -60 -290 0 0.5 11
"""
ASC = """; the soma is a contour
("CellBody" (Color Red) (CellBody) (-8 -8 0 0.1) (8 -8 0 0.1) (8 8 0 0.1) (-8 8 0 0.1))
((Dendrite) (0 8 0 2) (0 50 0 2) ((20 80 0 1) (20 120 0 1) | (-20 80 0 1) (-20 120 0 1)))
((Apical) (0 -8 0 2) (0 -150 0 2))
"""


def uniform(name, value, sections="all", kind="section"):
    return {"param_name": name, "sectionlist": sections, "type": kind, "dist_type": "uniform", "value": value}


WHOLE = [
    {"param_name": "v_init", "type": "global", "value": -65},
    {"param_name": "celsius", "type": "global", "value": 20},
]
PASSIVE = [*WHOLE, uniform("g_pas", 1e-4), uniform("e_pas", -70), uniform("Ra", 150), uniform("cm", 1)]
BLUEPYOPT = [
    *PASSIVE,
    uniform("cm", 2, "apical"),
    uniform("gnabar_hh", 0.15, "somatic", "range"),
    uniform("ek", -85, "somatic"),
    {
        **uniform("gkbar_hh", 0.01, "apical", "range"),
        "dist_type": "exp",
        "dist": "(-0.8696 + 2.087*math.exp(({distance})*0.0031))*{value}",
    },
    {"param_name": "gl_hh", "sectionlist": "somatic", "type": "range", "dist_type": "uniform", "bounds": [0, 1]},
]
CHANNELS = {"all": ["pas"], "somatic": ["hh"], "apical": ["hh"]}
VALUES = {"gl_hh.somatic": 2e-4}
ALLEN = {
    "passive": [{"ra": 120.0, "e_pas": -80.0, "cm": [{"section": s, "cm": 1.5} for s in ("soma", "axon", "dend")]}],
    "conditions": [{"celsius": 34.0, "v_init": -82.0, "erev": [{"section": "soma", "ena": 53.0, "ek": -107.0}]}],
    "genome": [
        {"section": "soma", "name": "g_pas", "value": 5e-4, "mechanism": ""},
        {"section": "dend", "name": "g_pas", "value": "3e-05", "mechanism": ""},
        {"section": "soma", "name": "gnabar_hh", "value": 0.2, "mechanism": "hh"},
        {"section": "glob", "name": "nai0_na_ion", "value": 12, "mechanism": ""},
    ],
}

HOC = """
begintemplate {name}
public soma, dend, apic, axon, all, somatic, basal, apical, axonal
create soma[1], dend[1], apic[1], axon[1]
objref this, all, somatic, basal, apical, axonal
strdef path
proc init() {{
    all = new SectionList()  somatic = new SectionList()  basal = new SectionList()
    apical = new SectionList()  axonal = new SectionList()
    printf("this must not be seen")
    sprint(path, "%s/%s", $s1, $s2)
    take_shape()
    forall {{ insert {mechanism} nseg = 3 }}
}}
proc take_shape() {{ localobj reader, tool
    reader = new Import3d_SWC_read()
    reader.quiet = 1
    reader.input(path)
    tool = new Import3d_GUI(reader, 0)
    tool.instantiate(this)
}}
endtemplate {name}
"""
