// Quantising: for each scale the extremes of its values, a work item each; then the codes, a byte
// each. And back to numbers, and scales from one layout to another. What is computed is
// kernels/recipe_arithmetic.h, operation by operation.

// RecipeCall, less what no kernel asks for.
typedef struct {
  int scale_rule;
  int code_rule;
  int nan_rule;
  int format;
  int scale_dtype;
  int has_scale_ub;
  float limit;
  float amax_floor;
  float scale_floor_of;
  float scale_ub;
} Recipe;

// A scale as it is stored, and what makes codes of values: x · factor or x / factor.
typedef struct {
  float value;
  float factor;
  int divides;
  uchar byte;
  uchar zero_point;
  uchar unused[2];
} GroupScale;

typedef struct {
  float amax;
  float smallest;
  float largest;
} Extremes;

int exponent_bits(float value) { return (int)(as_uint(value) >> 23 & 0xFFU); }
uchar clamped_exponent(int exponent) { return (uchar)clamp(exponent, 0, 254); }

// std::max and std::min, which keep the first of what cannot be compared.
float larger(float a, float b) { return a < b ? b : a; }
float smaller(float a, float b) { return b < a ? b : a; }

uchar exponent_byte(int rule, float amax, float limit) {
  const uint mantissa = as_uint(amax) & 0x7FFFFFU;
  switch (rule) {
    case SCALE_POWER_OF_TWO_UP:
      return e8m0_up(larger(amax / limit, 1e-10f));
    case SCALE_EXPONENT_OF_SIXTH:  // of an infinity: 255, not a number
      return (uchar)exponent_bits(amax * (1.0f / 6.0f));
    case SCALE_EXPONENT_EVEN:
      return clamped_exponent(exponent_bits(amax) + (mantissa >= 0x600000U ? 1 : 0) - 2);
    case SCALE_EXPONENT_LESS_TWO:
      return clamped_exponent(exponent_bits(amax) - 2);
    case SCALE_EXPONENT_OF_LIMIT_UP:
      return e8m0_up(amax / limit);
    default:
      return clamped_exponent(exponent_bits(amax));
  }
}

// value, byte and zero_point.
void store(const Recipe *call, Extremes extremes, float given, GroupScale *scale) {
  const float amax = extremes.amax;
  const float limit = call->limit;
  switch (call->scale_rule) {
    case SCALE_NONE:
    case SCALE_GIVEN:
      scale->value = given;
      return;
    case SCALE_OVER_LIMIT:
      scale->value = amax / limit;
      return;
    case SCALE_TIMES_INVERSE_LIMIT:
      scale->value = amax * (1.0f / limit);
      return;
    case SCALE_TIMES_GLOBAL:
      scale->byte = e4m3fn_code(given * (amax * (1.0f / 6.0f)));
      scale->value = e4m3fn_value(scale->byte);
      return;
    case SCALE_SYMMETRIC_STEPS:
      scale->value = rounded_as(larger(extremes.largest / limit, extremes.smallest / -(limit + 1)),
                                call->scale_dtype);
      return;
    case SCALE_ZERO_POINT_STEPS: {
      const float span = larger(extremes.largest - extremes.smallest, 1e-5f);
      scale->value = rounded_as(span / limit, call->scale_dtype);
      scale->zero_point = (uchar)nearest_even_integer(-extremes.smallest / scale->value, 0, 15);
      return;
    }
    default:
      scale->byte = exponent_byte(call->scale_rule, amax, limit);
      scale->value = scale->byte == 0xFF ? INFINITY : e8m0_value(scale->byte);
  }
}

// given: the scale or global scale that came with the call, for recipes that take one.
GroupScale group_scale(const Recipe *call, Extremes extremes, float given) {
  GroupScale scale = {0, 0, 0, 0, 0, {0, 0}};
  if (call->has_scale_ub) extremes.amax = smaller(extremes.amax, call->scale_ub);
  extremes.amax = larger(extremes.amax, call->amax_floor);
  store(call, extremes, given, &scale);
  if (call->scale_floor_of != 0) {
    scale.value = larger(scale.value, 1.0f / (call->limit * call->scale_floor_of));
  }
  switch (call->code_rule) {
    case CODE_TIMES_INVERSE_SCALE:
      scale.factor = 1.0f / scale.value;
      break;
    case CODE_TIMES_LIMIT_OVER_AMAX:
    case CODE_TIMES_LIMIT_OVER_AMAX_AWAY:
      scale.factor = extremes.amax == 0 ? 0 : call->limit / extremes.amax;
      break;
    case CODE_TIMES_INVERSE_OF_SCALED:
      scale.factor = scale.value == 0 ? 0 : 1.0f / (scale.value * (1.0f / given));
      break;
    case CODE_OVER_SCALE_OR_ZERO:
      scale.divides = scale.byte != 0;
      scale.factor = scale.byte == 0 ? 0 : scale.value;
      break;
    default:
      scale.divides = 1;
      scale.factor = scale.value;
  }
  return scale;
}

// The code of a scaled value, in the low bits.
uchar code_of(const Recipe *call, float value, GroupScale scale) {
  const float limit = call->limit;
  float scaled = scale.divides ? value / scale.factor : value * scale.factor;
  if (is_not_a_number(scaled)) {
    if (call->nan_rule == NAN_PLUS_LIMIT) scaled = limit;
    if (call->nan_rule == NAN_MINUS_LIMIT) scaled = -limit;
  }
  if (call->format == FORMAT_E4M3FN) return e4m3fn_code(scaled);
  if (call->format == FORMAT_E4M3FNUZ) {
    return e4m3fnuz_code(scaled > limit ? limit : scaled < -limit ? -limit : scaled);
  }
  if (call->format == FORMAT_E2M1) return e2m1_code(scaled);
  const int zero = scale.zero_point;
  const int low = (call->format == FORMAT_UINT4B8 ? -8 : call->format == FORMAT_UINT4 ? 0 : -128);
  const int high = (call->format == FORMAT_UINT4B8 ? 7 : call->format == FORMAT_UINT4 ? 15 : 127);
  const int bias = call->format == FORMAT_UINT4B8     ? 8
                   : call->format == FORMAT_UINT8B128 ? 128
                                                      : zero;
  const int whole = call->code_rule == CODE_TIMES_LIMIT_OVER_AMAX_AWAY
                        ? half_away_integer(scaled, low - zero, high - zero)
                        : nearest_even_integer(scaled, low - zero, high - zero);
  return (uchar)(whole + bias);
}

void write_scale(global uchar *scales, int dtype, long at, GroupScale scale) {
  if (dtype == DTYPE_F32 || dtype == DTYPE_BF16 || dtype == DTYPE_F16) {
    round_to(scale.value, scales, dtype, at);
  } else {
    scales[at] = scale.byte;
  }
}

Extremes extremes_of(global const uchar *rows, int dtype, const Layout *layout, long scale) {
  const Scales *scales = &layout->scales;
  const long part_rows = layout->rows / layout->parts;
  const long groups =
      scales->group_rows == 0 ? 1 : (part_rows + scales->group_rows - 1) / scales->group_rows;
  const long scale_row = scale / scales->columns;
  const long part = scale_row / groups * part_rows;
  const long first_row = part + scale_row % groups * scales->group_rows;
  const long end_row = min(
      first_row + (scales->group_rows == 0 ? part_rows : scales->group_rows), part + part_rows);
  const long first = scale % scales->columns * scales->group_columns;
  const long end = scales->group_columns == 0
                       ? layout->columns
                       : min(first + scales->group_columns, layout->columns);
  Extremes extremes = {0, 0, 0};
  for (long row = first_row; row < end_row; ++row) {
    for (long column = first; column < end; ++column) {
      const float value = row_value(rows, dtype, row * layout->columns + column);
      const float magnitude = magnitude_of(value);
      if (magnitude > extremes.amax) extremes.amax = magnitude;
      if (value < extremes.smallest) extremes.smallest = value;
      if (value > extremes.largest) extremes.largest = value;
    }
  }
  return extremes;
}

// work: a GroupScale for each logical scale.
kernel void moe_make_scales(IN(rows), int dtype, Recipe call, Layout layout, IN(given), OUT(scales),
                            OUT(zero_points), OUT(work), ITEMS) {
  ITEM(i);
  const long row = i / layout.scales.columns;
  const long rows_per_part = layout.scales.rows / layout.parts;
  const float own = given_buffer == 0 ? 0 : READ(float, given)[row / rows_per_part];
  const Extremes extremes = extremes_of(READ(uchar, rows), dtype, &layout, i);
  const GroupScale scale = group_scale(&call, extremes, own);
  const long at = scale_offset(&layout.scales, row, i % layout.scales.columns);
  write_scale(WRITE(uchar, scales), layout.scales.dtype, at, scale);
  if (zero_points_buffer != 0) WRITE(uchar, zero_points)[at] = scale.zero_point;
  WRITE(GroupScale, work)[i] = scale;
}

uchar code_at(global const uchar *rows, int dtype, const Recipe *call, const Layout *layout,
              global const GroupScale *work, long row, long column) {
  if (column >= layout->columns) return 0;  // an odd last column leaves half a byte
  const long scale =
      scale_row(layout, row) * layout->scales.columns + scale_column(layout, column);
  return code_of(call, row_value(rows, dtype, row * layout->columns + column), work[scale]);
}

kernel void moe_make_codes(IN(rows), int dtype, Recipe call, Layout layout, IN(work), OUT(data),
                           ITEMS) {
  ITEM(i);
  const long row = i / layout.row_bytes;
  const long at = i % layout.row_bytes;
  global const uchar *from = READ(uchar, rows);
  global const GroupScale *scales = READ(GroupScale, work);
  if (!layout.is_packed) {
    WRITE(uchar, data)[i] = code_at(from, dtype, &call, &layout, scales, row, at);
    return;
  }
  const uchar even = code_at(from, dtype, &call, &layout, scales, row, 2 * at);
  const uchar odd = code_at(from, dtype, &call, &layout, scales, row, 2 * at + 1);
  WRITE(uchar, data)[i] = (uchar)((even & 0xF) | (odd & 0xF) << 4);
}

kernel void moe_dequantize(IN(data), IN(scales), IN(zero_points), IN(global_scales), Layout layout,
                           OUT(out), int dtype, ITEMS) {
  ITEM(i);
  const long row = i / layout.columns;
  const long column = i % layout.columns;
  const float number =
      number_at(&layout, READ(uchar, data),
                zero_points_buffer == 0 ? 0 : READ(uchar, zero_points), row, column);
  const float scale = scale_number(READ(uchar, scales), layout.scales.dtype,
                                   scale_index(&layout, row, column));
  float value = number * scale;
  if (global_scales_buffer != 0) {
    value = value / READ(float, global_scales)[row / (layout.rows / layout.parts)];
  }
  round_to(value, WRITE(uchar, out), dtype, i);
}

// size: of one scale in bytes.
kernel void moe_relayout_scales(IN(from), Scales before, OUT(to), Scales after, int size,
                                ITEMS) {
  ITEM(i);
  const long row = i / before.columns;
  const long column = i % before.columns;
  const long source = scale_offset(&before, row, column) * size;
  const long target = scale_offset(&after, row, column) * size;
  for (int byte = 0; byte < size; ++byte) {
    WRITE(uchar, to)[target + byte] = READ(uchar, from)[source + byte];
  }
}
