// The host's memory: aligned blocks that are kept for reuse, memcpy, and the ordered fp32 sum.
// One rank's, so without locks. Made by make_host_memory.

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <unordered_map>
#include <vector>

#include "kernels/base/bits.h"
#include "kernels/base/memory.h"
#include "kernels/base/row_sums.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

constexpr Count alignment = 64;
constexpr Count fill_bytes = 32768;

// Wide rows are for oracles and tests: no instruction set of their own.
void add_wide_rows(std::span<const Tensor> operands, const Tensor& out) {
  auto* to = static_cast<double*>(out.data);
  for (Count i = 0; i < out.rows * out.columns; ++i) {
    double sum = static_cast<const double*>(operands[0].data)[i];
    for (const Tensor& operand : operands.subspan(1)) {
      sum += static_cast<const double*>(operand.data)[i];
    }
    to[i] = sum;
  }
}

class HostMemory final : public Memory {
 public:
  explicit HostMemory(Poison poison) : poison_(poison) {}

  Stream stream() const override { return {}; }
  Poison poison() const override { return poison_; }

  void synchronize() override {}  // a call has done its work when it returns

  void* allocate(Count bytes) override {
    std::vector<Block>& kept = free_[bytes];
    if (!kept.empty()) {
      void* data = used(std::move(kept.back()), bytes);
      kept.pop_back();
      return data;
    }
    try {
      return used(
          std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(bytes + alignment)),
          bytes);
    } catch (const std::bad_alloc&) {
      throw SystemError(text("no memory for a buffer of ", bytes, " bytes"));
    }
  }

  void release(void* data, Count bytes) noexcept override {
    const auto found = used_.find(data);
    if (found == used_.end()) return;
    free_[bytes].push_back(std::move(found->second));
    used_.erase(found);
  }

 private:
  using Block = std::unique_ptr<std::byte[]>;

  void* used(Block block, Count bytes) {
    void* data = block.get();
    auto space = static_cast<std::size_t>(bytes + alignment);
    std::align(alignment, static_cast<std::size_t>(bytes), data, space);
    used_.emplace(data, std::move(block));
    return data;
  }

  void do_copy(const void* from, void* to, Count bytes) override {
    std::memmove(to, from, static_cast<std::size_t>(bytes));
  }
  void do_copy_from_host(const void* host, void* to, Count bytes) override {
    do_copy(host, to, bytes);
  }
  void do_copy_to_host(const void* from, void* host, Count bytes) override {
    do_copy(from, host, bytes);
  }

  // The first bytes word by word, the others as copies of them: whole rows of poison are written as
  // fast as memory takes them.
  void do_fill(void* data, std::uint32_t word, Count bytes) override {
    auto* to = static_cast<std::byte*>(data);
    const Count first = std::min(bytes, fill_bytes);
    Count at = 0;
    for (; at + 4 <= first; at += 4) std::memcpy(to + at, &word, 4);
    if (at < first) std::memcpy(to + at, &word, static_cast<std::size_t>(first - at));
    for (at = first; at < bytes; at += fill_bytes) {
      std::memcpy(to + at, to, static_cast<std::size_t>(std::min(fill_bytes, bytes - at)));
    }
  }

  void do_add_rows(std::span<const Tensor> operands, const Tensor& out) override {
    if (out.dtype == DType::f64) return add_wide_rows(operands, out);
    std::vector<const void*> rows;
    for (const Tensor& operand : operands) rows.push_back(operand.data);
    sums_.add_in_order(out.dtype, rows, out.data, out.rows * out.columns);
  }

  const RowSums& sums_ = row_sums();
  Poison poison_;
  std::unordered_map<void*, Block> used_;
  std::unordered_map<Count, std::vector<Block>> free_;
};

}  // namespace

std::unique_ptr<Memory> make_host_memory(Poison poison) {
  return std::make_unique<HostMemory>(poison);
}

}  // namespace moe
