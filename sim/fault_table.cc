// The rows of `moebius list faults`: what each lie stands for and which checks must name it.
// Rows only, one per fault, in the catalogue's order; killers are those of fault-catalogue.md, 4.
// The decorators stand beside their seams, faults.cc puts them on.

#include "sim/faults.h"

namespace moe::sim {

const std::vector<FaultRow>& all_faults() {
  static const std::vector<FaultRow> rows = {
      {"MF-35",
       "the expert kernel leaves the output rows of its coldest expert unwritten",
       "grouped_gemm#36, vllm#39645, transformers#48205",
       {"POISON"},
       {{"rank", -1, "the rank; -1: all"}, {"expert", -1, "a global expert; -1: the coldest"}}},
      {"MF-37",
       "a rank without tokens returns early and skips the layer's collectives",
       "uccl#940, vllm#43547",
       {"SEQ"},
       {{"rank", -1, "the rank; -1: whichever is empty"}}},
      {"MF-42",
       "one rank swaps two entries of the row counts of an all-gather",
       "the size vectors of vllm#21963, nccl#788",
       {"COUNT", "PROV"},
       {{"rank", 0, "the rank that lies"},
        {"first", 0, "one entry"},
        {"second", 1, "the other entry"}}},
      {"flip_bit",
       "one bit of the layer's output flips on its way out",
       "none: for trying the judge",
       {"REF"},
       {{"step", 0, "the step"},
        {"layer", 0, "the layer"},
        {"rank", 0, "the rank"},
        {"token", 0, "the token of that rank"},
        {"column", 0, "the column"},
        {"bit", 7, "the bit of the element"}}},
  };
  return rows;
}

}  // namespace moe::sim
