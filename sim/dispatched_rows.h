// Dispatched rows where the host can read them: values, or codes with the scales that their layout
// gives each row. For checks; how codes must be is row_choices.h.

#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "backends/moe_layer.h"
#include "sim/host_copy.h"

namespace moe::sim {

class DispatchedRows {
 public:
  DispatchedRows(const Dispatched& dispatched, Memory& memory)
      : rows_(dispatched.hidden_states, memory),
        scales_(dispatched.scales, memory),
        layout_(dispatched.layout),
        columns_(dispatched.columns()) {}

  const QuantizedLayout& layout() const { return layout_; }
  Count columns() const { return columns_; }  // values in a row
  std::span<const std::byte> data(Count row) const {
    return {row_at(rows_.tensor(), row), static_cast<std::size_t>(row_bytes(rows_.tensor()))};
  }
  // One for each group of columns, as bytes of the scales' type.
  std::vector<std::byte> scales(Count row) const {
    std::vector<std::byte> found;
    const Count width = size_of(layout_.scales.dtype);
    for (Count group = 0; group < layout_.scales.columns; ++group) {
      const Count place = layout_.scales.group_rows == 1 ? row : 0;
      const auto* scale = static_cast<const std::byte*>(scales_.tensor().data) +
                          scale_offset(layout_.scales, place, group) * width;
      found.insert(found.end(), scale, scale + width);
    }
    return found;
  }

 private:
  HostCopy rows_;
  HostCopy scales_;
  QuantizedLayout layout_;
  Count columns_;
};

}  // namespace moe::sim
