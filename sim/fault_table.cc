// The rows of `moebius list faults`: what each lie stands for and which checks must name it.
// Rows only, one per fault, in the catalogue's order; killers are those of fault-catalogue.md, 4.
// The decorators stand beside their seams, faults.cc puts them on.

#include "sim/faults.h"

namespace moe::sim {
namespace {

const std::vector<FaultRow> rows = {
    {"MF-02",
     "the shared experts' complete sum is added before the reduction over TP",
     "vllm#49122, TensorRT-LLM#15922, sglang#31475",
     {"LIN"},
     {}},
    {"MF-03",
     "the shared experts read the gathered rows in the place of their rank's own",
     "vllm#24530, vllm#28740",
     {"PROV"},
     {}},
    {"MF-05",
     "the shared experts' output is dropped",
     "vllm#36061",
     {"LIN"},
     {{"rank", -1, "the rank; -1: all"}}},
    {"MF-06",
     "the experts apply the router weights a second time",
     "vllm#43694",
     {"WONCE"},
     {{"rank", -1, "the rank; -1: all"}}},
    {"MF-07",
     "the routed scaling factor is applied so many times instead of once",
     "sglang#8511, vllm#24132, vllm#43769, sglang#35152",
     {"WONCE"},
     {{"times", 2, "0 or 2"}}},
    {"MF-09",
     "routing counts the logits of all-negative rows as 0",
     "flashinfer#2822, vllm#37591",
     {"M-BACK"},
     {}},
    {"MF-35",
     "the expert kernel leaves the output rows of its coldest expert unwritten",
     "grouped_gemm#36, vllm#39645, transformers#48205",
     {"POISON"},
     {{"rank", -1, "the rank; -1: all"}, {"expert", -1, "a global expert; -1: the coldest"}}},
    {"MF-36",
     "a shorter step ends with a row that the longer step before left in the handle",
     "the reused buffers of F12; mori#475's stale tails",
     {"TWICE"},
     {{"rank", -1, "the rank; -1: all"}}},
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
    {"MF-56",
     "combine adds the owner's part first and goes round from there",
     "the order by ownership of F18",
     {"ORDER"},
     {}},
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

}  // namespace

const std::vector<FaultRow>& all_faults() { return rows; }

}  // namespace moe::sim
