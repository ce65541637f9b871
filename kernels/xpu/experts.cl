// Experts with products, a work item an element: sums in fp32, columns ascending, one rounding.
// Quantised ones add as the host's do, so that bytes are the host's. What an activation is and
// where it rounds is kernels/activation_values.h.

// exp(x) within 2 · 2^-24 of its value: kernels/activation_values.h says how.
float exp_for_sigmoid(float x) {
  const float to_integer = 0x1.8p23f;
  const float bounded = x < -86.0f ? -86.0f : (x > 89.0f ? 89.0f : x);
  const float shifted = bounded * 0x1.715476p0f + to_integer;
  const float n = shifted - to_integer;
  const float r = (bounded - n * 0x1.63p-1f) - n * -0x1.bd0106p-13f;
  float p = 0x1.a0d2cep-13f;
  p = p * r + 0x1.6e879cp-10f;
  p = p * r + 0x1.111380p-7f;
  p = p * r + 0x1.5554fap-5f;
  p = p * r + 0x1.555556p-3f;
  p = p * r + 0x1.fffffep-2f;
  const float mantissa = 1.0f + (r + p * (r * r));
  const uint exponent = as_uint(shifted) + 126U;
  const float half_power = as_float(exponent << 23);
  const float power = mantissa * half_power * 2.0f;
  return x > 0x1.62e42ep6f ? INFINITY : power;
}

float silu(float x) { return x / (1.0f + exp_for_sigmoid(-x)); }
float relu(float x) { return x < 0.0f ? 0.0f : x; }

// erf in double, rounded: the host's is the C library's.
float gelu(float x) { return 0.5f * x * (1.0f + (float)erf((double)(x * 0.70710678118654752f))); }

float swigluoai(float gate, float up) {
  const float g = gate < 7.0f ? gate : 7.0f;
  const float below = up < 7.0f ? up : 7.0f;
  const float u = below > -7.0f ? below : -7.0f;
  return (u + 1.0f) * (g / (1.0f + exp_for_sigmoid(-g * 1.702f)));
}

// inner [rows, wide] → out [rows, columns] of out_dtype; silu and gelu are rounded as step_dtype
// before the product.
kernel void moe_activate(IN(inner), int dtype, long wide, int activation, int step_dtype, OUT(out),
                         int out_dtype, long columns, ITEMS) {
  ITEM(i);
  const long row = i / columns * wide;
  const long column = i % columns;
  global const uchar *from = READ(uchar, inner);
  float value = row_value(from, dtype, row + column);
  if (activation == ACTIVATION_SILU || activation == ACTIVATION_GELU) {
    const float gate = activation == ACTIVATION_SILU ? silu(value) : gelu(value);
    value = rounded_as(gate, step_dtype) * row_value(from, dtype, row + column + columns);
  } else if (activation == ACTIVATION_SWIGLUOAI) {
    value = swigluoai(row_value(from, dtype, row + 2 * column),
                      row_value(from, dtype, row + 2 * column + 1));
  } else if (activation == ACTIVATION_RELU2_NO_MUL) {
    value = relu(value) * relu(value);
  } else {
    value = activation == ACTIVATION_SILU_NO_MUL ? silu(value) : gelu(value);
  }
  round_to(value, WRITE(uchar, out), out_dtype, i);
}

// out [rows, out_columns] = rows [rows, columns] · the part [out_columns, columns] of weights of a
// row's expert, transposed, + its bias [out_columns]: all of one type.
kernel void moe_multiply(IN(rows), int dtype, long columns, IN(weights), IN(bias), IN(first_row),
                         int num_experts, OUT(out), long out_columns, ITEMS) {
  ITEM(i);
  const long row = i / out_columns;
  const int expert = expert_of_row(READ(int, first_row), num_experts, row);
  if (expert >= num_experts) return;
  const long weight_row = expert * out_columns + i % out_columns;
  float sum = 0;
  for (long column = 0; column < columns; ++column) {
    sum += row_value(READ(uchar, rows), dtype, row * columns + column) *
           row_value(READ(uchar, weights), dtype, weight_row * columns + column);
  }
  if (bias_buffer != 0) sum += row_value(READ(uchar, bias), dtype, weight_row);
  round_to(sum, WRITE(uchar, out), dtype, i);
}

// One side of a quantised product. kind: OPERAND_PLAIN rows of dtype, OPERAND_CODES whose scales
// come after the sum, OPERAND_ROUNDED to dtype with their scales before the product (WNA16).
typedef struct {
  Layout layout;
  int kind;
  int dtype;
} Operand;

float operand_scale(const Operand *operand, global const uchar *scales, long row, long column) {
  return scale_number(scales, operand->layout.scales.dtype,
                      scale_index(&operand->layout, row, column));
}

float operand_number(const Operand *operand, global const uchar *data, global const uchar *scales,
                     global const uchar *zero_points, long row, long column) {
  if (operand->kind == OPERAND_PLAIN) {
    return row_value(data, operand->dtype, row * operand->layout.columns + column);
  }
  const float number = number_at(&operand->layout, data, zero_points, row, column);
  if (operand->kind == OPERAND_CODES) return number;
  return rounded_as(number * operand_scale(operand, scales, row, column), operand->dtype);
}

float run_scale(const Operand *operand, global const uchar *scales, long row, long column) {
  return operand->kind == OPERAND_CODES ? operand_scale(operand, scales, row, column) : 1;
}

// Where the run of columns that begins here and shares a scale ends.
long run_end(const Operand *operand, long begin) {
  const long columns = operand->layout.columns;
  const long group = operand->kind == OPERAND_CODES ? operand->layout.scales.group_columns : 0;
  return group == 0 ? columns : min(columns, (begin / group + 1) * group);
}

float inverse_global_scale(const Operand *operand, global const float *scales, long row) {
  if (scales == 0 || operand->kind != OPERAND_CODES) return 1;
  return 1.0f / scales[row / (operand->layout.rows / operand->layout.parts)];
}

kernel void moe_multiply_codes(IN(rows), IN(row_scales), IN(row_globals), Operand left, IN(weights),
                               IN(scales), IN(zero_points), IN(globals), Operand right, IN(bias),
                               IN(first_row), int num_experts, int is_integer, OUT(out),
                               long out_columns, ITEMS) {
  ITEM(i);
  const long row = i / out_columns;
  const int expert = expert_of_row(READ(int, first_row), num_experts, row);
  if (expert >= num_experts) return;
  const long weight_row = expert * out_columns + i % out_columns;
  global const uchar *zeros = zero_points_buffer == 0 ? 0 : READ(uchar, zero_points);
  const long columns = left.layout.columns;
  float sum = 0;
  for (long begin = 0; begin < columns;) {
    const long end = min(run_end(&left, begin), run_end(&right, begin));
    float run = 0;
    int dot = 0;
    for (long column = begin; column < end; ++column) {
      const float a = operand_number(&left, READ(uchar, rows), READ(uchar, row_scales), 0, row,
                                     column);
      const float w = operand_number(&right, READ(uchar, weights), READ(uchar, scales), zeros,
                                     weight_row, column);
      if (!is_integer) {
        run += a * w;
        continue;
      }
      if (column != begin && (column - begin) % INTEGER_TILE == 0) {
        run += (float)dot;
        dot = 0;
      }
      dot += (int)a * (int)w;
    }
    if (is_integer) run += (float)dot;
    sum += run * run_scale(&left, READ(uchar, row_scales), row, begin) *
           run_scale(&right, READ(uchar, scales), weight_row, begin);
    begin = end;
  }
  sum *= inverse_global_scale(&left, row_globals_buffer == 0 ? 0 : READ(float, row_globals), row) *
         inverse_global_scale(&right, globals_buffer == 0 ? 0 : READ(float, globals), weight_row);
  if (bias_buffer != 0) sum += row_value(READ(uchar, bias), left.dtype, weight_row);
  round_to(sum, WRITE(uchar, out), left.dtype, i);
}
