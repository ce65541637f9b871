// Weights of an expert are whole runs of rows in each tensor (vLLM: parameters viewed as (E, -1)).
// Called by whoever moves experts and by whoever checks where they are.

#include "backends/placement/expert_rows.h"

#include "kernels/base/digest.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

std::vector<const Buffer*> buffers_of(const ExpertWeights& weights) {
  if (const auto* probes = std::get_if<ProbeWeights>(&weights)) return {&probes->signs};
  const auto& gemm = std::get<GemmWeights>(weights);
  return {&gemm.w13, &gemm.w2, &gemm.w13_bias, &gemm.w2_bias};
}

Buffer like(const Buffer& buffer, Memory& memory) {
  const Tensor& tensor = buffer.tensor();
  if (tensor.columns == 0) return {};
  return {memory, {tensor.rows, tensor.columns, tensor.dtype}};
}

}  // namespace

std::vector<Tensor> expert_rows(const ExpertWeights& weights, int num_slots) {
  std::vector<Tensor> rows;
  for (const Buffer* buffer : buffers_of(weights)) {
    const Tensor& tensor = buffer->tensor();
    if (tensor.columns == 0) continue;
    MOE_CHECK(num_slots > 0 && tensor.rows % num_slots == 0,
              text(shape_text(tensor), " of ", num_slots, " experts"));
    rows.push_back(
        {tensor.data, num_slots, bytes_of(tensor) / num_slots, DType::u8, tensor.device});
  }
  return rows;
}

ExpertWeights weights_like(const ExpertWeights& weights, Memory& memory) {
  if (const auto* probes = std::get_if<ProbeWeights>(&weights)) {
    return ProbeWeights{like(probes->signs, memory)};
  }
  const auto& gemm = std::get<GemmWeights>(weights);
  return GemmWeights{.w13 = like(gemm.w13, memory),
                     .w2 = like(gemm.w2, memory),
                     .w13_bias = like(gemm.w13_bias, memory),
                     .w2_bias = like(gemm.w2_bias, memory),
                     .activation = gemm.activation};
}

ExpertWeights copy_of_weights(const ExpertWeights& weights, Memory& memory) {
  ExpertWeights copy = weights_like(weights, memory);
  const std::vector<Tensor> from = expert_rows(weights, 1);
  const std::vector<Tensor> to = expert_rows(copy, 1);
  for (std::size_t i = 0; i < from.size(); ++i) memory.copy(from[i], to[i]);
  return copy;
}

std::vector<std::uint64_t> slot_digests(const ExpertWeights& weights, int num_slots,
                                        Memory& memory) {
  std::vector<std::vector<std::uint64_t>> of_slot(static_cast<std::size_t>(num_slots));
  for (const Tensor& rows : expert_rows(weights, num_slots)) {
    std::vector<std::byte> host(static_cast<std::size_t>(rows.columns));
    for (std::size_t slot = 0; slot < of_slot.size(); ++slot) {
      memory.copy_to_host(rows_of(rows, static_cast<Count>(slot), 1),
                          {host.data(), 1, rows.columns, DType::u8, {}});
      of_slot[slot].push_back(digest_of(host));
    }
  }
  std::vector<std::uint64_t> digests;
  for (const auto& parts : of_slot) digests.push_back(digest_of(std::as_bytes(std::span(parts))));
  return digests;
}

}  // namespace moe
