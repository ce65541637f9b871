// The small number formats of quantised rows, code by code, as kernels/base/number_formats.h has
// them, and where a value's code and scale lie (kernels/base/quantized_rows.h).

bool is_not_a_number(float value) { return (as_uint(value) & 0x7FFFFFFFU) > 0x7F800000U; }
float magnitude_of(float value) { return as_float(as_uint(value) & 0x7FFFFFFFU); }

uchar e4m3fn_code(float value) {
  const uint sign = (as_uint(value) >> 24) & 0x80U;
  const uint magnitude = as_uint(value) & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return 0x7F;
  if (magnitude >= 0x43E00000U) return (uchar)(sign | 0x7EU);
  if (magnitude < 0x3C800000U) {  // below 2^-6: the sum rounds at 2^-9
    return (uchar)(sign | (as_uint(as_float(magnitude) + 0x1p14f) - 0x46800000U));
  }
  const uint rounded = magnitude + 0x7FFFFU + ((magnitude >> 20) & 1U);
  return (uchar)(sign | ((rounded >> 20) - (120U << 3)));
}

float e4m3fn_value(uchar code) {
  const uint sign = ((uint)code & 0x80U) << 24;
  const uint exponent = (code >> 3) & 0xFU;
  const uint mantissa = code & 0x7U;
  if ((code & 0x7FU) == 0x7FU) return as_float(sign | 0x7FC00000U);
  const float magnitude = exponent == 0 ? (float)mantissa * 0x1p-9f
                                        : as_float(((exponent + 120U) << 23) | mantissa << 20);
  return sign != 0 ? -magnitude : magnitude;
}

uchar e4m3fnuz_code(float value) {
  const uint sign = (as_uint(value) >> 24) & 0x80U;
  const uint magnitude = as_uint(value) & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return 0x80;
  if (magnitude >= 0x43700000U) return (uchar)(sign | 0x7FU);
  uint code = 0;
  if (magnitude < 0x3C000000U) {  // below 2^-7: a multiple of 2^-10
    code = as_uint(as_float(magnitude) + 0x1p13f) - 0x46000000U;
  } else {
    code = ((magnitude + 0x7FFFFU + ((magnitude >> 20) & 1U)) >> 20) - (119U << 3);
  }
  return (uchar)(code == 0 ? 0 : sign | code);
}

float e4m3fnuz_value(uchar code) {
  if (code == 0x80U) return as_float(0x7FC00000U);
  const uint exponent = (code >> 3) & 0xFU;
  const uint mantissa = code & 0x7U;
  const float magnitude = exponent == 0 ? (float)mantissa * 0x1p-10f
                                        : as_float(((exponent + 119U) << 23) | mantissa << 20);
  return (code & 0x80U) != 0 ? -magnitude : magnitude;
}

uchar e2m1_code(float value) {
  if (is_not_a_number(value)) return 0x7;
  const float m = magnitude_of(value);
  const int code = (m > 0.25f) + (m >= 0.75f) + (m > 1.25f) + (m >= 1.75f) + (m > 2.5f) +
                   (m >= 3.5f) + (m > 5.0f);
  return (uchar)(((as_uint(value) >> 28) & 0x8U) | (uint)code);
}

float e2m1_value(uchar code) {
  const uint exponent = (code >> 1) & 0x3U;
  const uint half_step = code & 1U;
  const float magnitude = exponent == 0 ? (float)half_step * 0.5f
                                        : as_float(((exponent + 126U) << 23) | half_step << 22);
  return (code & 0x8U) != 0 ? -magnitude : magnitude;
}

float e8m0_value(uchar code) {
  if (code == 0xFFU) return as_float(0x7FC00000U);
  return as_float(code == 0 ? 0x00400000U : (uint)code << 23);
}

// The smallest power of two that is not below.
uchar e8m0_up(float value) {
  if (is_not_a_number(value)) return 0xFF;
  const uint exponent = as_uint(value) >> 23;
  const uchar low = (uchar)(exponent > 254U ? 254U : exponent);
  return low < 254U && value > e8m0_value(low) ? (uchar)(low + 1) : low;
}

int nearest_even_integer(float value, int low, int high) {
  if (is_not_a_number(value)) return 0;
  if (value <= (float)low) return low;
  if (value >= (float)high) return high;
  const float shifted = value + 0x1.8p23f;  // a sum with it has no bits below one
  return (int)(shifted - 0x1.8p23f);
}

int half_away_integer(float value, int low, int high) {
  if (is_not_a_number(value)) return 0;
  if (value <= (float)low) return low;
  if (value >= (float)high) return high;
  const int towards_zero = (int)value;
  const float rest = value - (float)towards_zero;
  return towards_zero + (rest >= 0.5f ? 1 : 0) - (rest <= -0.5f ? 1 : 0);
}

// The number that a code stands for, before its scale.
float code_value(int format, uchar code, uchar zero_point) {
  switch (format) {
    case FORMAT_E4M3FN:
      return e4m3fn_value(code);
    case FORMAT_E4M3FNUZ:
      return e4m3fnuz_value(code);
    case FORMAT_E2M1:
      return e2m1_value(code);
    case FORMAT_UINT4B8:
      return (float)((int)code - 8);
    case FORMAT_UINT4:
      return (float)((int)code - (int)zero_point);
    case FORMAT_UINT8B128:
      return (float)((int)code - 128);
    default:
      return (float)(char)code;
  }
}

// ScaleLayout, less what no kernel asks for.
typedef struct {
  long group_rows;
  long group_columns;
  long rows;
  long columns;
  long padded_rows;
  long padded_columns;
  int dtype;
  int is_column_major;
  int swizzle;
  int part_rows;
} Scales;

// QuantizedLayout. row_bytes: of the data.
typedef struct {
  Scales scales;
  long rows;
  long columns;
  long parts;
  long row_bytes;
  int format;
  int is_packed;
} Layout;

long scale_offset(const Scales *scales, long row, long column) {
  if (scales->swizzle == SWIZZLE_TILES_128X4) {
    return (row / 128 * (scales->padded_columns / 4) + column / 4) * 512 + row % 32 * 16 +
           row / 32 % 4 * 4 + column % 4;
  }
  if (scales->swizzle == SWIZZLE_PACKED_4) {
    return (column / 4 * scales->padded_rows + row) * 4 + column % 4;
  }
  if (!scales->is_column_major) return row * scales->padded_columns + column;
  const long stride = scales->part_rows == 0 ? scales->padded_rows : scales->part_rows;
  return row / stride * stride * scales->padded_columns + column * stride + row % stride;
}

// The logical row and column of a value's scale.
long scale_row(const Layout *layout, long row) {
  const long part_rows = layout->rows / layout->parts;
  const long group = layout->scales.group_rows;
  const long groups = group == 0 ? 1 : (part_rows + group - 1) / group;
  return row / part_rows * groups + (group == 0 ? 0 : row % part_rows / group);
}

long scale_column(const Layout *layout, long column) {
  return layout->scales.group_columns == 0 ? 0 : column / layout->scales.group_columns;
}

long scale_index(const Layout *layout, long row, long column) {
  return scale_offset(&layout->scales, scale_row(layout, row), scale_column(layout, column));
}

// A stored scale as a number.
float scale_number(global const uchar *scales, int dtype, long at) {
  if (dtype == DTYPE_E8M0) return e8m0_value(scales[at]);
  if (dtype == DTYPE_F8E4M3) return e4m3fn_value(scales[at]);
  return row_value(scales, dtype, at);
}

// The value at a place before its scale. zero_points may be null.
float number_at(const Layout *layout, global const uchar *data, global const uchar *zero_points,
                long row, long column) {
  global const uchar *codes = data + row * layout->row_bytes;
  uchar code = codes[layout->is_packed ? column / 2 : column];
  if (layout->is_packed) code = column % 2 == 0 ? code & 0xF : code >> 4;
  const uchar zero_point = zero_points == 0 ? 0 : zero_points[scale_index(layout, row, column)];
  return code_value(layout->format, code, zero_point);
}
