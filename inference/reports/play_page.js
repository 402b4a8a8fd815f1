
// The page around PlayedEmulator: sliders, figure, the line that says how far the recording is, and the table of numbers.

const SVG = "http://www.w3.org/2000/svg";
const QUIET_MS = 800; // after the last move, until it is said aloud
const WORST = 2; // stretches of frequencies that are named
const OFTEN = 0.05; // less of the recording in the band than expected, before that is worth a word

const root = document.getElementById("play");
const data = JSON.parse(document.getElementById("play-data").textContent);
const emulator = new PlayedEmulator(data);
const part = (name) => root.querySelector(`[data-part="${name}"]`);
const decibel = (ratio) => 10 * Math.log10(ratio);
const power = (decibels) => 10 ** (decibels / 10);

const sliders = new Map(Array.from(root.querySelectorAll("input[type=range]"), (input) => [input.dataset.key, input]));
const starts = new Map(Array.from(sliders, ([key, input]) => [key, Number(input.dataset.start)]));
const values = new Map(starts); // exact where a slider has not been moved, which rounds to its steps
const withBackground = part("with-background");
const startsWithBackground = withBackground.checked;
const channelChoice = part("channel");
const thetaKeys = data.low.map((_, i) => `theta${i}`);
let ownGain = data.gain; // of power, at 0 dB
let state = null; // of the emulator at theta
let limits = null; // log10 of the figure's lowest and highest power
let begun = null; // the curve at the start
let quiet = 0;

const chosen = () => (channelChoice ? channelChoice.selectedIndex : 0);
const theta = () => thetaKeys.map((key) => values.get(key));

function background() {
  if (!withBackground.checked) return null;
  return {
    level: data.reference * power(values.get("level")),
    exponent: values.get("exponent"),
    knee: values.get("knee"),
    white: data.reference * power(values.get("white")),
    rhythms: data.rhythms,
  };
}

const shownAt = (decibels) => emulator.shown(state, chosen(), ownGain * power(decibels), background());

// Root mean square of the decibels between the recording and the emulator, over the bands.
function misfit(recorded, emulated) {
  const squares = recorded.map((r, f) => decibel(r / emulated[f]) ** 2);
  return Math.sqrt(squares.reduce((a, b) => a + b) / squares.length);
}

function misfitOfAll(gain) {
  const own = background();
  const each = data.recording.map((recorded, c) => {
    const circuit = emulator.channel(state, c).power;
    return misfit(recorded, circuit.map((p, f) => gain * p + (own ? backgroundDensity(own, data.frequencies[f]) : 0)));
  });
  return Math.sqrt(each.reduce((a, b) => a + b * b, 0) / each.length);
}

// Gain (of power) that an unknown amplifier has, so that the recording is as strong as what is emulated.
function likeRecording() {
  const logs = data.recording.map((recorded, c) => {
    const circuit = emulator.channel(state, c).power;
    return recorded.reduce((sum, r, f) => sum + Math.log(r / circuit[f]), 0) / recorded.length;
  });
  return Math.exp(logs.reduce((a, b) => a + b) / logs.length);
}

function matchGain() {
  const slider = sliders.get("gain");
  const step = Number(slider.step);
  let best = [Infinity, 0];
  for (let decibels = Number(slider.min); decibels <= Number(slider.max); decibels += step) {
    const off = misfitOfAll(ownGain * power(decibels));
    if (off < best[0]) best = [off, decibels];
  }
  set("gain", best[1]);
  update();
}

// Texts

function valueText(input) {
  const value = values.get(input.dataset.key);
  const text = value.toFixed(Number(input.dataset.digits)).replace("-", "\u2212");
  return text + (input.dataset.unit ? ` ${input.dataset.unit}` : "");
}

function factorText(value) {
  return value >= 0 ? `\u00d7${(10 ** value).toPrecision(2)}` : `\u00f7${(10 ** -value).toPrecision(2)}`;
}

function set(key, value) {
  values.set(key, value);
  sliders.get(key).value = value;
  say(sliders.get(key));
}

function say(input) {
  const text = valueText(input);
  const tens = "tens" in input.dataset;
  const value = values.get(input.dataset.key);
  const spoken = tens ? `${text}, ${value >= 0 ? "times" : "divided by"} ${(10 ** Math.abs(value)).toPrecision(2)}` : text;
  input.setAttribute("aria-valuetext", spoken);
  input.parentElement.querySelector("output").textContent = tens ? `${text} (${factorText(value)})` : text;
  const cell = input.closest("td");
  if (cell) {
    const strength = value / Math.max(Math.abs(input.min), Math.abs(input.max));
    cell.style.setProperty("--more", `${Math.round(55 * Math.max(strength, 0))}%`);
    cell.style.setProperty("--less", `${Math.round(55 * Math.max(-strength, 0))}%`);
  }
}

// Neighbouring bands outside on one side: from, to (Hz), the largest ratio in dB, and how much that is in all.
function stretches(recorded, shown) {
  const side = recorded.map((r, f) => (r > shown.high[f] ? 1 : r < shown.low[f] ? -1 : 0));
  const found = [];
  for (let f = 0; f < side.length; f++) {
    if (!side[f]) continue;
    const off = decibel(recorded[f] / shown.power[f]);
    if (f && side[f] === side[f - 1]) {
      const last = found[found.length - 1];
      last.to = data.edges[1][f];
      last.sum += Math.abs(off);
      if (Math.abs(off) > Math.abs(last.most)) last.most = off;
    } else found.push({ from: data.edges[0][f], to: data.edges[1][f], most: off, sum: Math.abs(off) });
  }
  return found.sort((a, b) => b.sum - a.sum).slice(0, WORST).sort((a, b) => a.from - b.from);
}

function sentence(shown) {
  if (!data.recording) return "";
  const recorded = data.recording[chosen()];
  const off = misfit(recorded, shown.power).toFixed(1);
  const all = data.recording.length > 1 ? ` (all channels: ${misfitOfAll(gainNow()).toFixed(1)} dB)` : "";
  const chance = decibel(Math.E) * Math.sqrt(shown.variance.reduce((a, b) => a + b) / shown.variance.length);
  const inside = recorded.filter((r, f) => r >= shown.low[f] && r <= shown.high[f]).length / recorded.length;
  const expected = data.scatter.band[1] - data.scatter.band[0];
  const where = stretches(recorded, shown).map((s) => {
    const hz = `${s.from.toPrecision(3) / 1}\u2013${s.to.toPrecision(3) / 1} Hz`;
    return `${hz} (up to ${Math.abs(s.most).toFixed(1)} dB ${s.most > 0 ? "more" : "less"})`;
  });
  const leaves = inside < expected - OFTEN ? ` The recording leaves the band most at ${where.join(" and ")}.` : "";
  return (
    `Misfit ${off} dB${all}; chance alone makes about ${chance.toFixed(1)} dB. ` +
    `${Math.round(100 * inside)}\u00a0% of the spectrum lie in the band, where ${Math.round(100 * expected)}\u00a0% are expected.` +
    leaves
  );
}

// Figure

function element(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function layout() {
  const svg = part("figure");
  const width = Math.max(svg.clientWidth, 300);
  const height = Math.round(Math.max(Math.min(0.52 * width, 0.45 * window.innerHeight, 440), 220));
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const [left, right, top, bottom] = [58, width - 8, 10, height - 40];
  const low = Math.log10(data.frequencies[0]);
  const high = Math.log10(data.frequencies[data.frequencies.length - 1]);
  const x = (hz) => left + ((right - left) * (Math.log10(hz) - low)) / (high - low);
  const y = (log10) => bottom - ((bottom - top) * (log10 - limits[0])) / (limits[1] - limits[0]);
  return { left, right, top, bottom, width, height, low, high, x, y };
}

function drawAxes(place) {
  const axes = part("axes");
  axes.replaceChildren();
  const { left, right, top, bottom } = place;
  const line = (x1, y1, x2, y2) => axes.append(element("line", { x1, y1, x2, y2 }));
  const text = (x, y, anchor, words, more) =>
    axes.append(element("text", { x, y, "text-anchor": anchor, ...more }, words));
  line(left, bottom, right, bottom);
  line(left, top, left, bottom);
  for (let decade = Math.floor(place.low); decade <= place.high; decade++) {
    for (const digit of [1, 2, 5]) {
      const hz = digit * 10 ** decade;
      if (Math.log10(hz) < place.low || Math.log10(hz) > place.high) continue;
      line(place.x(hz), bottom, place.x(hz), bottom + 5);
      text(place.x(hz), bottom + 19, "middle", String(hz));
    }
  }
  const each = Math.ceil((limits[1] - limits[0]) / 7);
  for (let decade = Math.ceil(limits[0]); decade <= limits[1]; decade += each) {
    line(left - 5, place.y(decade), left, place.y(decade));
    text(left - 8, place.y(decade) + 4, "end", `10${superscript(decade)}`);
  }
  text((left + right) / 2, bottom + 36, "middle", "frequency (Hz)");
  const middle = (top + bottom) / 2;
  text(13, middle, "middle", data.units[chosen()], { transform: `rotate(-90 13 ${middle})` });
}

function superscript(number) {
  const digits = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079";
  return String(number).replace(/\d/g, (d) => digits[d]).replace("-", "\u207b");
}

const logs = (curve) => Array.from(curve, (p) => Math.log10(Math.max(p, 1e-300)));

// Powers that the figure holds: wide enough for the curves, and never narrower than before, so that it stands still.
function widened(curves) {
  const all = curves.flatMap(logs);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const wanted = [Math.floor(2 * low - 0.2) / 2, Math.ceil(2 * high + 0.2) / 2];
  if (limits && limits[0] <= low && limits[1] >= high) return false;
  limits = limits ? [Math.min(limits[0], wanted[0]), Math.max(limits[1], wanted[1])] : wanted;
  limits[0] = Math.max(limits[0], limits[1] - 10);
  return true;
}

function path(place, curve, back) {
  const at = (curve, f) => `${place.x(data.frequencies[f]).toFixed(1)},${place.y(logs([curve[f]])[0]).toFixed(1)}`;
  const there = Array.from(curve, (_, f) => at(curve, f));
  const andBack = back ? Array.from(back, (_, f) => at(back, f)).reverse() : [];
  return `M${[...there, ...andBack].join("L")}${back ? "Z" : ""}`;
}

let place = null;

function draw(shown) {
  const recorded = data.recording ? [data.recording[chosen()]] : [];
  if (widened([shown.low, shown.high, begun, ...recorded]) || !place) {
    place = layout();
    drawAxes(place);
    part("begun").setAttribute("d", path(place, begun));
    if (recorded.length) part("recorded").setAttribute("d", path(place, recorded[0]));
  }
  part("band").setAttribute("d", path(place, shown.low, shown.high));
  part("emulated").setAttribute("d", path(place, shown.power));
  part("own").setAttribute("d", withBackground.checked ? path(place, shown.own) : "");
}

// What the figure shows, for whoever reads numbers.
function fillTable(shown) {
  const table = part("numbers");
  if (!table.open) return;
  const recorded = data.recording && data.recording[chosen()];
  const rows = data.frequencies.map((hz, f) => {
    const cells = [hz, ...(recorded ? [recorded[f]] : []), shown.power[f], shown.low[f], shown.high[f]];
    const row = document.createElement("tr");
    cells.forEach((value, i) => {
      const cell = document.createElement(i ? "td" : "th");
      cell.textContent = i ? value.toExponential(4) : String(value);
      row.append(cell);
    });
    return row;
  });
  table.querySelector("tbody").replaceChildren(...rows);
}

const gainNow = () => ownGain * power(values.get("gain"));

function update(moved = true) {
  if (moved) state = emulator.at(theta());
  const shown = shownAt(values.get("gain"));
  if (!begun) begun = shown.power;
  draw(shown);
  fillTable(shown);
  const words = sentence(shown);
  part("misfit").textContent = words;
  clearTimeout(quiet);
  quiet = setTimeout(() => (part("said").textContent = words), QUIET_MS);
}

function switchBackground() {
  part("background").hidden = !withBackground.checked;
  part("own-legend").hidden = !withBackground.checked;
}

function restart() {
  starts.forEach((value, key) => set(key, value));
  withBackground.checked = startsWithBackground;
  switchBackground();
  afresh();
}

// Another channel, or all as at the start: the figure finds new limits, and what the start looks like there.
function afresh() {
  const now = new Map(values);
  const on = withBackground.checked;
  starts.forEach((value, key) => values.set(key, value));
  withBackground.checked = startsWithBackground;
  state = emulator.at(theta());
  if (ownGain === null) ownGain = likeRecording();
  begun = shownAt(values.get("gain")).power;
  now.forEach((value, key) => values.set(key, value));
  withBackground.checked = on;
  limits = place = null;
  update();
}

sliders.forEach((input, key) => {
  say(input);
  input.addEventListener("input", () => {
    values.set(key, input.valueAsNumber);
    say(input);
    update(key.startsWith("theta"));
  });
});
withBackground.addEventListener("change", () => {
  switchBackground();
  update(false);
});
if (channelChoice) channelChoice.addEventListener("change", afresh);
part("restart").addEventListener("click", restart);
if (part("to-mean")) {
  part("to-mean").addEventListener("click", () => {
    thetaKeys.forEach((key, i) => set(key, data.mean[i]));
    update();
  });
}
if (part("match")) part("match").addEventListener("click", matchGain);
part("numbers").addEventListener("toggle", () => update(false));
new ResizeObserver(() => {
  place = null;
  update(false);
}).observe(part("figure"));
root.classList.add("ready");
restart();
