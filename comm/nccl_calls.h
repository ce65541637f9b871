// Tensors as NCCL's calls take them, and calls in a group. Whose they are and in which order is
// nccl_communicator.cc's.

#pragma once

#include "comm/nccl_group.h"
#include "kernels/base/tensor.h"

namespace moe {

inline ncclDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return ncclFloat64;
    case DType::f32:
      return ncclFloat32;
    case DType::bf16:
      return ncclBfloat16;
    case DType::f16:
      return ncclFloat16;
    case DType::i32:
      return ncclInt32;
    default:
      return ncclInt64;
  }
}

inline std::size_t elements(const Tensor& rows) {
  return static_cast<std::size_t>(rows.rows * rows.columns);
}

inline std::size_t bytes(const Tensor& rows) { return static_cast<std::size_t>(bytes_of(rows)); }

// The calls of one group, and the first that failed.
class GroupCall {
 public:
  GroupCall() : result_(ncclGroupStart()) {}

  void add(ncclResult_t result) {
    if (!is_error(result_)) result_ = result;
  }

  ncclResult_t end() {
    add(ncclGroupEnd());
    return result_;
  }

 private:
  ncclResult_t result_;
};

}  // namespace moe
