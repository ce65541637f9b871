// quantise_codes RECIPE ROWS COLUMNS PARTS KIND GROUP SCALE_TYPE GIVEN: reads f32 values, writes
// what the kernels and then what the judge makes of them: scales, codes, zero points.
// quantise_test.py starts it. KIND is fn or fnuz; GIVEN a scale as 8 hexadecimal digits of its
// bits.

#include <unistd.h>

#include <bit>
#include <charconv>
#include <string>

#include "golden/quantise.h"
#include "kernels/base/text.h"
#include "kernels/kernels.h"

namespace moe {
namespace {

Count number_from(std::string_view word, int base = 10) {
  Count number = 0;
  const auto end = std::from_chars(word.data(), word.data() + word.size(), number, base);
  MOE_CHECK(end.ec == std::errc() && end.ptr == word.data() + word.size(),
            text("no number: ", word));
  return number;
}

void write_all(const std::vector<std::byte>& bytes) {
  for (Count at = 0; at < std::ssize(bytes);) {
    const Count written =
        write(STDOUT_FILENO, bytes.data() + at, bytes.size() - static_cast<std::size_t>(at));
    MOE_CHECK(written > 0, "standard output is closed");
    at += written;
  }
}

void append(std::vector<std::byte>& bytes, const void* data, Count size) {
  const auto* from = static_cast<const std::byte*>(data);
  bytes.insert(bytes.end(), from, from + size);
}

std::vector<std::byte> bytes_of(const QuantizedRows& rows) {
  std::vector<std::byte> bytes;
  const ScaleLayout& scales = rows.layout.scales;
  const Count size = size_of(scales.dtype);
  for (Count row = 0; row < scales.rows; ++row) {
    for (Count column = 0; column < scales.columns; ++column) {
      const Count at = scale_offset(scales, row, column) * size;
      append(bytes, static_cast<const std::byte*>(rows.scales.data) + at, size);
    }
  }
  append(bytes, rows.data.data, moe::bytes_of(rows.data));
  append(bytes, rows.zero_points.data, moe::bytes_of(rows.zero_points));
  return bytes;
}

std::vector<std::byte> bytes_of(const golden::QuantisedBytes& quantised) {
  std::vector<std::byte> bytes;
  for (const auto* part : {&quantised.scales, &quantised.data, &quantised.zero_points}) {
    append(bytes, part->data(), std::ssize(*part));
  }
  return bytes;
}

std::vector<float> read_values(Count count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  char* to = reinterpret_cast<char*>(values.data());
  for (Count left = count * 4; left > 0;) {
    const Count got = read(STDIN_FILENO, to, static_cast<std::size_t>(left));
    MOE_CHECK(got > 0, text("standard input ends ", left, " bytes too early"));
    to += got;
    left -= got;
  }
  return values;
}

void run(std::span<const std::string_view> words) {
  MOE_CHECK(words.size() == 8, text(words.size(), " words, not 8"));
  const std::optional<QuantRecipe> recipe = recipe_named(words[0]);
  const std::optional<DType> scale_type = dtype_named(words[6]);
  MOE_CHECK(recipe && scale_type, text("no recipe ", words[0], " or no type ", words[6]));
  const auto given = std::bit_cast<float>(static_cast<std::uint32_t>(number_from(words[7], 16)));
  golden::QuantiseOrder order{.rows = number_from(words[1]),
                              .columns = number_from(words[2]),
                              .parts = number_from(words[3]),
                              .is_fnuz = words[4] == "fnuz",
                              .group_columns = number_from(words[5]),
                              .scale_dtype = *scale_type};
  QuantSettings settings{
      .layout = {.parts = order.parts, .fp8 = order.is_fnuz ? Fp8Kind::fnuz : Fp8Kind::fn}};
  const RecipeRow& row = recipe_row(*recipe);
  if (has_chosen_groups(row)) {
    settings.layout.group_columns = order.group_columns;
    settings.layout.scale_dtype = order.scale_dtype;
  }
  if (row.scale_rule == ScaleRule::given || row.scale_rule == ScaleRule::times_global) {
    order.given.assign(static_cast<std::size_t>(order.parts), given);
    settings.scale = {order.given.data(), order.parts, 1, DType::f32, {}};
  }
  std::vector<float> values = read_values(order.rows * order.columns);
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const QuantizedRowsBuffers ours = kernels->quantize(
      {values.data(), order.rows, order.columns, DType::f32, {}}, *recipe, settings);
  write_all(bytes_of(ours.view()));
  write_all(bytes_of(golden::quantise(words[0], values, order)));
}

}  // namespace
}  // namespace moe

int main(int argc, char** argv) {
  const std::vector<std::string_view> words(argv + 1, argv + argc);
  moe::run(words);
}
