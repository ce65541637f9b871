// Buffer: the only owner of tensor memory. Fresh buffers hold poison and stand between guard rows,
// so that what nobody wrote and what somebody wrote outside is seen (numerics.md, 6).

#pragma once

#include "kernels/base/memory.h"

namespace moe {

struct Shape {
  Count rows = 0;
  Count columns = 0;
  DType dtype = DType::u8;
};

// LIFETIME: not longer than its Memory.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Memory& memory, Shape shape);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  // RETURNS a view that stays valid when the Buffer is moved.
  const Tensor& tensor() const { return tensor_; }

  // Whether the guard rows before and after the data are as they were laid. True without poison.
  bool guards_intact() const;

 private:
  void swap(Buffer& other) noexcept;
  Tensor guard(Count offset) const;

  Memory* memory_ = nullptr;
  void* block_ = nullptr;
  Count block_bytes_ = 0;
  Count guard_bytes_ = 0;
  Tensor tensor_;
};

// A host tensor's bytes in a new buffer of that memory.
Buffer copy_of(const Tensor& host, Memory& memory);

}  // namespace moe
