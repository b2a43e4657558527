// Many small recurrent networks at once, each in its own lane of the vector registers: a layer of them for autograd
// (layer_float, layer_double), and whole optimizer steps (train_float, train_double).
//
// R networks (replicates), B sequences, T steps, D inputs, H units, C outputs of a linear read-out (C = 0: the outputs of
// the layer are the result). The caller's tensors hold one network after the other. Here W networks lie side by side,
// one in each lane: no sum crosses lanes, so no network depends on another. A network with fewer units than the others
// is padded with units whose weights are zero: their outputs and all their gradients are zero, and the order in which
// the others' terms are added stays the same. Compiled without -ffast-math, NaN is kept.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace {
template <class T>
struct Vector {
#ifdef __AVX512F__
  static constexpr int bytes = 64;
#else
  static constexpr int bytes = 32;
#endif
  static constexpr int W = bytes / sizeof(T);
  using Bits = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  typedef T type __attribute__((vector_size(bytes)));
  typedef Bits mask __attribute__((vector_size(bytes)));  // of comparisons: all bits of a lane, or none
};

// Adding this number shifts a whole number into the lowest bits of the mantissa.
template <class T>
constexpr int mantissa = sizeof(T) == 4 ? 23 : 52;
template <class T>
constexpr T shift = T(3) * (int64_t(1) << (mantissa<T> - 1));
template <class T>
constexpr T ln2_high = sizeof(T) == 4 ? T(0.693359375) : T(0x1.62e42ffp-1);
template <class T>
constexpr T ln2_low = T(0.6931471805599453094172L - ln2_high<T>);

constexpr long double factorial(int k) { return k > 1 ? k * factorial(k - 1) : 1; }

// exp(x) = 2^n exp(r) with |r| <= ln(2)/2, and exp(r) by its Taylor series; x is clamped so that nothing overflows.
template <class T, class V = typename Vector<T>::type>
inline V exponential(V x) {
  constexpr bool single = sizeof(T) == 4;
  using I = typename Vector<T>::mask;
  using Bits = typename Vector<T>::Bits;
  constexpr int terms = single ? 7 : 13;
  const V most = V{} + T(single ? 86 : 700);
  x = x > most ? most : x;
  x = x < -most ? -most : x;  // comparisons with NaN are false, so NaN passes
  V n = x * T(1.4426950408889634) + shift<T>;
  const V scale = (V)(((I)n << mantissa<T>) + (Bits(single ? 127 : 1023) << mantissa<T>));
  n -= shift<T>;
  const V r = (x - n * ln2_high<T>) - n * ln2_low<T>;
  V sum = V{} + T(1 / factorial(terms));
  for (int k = terms - 1; k >= 0; k--) sum = sum * r + T(1 / factorial(k));
  return sum * scale;
}
template <class T, class V = typename Vector<T>::type>
inline V sigmoid(V x) { return T(1) / (T(1) + exponential<T>(-x)); }
template <class T, class V = typename Vector<T>::type>
inline V tangent(V x) { return T(1) - T(2) / (exponential<T>(x + x) + T(1)); }

// log(x) = n log(2) + 2 artanh(s) of a positive normal number x = 2^n m with sqrt(1/2) <= m < sqrt(2), where
// s = (m - 1) / (m + 1), and artanh(s) by its series. NaN and infinity give NaN.
template <class T, class V = typename Vector<T>::type>
inline V logarithm(V x) {
  constexpr bool single = sizeof(T) == 4;
  using I = typename Vector<T>::mask;
  constexpr int terms = single ? 5 : 11;
  const I least = (I)(V{} + T(0.70710678118654752440L)), zero = (I)(V{} + shift<T>);
  const I exponent = ((I)x - least) >> mantissa<T>;
  const V n = (V)(exponent + zero) - shift<T>, m = (V)((I)x - (exponent << mantissa<T>));
  const V s = (m - T(1)) / (m + T(1)), square = s * s;
  V sum = V{} + T(1.0L / (2 * terms + 1));
  for (int k = terms - 1; k > 0; k--) sum = sum * square + T(1.0L / (2 * k + 1));
  return n * ln2_high<T> + (n * ln2_low<T> + (T(2) * s * square * sum + T(2) * s)) + (x - x);
}
template <class T, class V = typename Vector<T>::type>
inline V logarithm_1p(V z) {  // of 1 + z, for z >= 0
  const V u = z + T(1);
  return logarithm<T>(u) + (z - (u - T(1))) / u;
}
template <class T, class V = typename Vector<T>::type>
inline V root(V x) {
  for (int r = 0; r < Vector<T>::W; r++) x[r] = std::sqrt(x[r]);
  return x;
}

// A cell computes a unit's output and state from its pre-activations; the equations are those of cells.py. A unit has
// GATES rows of input weights and of recurrent weights, and ROWS pre-activations: input row g is added to number g,
// recurrent row g to number recurrent(g). For each unit and step SLOTS numbers are kept for backward, the output first.
// In backward, dh is the gradient of the output and d that of the pre-activations; `carried` hands the gradient of the
// state from each step to the one before; `direct` is the part of the former output's gradient that passes no weights.
template <class T>
struct Rnn {
  using V = typename Vector<T>::type;
  static constexpr int GATES = 1, ROWS = 1, SLOTS = 1;
  static constexpr int recurrent(int g) { return g; }
  static void forward(const V* a, const V*, V* now) { now[0] = tangent<T>(a[0]); }
  static void backward(V dh, const V*, const V* now, V* d, V&, V& direct) {
    d[0] = dh * (T(1) - now[0] * now[0]);
    direct = V{};
  }
};

template <class T>
struct Lstm {
  using V = typename Vector<T>::type;
  static constexpr int GATES = 4, ROWS = 4, SLOTS = 7;  // h, c, tanh c, i, f, g, o
  static constexpr int recurrent(int g) { return g; }
  static void forward(const V* a, const V* before, V* now) {
    const V i = sigmoid<T>(a[0]), f = sigmoid<T>(a[1]), g = tangent<T>(a[2]), o = sigmoid<T>(a[3]);
    now[1] = f * before[1] + i * g;
    now[2] = tangent<T>(now[1]);
    now[0] = o * now[2];
    now[3] = i, now[4] = f, now[5] = g, now[6] = o;
  }
  static void backward(V dh, const V* before, const V* now, V* d, V& carried, V& direct) {
    const V i = now[3], f = now[4], g = now[5], o = now[6];
    const V dc = carried + dh * o * (T(1) - now[2] * now[2]);
    d[0] = dc * g * i * (T(1) - i);
    d[1] = dc * before[1] * f * (T(1) - f);
    d[2] = dc * i * (T(1) - g * g);
    d[3] = dh * now[2] * o * (T(1) - o);
    carried = dc * f;
    direct = V{};
  }
};

template <class T>
struct Gru {
  using V = typename Vector<T>::type;
  static constexpr int GATES = 3, ROWS = 4, SLOTS = 5;  // h, r, z, n, recurrent part of n
  static constexpr int recurrent(int g) { return g == 2 ? 3 : g; }
  static void forward(const V* a, const V* before, V* now) {
    const V r = sigmoid<T>(a[0]), z = sigmoid<T>(a[1]), n = tangent<T>(a[2] + r * a[3]);
    now[0] = n + z * (before[0] - n);
    now[1] = r, now[2] = z, now[3] = n, now[4] = a[3];
  }
  static void backward(V dh, const V* before, const V* now, V* d, V&, V& direct) {
    const V r = now[1], z = now[2], n = now[3];
    d[2] = dh * (T(1) - z) * (T(1) - n * n);
    d[3] = d[2] * r;
    d[0] = d[2] * now[4] * r * (T(1) - r);
    d[1] = dh * (before[0] - n) * z * (T(1) - z);
    direct = dh * z;
  }
};

struct Shape {
  int64_t B, T, D, H, C;
};

// The network of a lane: number r of those whose parameters are w_ih [R, G * H, D], w_hh [R, G * H, H], b_ih and b_hh
// [R, G * H], w_out [R, C, H] and b_out [R, C]. P is T, or const T.
template <class P>
struct Network {
  P* const* parameters;
  int64_t H, r;
};

// The forward and backward pass of W networks, `count` of which are there.
template <class T, template <class> class Cell>
struct Lanes {
  using V = typename Vector<T>::type;
  using I = typename Vector<T>::mask;
  using C = Cell<T>;
  static constexpr int W = Vector<T>::W, G = C::GATES, ROWS = C::ROWS, S = C::SLOTS;
  const Shape n;
  const int64_t count, window, units = n.B * n.H * S;  // window: how many of the last steps are kept
  const int64_t row = n.H * G, size = row * (n.D + n.H + 2) + n.C * (n.H + 1);  // of all parameters
  const int64_t starts[6] = {0, row * n.D, row * (n.D + n.H), row * (n.D + n.H + 1), row * (n.D + n.H + 2), size - n.C};
  V *const inputs, *const states;  // [window, B, D], [window, B, H, SLOTS]; for backward all T steps are kept
  const int64_t* lengths = nullptr;  // [count, B], where they are known
  // w_ih [H, D, G], w_hh [H, H, G], b_ih, b_hh [H, G], w_out [C, H], b_out [C]
  std::vector<V> weights = std::vector<V>(size), gradients;
  std::vector<V> bias = std::vector<V>(n.H * ROWS), nothing = std::vector<V>(S);
  std::vector<V> dh, deltas, carried, direct;  // [T, B, H], [B, H, ROWS], [B, H], [H]

  Lanes(const Shape& n, int64_t count, int64_t window, V* inputs, V* states)
      : n(n), count(count), window(window), inputs(inputs), states(states) {}

  // Call f(number, k, r) for each parameter of each network: where it stands in the caller's tensors, the place of its
  // vector in `weights`, and its lane.
  template <class P, class F>
  void each(const Network<P>* networks, F f) const {
    for (int part = 0; part < 4; part++)
      for (int64_t u = 0; u < n.H; u++)
        for (int g = 0; g < G; g++)
          for (int64_t r = 0; r < count; r++) {
            const auto& net = networks[r];
            const int64_t ours = part == 0 ? n.D : part == 1 ? n.H : 1, theirs = part == 1 ? net.H : ours;
            if (u >= net.H) continue;
            P* const row = net.parameters[part] + ((net.r * G + g) * net.H + u) * theirs;
            for (int64_t i = 0; i < theirs; i++) f(row[i], starts[part] + (u * ours + i) * G + g, r);
          }
    for (int64_t c = 0; c < n.C; c++)
      for (int64_t r = 0; r < count; r++) {
        const auto& net = networks[r];
        const int64_t row = net.r * n.C + c;
        for (int64_t j = 0; j < net.H; j++) f(net.parameters[4][row * net.H + j], starts[4] + c * n.H + j, r);
        f(net.parameters[5][row], starts[5] + c, r);
      }
  }
  template <class P>
  void load(const Network<P>* networks, std::vector<V>& to) const {
    each(networks, [&](const T& number, int64_t k, int64_t r) { to[k][r] = number; });
  }
  void store(const Network<T>* networks, const std::vector<V>& from) const {
    each(networks, [&](T& number, int64_t k, int64_t r) { number = from[k][r]; });
  }

  int64_t length(int64_t r, int64_t b) const { return lengths ? lengths[r * n.B + b] : n.T; }

  // x: of the first network, with the strides of networks, sequences and steps. The padding is read as zeros. use(t) is
  // called after each step t, as long as its states are kept.
  template <class F>
  void forward(const T* x, int64_t x_r, int64_t x_b, int64_t x_t, int64_t steps, F use) {
    add_biases();
    for (int64_t t = 0; t < steps; t++) {
      if (t % window == 0) read_inputs(x + t * x_t, x_r, x_b, x_t, t, std::min(t + window, steps));
      step(t);
      use(t);
    }
  }
  void forward(const T* x, int64_t x_r, int64_t x_b, int64_t x_t, int64_t steps) {
    forward(x, x_r, x_b, x_t, steps, [](int64_t) {});
  }
  void add_biases() {
    const V *const b_ih = &weights[starts[2]], *const b_hh = &weights[starts[3]];
    for (int64_t u = 0; u < n.H; u++) {
      for (int row = 0; row < ROWS; row++) bias[u * ROWS + row] = V{};
      for (int g = 0; g < G; g++) bias[u * ROWS + g] += b_ih[u * G + g];
      for (int g = 0; g < G; g++) bias[u * ROWS + C::recurrent(g)] += b_hh[u * G + g];
    }
  }
  void read_inputs(const T* x, int64_t x_r, int64_t x_b, int64_t x_t, int64_t start, int64_t end) {
    std::fill(inputs, inputs + (end - start) * n.B * n.D, V{});
    for (int64_t b = 0; b < n.B; b++)
      for (int64_t r = 0; r < count; r++) {
        const T* from = x + r * x_r + b * x_b;
        V* to = inputs + b * n.D;
        for (int64_t t = start, last = std::min(end, length(r, b)); t < last; t++, from += x_t, to += n.B * n.D)
          for (int64_t d = 0; d < n.D; d++) to[d][r] = from[d];
      }
  }
  void step(int64_t t) {
    const V *const w_ih = &weights[0], *const w_hh = &weights[starts[1]];
    const V* x = inputs + t % window * n.B * n.D;
    const V* before = states + (t + window - 1) % window * units;
    V* now = states + t % window * units;
    for (int64_t b = 0; b < n.B; b++, x += n.D, before += n.H * S, now += n.H * S)
      for (int64_t u = 0; u < n.H; u++) {
        V a[ROWS];
        for (int row = 0; row < ROWS; row++) a[row] = bias[u * ROWS + row];
        const V* w = w_ih + u * n.D * G;
        for (int64_t d = 0; d < n.D; d++)
          for (int g = 0; g < G; g++) a[g] += *w++ * x[d];
        w = w_hh + u * n.H * G;
        if (t)
          for (int64_t j = 0; j < n.H; j++)
            for (int g = 0; g < G; g++) a[C::recurrent(g)] += *w++ * before[j * S];
        C::forward(a, t ? before + u * S : nothing.data(), now + u * S);
      }
  }

  // The outputs [H] for sequence b at step t, or after the last step of each sequence.
  void outputs(int64_t t, int64_t b, V* h) const {
    for (int64_t j = 0; j < n.H; j++) h[j] = states[((t % window * n.B + b) * n.H + j) * S];
  }
  void last_outputs(int64_t b, V* h) const {
    for (int64_t j = 0; j < n.H; j++) {
      h[j] = V{};
      for (int64_t r = 0; r < count; r++) h[j][r] = states[(((length(r, b) - 1) * n.B + b) * n.H + j) * S][r];
    }
  }
  void read_out(const V* h, V* logits) const {  // [H] -> [C]
    const V *const w = &weights[starts[4]], *const bias = &weights[starts[5]];
    for (int64_t c = 0; c < n.C; c++) {
      logits[c] = bias[c];
      for (int64_t j = 0; j < n.H; j++) logits[c] += w[c * n.H + j] * h[j];
    }
  }

  // Before backward_read_out and backward.
  void clear_gradients(int64_t steps) {
    gradients.assign(size, V{});
    dh.assign(steps * n.B * n.H, V{});
    carried.assign(n.B * n.H, V{});
    deltas.resize(n.B * n.H * ROWS);
    direct.resize(n.H);
  }
  // Add the gradients of the read-out's parameters, and give that of the outputs [H]. scatter puts the latter into dh.
  void backward_read_out(const V* h, const V* dlogits, V* dh) {
    const V* const w = &weights[starts[4]];
    V *const dw = &gradients[starts[4]], *const dbias = &gradients[starts[5]];
    for (int64_t j = 0; j < n.H; j++) dh[j] = V{};
    for (int64_t c = 0; c < n.C; c++) {
      const V g = dlogits[c];
      dbias[c] += g;
      for (int64_t j = 0; j < n.H; j++) {
        dh[j] += g * w[c * n.H + j];
        dw[c * n.H + j] += g * h[j];
      }
    }
  }
  void scatter(int64_t t, int64_t b, const V* from) { std::copy(from, from + n.H, &dh[(t * n.B + b) * n.H]); }
  void scatter_last(int64_t b, const V* from) {
    for (int64_t r = 0; r < count; r++)
      for (int64_t j = 0; j < n.H; j++) dh[((length(r, b) - 1) * n.B + b) * n.H + j][r] = from[j][r];
  }

  // Backpropagation through time of dh, the gradient of the outputs; use(t, b, deltas) sees the gradients [H, ROWS] of
  // the pre-activations.
  template <class F>
  void backward(int64_t steps, F use) {
    const V* const w_hh = &weights[starts[1]];
    for (int64_t t = steps - 1; t >= 0; t--) {
      for (int64_t b = 0; b < n.B; b++) {
        const V* const now = states + (t * n.B + b) * n.H * S;
        V* const delta = &deltas[b * n.H * ROWS];
        for (int64_t u = 0; u < n.H; u++)
          C::backward(dh[(t * n.B + b) * n.H + u], t ? now - units + u * S : nothing.data(), now + u * S,
                      delta + u * ROWS, carried[b * n.H + u], direct[u]);
        if (t)
          for (int64_t j = 0; j < n.H; j++) {
            V parts[G] = {direct[j]};
            for (int64_t u = 0; u < n.H; u++)
              for (int g = 0; g < G; g++) parts[g] += w_hh[(u * n.H + j) * G + g] * delta[u * ROWS + C::recurrent(g)];
            for (int g = 1; g < G; g++) parts[0] += parts[g];
            dh[((t - 1) * n.B + b) * n.H + j] += parts[0];
          }
        use(t, b, delta);
      }
      for (int64_t u = 0; u < n.H; u++) weigh(t, u);
    }
  }
  // Add the share of step t to the gradients of the weights of unit u.
  void weigh(int64_t t, int64_t u) {
    const V* const delta = &deltas[u * ROWS];
    V sums[ROWS] = {};
    for (int64_t b = 0; b < n.B; b++)
      for (int row = 0; row < ROWS; row++) sums[row] += delta[b * n.H * ROWS + row];
    for (int g = 0; g < G; g++) {
      gradients[starts[2] + u * G + g] += sums[g];
      gradients[starts[3] + u * G + g] += sums[C::recurrent(g)];
    }
    weigh_columns<false>(&gradients[u * n.D * G], n.D, delta, inputs + t * n.B * n.D, n.D, 1);
    if (t) weigh_columns<true>(&gradients[starts[1] + u * n.H * G], n.H, delta, states + (t - 1) * units, n.H * S, S);
  }
  // Add to [columns, G] the products of deltas and the numbers of each column, summed over the sequences.
  template <bool recurrent>
  void weigh_columns(V* to, int64_t columns, const V* delta, const V* from, int64_t stride, int64_t step) const {
    for (int64_t i = 0; i < columns; i++, to += G, from += step) {
      V sums[G] = {};
      for (int64_t b = 0; b < n.B; b++)
        for (int g = 0; g < G; g++)
          sums[g] += delta[b * n.H * ROWS + (recurrent ? C::recurrent(g) : g)] * from[b * stride];
      for (int g = 0; g < G; g++) to[g] += sums[g];
    }
  }
};

// ---- A layer for autograd ----

struct Sizes {  // last: the result is that of each sequence's last step alone; window: steps whose states are kept, all
                // T for backward, else 2; x_r, x_b, x_t: strides of x
  int64_t R, B, T, D, H, C, last, window, x_r, x_b, x_t;
};

template <class T>
struct Tensors {  // of the caller; x and dx [R, B, T, D], out and d_out [R, B, T, C or H], if `last` [R, B, C or H]
  const T *x, *parameters[6];
  const int64_t* lengths;  // [R, B]
  T *inputs, *states;      // kept from forward for backward: [R / W, window, B, D, W], [R / W, window, B, H, SLOTS, W]
  T* out;
  const T* d_out;
  T *dx, *gradients[6];
};

template <class T, template <class> class Cell>
struct Layer {
  using V = typename Vector<T>::type;
  using L = Lanes<T, Cell>;
  static constexpr int W = L::W, G = L::G;
  const Sizes& n;
  const Tensors<T>& p;
  const int64_t first, steps = n.last ? 1 : n.T, width = n.C ? n.C : n.H;  // steps and width of the result
  L lanes;
  std::vector<V> h = std::vector<V>(n.H), dread = h, result = std::vector<V>(width);

  Layer(const Sizes& n, const Tensors<T>& p, int64_t group)
      : n(n), p(p), first(group * W),
        lanes({n.B, n.T, n.D, n.H, n.C}, std::min<int64_t>(W, n.R - first), n.window,
              (V*)p.inputs + group * n.window * n.B * n.D, (V*)p.states + group * n.window * n.B * n.H * L::S) {
    if (n.last) lanes.lengths = p.lengths + first * n.B;
    const auto networks = of(p.parameters);
    lanes.load(networks.data(), lanes.weights);
  }
  template <class P>
  std::vector<Network<P>> of(P* const* parameters) const {
    std::vector<Network<P>> networks;
    for (int64_t r = 0; r < lanes.count; r++) networks.push_back({parameters, n.H, first + r});
    return networks;
  }
  int64_t place(int64_t r, int64_t b, int64_t t) const { return (((first + r) * n.B + b) * steps + t) * width; }
  void outputs(int64_t t, int64_t b) { n.last ? lanes.last_outputs(b, h.data()) : lanes.outputs(t, b, h.data()); }

  void forward() {
    lanes.forward(p.x + first * n.x_r, n.x_r, n.x_b, n.x_t, n.T, [&](int64_t t) {
      for (int64_t b = 0; b < n.B; b++)
        if (!n.last || ends(t, b)) write(t, b);
    });
  }
  bool ends(int64_t t, int64_t b) const {  // whether step t is the last one for some network
    for (int64_t r = 0; r < lanes.count; r++)
      if (lanes.length(r, b) == t + 1) return true;
    return false;
  }
  void write(int64_t t, int64_t b) {
    lanes.outputs(t, b, h.data());
    if (n.C) lanes.read_out(h.data(), result.data());
    const std::vector<V>& from = n.C ? result : h;
    for (int64_t r = 0; r < lanes.count; r++)
      if (!n.last || lanes.length(r, b) == t + 1)
        for (int64_t i = 0; i < width; i++) p.out[place(r, b, n.last ? 0 : t) + i] = from[i][r];
  }
  void backward() {
    lanes.clear_gradients(n.T);
    for (int64_t t = 0; t < steps; t++)
      for (int64_t b = 0; b < n.B; b++) {
        for (int64_t r = 0; r < lanes.count; r++)
          for (int64_t i = 0; i < width; i++) result[i][r] = p.d_out[place(r, b, t) + i];
        if (n.C) {
          outputs(t, b);
          lanes.backward_read_out(h.data(), result.data(), dread.data());
        } else {
          dread = result;
        }
        n.last ? lanes.scatter_last(b, dread.data()) : lanes.scatter(t, b, dread.data());
      }
    lanes.backward(n.T, [&](int64_t t, int64_t b, const V* delta) {
      if (p.dx) backward_inputs(p.dx + (b * n.T + t) * n.D, delta);
    });
    const auto networks = of(p.gradients);
    lanes.store(networks.data(), lanes.gradients);
  }
  void backward_inputs(T* dx, const V* delta) const {
    for (int64_t i = 0; i < n.D; i++) {
      V parts[G] = {};
      for (int64_t u = 0; u < n.H; u++)
        for (int g = 0; g < G; g++) parts[g] += lanes.weights[(u * n.D + i) * G + g] * delta[u * L::ROWS + g];
      for (int g = 1; g < G; g++) parts[0] += parts[g];
      for (int64_t r = 0; r < lanes.count; r++) dx[(first + r) * n.B * n.T * n.D + i] = parts[0][r];
    }
  }
};

template <class T, template <class> class Cell>
void run_layer(const Sizes& n, const Tensors<T>& p, bool backward, int threads) {
  const int64_t groups = (n.R + Vector<T>::W - 1) / Vector<T>::W;
#pragma omp parallel for num_threads(threads) if (threads > 1 && groups > 1)
  for (int64_t group = 0; group < groups; group++) {
    Layer<T, Cell> layer(n, p, group);
    backward ? layer.backward() : layer.forward();
  }
}

// ---- Whole optimizer steps ----

enum Optimizer : int64_t { ADAM, ADAMW, SGD };
enum Loss : int64_t { BCE, MSE, CE, SQUARED };
enum Kind : int64_t { BITS, CLASSES, NUMBERS };
enum Clip : int64_t { NONE, BY_NORM, BY_VALUE };

template <class Number>
struct Batches {  // N batches of R networks
  int64_t N, R, B, T, D, C, last, whole, kind;  // last: one answer, after the last step; whole: targets are int64_t
  double tolerance;                             // the largest error of a right number
  const Number* x;                              // [N, R, B, T, D]
  const int64_t* lengths;                       // [N, R, B], from 1 to T
  const void* targets;                          // [N, R, B, T], if `last` [N, R, B]; of answers with parts [..., C]
  const uint8_t* asked;                         // [N, R, B, T], whether an answer is asked, or null: at every step

  int64_t parts() const { return kind == CLASSES ? 1 : C; }
};

template <class T>
struct Member {  // R networks of one run. Failed and frozen ones keep their parameters and moments.
  int64_t R, H, longest, taken;  // longest: last row of the tally; taken: optimizer steps before this call
  int64_t optimizer, loss, clip_by;
  double weight_decay, beta1, beta2, eps, momentum, clip, smoothing;
  const double* rates;                      // [N]
  T *parameters[6], *first[6], *second[6];  // the moments of Adam; `first` is the momentum of SGD
  const uint8_t* frozen;                    // [R]
  int64_t* failed;                          // [R], the step at which the loss was no longer finite, or -1
  double* tally;                            // [R, longest + 1, 5], see metrics.Tally
  T *losses, *norms;                        // [N, R], the mean of each batch, and its gradient's norm before clipping
};

template <class T>
struct Place {  // of a network
  const Member<T>* member;
  int64_t r;
};

// The loss of an answer of each network, its gradient and whether the answer is right. Lanes may have different losses.
template <class T>
struct Losses {
  using V = typename Vector<T>::type;
  using I = typename Vector<T>::mask;
  const int64_t C, kind;
  const T tolerance;
  I squared{};  // the lanes of mse
  bool logarithms = false;  // are needed, by some lane
  V smoothing{};
  std::vector<V> p = std::vector<V>(C);

  void operator()(V* logits, const V* targets, V& loss, I& right) {  // logits [C] become their gradients
    if (kind == CLASSES) return of_class(logits, targets[0], loss, right);
    of_part(logits[0], targets[0], loss, right);
    if (C == 1) return;
    for (int64_t k = 1; k < C; k++) {
      V each;
      I is_right;
      of_part(logits[k], targets[k], each, is_right);
      loss += each;
      right &= is_right;
    }
    loss /= T(C);
    for (int64_t k = 0; k < C; k++) logits[k] /= T(C);
  }
  void of_part(V& x, V target, V& loss, I& right) const {
    kind == NUMBERS ? of_number(x, target, loss, right) : of_bit(x, target, loss, right);
  }
  void of_number(V& x, V target, V& loss, I& right) const {
    const V error = x - target;
    loss = error * error;
    right = (error <= V{} + tolerance) & (error >= V{} - tolerance);
    x = T(2) * error;
  }
  void of_bit(V& x, V target, V& loss, I& right) const {
    const V one = V{} + T(1), least = x < T(0) ? x : V{}, e = exponential<T>(x < T(0) ? x : -x), more = one / (one + e);
    const V p = x < T(0) ? e * more : more, error = p - target;
    right = (x > T(0) ? one : V{}) == target;
    loss = error * error;
    if (logarithms) loss = squared ? loss : (one - target) * x - least + logarithm_1p<T>(e);
    x = squared ? T(2) * error * p * (one - p) : error;
  }
  void of_class(V* x, V target, V& loss, I& right) {
    V most = x[0], answer{}, sum{}, entropy{}, squares{}, dot{};
    for (int64_t k = 1; k < C; k++) {
      const I more = (x[k] > most) | ((x[k] != x[k]) & (most == most));  // NaN is the largest
      most = more ? x[k] : most;
      answer = more ? V{} + T(k) : answer;
    }
    right = answer == target;
    for (int64_t k = 0; k < C; k++) sum += p[k] = exponential<T>(x[k] - most);
    const V log_sum = logarithms ? logarithm<T>(sum) : V{}, share = T(1) / sum;
    for (int64_t k = 0; k < C; k++) {
      const V is = one_hot(target, k), error = (p[k] *= share) - is;
      entropy += smooth(is) * (log_sum - (x[k] - most));
      squares += error * error;
      dot += error * p[k];
    }
    loss = squared ? squares / T(C) : entropy;
    for (int64_t k = 0; k < C; k++) {
      const V is = one_hot(target, k);
      x[k] = squared ? T(2) / T(C) * p[k] * (p[k] - is - dot) : p[k] - smooth(is);
    }
  }
  static V one_hot(V target, int64_t k) { return target == V{} + T(k) ? V{} + T(1) : V{}; }
  V smooth(V is) const { return is * (T(1) - smoothing) + smoothing / T(C); }
};

// The optimizers of W networks, as torch.optim has them. Lanes may have different ones.
template <class T>
struct Optimizers {
  using V = typename Vector<T>::type;
  using I = typename Vector<T>::mask;
  I adam{}, near{};  // near: the first moment is interpolated from its former value, else from the gradient
  bool any_adam = false, any_sgd = false;
  V scale{}, bound{}, decay{}, share{}, beta2{}, rest{}, eps{}, momentum{};
  V rate{}, kept{}, correction{};  // of a step

  void set(int64_t r, const Member<T>& m) {
    const bool sgd = m.optimizer == SGD;
    adam[r] = sgd ? 0 : -1;
    (sgd ? any_sgd : any_adam) = true;
    near[r] = 1 - m.beta1 < 0.5 ? -1 : 0;
    share[r] = 1 - m.beta1 < 0.5 ? 1 - m.beta1 : -m.beta1;
    beta2[r] = m.beta2, rest[r] = 1 - m.beta2, eps[r] = m.eps, momentum[r] = m.momentum;
    decay[r] = m.optimizer == ADAMW ? 0 : m.weight_decay;
    bound[r] = m.clip_by == BY_VALUE ? m.clip : INFINITY;
  }
  void set_step(int64_t r, const Member<T>& m, int64_t k) {
    const double taken = m.taken + k + 1;
    rate[r] = m.rates[k] / (m.optimizer == SGD ? 1 : 1 - std::pow(m.beta1, taken));
    correction[r] = std::sqrt(1 - std::pow(m.beta2, taken));
    kept[r] = m.optimizer == ADAMW ? 1 - m.rates[k] * m.weight_decay : 1;
  }
  void update(I active, V g, V& parameter, V& first, V& second) const {
    g *= scale;
    g = g > bound ? bound : g;
    g = g < -bound ? -bound : g;
    g += decay * parameter;
    V now = parameter * kept, m = first, v = second;
    if (any_adam) {
      m = (near ? first : g) + share * (g - first);
      v = second * beta2 + rest * g * g;
      now -= rate * m / (root<T>(v) / correction + eps);
    }
    if (any_sgd) {
      const V velocity = first * momentum + g;
      m = adam ? m : velocity;
      v = adam ? v : second;
      now = adam ? now : parameter - rate * velocity;
    }
    parameter = active ? now : parameter;
    first = active ? m : first;
    second = active ? v : second;
  }
};

// The training of W networks, each alone, the first of which is number `start` of all.
template <class T, template <class> class Cell>
struct Training {
  using V = typename Vector<T>::type;
  using I = typename Vector<T>::mask;
  using L = Lanes<T, Cell>;
  const Batches<T>& n;
  const Place<T>* const places;
  const int64_t start, count = std::min<int64_t>(L::W, n.R - start);
  const Shape shape{n.B, n.T, n.D, most_units(), n.C};
  std::vector<V> inputs = std::vector<V>(n.T * n.B * n.D), states = std::vector<V>(n.T * n.B * shape.H * L::S);
  L lanes{shape, count, n.T, inputs.data(), states.data()};
  std::vector<V> first = lanes.weights, second = first;  // moments
  std::vector<V> h = std::vector<V>(shape.H), dh = h, logits = std::vector<V>(n.C);
  std::vector<V> targets = std::vector<V>(n.B * n.T * n.parts());
  Losses<T> losses{n.C, n.kind, T(n.tolerance)};
  Optimizers<T> optimizers;
  I active{}, by_norm{};
  V limit{};
  const uint8_t* asked = nullptr;  // of the batch, [count, B, T]
  std::vector<I> there = std::vector<I>(lanes.size);  // parameters that are no padding

  Training(const Batches<T>& n, const std::vector<Place<T>>& all, int64_t start)
      : n(n), places(&all[start]), start(start) {
    each_tensor([&](const auto& networks, std::vector<V>& numbers) {
      lanes.load(networks.data(), numbers);
      lanes.each(networks.data(), [&](const T&, int64_t k, int64_t r) { there[k][r] = -1; });
    });
    for (int64_t r = 0; r < count; r++) {
      const Member<T>& m = *places[r].member;
      optimizers.set(r, m);
      losses.squared[r] = m.loss == MSE ? -1 : 0;
      losses.logarithms |= m.loss != MSE;
      losses.smoothing[r] = m.smoothing;
      by_norm[r] = m.clip_by == BY_NORM ? -1 : 0;
      limit[r] = m.clip;
      active[r] = m.frozen[places[r].r] ? 0 : -1;
      m.failed[places[r].r] = -1;
    }
  }
  int64_t most_units() const {
    int64_t most = 0;
    for (int64_t r = 0; r < count; r++) most = std::max(most, places[r].member->H);
    return most;
  }
  template <class F>
  void each_tensor(F f) {
    std::vector<Network<T>> parameters, firsts, seconds;
    for (int64_t r = 0; r < count; r++) {
      const Member<T>& m = *places[r].member;
      parameters.push_back({m.parameters, m.H, places[r].r});
      firsts.push_back({m.first, m.H, places[r].r});
      seconds.push_back({m.second, m.H, places[r].r});
    }
    f(parameters, lanes.weights);
    f(firsts, first);
    f(seconds, second);
  }

  void run() {
    for (int64_t k = 0; k < n.N; k++) {
      lanes.lengths = n.lengths + (k * n.R + start) * n.B;
      const int64_t steps = *std::max_element(lanes.lengths, lanes.lengths + count * n.B), sequence = n.T * n.D;
      lanes.forward(n.x + (k * n.R + start) * n.B * sequence, n.B * sequence, sequence, n.D, steps);
      lanes.clear_gradients(steps);
      note_losses(k, answer(k, n.last ? 1 : steps));
      lanes.backward(steps, [](int64_t, int64_t, const V*) {});
      optimize(k);
    }
    each_tensor([&](const auto& networks, std::vector<V>& numbers) { lanes.store(networks.data(), numbers); });
  }

  // Give the mean loss of batch k, tally its answers, and start the backward pass.
  V answer(int64_t k, int64_t answers) {
    V counts{}, total{};
    const int64_t first_target = (k * n.R + start) * n.B * (n.last ? 1 : n.T);
    asked = n.asked ? n.asked + first_target : nullptr;
    if (n.whole)
      read_targets((const int64_t*)n.targets + first_target * n.parts(), answers);
    else
      read_targets((const T*)n.targets + first_target * n.parts(), answers);
    for (int64_t r = 0; r < L::W; r++) counts[r] = r < count ? answers_of(r) : 1;
    const V share = T(1) / counts;
    for (int64_t b = 0; b < n.B; b++) {
      V length{}, loss{}, right{};
      for (int64_t r = 0; r < count; r++) length[r] = lanes.length(r, b);
      for (int64_t t = 0; t < answers; t++) {
        V* const gradient = n.last ? dh.data() : &lanes.dh[(t * n.B + b) * shape.H];
        n.last ? lanes.last_outputs(b, h.data()) : lanes.outputs(t, b, h.data());
        lanes.read_out(h.data(), logits.data());
        V each;
        I is_right;
        losses(logits.data(), &targets[(b * answers + t) * n.parts()], each, is_right);
        I real = V{} + T(t) < length;
        for (int64_t r = 0; asked && r < count; r++) real[r] &= asked[(r * n.B + b) * n.T + t] ? -1 : 0;
        loss += real ? each : V{};
        right += real & is_right ? V{} + T(1) : V{};
        for (V& dlogit : logits) dlogit = real ? dlogit * share : V{};
        lanes.backward_read_out(h.data(), logits.data(), gradient);
        if (n.last) lanes.scatter_last(b, gradient);
      }
      tally(b, loss, right);
      total += loss;
    }
    return total * share;
  }
  int64_t answers_of(int64_t r, int64_t b) const {
    const int64_t length = lanes.length(r, b);
    if (!asked) return n.last ? 1 : length;
    int64_t sum = 0;
    for (int64_t t = 0; t < length; t++) sum += asked[(r * n.B + b) * n.T + t] != 0;
    return sum;
  }
  int64_t answers_of(int64_t r) const {
    int64_t sum = 0;
    for (int64_t b = 0; b < n.B; b++) sum += answers_of(r, b);
    return sum;
  }
  template <class Number>
  void read_targets(const Number* from, int64_t answers) {  // answers: of each sequence
    const int64_t parts = n.parts(), stride = n.last ? 1 : n.T;
    for (int64_t r = 0; r < count; r++)
      for (int64_t b = 0; b < n.B; b++)
        for (int64_t t = 0; t < answers * parts; t++)
          targets[b * answers * parts + t][r] = from[(r * n.B + b) * stride * parts + t];
  }
  void tally(int64_t b, V loss, V right) const {
    for (int64_t r = 0; r < count; r++) {
      const auto [member, i] = places[r];
      double* const sums = member->tally + (i * (member->longest + 1) + lanes.length(r, b)) * 5;
      const double answers = answers_of(r, b);
      sums[0] += 1, sums[1] += answers, sums[2] += loss[r], sums[3] += right[r], sums[4] += right[r] == answers;
    }
  }

  void note_losses(int64_t k, V mean) {
    const I finite = mean - mean == V{};
    for (int64_t r = 0; r < count; r++) {
      const auto [member, i] = places[r];
      member->losses[k * member->R + i] = mean[r];
      if (active[r] && !finite[r]) member->failed[i] = k;
    }
    active &= finite;
  }
  void optimize(int64_t k) {
    V squares[L::G] = {};
    for (int64_t i = 0; i < lanes.size; i++) {
      const V g = lanes.gradients[i];
      squares[i < lanes.starts[4] ? i % L::G : 0] += g * g;  // several sums, which do not wait for each other
    }
    for (int g = 1; g < L::G; g++) squares[0] += squares[g];
    const V norm = root<T>(squares[0]), one = V{} + T(1), scale = limit / (norm + T(1e-6));
    optimizers.scale = by_norm ? (scale > one ? one : scale) : one;
    for (int64_t r = 0; r < count; r++) {
      const auto [member, i] = places[r];
      member->norms[k * member->R + i] = norm[r];
      optimizers.set_step(r, *member, k);
    }
    for (int64_t i = 0; i < lanes.size; i++)
      optimizers.update(active & there[i], lanes.gradients[i], lanes.weights[i], first[i], second[i]);
  }
};

template <class T, template <class> class Cell>
void run_training(const Batches<T>& n, const Member<T>* members, int64_t J, int threads) {
  std::vector<Place<T>> places;
  for (int64_t j = 0; j < J; j++)
    for (int64_t r = 0; r < members[j].R; r++) places.push_back({&members[j], r});
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1 && n.R > Vector<T>::W)
  for (int64_t start = 0; start < n.R; start += Vector<T>::W) Training<T, Cell>(n, places, start).run();
}

template <class T>
void layer(int cell, const Sizes& n, const Tensors<T>& p, bool backward, int threads) {
  (cell == 0 ? run_layer<T, Rnn> : cell == 1 ? run_layer<T, Lstm> : run_layer<T, Gru>)(n, p, backward, threads);
}
template <class T>
void train(int cell, const Batches<T>& n, const Member<T>* members, int64_t J, int threads) {
  (cell == 0 ? run_training<T, Rnn> : cell == 1 ? run_training<T, Lstm> : run_training<T, Gru>)(n, members, J, threads);
}
}  // namespace
extern "C" {
int lanes(int bytes) { return Vector<float>::bytes / bytes; }
int slots(int cell) { return cell == 0 ? Rnn<float>::SLOTS : cell == 1 ? Lstm<float>::SLOTS : Gru<float>::SLOTS; }
void layer_float(int cell, const Sizes* n, const Tensors<float>* p, int backward, int threads) {
  layer(cell, *n, *p, backward, threads);
}
void layer_double(int cell, const Sizes* n, const Tensors<double>* p, int backward, int threads) {
  layer(cell, *n, *p, backward, threads);
}
void train_float(int cell, const Batches<float>* n, const Member<float>* members, int64_t J, int threads) {
  train(cell, *n, members, J, threads);
}
void train_double(int cell, const Batches<double>* n, const Member<double>* members, int64_t J, int threads) {
  train(cell, *n, members, J, threads);
}
}
