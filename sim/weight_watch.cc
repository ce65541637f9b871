// The decorator. Codes and scales are read through the layout that goes with them, in the order in
// which the judge makes its own.

#include "sim/weight_watch.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "golden/quantise.h"
#include "kernels/base/bits.h"
#include "kernels/base/text.h"
#include "sim/host_copy.h"

namespace moe::sim {
namespace {

using Bytes = std::vector<std::uint8_t>;

// One expert's matrix as it was given.
std::vector<float> values_of(const Tensor& weights, Count first, Count rows) {
  std::vector<float> values;
  for_row_type(weights.dtype, [&](auto element) {
    for (const auto value : elements_of<decltype(element)>(rows_of(weights, first, rows))) {
      values.push_back(to_float(value));
    }
  });
  return values;
}

// Scale rows [first, first + rows) in logical order.
Bytes scales_of(const QuantizedLayout& layout, const Tensor& scales, Count first, Count rows) {
  Bytes found;
  const Count width = size_of(layout.scales.dtype);
  for (Count row = first; row < first + rows; ++row) {
    for (Count column = 0; column < layout.scales.columns; ++column) {
      const auto* at = static_cast<const std::uint8_t*>(scales.data) +
                       scale_offset(layout.scales, row, column) * width;
      found.insert(found.end(), at, at + width);
    }
  }
  return found;
}

class Watched final : public WeightQuantizer {
 public:
  Watched(std::unique_ptr<WeightQuantizer> inner, WatchedWeights place, Memory& memory,
          CheckLedger& ledger)
      : inner_(std::move(inner)), place_(place), memory_(memory), ledger_(ledger) {}

  QuantizedGemmWeights quantized(GemmWeights weights, QuantRecipe recipe,
                                 Count num_experts) override {
    const Buffer w13 = copy_of(HostCopy(weights.w13.tensor(), memory_).tensor(), *host_);
    const Buffer w2 = copy_of(HostCopy(weights.w2.tensor(), memory_).tensor(), *host_);
    QuantizedGemmWeights codes = inner_->quantized(std::move(weights), recipe, num_experts);
    if (num_experts == 0) return codes;
    const bool has_halves = activation_row(codes.activation).gate == GateLayout::halves;
    const Count intermediate = w2.tensor().columns;
    if (intermediate != place_.intermediate_size) {
      found(text("codes are made of ", intermediate, " columns of W2, not of whole experts with ",
                 place_.intermediate_size));
      return codes;
    }
    for (const Count expert : std::set<Count>{0, num_experts - 1}) {
      check("w13", w13.tensor(), codes.w13.view(),
            {recipe, expert, num_experts, Cut::rows, has_halves ? 2 : 1});
      check("w2", w2.tensor(), codes.w2.view(), {recipe, expert, num_experts, Cut::columns, 1});
    }
    return codes;
  }

 private:
  enum class Cut { rows, columns };  // of a matrix whose part a rank holds
  struct Which {
    QuantRecipe recipe;
    Count expert;
    Count num_experts;
    Cut cut;
    Count num_blocks;  // of rows that are cut each by itself
  };

  // What a rank keeps of bytes [rows, row_bytes] that stand for a whole expert.
  Bytes part_of(const Bytes& whole, std::size_t row_bytes, const Which& which) const {
    const TensorShard& shard = place_.shard;
    const auto size = static_cast<std::size_t>(shard.size);
    const auto rank = static_cast<std::size_t>(shard.rank);
    const std::size_t run = which.cut == Cut::columns
                                ? row_bytes
                                : whole.size() / static_cast<std::size_t>(which.num_blocks);
    Bytes part;
    for (std::size_t begin = 0; begin < whole.size(); begin += run) {
      const auto from = whole.begin() + static_cast<std::ptrdiff_t>(begin + rank * (run / size));
      part.insert(part.end(), from, from + static_cast<std::ptrdiff_t>(run / size));
    }
    return part;
  }

  // Codes and scales as the judge makes them of the whole expert, and the rank has them.
  golden::QuantisedBytes made_of(const std::vector<float>& values,
                                 const golden::QuantiseOrder& order, const QuantizedRows& codes,
                                 const Which& which) const {
    const RecipeRow& recipe = recipe_row(which.recipe);
    golden::QuantisedBytes made = golden::quantise(recipe.name, values, order);
    if (place_.shard.size == 1) return made;
    made.data = part_of(made.data, made.data.size() / static_cast<std::size_t>(order.rows), which);
    const Count groups = groups_of(order.columns, codes.layout.scales.group_columns);
    const Count shared_by =
        which.cut == Cut::rows ? codes.layout.scales.group_rows : codes.layout.scales.group_columns;
    if (shared_by == 0) return made;  // each part has the whole one's
    const auto row_bytes = static_cast<std::size_t>(groups * size_of(codes.layout.scales.dtype));
    made.scales = part_of(made.scales, row_bytes, which);
    return made;
  }

  void check(std::string_view name, const Tensor& plain, const QuantizedRows& codes,
             const Which& which) {
    ledger_.looked("LAYOUT");
    const Count rows = plain.rows / which.num_experts;
    const std::vector<float> values = values_of(plain, which.expert * rows, rows);
    golden::QuantiseOrder order{.rows = rows, .columns = plain.columns};
    order.parts = codes.layout.parts / which.num_experts;
    float amax = 0;
    for (const float value : values) amax = std::max(amax, std::abs(value));
    order.given.assign(static_cast<std::size_t>(order.parts), 448.0F * 6.0F / amax);
    const golden::QuantisedBytes made = made_of(values, order, codes, which);
    const Count own_rows = codes.layout.rows / which.num_experts;
    const HostCopy data(rows_of(codes.data, which.expert * own_rows, own_rows), memory_);
    const HostCopy scales(codes.scales, memory_);
    const Count scale_rows = codes.layout.scales.rows / which.num_experts;
    compare(text(name, ", local expert ", which.expert, ", its codes"),
            {static_cast<const std::uint8_t*>(data.tensor().data),
             static_cast<std::size_t>(bytes_of(data.tensor()))},
            made.data);
    compare(text(name, ", local expert ", which.expert, ", its scales"),
            scales_of(codes.layout, scales.tensor(), which.expert * scale_rows, scale_rows),
            made.scales);
  }

  void compare(const std::string& what, std::span<const std::uint8_t> actual, const Bytes& made) {
    if (std::ranges::equal(actual, made)) return;
    const auto at = std::ranges::mismatch(actual, made).in1 - actual.begin();
    found(text(what, " are not what its weights become: the first that differs is byte ", at,
               " of ", made.size()));
  }

  void found(const std::string& what) {
    ledger_.found("LAYOUT", Moment{0, place_.layer, 0, place_.rank},
                  text("layer ", place_.layer, ", rank ", place_.rank, ", loading: ", what));
  }

  std::unique_ptr<WeightQuantizer> inner_;
  WatchedWeights place_;
  Memory& memory_;
  CheckLedger& ledger_;
  std::unique_ptr<Memory> host_ = make_host_memory(Poison::off);
};

}  // namespace

std::unique_ptr<WeightQuantizer> watched(std::unique_ptr<WeightQuantizer> inner,
                                         WatchedWeights place, Memory& memory,
                                         CheckLedger& ledger) {
  return std::make_unique<Watched>(std::move(inner), place, memory, ledger);
}

}  // namespace moe::sim
