// What a backend's library takes, held against a world. Every refusal says what there is instead.
// Asked where run lines are made and read; pure functions.

#include "backends/capabilities.h"

#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

Count rounded_up(Count value, Count multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

std::vector<std::string_view> names_of(const std::vector<DType>& dtypes) {
  std::vector<std::string_view> names;
  for (const DType dtype : dtypes) names.push_back(name_of(dtype));
  return names;
}

std::string shape_refusal(const WireLimits& limits, const WireQuestion& question) {
  if (!limits.row_dtypes.empty() && std::ranges::count(limits.row_dtypes, question.dtype) == 0) {
    return text("takes rows of ", joined(names_of(limits.row_dtypes)), ", not of ",
                name_of(question.dtype));
  }
  if (!limits.hidden_sizes.empty() && question.hidden_size > limits.hidden_sizes.back()) {
    return text("takes rows of at most ", limits.hidden_sizes.back(), " columns, not ",
                question.hidden_size, "; its sizes are ", joined(limits.hidden_sizes));
  }
  if (limits.max_top_k && question.top_k > *limits.max_top_k) {
    return text("takes at most top-", *limits.max_top_k, ", not ", question.top_k);
  }
  return "";
}

std::string expert_refusal(const WireLimits& limits, const WireQuestion& question) {
  if (!limits.group_sizes.empty() &&
      std::ranges::count(limits.group_sizes, question.num_ranks) == 0) {
    return text("runs on ", joined(limits.group_sizes), " ranks, not on ", question.num_ranks);
  }
  if (limits.needs_even_experts && question.num_experts % question.num_ranks != 0) {
    return text("needs as many experts on every rank: ", question.num_experts, " do not divide by ",
                question.num_ranks);
  }
  if (limits.linear_placement_only && !question.is_linear) {
    return "ignores the expert map and needs the placement linear";
  }
  if (!limits.takes_weight_on_input && question.weight_on_input) {
    return "does not apply router weights on the input";
  }
  return "";
}

std::string capacity_refusal(const Capabilities& capabilities, const WireQuestion& question) {
  if (!capabilities.fixed_capacity) return "";
  const Count capacity = question.max_num_tokens;
  const std::optional<Count> most = capabilities.fixed_capacity->most;
  if (most && capacity > *most) {
    return text("has room for at most ", *most, " tokens of a rank, not ", capacity);
  }
  const Count multiple = capabilities.limits.capacity_multiple;
  if (capacity * question.num_ranks % multiple != 0) {
    return text("needs capacity times ranks to be a multiple of ", multiple, ", not ", capacity,
                " x ", question.num_ranks);
  }
  return "";
}

}  // namespace

Count wire_columns(const WireLimits& limits, Count hidden_size, DType dtype) {
  Count columns = hidden_size;
  if (!limits.hidden_sizes.empty()) {
    const auto next = std::ranges::lower_bound(limits.hidden_sizes, hidden_size);
    MOE_CHECK(next != limits.hidden_sizes.end(), text("rows of ", hidden_size, " columns"));
    columns = *next;
  }
  return rounded_up(columns * size_of(dtype), limits.row_bytes_multiple) / size_of(dtype);
}

std::string refusal_of(const Capabilities& capabilities, const WireQuestion& question) {
  if (question.num_masked_ranks > 0 && !capabilities.masks_ranks) {
    return "cannot leave dead ranks out (world.masked_ranks)";
  }
  for (const std::string& reason :
       {shape_refusal(capabilities.limits, question), expert_refusal(capabilities.limits, question),
        capacity_refusal(capabilities, question)}) {
    if (!reason.empty()) return reason;
  }
  return "";
}

}  // namespace moe
