/* Counters of many attempts, read from packed values and added up: merge.py and formulas.py in C.

Both are a hundred numpy calls whatever the size of the batch, a millisecond for one attempt; this
is a few microseconds. It computes exactly what they do, operation by operation and in their order,
so that serving equals training to the last bit; tests/property/test_kernel.py holds it to that.
Where it is not built, numpy does the work.

Nothing here keeps state or trusts a length: a value is read only where its size is the layout's,
and every array is checked against the shape that the plan needs.
*/
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define HEAD_BYTES 4 /* magic and schema */
#define BASE_AT 8    /* newest event time, i64, in the header of a value */
#define HEADER_BYTES 16

/* One ring of a layout. All fields are int64, as numpy hands them over. */
typedef struct {
  int64_t distinct, offset, cell_bytes, buckets, slots, width_ms, lag_ms, sign, column;
} Ring;

/* A newest event time of a layout. */
typedef struct {
  int64_t offset, window_ms, column;
} Last;

/* A feature: formula number, its counters' columns. */
typedef struct {
  int64_t formula, of[3];
} Feature;

enum { VALUE, MEAN, RATIO, DEVIATION, RATE, SINCE, FORMULAS };

/* Quotient towards minus infinity, and the rest that belongs to it, of b > 0. */
static int64_t floor_div(int64_t a, int64_t b, int64_t *rest) {
  int64_t q = a / b, r = a % b;
  if (r < 0) {
    q--;
    r += b;
  }
  *rest = r;
  return q;
}

static int64_t i64_at(const char *at) {
  int64_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static uint64_t cell_at(const char *at, int64_t bytes) {
  if (bytes == 8) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
  }
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

/* Where the buckets of rings of one kind stand in a value, and how far the newest has come. */
typedef struct {
  int64_t width_ms, lag_ms, slots; /* of the kind */
  int64_t newest;                  /* slot of the base bucket; each slot before it is one older */
  int64_t ahead;                   /* buckets from the base's to the one of now */
  double left, passed;             /* of the bucket of now, shares */
} Turn;

static void turn_to(Turn *turn, const Ring *ring, int64_t base_ms, int64_t now_ms) {
  if (turn->width_ms == ring->width_ms && turn->lag_ms == ring->lag_ms && turn->slots == ring->slots)
    return; /* rings of one kind stand beside each other, and have their divisions once */
  int64_t passed, rest;
  const int64_t width_ms = ring->width_ms, base = floor_div(base_ms, width_ms, &rest);
  turn->width_ms = width_ms;
  turn->lag_ms = ring->lag_ms;
  turn->slots = ring->slots;
  turn->ahead = floor_div(now_ms - ring->lag_ms, width_ms, &passed) - base;
  floor_div(base, ring->slots, &turn->newest);
  turn->left = (double)(width_ms - passed) / (double)width_ms;
  turn->passed = (double)passed / (double)width_ms;
}

/* The window of one ring: see rings.py for the formula. */
static double ring_total(const Ring *ring, const Turn *turn, const char *cells) {
  const int64_t lagging = ring->lag_ms > 0;
  int64_t whole = 0, oldest = 0, newest = 0;
  int64_t age = turn->newest + turn->ahead; /* of slot 0; each next slot is one less */
  for (int64_t slot = 0; slot < ring->slots; slot++) {
    const int64_t value = (int64_t)cell_at(cells + slot * ring->cell_bytes, ring->cell_bytes);
    whole += age >= lagging && age < ring->buckets ? value : 0;
    oldest += age == ring->buckets ? value : 0;
    newest += age == 0 ? value : 0;
    age += slot == turn->newest ? ring->slots - 1 : -1;
  }
  double total = (double)whole;
  total += turn->left * (double)oldest;
  if (lagging) total += turn->passed * (double)newest;
  return total;
}

static uint64_t ring_union(const Ring *ring, const Turn *turn, const char *cells) {
  int64_t age = turn->newest + turn->ahead;
  uint64_t merged = 0;
  for (int64_t slot = 0; slot < ring->slots; slot++) {
    if (age >= 0 && age <= ring->buckets)
      merged |= cell_at(cells + slot * ring->cell_bytes, ring->cell_bytes);
    age += slot == turn->newest ? ring->slots - 1 : -1;
  }
  return merged;
}

/* Buffers of one call, released together. */
typedef struct {
  Py_buffer views[10];
  int count;
} Buffers;

static void release(Buffers *buffers) {
  while (buffers->count) PyBuffer_Release(&buffers->views[--buffers->count]);
}

/* A C-contiguous buffer of at least `bytes`, or NULL with an exception set. */
static void *borrowed(Buffers *buffers, PyObject *of, int flags, Py_ssize_t bytes) {
  Py_buffer *view = &buffers->views[buffers->count];
  if (PyObject_GetBuffer(of, view, flags | PyBUF_C_CONTIGUOUS) < 0) return NULL;
  buffers->count++;
  if (view->len < bytes) {
    PyErr_SetString(PyExc_ValueError, "an array is smaller than the plan needs");
    return NULL;
  }
  return view->buf;
}

/* Adds one value to a row; 0 where it is not of the layout. `part` has room for `width`. */
static int fold_value(PyObject *raw, const char *head, Py_ssize_t size, int64_t horizon_ms,
                      const Ring *rings, Py_ssize_t ring_count, const Last *lasts,
                      Py_ssize_t last_count, int64_t now_ms, double *values, uint64_t *bitmaps,
                      double *part, char *live) {
  if (!PyBytes_CheckExact(raw) || PyBytes_GET_SIZE(raw) != size) return 0;
  const char *value = PyBytes_AS_STRING(raw);
  if (memcmp(value, head, HEAD_BYTES) != 0) return 0;
  const int64_t base_ms = i64_at(value + BASE_AT);
  Turn turn = {.width_ms = 0};
  for (Py_ssize_t at = 0; at < ring_count; at++)
    if (!rings[at].distinct) part[rings[at].column] = 0.0;
  for (Py_ssize_t at = 0; at < ring_count; at++) {
    const Ring *ring = &rings[at];
    const char *cells = value + ring->offset;
    turn_to(&turn, ring, base_ms, now_ms);
    if (ring->distinct)
      bitmaps[ring->column] |= ring_union(ring, &turn, cells);
    else
      part[ring->column] += (double)ring->sign * ring_total(ring, &turn, cells);
  }
  /* A counter may have two rings; what they come to is added once, as numpy does. */
  for (Py_ssize_t at = 0; at < ring_count; at++)
    if (!rings[at].distinct && rings[at].sign > 0) values[rings[at].column] += part[rings[at].column];
  for (Py_ssize_t at = 0; at < last_count; at++) {
    const int64_t last_ms = i64_at(value + lasts[at].offset);
    const double known = last_ms >= now_ms - lasts[at].window_ms ? (double)last_ms : 0.0;
    if (known > values[lasts[at].column]) values[lasts[at].column] = known;
  }
  *live |= base_ms >= now_ms - horizon_ms;
  return 1;
}

/* Adds the values of one entity; 0 with an exception set. What is not of the layout goes to
   `foreign` as (entity, row, value). `asked` is a list of (row, place in `found`). */
static int fold_entity(PyObject *layout, Py_ssize_t entity, PyObject *asked, PyObject *found,
                       Py_ssize_t rows, Py_ssize_t width, const int64_t *now_ms, double *values,
                       uint64_t *bitmaps, double *part, char *live, PyObject *foreign) {
  PyObject *ring_of, *last_of;
  const char *head;
  Py_ssize_t head_bytes, size;
  long long horizon_ms;
  if (!PyTuple_Check(layout) || !PyList_CheckExact(asked)) {
    PyErr_SetString(PyExc_TypeError, "a layout is a tuple, and what is asked a list");
    return 0;
  }
  if (!PyArg_ParseTuple(layout, "y#nLOO", &head, &head_bytes, &size, &horizon_ms, &ring_of, &last_of))
    return 0;
  Buffers buffers = {.count = 0};
  const Ring *rings = borrowed(&buffers, ring_of, PyBUF_SIMPLE, 0);
  const Last *lasts = rings ? borrowed(&buffers, last_of, PyBUF_SIMPLE, 0) : NULL;
  if (!lasts) goto failed;
  const Py_ssize_t ring_count = buffers.views[0].len / (Py_ssize_t)sizeof(Ring);
  const Py_ssize_t last_count = buffers.views[1].len / (Py_ssize_t)sizeof(Last);
  int fits = head_bytes == HEAD_BYTES && size >= HEADER_BYTES;
  for (Py_ssize_t at = 0; at < ring_count; at++) {
    const Ring *ring = &rings[at];
    fits = fits && ring->offset >= 0 && ring->slots > 0 && ring->width_ms > 0 &&
           (ring->cell_bytes == 4 || ring->cell_bytes == 8) &&
           ring->offset + ring->slots * ring->cell_bytes <= size && ring->column >= 0 &&
           ring->column < width;
  }
  for (Py_ssize_t at = 0; at < last_count; at++)
    fits = fits && lasts[at].offset >= 0 && lasts[at].offset + 8 <= size && lasts[at].column >= 0 &&
           lasts[at].column < width;
  if (!fits) {
    PyErr_SetString(PyExc_ValueError, "the plan does not fit the layout");
    goto failed;
  }
  for (Py_ssize_t at = 0; at < PyList_GET_SIZE(asked); at++) {
    PyObject *ask = PyList_GET_ITEM(asked, at);
    if (!PyTuple_CheckExact(ask) || PyTuple_GET_SIZE(ask) != 2) {
      PyErr_SetString(PyExc_TypeError, "asked holds (row, place) pairs");
      goto failed;
    }
    const Py_ssize_t row = PyLong_AsSsize_t(PyTuple_GET_ITEM(ask, 0));
    const Py_ssize_t place = PyLong_AsSsize_t(PyTuple_GET_ITEM(ask, 1));
    if (row < 0 || row >= rows || place < 0 || place >= PyList_GET_SIZE(found)) {
      if (!PyErr_Occurred()) PyErr_SetString(PyExc_IndexError, "there is no such row, or value");
      goto failed;
    }
    PyObject *raw = PyList_GET_ITEM(found, place);
    if (raw == Py_None ||
        fold_value(raw, head, size, horizon_ms, rings, ring_count, lasts, last_count, now_ms[row],
                   values + row * width, bitmaps + row * width, part, live + row))
      continue;
    PyObject *one = Py_BuildValue("(nnO)", entity, row, raw);
    const int added = one ? PyList_Append(foreign, one) : -1;
    Py_XDECREF(one);
    if (added < 0) goto failed;
  }
  release(&buffers);
  return 1;
failed:
  release(&buffers);
  return 0;
}

PyDoc_STRVAR(fold_doc,
             "fold(layouts, width, asked, found, now_ms, values, bitmaps, live) -> list\n\n"
             "Add what one source found. By entity, `layouts` has (head, size, horizon_ms, rings,\n"
             "lasts) and `asked` (row, place) pairs, of values, or None, in `found`; `live` has\n"
             "shape (entities, rows). Returns what is not of its layout, untouched, as (entity, row,\n"
             "value).");

static PyObject *fold(PyObject *self, PyObject *args) {
  (void)self;
  PyObject *layouts, *asked, *found, *now_of, *values_of, *bitmaps_of, *live_of;
  Py_ssize_t width;
  if (!PyArg_ParseTuple(args, "O!nO!O!OOOO", &PyList_Type, &layouts, &width, &PyList_Type, &asked,
                        &PyList_Type, &found, &now_of, &values_of, &bitmaps_of, &live_of))
    return NULL;
  const Py_ssize_t entities = PyList_GET_SIZE(layouts), rows = PyObject_Length(now_of);
  if (rows < 0) return NULL;
  if (PyList_GET_SIZE(asked) != entities) {
    PyErr_SetString(PyExc_ValueError, "there is not a layout for each entity");
    return NULL;
  }
  Buffers buffers = {.count = 0};
  PyObject *foreign = NULL;
  double *part = NULL;
  const int64_t *now_ms = borrowed(&buffers, now_of, PyBUF_SIMPLE, rows * 8);
  double *values = now_ms ? borrowed(&buffers, values_of, PyBUF_WRITABLE, rows * width * 8) : NULL;
  uint64_t *bitmaps =
      values ? borrowed(&buffers, bitmaps_of, PyBUF_WRITABLE, rows * width * 8) : NULL;
  char *live = bitmaps ? borrowed(&buffers, live_of, PyBUF_WRITABLE, entities * rows) : NULL;
  if (!live) goto failed;
  part = PyMem_Malloc((size_t)(width ? width : 1) * sizeof *part);
  foreign = part ? PyList_New(0) : PyErr_NoMemory();
  if (!foreign) goto failed;
  for (Py_ssize_t entity = 0; entity < entities; entity++)
    if (!fold_entity(PyList_GET_ITEM(layouts, entity), entity, PyList_GET_ITEM(asked, entity), found,
                     rows, width, now_ms, values, bitmaps, part, live + entity * rows, foreign))
      goto failed;
  PyMem_Free(part);
  release(&buffers);
  return foreign;
failed:
  Py_XDECREF(foreign);
  PyMem_Free(part);
  release(&buffers);
  return NULL;
}

/* What a row has of its entities, as numbers of names: see `merge.py`. */
enum { NOT_MAPPED, UNAVAILABLE, NEVER_SEEN, PRESENT, STATES };

PyDoc_STRVAR(settle_doc,
             "settle(names, entity_of, distinct, sources, mapped, answered, live, values, bitmaps,\n"
             "       present, least) -> list\n\n"
             "Make counters of what was added up, in place, NaN where nothing is known, and say how\n"
             "complete each row is. `mapped`, bool, and `answered`, int64, have shape (rows,\n"
             "entities), `live`, bool, (entities, rows), `entity_of` and `distinct`, int64,\n"
             "(counters,); `present` and `least` are float64, (rows,). Returns the name of the state\n"
             "of each entity, a tuple a row; None for a row of which nothing is known.");

static PyObject *settle(PyObject *self, PyObject *args) {
  (void)self;
  PyObject *names, *entity_of_of, *distinct_of, *mapped_of, *answered_of, *live_of, *values_of,
      *bitmaps_of, *present_of, *least_of;
  long long sources;
  if (!PyArg_ParseTuple(args, "O!OOLOOOOOOO", &PyTuple_Type, &names, &entity_of_of, &distinct_of,
                        &sources, &mapped_of, &answered_of, &live_of, &values_of, &bitmaps_of,
                        &present_of, &least_of))
    return NULL;
  if (PyTuple_GET_SIZE(names) != STATES) {
    PyErr_SetString(PyExc_ValueError, "there are four states");
    return NULL;
  }
  const Py_ssize_t rows = PyObject_Length(present_of);
  const Py_ssize_t entities = rows < 0 ? -1 : PyObject_Length(live_of);
  const Py_ssize_t width = entities < 0 ? -1 : PyObject_Length(entity_of_of);
  if (width < 0) return NULL;
  Buffers buffers = {.count = 0};
  PyObject *found = NULL;
  const int64_t *entity_of = borrowed(&buffers, entity_of_of, PyBUF_SIMPLE, width * 8);
  const int64_t *distinct =
      entity_of ? borrowed(&buffers, distinct_of, PyBUF_SIMPLE, width * 8) : NULL;
  const char *mapped =
      distinct ? borrowed(&buffers, mapped_of, PyBUF_SIMPLE, rows * entities) : NULL;
  const int64_t *answered =
      mapped ? borrowed(&buffers, answered_of, PyBUF_SIMPLE, rows * entities * 8) : NULL;
  const char *live = answered ? borrowed(&buffers, live_of, PyBUF_SIMPLE, rows * entities) : NULL;
  double *values = live ? borrowed(&buffers, values_of, PyBUF_WRITABLE, rows * width * 8) : NULL;
  const uint64_t *bitmaps =
      values ? borrowed(&buffers, bitmaps_of, PyBUF_SIMPLE, rows * width * 8) : NULL;
  double *present = bitmaps ? borrowed(&buffers, present_of, PyBUF_WRITABLE, rows * 8) : NULL;
  double *least = present ? borrowed(&buffers, least_of, PyBUF_WRITABLE, rows * 8) : NULL;
  if (!least) goto failed;
  for (Py_ssize_t at = 0; at < width; at++)
    if (entity_of[at] < 0 || entity_of[at] >= entities) {
      PyErr_SetString(PyExc_ValueError, "a counter is of no entity");
      goto failed;
    }
  found = PyList_New(rows);
  if (!found) goto failed;
  const int64_t all = sources > 1 ? sources : 1;
  for (Py_ssize_t row = 0; row < rows; row++) {
    const char *own = mapped + row * entities;
    const int64_t *replies = answered + row * entities;
    int64_t sum = 0, known = 0, fewest = all;
    PyObject *states = PyTuple_New(entities);
    if (!states) goto failed;
    for (Py_ssize_t at = 0; at < entities; at++) {
      int state = NOT_MAPPED;
      sum += replies[at];
      if (own[at]) state = UNAVAILABLE;
      if (own[at] && replies[at] > 0) {
        state = live[at * rows + row] ? PRESENT : NEVER_SEEN;
        known++;
        if (replies[at] < fewest) fewest = replies[at];
      }
      PyTuple_SET_ITEM(states, at, Py_NewRef(PyTuple_GET_ITEM(names, state)));
    }
    for (Py_ssize_t at = 0; at < width; at++) {
      double *value = values + row * width + at;
      if (!own[entity_of[at]] || replies[entity_of[at]] <= 0)
        *value = NAN;
      else if (distinct[at])
        *value = (double)__builtin_popcountll(bitmaps[row * width + at]);
      else if (*value < 0.0) /* withdrawn before it was counted, which is not less than nothing */
        *value = 0.0;
    }
    present[row] = (double)sum / (double)(known * sources > 1 ? known * sources : 1);
    least[row] = (double)fewest / (double)all;
    if (!known) Py_SETREF(states, Py_NewRef(Py_None));
    PyList_SET_ITEM(found, row, states);
  }
  release(&buffers);
  return found;
failed:
  Py_XDECREF(found);
  release(&buffers);
  return NULL;
}

/* A divisor that is not known to be above nothing makes the quotient unknown. */
static double positive(double value) { return value > 0.0 ? value : NAN; }

static double larger(double value, double floor) {
  return isnan(value) || value >= floor ? value : floor;
}

static double feature(const Feature *of, const double *values, double amount, int64_t now_ms,
                      double prior_rate, double prior_attempts, double deviation_count_min) {
  const double first = values[of->of[0]], second = values[of->of[1]], third = values[of->of[2]];
  switch (of->formula) {
    case VALUE:
      return first;
    case MEAN:
      return first / positive(second);
    case RATIO:
      return amount / positive(first / positive(second));
    case DEVIATION: {
      const double count = second >= deviation_count_min ? second : NAN;
      const double mean = first / count;
      const double variance = larger(third / count - mean * mean, 0.0);
      const double root = sqrt(variance), least = mean / 20;
      const double spread = isnan(root) || isnan(least) ? NAN : (root >= least ? root : least);
      return (amount - mean) / positive(spread);
    }
    case RATE:
      return (first + prior_rate * prior_attempts) / (second + prior_attempts);
    default:
      return ((double)now_ms - positive(first)) / 1000;
  }
}

PyDoc_STRVAR(inputs_doc,
             "inputs(features, values, amount, now_ms, priors, result) -> None\n\n"
             "Compute features, int64 (features, 4), of float64 values (rows, counters) into float32\n"
             "(rows, features); `priors` is (rate, attempts, least count of a deviation).");

static PyObject *inputs(PyObject *self, PyObject *args) {
  (void)self;
  PyObject *features_of, *values_of, *amount_of, *now_of, *result_of;
  Py_ssize_t width;
  double rate, attempts, least;
  if (!PyArg_ParseTuple(args, "OOnOO(ddd)O", &features_of, &values_of, &width, &amount_of, &now_of,
                        &rate, &attempts, &least, &result_of))
    return NULL;
  const Py_ssize_t rows = PyObject_Length(values_of);
  if (rows < 0) return NULL;
  Buffers buffers = {.count = 0};
  const Feature *features = borrowed(&buffers, features_of, PyBUF_SIMPLE, 0);
  const Py_ssize_t count = features ? buffers.views[0].len / (Py_ssize_t)sizeof(Feature) : 0;
  const double *values =
      features ? borrowed(&buffers, values_of, PyBUF_SIMPLE, rows * width * 8) : NULL;
  const double *amount = values ? borrowed(&buffers, amount_of, PyBUF_SIMPLE, rows * 8) : NULL;
  const int64_t *now_ms = amount ? borrowed(&buffers, now_of, PyBUF_SIMPLE, rows * 8) : NULL;
  float *result = now_ms ? borrowed(&buffers, result_of, PyBUF_WRITABLE, rows * count * 4) : NULL;
  if (!result) goto failed;
  for (Py_ssize_t at = 0; at < count; at++) {
    const Feature *of = &features[at];
    int fits = of->formula >= 0 && of->formula < FORMULAS;
    for (int which = 0; which < 3; which++)
      fits = fits && of->of[which] >= 0 && of->of[which] < width;
    if (!fits) {
      PyErr_SetString(PyExc_ValueError, "a feature does not fit the counters");
      goto failed;
    }
  }
  for (Py_ssize_t row = 0; row < rows; row++)
    for (Py_ssize_t at = 0; at < count; at++)
      result[row * count + at] = (float)feature(&features[at], values + row * width, amount[row],
                                                now_ms[row], rate, attempts, least);
  release(&buffers);
  Py_RETURN_NONE;
failed:
  release(&buffers);
  return NULL;
}

static PyMethodDef methods[] = {{"fold", fold, METH_VARARGS, fold_doc},
                                {"settle", settle, METH_VARARGS, settle_doc},
                                {"inputs", inputs, METH_VARARGS, inputs_doc},
                                {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_kernel",
                                    .m_doc = "merge.py and formulas.py in C.", .m_size = 0,
                                    .m_methods = methods};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModule_Create(&module); }
