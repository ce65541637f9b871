// Memory: the allocator and the row movers of one device, as one rank uses them. A seam.
// Owners of memory are Buffers (buffer.h); what is computed on rows is kernels/, not this.

#pragma once

#include <memory>
#include <span>

#include "kernels/base/tensor.h"

namespace moe {

// Whether fresh memory is filled with poison and framed by guard rows. Off only where time counts.
enum class Poison { on, off };

// THREAD: one rank's; each rank has its own.
class Memory {
 public:
  virtual ~Memory() = default;

  virtual Stream stream() const = 0;
  virtual Poison poison() const = 0;

  // RETURNS at least `bytes` bytes, aligned to 64, with any content. Throws SystemError if there
  // are none. Called by Buffer only.
  virtual void* allocate(Count bytes) = 0;
  virtual void release(void* data, Count bytes) noexcept = 0;

  // Copies equal shapes within this memory.
  void copy(const Tensor& from, const Tensor& to);

  // Copies between this memory and the host's, either way. host lies on cpu.
  void copy_from_host(const Tensor& host, const Tensor& to);
  void copy_to_host(const Tensor& from, const Tensor& host);

  // Returns when everything asked of this memory and queued in its stream is done: after it, peers
  // may read what this rank wrote. Throws what work in the queue met.
  virtual void synchronize() = 0;

  // Repeats a 32-bit word over all bytes of the tensor (zero, poison).
  void fill(const Tensor& tensor, std::uint32_t word);

  // out[r, c] = round(operands[0][r, c] + operands[1][r, c] + …): ORDER of the list, accumulated in
  // fp32 (f64 rows in f64), rounded once to the rows' type. out may be one of the operands.
  // REQUIRES equal shapes of f64, f32, bf16 or f16.
  void add_rows(std::span<const Tensor> operands, const Tensor& out);

 private:
  virtual void do_copy(const void* from, void* to, Count bytes) = 0;
  virtual void do_copy_from_host(const void* host, void* to, Count bytes) = 0;
  virtual void do_copy_to_host(const void* from, void* host, Count bytes) = 0;
  virtual void do_fill(void* data, std::uint32_t word, Count bytes) = 0;
  virtual void do_add_rows(std::span<const Tensor> operands, const Tensor& out) = 0;
};

// The host's memory. Released blocks are kept for the next allocation of the same size.
std::unique_ptr<Memory> make_host_memory(Poison poison);

}  // namespace moe
