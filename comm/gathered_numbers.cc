// One all-gather of one row a rank, in the group's memory.
// Empty lists make the round as well: others may not.

#include "comm/gathered_numbers.h"

#include "kernels/base/buffer.h"

namespace moe {

std::vector<std::int64_t> gathered_numbers(std::span<const std::int64_t> own, Communicator& group) {
  const auto width = static_cast<Count>(own.size());
  std::vector<std::int64_t> numbers(own.begin(), own.end());
  const Buffer mine = copy_of({numbers.data(), 1, width, DType::i64, {}}, group.memory());
  const Buffer all(group.memory(), {group.size(), width, DType::i64});
  const std::vector<Count> once(static_cast<std::size_t>(group.size()), 1);
  group.all_gather_v({&mine.tensor(), 1}, once, {&all.tensor(), 1});
  numbers.resize(own.size() * once.size());
  group.memory().copy_to_host(all.tensor(), {numbers.data(), group.size(), width, DType::i64, {}});
  return numbers;
}

}  // namespace moe
