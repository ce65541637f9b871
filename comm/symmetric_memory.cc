// Ranks that share an address space tell each other where their parts begin.
// Windows of other kinds are beside their library.

#include "comm/symmetric_memory.h"

#include <array>
#include <cstdint>
#include <vector>

#include "comm/gathered_numbers.h"
#include "kernels/base/buffer.h"

namespace moe {
namespace {

class SharedAddresses final : public SymmetricMemory {
 public:
  SharedAddresses(Communicator& group, Count bytes)
      : rank_(group.rank()), own_(group.memory(), {1, bytes, DType::u8}) {
    group.memory().synchronize();  // poison is written before peers write
    const std::array<std::int64_t, 1> address = {
        static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(own_.tensor().data))};
    for (const std::int64_t number : gathered_numbers(address, group)) {
      Tensor part = own_.tensor();
      part.data = reinterpret_cast<void*>(static_cast<std::uintptr_t>(number));
      parts_.push_back(part);
    }
  }

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(parts_.size()); }
  Tensor part(int rank) const override { return parts_.at(static_cast<std::size_t>(rank)); }

 private:
  int rank_;
  Buffer own_;
  std::vector<Tensor> parts_;
};

}  // namespace

std::unique_ptr<SymmetricMemory> make_shared_addresses(Communicator& group, Count bytes) {
  return std::make_unique<SharedAddresses>(group, bytes);
}

}  // namespace moe
