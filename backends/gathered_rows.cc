// Tags travel as the last extra, so that whoever counts traffic can leave them out.
// Which rank moves what is the manager's.

#include "backends/gathered_rows.h"

#include <vector>

namespace moe {
namespace {

class LocalRows final : public PrepareFinalize {
 public:
  explicit LocalRows(const PrepareFinalizeConfig& config)
      : memory_(config.memory),
        provenance_(config.provenance),
        sharing_(config.groups.sharing),
        quantizer_(config.quantization, ActivationFormat::standard, config.kernels) {}

  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    Dispatched dispatched;
    dispatched.hidden_states = hidden_states;
    dispatched.routing = routing;
    quantizer_.quantize_dispatched(dispatched);
    dispatched.handle.rows_per_rank.assign(tokens.begin(), tokens.end());
    if (provenance_ == Provenance::travels) {
      dispatched.provenance =
          dispatched.handle.keep(provenance_tags(memory_, 0, hidden_states.rows));
    }
    return dispatched;
  }

  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    dispatched.handle.use();
    memory_.copy(expert_output, output);
    if (sharing_ != nullptr) sharing_->copied(expert_output, output);
  }

 private:
  Memory& memory_;
  Provenance provenance_;
  SharingTags* sharing_;
  RowQuantizer quantizer_;
};

}  // namespace

Buffer provenance_tags(Memory& memory, int rank, Count rows) {
  std::vector<std::int64_t> tags;
  for (Count row = 0; row < rows; ++row) tags.push_back(provenance_tag(rank, row));
  return copy_of({tags.data(), rows, 1, DType::i64, {}}, memory);
}

Dispatched all_gathered(All2AllManager& manager, const Tensor& hidden_states,
                        const Routing& routing, RowCounts tokens, const Travel& travel) {
  Communicator& group = manager.group();
  const RowQuantizer& quantizer = travel.quantizer;
  RowQuantizer::Quantized codes;
  if (quantizer.is_before_dispatch()) codes = quantizer.quantized(hidden_states);
  std::vector<Extra> extras;
  if (quantizer.is_before_dispatch()) {
    extras.push_back({codes.scales.tensor(), quantizer.has_scales_by_row()
                                                 ? ExtraShape::per_row
                                                 : ExtraShape::zero_dimensional});
  }
  Buffer tags;
  if (travel.provenance == Provenance::travels) {
    tags = provenance_tags(group.memory(), group.rank(), hidden_states.rows);
    extras.push_back({tags.tensor()});
  }
  const Tensor& rows = quantizer.is_before_dispatch() ? codes.rows.tensor() : hidden_states;
  Dispatched dispatched = routing.is_selected() ? manager.dispatch(rows, routing, extras, tokens)
                                                : manager.dispatch_router_logits(
                                                      rows, routing.router_logits, extras, tokens);
  if (travel.provenance == Provenance::travels) dispatched.provenance = dispatched.extras.back();
  if (quantizer.is_after_receipt()) quantizer.quantize_dispatched(dispatched);
  if (quantizer.is_before_dispatch()) {
    const Tensor scales = quantizer.has_scales_by_row()
                              ? dispatched.extras.front()
                              : dispatched.handle.keep(std::move(codes.scales));
    quantizer.describe(scales, hidden_states.columns, dispatched);
  }
  return dispatched;
}

std::unique_ptr<PrepareFinalize> make_local_rows(const PrepareFinalizeConfig& config) {
  return std::make_unique<LocalRows>(config);
}

}  // namespace moe
