// An emulator's spectra and their scatter, as surrogates/spectra/emulator.py and inference/evaluation/predictive.py have
// them: a network gives Cholesky factors L of the sources' cross-spectra, the instrument sees their powers.

// Numbers that play_numbers.packed wrote: little-endian, of half or single precision.
function unpacked(packed) {
  const bytes = Uint8Array.from(atob(packed.data), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const size = packed.bits / 8;
  const read = packed.bits === 16 ? (at) => half(view.getUint16(at, true)) : (at) => view.getFloat32(at, true);
  return Float64Array.from({ length: bytes.length / size }, (_, i) => read(i * size));
}

function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}

function layersOf(packed) {
  return packed.map(([weight, bias]) => ({ weight: unpacked(weight), bias: unpacked(bias) }));
}

function linear({ weight, bias }, x) {
  const out = Float64Array.from(bias);
  for (let i = 0, at = 0; i < out.length; i++) {
    let sum = 0;
    for (let j = 0; j < x.length; j++) sum += weight[at++] * x[j];
    out[i] += sum;
  }
  return out;
}

function perceptron(layers, x) {
  return layers.reduce((input, layer, i) => {
    const out = linear(layer, input);
    return i + 1 < layers.length ? out.map((v) => v / (1 + Math.exp(-v))) : out;
  }, x);
}

// Between the numbers of a table whose abscissae are evenly spaced from first to last.
function interpolated(table, first, last, x) {
  const place = Math.min(Math.max((x - first) / (last - first), 0), 1) * (table.length - 1);
  const below = Math.min(Math.floor(place), table.length - 2);
  return table[below] + (place - below) * (table[below + 1] - table[below]);
}

// Background.density: power at 10 Hz with an exponent and a knee, white noise, and rhythms over the level.
function backgroundDensity({ level, exponent, knee, white, rhythms }, frequency) {
  const bend = knee ** exponent;
  let shape = (10 ** exponent + bend) / (frequency ** exponent + bend);
  for (const [height, hertz, width] of rhythms) {
    shape += height * Math.exp(-(((frequency - hertz) / width) ** 2) / 2);
  }
  return level * shape + white;
}

// Kernels that follow two parameters, between nodes, and two more as filters: surrogates/spectra/following.py.
class FollowingInstrument {
  constructor(data, bands, sources) {
    Object.assign(this, data, { bands, sources });
    this.grid = unpacked(data.grid);
    this.omega = unpacked(data.omega);
  }

  // Of each node the weight with which a polynomial in the logarithm of its parameter is taken.
  nodeWeights(theta) {
    const [first, second] = this.nodes.map(([which, logs]) =>
      logs.map((a) => logs.reduce((w, b) => (b === a ? w : (w * (Math.log(theta[which]) - b)) / (a - b)), 1)),
    );
    return first.flatMap((a) => second.map((b) => a * b));
  }

  // ((1 + i w synapse) / (1 + i w tau))^2 exp(-i w delay)
  filter(omega, tau, delay) {
    const size = (1 + (omega * this.synapse) ** 2) / (1 + (omega * tau) ** 2);
    const phase = 2 * (Math.atan(omega * this.synapse) - Math.atan(omega * tau)) - omega * delay;
    return [size * Math.cos(phase), size * Math.sin(phase)];
  }

  // Transfer functions (bands, channels, sources), real and imaginary part after each other.
  transfer(theta) {
    const entries = this.bands * this.channels * this.sources;
    const weights = this.nodeWeights(theta);
    const seen = new Float64Array(2 * entries);
    for (let at = 0; at < this.omega.length; at++) {
      const [c, d] = this.filter(this.omega[at], theta[this.tau], theta[this.delay]);
      const band = at % this.bands;
      for (let k = 0; k < this.channels * this.sources; k++) {
        let [re, im] = [0, 0];
        weights.forEach((weight, node) => {
          const place = 2 * ((node * this.omega.length + at) * this.channels * this.sources + k);
          re += weight * this.grid[place];
          im += weight * this.grid[place + 1];
        });
        const place = 2 * (band * this.channels * this.sources + k);
        seen[place] += c * re - d * im;
        seen[place + 1] += c * im + d * re;
      }
    }
    return seen;
  }

  // As play_numbers._products packs them.
  products(theta) {
    const n = this.sources;
    const below = (n * (n - 1)) / 2;
    const seen = this.transfer(theta);
    const products = new Float64Array(this.channels * this.bands * n * n);
    for (let channel = 0; channel < this.channels; channel++) {
      for (let f = 0; f < this.bands; f++) {
        const from = 2 * (f * this.channels + channel) * n;
        const to = (channel * this.bands + f) * n * n;
        for (let k = 0, place = to + n; k < n; k++) {
          const [a, b] = [seen[from + 2 * k], seen[from + 2 * k + 1]];
          products[to + k] = a * a + b * b;
          for (let l = 0; l < k; l++, place++) {
            const [c, d] = [seen[from + 2 * l], seen[from + 2 * l + 1]];
            products[place] = a * c + b * d;
            products[place + below] = b * c - a * d;
          }
        }
      }
    }
    return products;
  }
}

class PlayedEmulator {
  constructor(data) {
    this.data = data;
    this.sources = data.sources;
    this.frequencies = data.frequencies;
    this.layers = layersOf(data.spectra.layers);
    this.basis = layersOf(data.spectra.basis);
    this.mean = unpacked(data.spectra.mean);
    this.scale = unpacked(data.spectra.scale);
    this.dispersion = layersOf(data.dispersion);
    this.sizes = layersOf(data.sizes);
    this.components = unpacked(data.components);
    const { products, following } = data.instrument || {};
    this.products = products ? unpacked(products) : null;
    this.following = following ? new FollowingInstrument(following, this.frequencies.length, this.sources) : null;
  }

  // Factors, and how spectra scatter, at theta; what gain, background and channel do not change.
  at(theta) {
    const { low, high, samples } = this.data;
    const x = Float64Array.from(theta, (t, i) => (2 * (t - low[i])) / (high[i] - low[i]) - 1);
    let out = perceptron(this.layers, x);
    if (this.basis.length) out = linear(this.basis[0], out);
    out = out.map((v, i) => v * this.scale[i] + this.mean[i]);
    const dispersion = Math.exp(perceptron(this.dispersion, x)[0]);
    const effective = samples.map((n) => {
      const bounded = Math.min(1 + dispersion, Math.max(n, 1) / (this.sources + 0.5));
      return Math.max(n / Math.max(bounded, 1), 1);
    });
    const sizes = this.sizes.length ? perceptron(this.sizes, x).map(Math.exp) : [];
    return { factors: this.weighted(out, theta), effective, sizes, channels: [], products: this.productsAt(theta) };
  }

  productsAt(theta) {
    return this.following ? this.following.products(theta) : this.products;
  }

  // Cholesky factors (bands, sources, sources), real and imaginary, each row times the weight of its source.
  weighted(out, theta) {
    const n = this.sources;
    const weights = this.data.instrument
      ? this.data.instrument.weights.map(([sign, which]) => which.reduce((w, i) => w * theta[i], sign))
      : new Array(n).fill(1);
    const re = new Float64Array(out.length);
    const im = new Float64Array(out.length);
    for (let f = 0; f < this.frequencies.length; f++) {
      const at = f * n * n;
      for (let i = 0, k = 0; i < n; i++) {
        const diagonal = weights[i] * Math.exp(out[at + i]);
        re[at + i * n + i] = diagonal;
        for (let j = 0; j < i; j++, k++) {
          re[at + i * n + j] = diagonal * out[at + n + k];
          im[at + i * n + j] = diagonal * out[at + n + (n * (n - 1)) / 2 + k];
        }
      }
    }
    return { re, im };
  }

  // L^H G L of a channel and a band, packed as the products G are: diagonal, real and imaginary part of what is below.
  seen({ factors, products }, channel, f) {
    const n = this.sources;
    const below = (n * (n - 1)) / 2;
    const { re, im } = factors;
    const at = f * n * n;
    const packed = new Float64Array(n * n);
    const g = (channel * this.frequencies.length + f) * n * n;
    const entry = (k, l) => {
      if (!products) return k === channel && l === channel ? [1, 0] : [0, 0];
      if (k === l) return [products[g + k], 0];
      const [row, column, sign] = k > l ? [k, l, 1] : [l, k, -1];
      const place = g + n + (row * (row - 1)) / 2 + column;
      return [products[place], sign * products[place + below]];
    };
    for (let k = 0; k < n; k++) {
      for (let l = 0; l < n; l++) {
        const [a, b] = entry(k, l);
        if (a === 0 && b === 0) continue;
        for (let i = 0, place = n; i < n; i++) {
          // G_kl L_ki
          const c = a * re[at + k * n + i] - b * im[at + k * n + i];
          const d = a * im[at + k * n + i] + b * re[at + k * n + i];
          for (let j = 0; j <= i; j++) {
            const p = re[at + l * n + j];
            const q = im[at + l * n + j];
            if (i === j) packed[i] += c * p + d * q;
            else {
              packed[place] += c * p + d * q;
              packed[place + below] += d * p - c * q;
              place++;
            }
          }
        }
      }
    }
    return packed;
  }

  // Power densities (one-sided) of a channel, and the variance of these that the components make, times the samples.
  channel(state, channel) {
    state.channels[channel] = state.channels[channel] || this.computed(state, channel);
    return state.channels[channel];
  }

  computed(state, channel) {
    const n = this.sources;
    const bands = this.frequencies.length;
    const power = new Float64Array(bands);
    const moved = new Float64Array(bands);
    for (let f = 0; f < bands; f++) {
      const packed = this.seen(state, channel, f);
      for (let i = 0; i < n; i++) power[f] += 2 * packed[i];
      for (let k = 0; k < state.sizes.length; k++) {
        const at = (k * bands + f) * n * n;
        let change = 0;
        for (let i = 0; i < n * n; i++) {
          const imaginary = i >= n + (n * (n - 1)) / 2;
          change += (i < n ? 1 : imaginary ? -Math.SQRT2 : Math.SQRT2) * this.components[at + i] * packed[i];
        }
        moved[f] += state.sizes[k] * (2 * change) ** 2;
      }
    }
    return { power, moved };
  }

  // What a channel shows: power and the ends of the band in which most recordings lie, with gain (of power), background.
  shown(state, channel, gain, background) {
    const { samples, scatter } = this.data;
    const { power, moved } = this.channel(state, channel);
    const own = Array.from(this.frequencies, (hz) => (background ? backgroundDensity(background, hz) : 0));
    const total = power.map((p, f) => gain * p + own[f]);
    const variance = total.map((t, f) => 1 / samples[f] + (moved[f] * (gain / t) ** 2) / state.effective[f]);
    const end = (table) =>
      total.map((t, f) => t * Math.exp(interpolated(table, scatter.first, scatter.last, -Math.log(variance[f]))));
    return { power: total, own, variance, low: end(scatter.low), high: end(scatter.high) };
  }
}
