// Recurrent layers of many small networks at once, each replicate in its own lane of the vector registers.
//
// R replicates, B sequences, T steps, D inputs, H units, C outputs of a linear read-out (C = 0: the outputs of the
// layer are the result). The caller's tensors hold one replicate after the other. Here W replicates lie side by side,
// one in each lane: no sum crosses lanes, so no replicate depends on another. Compiled without -ffast-math, NaN is kept.

#include <algorithm>
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
  typedef T type __attribute__((vector_size(bytes)));
};

// exp(x) = 2^n exp(r) with |r| <= ln(2)/2, and exp(r) by its Taylor series; x is clamped so that nothing overflows.
template <class T, class V = typename Vector<T>::type>
inline V exponential(V x) {
  constexpr bool single = sizeof(T) == 4;
  using Bits = std::conditional_t<single, int32_t, int64_t>;
  typedef Bits I __attribute__((vector_size(Vector<T>::bytes)));
  constexpr int mantissa = single ? 23 : 52, terms = single ? 7 : 13;
  constexpr T limit = single ? 86 : 700, shift = T(3) * (Bits(1) << (mantissa - 1)), high = single ? 0.693359375 : 0x1.62e42ffp-1;
  const V most = V{} + limit;
  x = x > most ? most : x;
  x = x < -most ? -most : x;  // comparisons with NaN are false, so NaN passes
  V n = x * T(1.4426950408889634) + shift;
  const V scale = (V)(((I)n << mantissa) + (Bits(single ? 127 : 1023) << mantissa));
  n -= shift;
  const V r = (x - n * high) - n * T(0.6931471805599453094172L - high);
  V sum = V{} + T(1);
  for (int k = terms; k > 0; k--) sum = sum * r * T(1.0L / k) + T(1);
  return sum * scale;
}
template <class T, class V = typename Vector<T>::type>
inline V sigmoid(V x) { return T(1) / (T(1) + exponential<T>(-x)); }
template <class T, class V = typename Vector<T>::type>
inline V tangent(V x) { return T(1) - T(2) / (exponential<T>(x + x) + T(1)); }

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

struct Sizes {  // last: the result is that of each sequence's last step alone; x_r, x_b, x_t: strides of x
  int64_t R, B, T, D, H, C, last, x_r, x_b, x_t;
};

template <class T>
struct Tensors {  // of the caller; x and dx [R, B, T, D], out and d_out [R, B, T, C or H], if `last` [R, B, C or H]
  const T *x, *w_ih, *w_hh, *b_ih, *b_hh, *w_out, *b_out;
  const int64_t* lengths;  // [R, B]
  T *inputs, *states;      // kept from forward for backward: [R / W, T, B, D, W], [R / W, T, B, H, SLOTS, W]
  T* out;
  const T* d_out;
  T *dx, *dw_ih, *dw_hh, *db_ih, *db_hh, *dw_out, *db_out;
};

// A layer of W replicates, the first of which is number `first`.
template <class T, template <class> class Cell>
struct Lanes {
  using V = typename Vector<T>::type;
  using C = Cell<T>;
  static constexpr int W = Vector<T>::W, G = C::GATES, ROWS = C::ROWS, S = C::SLOTS;
  const Sizes& n;
  const Tensors<T>& p;
  const int64_t first, count, units = n.B * n.H * S;
  const int64_t steps = n.last ? 1 : n.T, width = n.C ? n.C : n.H, stride = n.B * steps * width;  // of the result
  V* const inputs = (V*)p.inputs + first / W * n.T * n.B * n.D;
  V* const states = (V*)p.states + first / W * n.T * units;
  std::vector<V> w_ih, w_hh, w_out, b_out, bias, nothing = std::vector<V>(S);

  Lanes(const Sizes& n, const Tensors<T>& p, int64_t group)
      : n(n), p(p), first(group * W), count(std::min<int64_t>(W, n.R - first)),
        w_ih(n.H * n.D * G), w_hh(n.H * n.H * G), w_out(n.C * n.H), b_out(n.C), bias(n.H * ROWS) {
    for (int64_t u = 0; u < n.H; u++)
      for (int g = 0; g < G; g++) {
        const int64_t row = g * n.H + u, rows = G * n.H;
        for (int64_t d = 0; d < n.D; d++) w_ih[(u * n.D + d) * G + g] = load(p.w_ih + row * n.D + d, rows * n.D);
        for (int64_t j = 0; j < n.H; j++) w_hh[(u * n.H + j) * G + g] = load(p.w_hh + row * n.H + j, rows * n.H);
        bias[u * ROWS + g] += load(p.b_ih + row, rows);
        bias[u * ROWS + C::recurrent(g)] += load(p.b_hh + row, rows);
      }
    for (int64_t k = 0; k < n.C * n.H; k++) w_out[k] = load(p.w_out + k, n.C * n.H);
    for (int64_t c = 0; c < n.C; c++) b_out[c] = load(p.b_out + c, n.C);
  }

  V load(const T* from, int64_t stride) const {
    V v{};
    for (int64_t r = 0; r < count; r++) v[r] = from[(first + r) * stride];
    return v;
  }
  void store(T* to, int64_t stride, V v) const {
    for (int64_t r = 0; r < count; r++) to[(first + r) * stride] = v[r];
  }
  int64_t end(int64_t r, int64_t b) const { return p.lengths[(first + r) * n.B + b] - 1; }
  void forward() {
    for (int64_t t = 0; t < n.T; t++)
      for (int64_t b = 0; b < n.B; b++) {
        V* const x = inputs + (t * n.B + b) * n.D;
        for (int64_t d = 0; d < n.D; d++) x[d] = load(p.x + b * n.x_b + t * n.x_t + d, n.x_r);
        V* const now = states + (t * n.B + b) * n.H * S;
        const V* const before = now - units;
        for (int64_t u = 0; u < n.H; u++) {
          V a[ROWS];
          for (int row = 0; row < ROWS; row++) a[row] = bias[u * ROWS + row];
          const V* w = &w_ih[u * n.D * G];
          for (int64_t d = 0; d < n.D; d++)
            for (int g = 0; g < G; g++) a[g] += *w++ * x[d];
          w = &w_hh[u * n.H * G];
          if (t)
            for (int64_t j = 0; j < n.H; j++)
              for (int g = 0; g < G; g++) a[C::recurrent(g)] += *w++ * before[j * S];
          C::forward(a, t ? before + u * S : nothing.data(), now + u * S);
        }
      }
    std::vector<V> h(n.H);
    for (int64_t t = 0; t < steps; t++)
      for (int64_t b = 0; b < n.B; b++) {
        for (int64_t j = 0; j < n.H; j++) h[j] = state(t, b, j);
        T* const out = p.out + (b * steps + t) * width;
        if (!n.C)
          for (int64_t j = 0; j < n.H; j++) store(out + j, stride, h[j]);
        for (int64_t c = 0; c < n.C; c++) {
          V sum = b_out[c];
          for (int64_t j = 0; j < n.H; j++) sum += w_out[c * n.H + j] * h[j];
          store(out + c, stride, sum);
        }
      }
  }
  // Output of unit j for sequence b at step t; if `last`, at the last step of the sequence.
  V state(int64_t t, int64_t b, int64_t j) const {
    if (!n.last) return states[((t * n.B + b) * n.H + j) * S];
    V v{};
    for (int64_t r = 0; r < count; r++) v[r] = states[((end(r, b) * n.B + b) * n.H + j) * S][r];
    return v;
  }

  void backward() {
    std::vector<V> dh(n.T * n.B * n.H), d(n.T * n.B * n.H * ROWS), carried(n.B * n.H), direct(n.H);
    std::vector<V> dw_out(n.C * n.H), db_out(n.C), dread(n.H);
    for (int64_t t = 0; t < steps; t++)  // the read-out
      for (int64_t b = 0; b < n.B; b++) {
        const T* const from = p.d_out + (b * steps + t) * width;
        for (int64_t j = 0; j < n.H; j++) dread[j] = n.C ? V{} : load(from + j, stride);
        for (int64_t c = 0; c < n.C; c++) {
          const V g = load(from + c, stride);
          db_out[c] += g;
          for (int64_t j = 0; j < n.H; j++) {
            dread[j] += g * w_out[c * n.H + j];
            dw_out[c * n.H + j] += g * state(t, b, j);
          }
        }
        for (int64_t j = 0; j < n.H; j++)
          if (!n.last)
            dh[(t * n.B + b) * n.H + j] = dread[j];
          else
            for (int64_t r = 0; r < count; r++) dh[(end(r, b) * n.B + b) * n.H + j][r] = dread[j][r];
      }
    for (int64_t t = n.T - 1; t >= 0; t--)  // through time
      for (int64_t b = 0; b < n.B; b++) {
        const V* const now = states + (t * n.B + b) * n.H * S;
        V* const delta = &d[(t * n.B + b) * n.H * ROWS];
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
        if (p.dx)
          for (int64_t i = 0; i < n.D; i++) {
            V parts[G] = {};
            for (int64_t u = 0; u < n.H; u++)
              for (int g = 0; g < G; g++) parts[g] += w_ih[(u * n.D + i) * G + g] * delta[u * ROWS + g];
            for (int g = 1; g < G; g++) parts[0] += parts[g];
            store(p.dx + (b * n.T + t) * n.D + i, n.B * n.T * n.D, parts[0]);
          }
      }
    const int64_t all = n.T * n.B;
    for (int64_t u = 0; u < n.H; u++) {  // the weights: sums over steps and sequences
      const V* const delta = &d[u * ROWS];
      V sums[ROWS] = {};
      for (int64_t k = 0; k < all; k++)
        for (int row = 0; row < ROWS; row++) sums[row] += delta[k * n.H * ROWS + row];
      for (int g = 0; g < G; g++) {
        store(p.db_ih + g * n.H + u, G * n.H, sums[g]);
        store(p.db_hh + g * n.H + u, G * n.H, sums[C::recurrent(g)]);
      }
      for (int64_t i = 0; i < n.D; i++) weigh(p.dw_ih, n.D, u, i, delta, inputs + i, n.D, all, false);
      for (int64_t j = 0; j < n.H; j++)
        weigh(p.dw_hh, n.H, u, j, delta + n.B * n.H * ROWS, states + j * S, n.H * S, all - n.B, true);
    }
    for (int64_t k = 0; k < n.C * n.H; k++) store(p.dw_out + k, n.C * n.H, dw_out[k]);
    for (int64_t c = 0; c < n.C; c++) store(p.db_out + c, n.C, db_out[c]);
  }
  void weigh(T* to, int64_t width, int64_t u, int64_t i, const V* delta, const V* from, int64_t stride, int64_t all,
             bool recurrent) const {
    V sums[G] = {};
    for (int64_t k = 0; k < all; k++)
      for (int g = 0; g < G; g++)
        sums[g] += delta[k * n.H * ROWS + (recurrent ? C::recurrent(g) : g)] * from[k * stride];
    for (int g = 0; g < G; g++) store(to + (g * n.H + u) * width + i, G * n.H * width, sums[g]);
  }
};

template <class T, template <class> class Cell>
void run(const Sizes& n, const Tensors<T>& p, bool backward, int threads) {
  const int64_t groups = (n.R + Vector<T>::W - 1) / Vector<T>::W;
#pragma omp parallel for num_threads(threads) if (threads > 1 && groups > 1)
  for (int64_t group = 0; group < groups; group++) {
    Lanes<T, Cell> lanes(n, p, group);
    backward ? lanes.backward() : lanes.forward();
  }
}

template <class T>
void choose(int cell, const Sizes& n, const Tensors<T>& p, bool backward, int threads) {
  (cell == 0 ? run<T, Rnn> : cell == 1 ? run<T, Lstm> : run<T, Gru>)(n, p, backward, threads);
}
}  // namespace
extern "C" {
int lanes(int bytes) { return Vector<float>::bytes / bytes; }
int slots(int cell) { return cell == 0 ? Rnn<float>::SLOTS : cell == 1 ? Lstm<float>::SLOTS : Gru<float>::SLOTS; }
void layer_float(int cell, const Sizes* n, const Tensors<float>* p, int backward, int threads) {
  choose(cell, *n, *p, backward, threads);
}
void layer_double(int cell, const Sizes* n, const Tensors<double>* p, int backward, int threads) {
  choose(cell, *n, *p, backward, threads);
}
}
