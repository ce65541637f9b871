// Rows: filled, moved, signed, weighed, added and reduced, each rounded once to the rows' type in
// the order that kernels.h says. Where a fused multiply-add is meant it is written.

// What a fill in whole words leaves: bytes at any place.
kernel void moe_fill_bytes(OUT(to), uint word, long begin, ITEMS) {
  ITEM(i);
  WRITE(uchar, to)[i] = (uchar)(word >> (8 * ((begin + i) % 4)));
}

// Up to four operands of a sum in their order. sums: what came before (is_first: nothing) and what
// goes on (is_last: nothing, the sum is rounded to out).
kernel void moe_add_operands(IN(a), IN(b), IN(c), IN(d), int num_operands, OUT(sums), int is_first,
                             int is_last, OUT(out), int dtype, ITEMS) {
  ITEM(i);
  if (dtype == DTYPE_F64) {
    double sum = is_first ? READ(double, a)[i] : WRITE(double, sums)[i] + READ(double, a)[i];
    if (num_operands > 1) sum += READ(double, b)[i];
    if (num_operands > 2) sum += READ(double, c)[i];
    if (num_operands > 3) sum += READ(double, d)[i];
    if (is_last) {
      WRITE(double, out)[i] = sum;
    } else {
      WRITE(double, sums)[i] = sum;
    }
    return;
  }
  float sum = row_value(READ(uchar, a), dtype, i);
  if (!is_first) sum = WRITE(float, sums)[i] + sum;
  if (num_operands > 1) sum += row_value(READ(uchar, b), dtype, i);
  if (num_operands > 2) sum += row_value(READ(uchar, c), dtype, i);
  if (num_operands > 3) sum += row_value(READ(uchar, d), dtype, i);
  if (is_last) {
    round_to(sum, WRITE(uchar, out), dtype, i);
  } else {
    WRITE(float, sums)[i] = sum;
  }
}

// Row i goes from row from_place[i] to row to_place[i]; no places: row i. A negative place: the row
// stays. units of unit bytes of each row move; the ends have rows of their own widths, in bytes.
kernel void moe_move_rows(IN(from), IN(from_place), long from_bytes, OUT(to), IN(to_place),
                          long to_bytes, long units, int unit, ITEMS) {
  ITEM(i);
  const long row = i / units;
  const long from_row = from_place_buffer == 0 ? row : READ(int, from_place)[row];
  const long to_row = to_place_buffer == 0 ? row : READ(int, to_place)[row];
  if (from_row < 0 || to_row < 0) return;
  const long place = i % units * unit;
  global const uchar *source = READ(uchar, from) + from_row * from_bytes + place;
  global uchar *target = WRITE(uchar, to) + to_row * to_bytes + place;
  if (unit == 16) {
    *(global uint4 *)target = *(global const uint4 *)source;
  } else if (unit == 4) {
    *(global uint *)target = *(global const uint *)source;
  } else if (unit == 2) {
    *(global ushort *)target = *(global const ushort *)source;
  } else {
    *target = *source;
  }
}

kernel void moe_probe_experts(OUT(rows), int dtype, long columns, IN(first_row), int num_experts,
                              IN(signs), ITEMS) {
  ITEM(i);
  const int expert = expert_of_row(READ(int, first_row), num_experts, i / columns);
  if (expert >= num_experts) return;
  const float sign = (float)READ(char, signs)[expert * columns + i % columns];
  round_to(row_value(WRITE(uchar, rows), dtype, i) * sign, WRITE(uchar, rows), dtype, i);
}

kernel void moe_weight_rows(IN(rows), int dtype, long columns, IN(weights), OUT(out), ITEMS) {
  ITEM(i);
  const float weight = rounded_as(READ(float, weights)[i / columns], dtype);
  round_to(row_value(READ(uchar, rows), dtype, i) * weight, WRITE(uchar, out), dtype, i);
}

kernel void moe_scale_rows(OUT(rows), int dtype, float factor, ITEMS) {
  ITEM(i);
  round_to(row_value(WRITE(uchar, rows), dtype, i) * factor, WRITE(uchar, rows), dtype, i);
}

kernel void moe_add_rows(IN(rows), int dtype, OUT(to), ITEMS) {
  ITEM(i);
  const float sum = row_value(WRITE(uchar, to), dtype, i) + row_value(READ(uchar, rows), dtype, i);
  round_to(sum, WRITE(uchar, to), dtype, i);
}

kernel void moe_weight_and_reduce(IN(rows), int dtype, long columns, IN(row_of), long top_k,
                                  IN(weights), int is_fused, OUT(out), ITEMS) {
  ITEM(i);
  const long token = i / columns;
  const long column = i % columns;
  float sum = 0;
  for (long k = token * top_k; k < (token + 1) * top_k; ++k) {
    const int row = READ(int, row_of)[k];
    if (row < 0) continue;
    const float value = row_value(READ(uchar, rows), dtype, row * columns + column);
    const float weight = READ(float, weights)[k];
    sum = is_fused ? fma(value, weight, sum) : sum + weight * value;
  }
  round_to(sum, WRITE(uchar, out), dtype, i);
}

// place[r] = the slot of grouped row r; -1 where its expert has more rows than slots.
kernel void moe_write_slots(IN(first_row), int num_experts, long capacity, OUT(places),
                            ITEMS) {
  ITEM(row);
  const int expert = expert_of_row(READ(int, first_row), num_experts, row);
  const long slot = expert < num_experts ? row - READ(int, first_row)[expert] : capacity;
  WRITE(int, places)[row] = slot < capacity ? (int)(expert * capacity + slot) : -1;
}

// counts of the batched format, none above its capacity.
kernel void moe_count_batched(IN(first_row), long capacity, OUT(counts), OUT(refusal),
                              ITEMS) {
  ITEM(expert);
  const long count = READ(int, first_row)[expert + 1] - READ(int, first_row)[expert];
  if (count > capacity) {
    refuse(WRITE(uchar, refusal), REFUSED_FULL_EXPERT, (int)expert, count, capacity);
  }
  WRITE(int, counts)[expert] = (int)count;
}

kernel void moe_check_batched(IN(first_row), long capacity, IN(counts), OUT(refusal), ITEMS) {
  ITEM(expert);
  const long count = READ(int, first_row)[expert + 1] - READ(int, first_row)[expert];
  const int came = READ(int, counts)[expert];
  if (came == count && count <= capacity) return;
  refuse(WRITE(uchar, refusal), REFUSED_OTHER_COUNT, (int)expert, came, count);
}
