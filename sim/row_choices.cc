// Choices looked up by tag, and counted over all rows of a cell.
// Padding counts as its router would choose for it.

#include "sim/row_choices.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "golden/quantise.h"
#include "kernels/base/bits.h"
#include "kernels/base/number_formats.h"
#include "kernels/base/text.h"

namespace moe::sim {
namespace {

std::string scale_text(DType dtype, std::span<const std::byte> bytes) {
  if (dtype == DType::f32) {
    float value = 0;
    std::memcpy(&value, bytes.data(), sizeof(value));
    return text(value);
  }
  const auto code = std::to_integer<std::uint8_t>(bytes.front());
  return text(dtype == DType::e8m0 ? e8m0_value(code) : e4m3fn_value(code));
}

std::vector<float> floats_of(std::span<const std::byte> row, DType dtype) {
  std::vector<float> numbers;
  for_row_type(dtype, [&](auto element) {
    using T = decltype(element);
    const std::span all(reinterpret_cast<const T*>(row.data()), row.size() / sizeof(T));
    for (const T value : all) numbers.push_back(to_float(value));
  });
  return numbers;
}

}  // namespace

std::vector<std::int16_t> RowChoices::of(std::int64_t tag) const {
  const WorldInputs& inputs = facts_.inputs;
  std::vector<std::int16_t> chosen;
  if (const auto token = tokens_.token_of(tag)) {
    const auto ids = inputs.topk_ids(cell_.step, cell_.layer, token->dp_rank, token->token);
    chosen.assign(ids.begin(), ids.end());
  } else {
    chosen = inputs.topk_ids_of_zeros(cell_.layer);
  }
  if (facts_.travelling == nullptr) return chosen;
  return facts_.travelling->travelling(cell_.layer, tokens_.router_row(tag), chosen);
}

int RowChoices::owner_of(int expert) const {
  if (expert < 0) return -1;
  const int owner = facts_.expert_map.rank_of[static_cast<std::size_t>(expert)];
  return facts_.inputs.is_masked(owner) ? -1 : owner;
}

std::vector<int> RowChoices::as_received(std::int64_t tag) const {
  const std::vector<std::int16_t> chosen = of(tag);
  std::vector<int> ids(chosen.begin(), chosen.end());
  if (facts_.capabilities.foreign_choices == ForeignChoices::as_sent) return ids;
  const int last = facts_.expert_map.num_experts() - 1;
  const int elsewhere = lives_here(0) ? last : 0;
  const int replacement = lives_here(elsewhere) ? -1 : elsewhere;
  for (int& id : ids) {
    if (!lives_here(id)) id = replacement;
  }
  return ids;
}

std::vector<std::byte> RowChoices::values(Count columns, std::int64_t tag) const {
  std::vector<std::byte> row(static_cast<std::size_t>(columns * size_of(facts_.inputs.dtype())));
  if (const auto token = tokens_.token_of(tag)) {
    facts_.inputs.dispatched_row({cell_.step, cell_.layer, token->dp_rank}, token->token, row);
  }
  return row;
}

RowChoices::Payload RowChoices::payload(const DispatchedRows& rows, Count row,
                                        std::int64_t tag) const {
  std::vector<std::byte> plain = values(rows.columns(), tag);
  const RowQuantization& quantization = facts_.quantization;
  if (quantization.at == QuantizedAt::nowhere) return {std::move(plain), {}};
  const std::vector<float> numbers = floats_of(plain, facts_.inputs.dtype());
  // The scale of a tensor's largest value is the tensor's: a row's codes follow from it.
  const bool is_of_tensor = quantization.recipe == QuantRecipe::fp8_dynamic_tensor;
  const std::string_view recipe =
      is_of_tensor ? "fp8_static_tensor" : recipe_row(quantization.recipe).name;
  golden::QuantiseOrder order{.rows = 1, .columns = rows.columns(), .given = {quantization.scale}};
  if (is_of_tensor) std::memcpy(order.given.data(), rows.scales(row).data(), sizeof(float));
  const golden::QuantisedBytes made = golden::quantise(recipe, numbers, order);
  Payload payload;
  const auto append = [](const std::vector<std::uint8_t>& from, std::vector<std::byte>& to) {
    const auto bytes = std::as_bytes(std::span(from));
    to.assign(bytes.begin(), bytes.end());
  };
  append(made.data, payload.data);
  append(made.scales, payload.scales);
  return payload;
}

bool DispatchFindings::names_a_token(std::int64_t tag, Where where) {
  if (tokens_.contains(tag)) return true;
  found("PROV", text(where(), " carries tag ", hex16(static_cast<std::uint64_t>(tag)),
                     ", which names no token of this step"));
  return false;
}

void DispatchFindings::check_payload(const DispatchedRows& rows, Count row, std::int64_t tag,
                                     Where where) {
  const RowChoices::Payload expected = choices_.payload(rows, row, tag);
  const bool is_quantized = facts_.quantization.at != QuantizedAt::nowhere;
  if (!std::ranges::equal(rows.data(row), expected.data)) {
    found("PROV",
          text(where(), " is tagged ", tokens_.words(tag), " but does not hold ",
               is_quantized ? text("the codes that ", recipe_row(facts_.quantization.recipe).name,
                                   " makes of its hidden states")
                            : "its hidden states"));
  }
  if (!is_quantized) return;
  ledger_.looked("LAYOUT");
  const std::vector<std::byte> scales = rows.scales(row);
  if (scales == expected.scales) return;
  const DType dtype = rows.layout().scales.dtype;
  const auto width = static_cast<std::size_t>(size_of(dtype));
  const std::size_t at =
      static_cast<std::size_t>(std::ranges::mismatch(scales, expected.scales).in1 - scales.begin());
  const std::size_t group = at / width;
  found("LAYOUT", text(where(), ", ", tokens_.words(tag), ": the scale of group ", group, " is ",
                       scale_text(dtype, std::span(scales).subspan(group * width)),
                       " where the layout says it stands, the recipe makes ",
                       group * width < expected.scales.size()
                           ? scale_text(dtype, std::span(expected.scales).subspan(group * width))
                           : "none",
                       " (", layout_text(rows.layout()), ")"));
}

void DispatchFindings::check_scale_of_all(const DispatchedRows& rows,
                                          std::span<const std::int64_t> tags) {
  if (facts_.quantization.recipe != QuantRecipe::fp8_dynamic_tensor || tags.empty()) return;
  float amax = 0;
  for (const std::int64_t tag : tags) {
    const std::vector<std::byte> row = choices_.values(rows.columns(), tag);
    for (const float value : floats_of(row, facts_.inputs.dtype())) {
      amax = std::max(amax, std::abs(value));
    }
  }
  const golden::QuantisedBytes made =
      golden::quantise("fp8_dynamic_tensor", std::span(&amax, 1), {.rows = 1, .columns = 1});
  const auto expected = std::as_bytes(std::span(made.scales));
  const std::vector<std::byte> scale = rows.scales(0);
  if (std::ranges::equal(scale, expected)) return;
  found("LAYOUT", text("the scale of all rows is ", scale_text(DType::f32, scale),
                       ", the largest value among them is ", amax, " and makes it ",
                       scale_text(DType::f32, expected)));
}

void DispatchFindings::found(std::string_view check, const std::string& what) {
  ledger_.found(check, moment_of(cell_, 0), text(place_text(cell_), ", dispatch: ", what));
}

MessageCounts message_counts(const ConservationFacts& facts, golden::Cell cell) {
  const DispatchedTokens tokens = facts.tokens(cell.step);
  const RowChoices choices(facts, cell, tokens);
  const bool is_by_rank = facts.capabilities.dispatch_move == DispatchMove::rank_messages;
  const int self = facts.parallel.ep_rank;
  MessageCounts counts;
  const RowCounts rows = tokens.rows_per_rank();
  for (int source = 0; source < std::ssize(rows); ++source) {
    for (Count row = 0; row < rows[static_cast<std::size_t>(source)]; ++row) {
      std::multiset<int> owners;
      for (const int expert : choices.of(provenance_tag(source, row))) {
        const int owner = choices.owner_of(expert);
        if (owner >= 0 && (!is_by_rank || owners.count(owner) == 0)) owners.insert(owner);
      }
      const auto own = static_cast<Count>(owners.count(self));
      if (source == self) counts.sent += std::ssize(owners) - own;
      if (source != self) counts.answered += own;
    }
  }
  return counts;
}

}  // namespace moe::sim
