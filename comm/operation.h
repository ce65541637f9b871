// The operations of a communicator by name, and lists of ranks as words: what every message of this
// room is made of. No operation is done here.

#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace moe {

enum class Operation : std::int32_t {
  all_gather_v,
  reduce_scatter_v,
  all_to_all_v,
  broadcast,
  all_reduce,
  send,
  recv,
  barrier,
  split,
  finished
};

std::string_view name_of(Operation operation);

// Whether all ranks of a group take part; send and recv are between two.
constexpr bool is_collective(Operation operation) {
  return operation != Operation::send && operation != Operation::recv;
}

// "rank 1", "ranks 0, 2, 3".
std::string ranks_text(std::span<const int> ranks);

}  // namespace moe
