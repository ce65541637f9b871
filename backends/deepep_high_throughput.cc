// deepep_high_throughput: DeepEP's normal mode, one copy of a row for each rank that owns a choice.
// vLLM: prepare_finalize/deepep_ht.py; distribution-layer.md, 9.3. Its counts are known to the host
// before rows move. Choices that live elsewhere come as an expert that is not on the rank.

#include "backends/rank_dispatch.h"

namespace moe::backends {
namespace {

Capabilities declared() {
  Capabilities own = rank_dispatch_capabilities();
  own.topk_ids_dtype = DType::i64;
  own.foreign_choices = ForeignChoices::non_local_expert;
  own.limits = {.group_sizes = {2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 144, 160},
                .row_bytes_multiple = 512,
                .row_dtypes = {DType::bf16}};
  own.quantization = {
      .travelling = {QuantRecipe::fp8_block128},
      .after_receipt = with_dynamic_tensor(without(row_recipes, QuantRecipe::fp8_block128))};
  return own;
}

}  // namespace

extern const Backend deepep_high_throughput;
const Backend deepep_high_throughput = {.capabilities = declared(),
                                        .make = rank_dispatch_of<deepep_high_throughput>};

}  // namespace moe::backends
