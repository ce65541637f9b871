// flashinfer_nvlink_one_sided: one copy of a row for each rank that owns a choice, written into
// that rank's window: room for the longest rank of the step for every rank, the unused rows with id
// -1. vLLM: flashinfer_nvlink_one_sided.py; distribution-layer.md, 9.7. How rows are packed within
// a source's room is UNVERIFIED there: here in the source's own order, without gaps.

#include "backends/rank_dispatch.h"

namespace moe::backends {
namespace {

Capabilities declared() {
  Capabilities own = rank_dispatch_capabilities();
  own.topk_ids_dtype = DType::i32;
  own.fixed_capacity = FixedCapacity{.default_tokens = 8192, .is_of_scheduler = true};
  own.receive_room = ReceiveRoom::by_source;
  own.limits = {.row_dtypes = {DType::bf16}};
  own.quantization = {
      .travelling = {QuantRecipe::nvfp4, QuantRecipe::mxfp8, QuantRecipe::fp8_block128},
      .weights_alone = {QuantRecipe::mxfp4_ocp},
      .needs_whole_blocks = true};
  return own;
}

}  // namespace

extern const Backend flashinfer_nvlink_one_sided;
const Backend flashinfer_nvlink_one_sided = {.capabilities = declared(),
                                             .make = rank_dispatch_of<flashinfer_nvlink_one_sided>};

}  // namespace moe::backends
