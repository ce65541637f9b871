// Slices of views and their shapes as text.
// Called by every room.

#include "kernels/base/tensor.h"

#include "kernels/base/text.h"

namespace moe {

Tensor rows_of(const Tensor& tensor, Count begin, Count count) {
  MOE_CHECK(begin >= 0 && count >= 0 && begin + count <= tensor.rows,
            text("rows ", begin, " to ", begin + count, " of ", shape_text(tensor)));
  Tensor slice = tensor;
  slice.data = tensor.data == nullptr ? nullptr : row_at(tensor, begin);
  slice.rows = count;
  return slice;
}

std::string shape_text(const Tensor& tensor) {
  return text("[", tensor.rows, ", ", tensor.columns, "] ", name_of(tensor.dtype), " on ",
              name_of(tensor.device.kind));
}

}  // namespace moe
