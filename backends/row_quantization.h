// How a layer's rows are quantised on their way to its experts: by which recipe, and on which side
// of the dispatch (vLLM: moe_kernel_quantize_input and each prepare_finalize's own rule;
// distribution-layer.md, 10). Codes and scales are kernels'; which backend does what is
// capabilities.h.

#pragma once

#include <functional>

#include "backends/capabilities.h"
#include "backends/moe_layer.h"
#include "kernels/kernels.h"

namespace moe {

// What a rank needs to quantise its rows. scale: of static recipes that of the tensor, of nvfp4 the
// global one; the same on every rank.
struct RowQuantization {
  QuantRecipe recipe = QuantRecipe::none;
  QuantizedAt at = QuantizedAt::nowhere;
  float scale = 1;
  bool static_scale_by_row = false;
  bool scales_by_column_in_rooms = false;  // as a library's own dispatch makes them
};

// The layout in which experts get rows: nvfp4's scales swizzled where rows are a list (vLLM:
// is_nvfp4_scale_swizzled), as they were made in experts' rooms; but codes that a library's own
// dispatch makes have their scales column by column, each room of room_rows rows apart
// (distribution-layer.md, 9.4: token-major stride 1).
struct ExpertRows {
  ActivationFormat format = ActivationFormat::standard;
  Count rows = 0;
  Count columns = 0;
  Count room_rows = 0;  // of one expert; 0 where there are no rooms
};
QuantizedLayout expert_input_layout(const RowQuantization& quantization, const ExpertRows& rows);

class RowQuantizer {
 public:
  // kernels may be null where nothing is quantised.
  RowQuantizer(const RowQuantization& quantization, ActivationFormat format, Kernels* kernels);

  bool is_before_dispatch() const { return sends_codes(quantization_.at); }
  bool is_after_receipt() const { return quantization_.at == QuantizedAt::after_receipt; }

  // Rows as codes, and their scales.
  struct Quantized {
    Buffer rows;
    Buffer scales;
  };
  Quantized quantized(const Tensor& rows) const;

  // Whether each row has scales of its own; else all share one.
  bool has_scales_by_row() const;

  // Columns of codes and of scales of rows with so many values.
  Count data_columns(Count columns) const;
  Count scale_columns(Count columns) const;

  // Says in dispatched what its rows are, which stand there as codes: rows of `columns` values with
  // these scales, those of the tensor where they have no columns. Swizzles what has to be. Nothing
  // where nothing is quantised, as the next. LIFETIME: what it says looks at this quantiser's
  // scale.
  void describe(const Tensor& scales, Count columns, Dispatched& dispatched) const;

  // For rows that came as they are and stand in dispatched.
  void quantize_dispatched(Dispatched& dispatched) const;

 private:
  bool is_quantizing() const { return quantization_.at != QuantizedAt::nowhere; }
  QuantizedLayout linear_layout(Count rows, Count columns) const;

  RowQuantization quantization_;
  ActivationFormat format_;
  Kernels* kernels_;
  Buffer scale_;  // [1, 1] f32; no columns: nothing static
};

// What a recipe's calls are given, [1, 1] f32: a scale or a global scale; nothing for others.
Buffer static_scale(QuantRecipe recipe, float scale, Kernels& kernels);

// A dispatch's rows for the experts, in an order of theirs: regroup is called for codes, and for
// scales that belong to one row each. A static scale that came with every row is the tensor's
// again. Throws ContractError unless they have the layout that these experts were promised.
struct RegroupedRows {
  Buffer codes;
  Buffer scales;  // no columns: the dispatch's own
  QuantizedRows view;
};
RegroupedRows regrouped(const Dispatched& dispatched, const RowQuantization& quantization,
                        ActivationFormat format, Kernels& kernels,
                        const std::function<Buffer(const Tensor& rows)>& regroup);

}  // namespace moe
