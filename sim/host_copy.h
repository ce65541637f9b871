// A tensor's content where the host can read it: the tensor itself if it lies there, a copy if not.
// For checks and judges; the layer never needs it.

#pragma once

#include <memory>

#include "kernels/base/buffer.h"

namespace moe::sim {

class HostCopy {
 public:
  HostCopy(const Tensor& tensor, Memory& memory) : tensor_(tensor) {
    if (tensor.device.kind == DeviceKind::cpu) return;
    host_ = make_host_memory(Poison::off);
    copy_ = Buffer(*host_, {tensor.rows, tensor.columns, tensor.dtype});
    memory.copy_to_host(tensor, copy_.tensor());
    tensor_ = copy_.tensor();
  }

  const Tensor& tensor() const { return tensor_; }

 private:
  std::unique_ptr<Memory> host_;
  Buffer copy_;
  Tensor tensor_;
};

}  // namespace moe::sim
