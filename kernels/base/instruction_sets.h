// Which of the three instruction sets this processor has that loops are compiled for: AVX-512
// (x86-64-v4), AVX2 (x86-64-v3), and the one that every processor has. A table of loops exists once
// for each; the fastest is chosen at start. Used by row_sums.cc and kernels/cpu/row_loops.cc.

#pragma once

#include <array>

namespace moe {

// One table of functions, and whether this processor can run it.
template <typename Table>
struct TableChoice {
  const Table& table;
  bool available;
};

// All of a build, the fastest first; the last is always available.
template <typename Table>
using TableChoices = std::array<TableChoice<Table>, 3>;

template <typename Table>
TableChoices<Table> choices_of(const Table& avx512, const Table& avx2, const Table& baseline) {
  __builtin_cpu_init();
  return {{{avx512, __builtin_cpu_supports("x86-64-v4") > 0},
           {avx2, __builtin_cpu_supports("x86-64-v3") > 0},
           {baseline, true}}};
}

template <typename Table>
const Table& first_available(const TableChoices<Table>& choices) {
  for (const TableChoice<Table>& choice : choices) {
    if (choice.available) return choice.table;
  }
  return choices.back().table;
}

}  // namespace moe
