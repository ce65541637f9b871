// What every kernel of this folder stands on: rows of any type in 16-bit storage with explicit
// conversions (a device need not have fp16 arithmetic), and the word in which kernels refuse. The
// files of this folder are one program: numbers.cl is its start. Words that begin with DTYPE_,
// FORMAT_ and so on are the enumerators of the C++ side, given as options of the build.

#pragma OPENCL FP_CONTRACT OFF
#pragma OPENCL EXTENSION cl_khr_fp64 : enable

// A tensor comes as the buffer that it lies in and its place there, in bytes.
#define IN(name) global const uchar *name##_buffer, ulong name##_at
#define OUT(name) global uchar *name##_buffer, ulong name##_at
#define READ(type, name) ((global const type *)(name##_buffer + name##_at))
#define WRITE(type, name) ((global type *)(name##_buffer + name##_at))

// One work item for each of items, and some more; a launch has those from first on.
#define ITEMS long first, long items
#define ITEM(i)                            \
  const long i = first + get_global_id(0); \
  if (i >= items) return

// kernels/base/bits.h
float bf16_value(ushort bits) { return as_float((uint)bits << 16); }

ushort bf16_bits(float value) {
  const uint bits = as_uint(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return (ushort)((bits >> 16) | 0x0040U);
  return (ushort)((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

float f16_value(ushort half_bits) {
  const uint sign = ((uint)half_bits & 0x8000U) << 16;
  const uint exponent = (half_bits >> 10) & 0x1FU;
  const uint mantissa = half_bits & 0x3FFU;
  if (exponent == 0x1FU) return as_float(sign | 0x7F800000U | (mantissa << 13));
  if (exponent == 0) {
    const float magnitude = (float)mantissa * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  return as_float(sign | ((exponent + 112U) << 23) | (mantissa << 13));
}

ushort f16_bits(float value) {
  const uint bits = as_uint(value);
  const uint sign = (bits >> 16) & 0x8000U;
  const uint magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return (ushort)(sign | 0x7E00U | ((magnitude >> 13) & 0x1FFU));
  if (magnitude >= 0x477FF000U) return (ushort)(sign | 0x7C00U);
  if (magnitude < 0x38800000U) {  // below the smallest normal half: rounds at 2^-24 by itself
    return (ushort)(sign | (as_uint(as_float(magnitude) + 0.5f) - 0x3F000000U));
  }
  return (ushort)(sign | ((magnitude + 0xFFFU + ((magnitude >> 13) & 1U) - 0x38000000U) >> 13));
}

// Elements of rows: f32, bf16 or f16.
float row_value(global const uchar *rows, int dtype, long i) {
  if (dtype == DTYPE_BF16) return bf16_value(((global const ushort *)rows)[i]);
  if (dtype == DTYPE_F16) return f16_value(((global const ushort *)rows)[i]);
  return ((global const float *)rows)[i];
}

void round_to(float value, global uchar *rows, int dtype, long i) {
  if (dtype == DTYPE_BF16) {
    ((global ushort *)rows)[i] = bf16_bits(value);
  } else if (dtype == DTYPE_F16) {
    ((global ushort *)rows)[i] = f16_bits(value);
  } else {
    ((global float *)rows)[i] = value;
  }
}

float rounded_as(float value, int dtype) {
  if (dtype == DTYPE_BF16) return bf16_value(bf16_bits(value));
  return dtype == DTYPE_F16 ? f16_value(f16_bits(value)) : value;
}

// The first refusal stays until the host looks. what: REFUSED_….
void refuse(global uchar *refusal, int what, int expert, long value, long limit) {
  volatile global int *word = (volatile global int *)refusal;
  if (atomic_cmpxchg(word, REFUSED_NOTHING, what) != REFUSED_NOTHING) return;
  word[1] = expert;
  ((global long *)refusal)[1] = value;
  ((global long *)refusal)[2] = limit;
}

// The expert whose rows hold this one: the last that starts at it or before. first_row as in
// RowPlan.
int expert_of_row(global const int *first_row, int num_experts, long row) {
  int low = 0;
  int high = num_experts;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (first_row[middle + 1] <= row) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}
