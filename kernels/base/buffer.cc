// How a Buffer lays out its block: guard, rows, guard; all poisoned before anybody writes.
// Guards are one row of at least 64 bytes, so that an overrun by a row is seen.

#include "kernels/base/buffer.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels/base/bits.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

constexpr Count guard_bytes_min = 64;
constexpr std::uint32_t guard_word = 0xA5C3A5C3U;

Count rounded_up(Count bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

Buffer::Buffer(Memory& memory, Shape shape) : memory_(&memory) {
  MOE_CHECK(shape.rows >= 0 && shape.columns >= 0,
            text("a buffer of ", shape.rows, " rows and ", shape.columns, " columns"));
  tensor_ = {nullptr, shape.rows, shape.columns, shape.dtype, memory.stream().device};
  const bool poisoned = memory.poison() == Poison::on;
  guard_bytes_ = poisoned ? rounded_up(std::max(row_bytes(tensor_), guard_bytes_min)) : 0;
  const Count body = rounded_up(bytes_of(tensor_));
  block_bytes_ = body + 2 * guard_bytes_;
  if (block_bytes_ == 0) return;
  block_ = memory.allocate(block_bytes_);
  tensor_.data = static_cast<std::byte*>(block_) + guard_bytes_;
  if (!poisoned) return;
  memory.fill({block_, 1, block_bytes_, DType::u8, tensor_.device}, guard_word);
  memory.fill(tensor_, poison_word(shape.dtype));
}

Buffer::~Buffer() {
  if (block_ != nullptr) memory_->release(block_, block_bytes_);
}

Buffer::Buffer(Buffer&& other) noexcept { swap(other); }

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  Buffer taken(std::move(other));
  swap(taken);
  return *this;
}

void Buffer::swap(Buffer& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(block_, other.block_);
  std::swap(block_bytes_, other.block_bytes_);
  std::swap(guard_bytes_, other.guard_bytes_);
  std::swap(tensor_, other.tensor_);
}

Tensor Buffer::guard(Count offset) const {
  return {static_cast<std::byte*>(block_) + offset, 1, guard_bytes_, DType::u8, tensor_.device};
}

bool Buffer::guards_intact() const {
  if (guard_bytes_ == 0) return true;
  std::vector<std::uint32_t> seen(static_cast<std::size_t>(guard_bytes_ / 4));
  const Tensor host{seen.data(), 1, guard_bytes_, DType::u8, {}};
  for (const Count offset : {Count{0}, block_bytes_ - guard_bytes_}) {
    memory_->copy_to_host(guard(offset), host);
    if (std::ranges::any_of(seen, [](std::uint32_t word) { return word != guard_word; })) {
      return false;
    }
  }
  return true;
}

Buffer copy_of(const Tensor& host, Memory& memory) {
  Buffer buffer(memory, {host.rows, host.columns, host.dtype});
  memory.copy_from_host(host, buffer.tensor());
  return buffer;
}

}  // namespace moe
