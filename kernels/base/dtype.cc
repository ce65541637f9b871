// Names of the element types: the words that scenarios, reports and messages use.
// The order follows the enumeration.

#include "kernels/base/dtype.h"

namespace moe {
namespace {

constexpr std::array<std::string_view, all_dtypes.size()> names = {
    "f64", "f32", "bf16", "f16", "f8e4m3", "e2m1x2", "e8m0", "i8", "i16", "i32", "i64", "u8"};

}  // namespace

std::string_view name_of(DType dtype) { return names[static_cast<std::size_t>(dtype)]; }

std::optional<DType> dtype_named(std::string_view word) {
  for (const DType dtype : all_dtypes) {
    if (name_of(dtype) == word) return dtype;
  }
  return std::nullopt;
}

}  // namespace moe
