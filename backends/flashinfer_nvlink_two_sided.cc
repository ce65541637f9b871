// flashinfer_nvlink_two_sided: one copy of a row for each rank that owns a choice, through FIFOs
// with credits. vLLM: flashinfer_nvlink_two_sided.py, flashinfer_all2allv before;
// distribution-layer.md, 9.7. Room for what a step brings: capacity is the longest rank's rows.

#include "backends/rank_dispatch.h"

namespace moe::backends {
namespace {

Capabilities declared() {
  Capabilities own = rank_dispatch_capabilities();
  own.topk_ids_dtype = DType::i32;
  own.quantization = {.travelling = {QuantRecipe::fp8_static_tensor, QuantRecipe::fp8_dynamic_token,
                                     QuantRecipe::fp8_block128, QuantRecipe::nvfp4},
                      .weights_alone = {QuantRecipe::mxfp4_ocp}};
  return own;
}

}  // namespace

extern const Backend flashinfer_nvlink_two_sided;
const Backend flashinfer_nvlink_two_sided = {.capabilities = declared(),
                                             .make = rank_dispatch_of<flashinfer_nvlink_two_sided>};

}  // namespace moe::backends
