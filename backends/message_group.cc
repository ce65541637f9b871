// Counts are i64 side tensors, so that whoever counts traffic can leave them out (vLLM's libraries
// send them with their own signals).

#include "backends/message_group.h"

#include "backends/gathered_rows.h"
#include "comm/exchange_sum.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

constexpr std::uint32_t all_ones = 0xFFFFFFFFU;  // -1 in ids and tags

}  // namespace

std::vector<Tensor> MessageList::views() const {
  std::vector<Tensor> all;
  for (const Buffer& buffer : tensors) all.push_back(buffer.tensor());
  return all;
}

MessageGroup::MessageGroup(const PrepareFinalizeConfig& config, const Capabilities& capabilities)
    : config_(config),
      capabilities_(capabilities),
      quantizer_(config.quantization, capabilities.activation_format, config.kernels) {
  MOE_CHECK(config.kernels != nullptr, "a dispatch to chosen ranks needs kernels");
}

int MessageGroup::num_local_experts() const {
  return expert_map().num_local_experts[static_cast<std::size_t>(config_.groups.ep.rank())];
}

int MessageGroup::num_replicas() const {
  return config_.parallel.is_sequence_parallel() ? 1 : config_.groups.tp.size();
}

int MessageGroup::num_dispatchers() const {
  const bool are_split = capabilities_.tp_replicas == TpReplicas::split;
  return num_ranks() / (are_split ? num_replicas() : 1);
}

std::vector<Count> MessageGroup::split(Count rows) const {
  const int replicas = num_replicas();
  if (capabilities_.tp_replicas == TpReplicas::split) return even_split(rows, replicas);
  return std::vector<Count>(static_cast<std::size_t>(replicas), rows);
}

MessageGroup::Share MessageGroup::own_share(Count rows) const {
  if (num_replicas() == 1 || capabilities_.tp_replicas == TpReplicas::send_all) return {0, rows};
  const std::vector<Count> parts = split(rows);
  const int rank = config_.groups.tp.rank();
  return {rows_before(parts, rank), parts[static_cast<std::size_t>(rank)]};
}

std::vector<Count> MessageGroup::rows_per_rank(RowCounts tokens) const {
  std::vector<Count> rows;
  for (const Count own : tokens) {
    // Here, where all ranks see all counts: later one of them would write beyond its room.
    MOE_CHECK(!capabilities_.fixed_capacity || own <= config_.max_num_tokens,
              text("a rank hands in ", own, " rows of a dispatch that has room for ",
                   config_.max_num_tokens, " of each"));
    const std::vector<Count> parts = split(own);
    rows.insert(rows.end(), parts.begin(), parts.end());
  }
  MOE_CHECK(std::ssize(rows) == num_ranks(), "rows of every rank of the EP group");
  return rows;
}

std::vector<Count> MessageGroup::exchange_counts(const std::vector<Count>& counts,
                                                 RowCounts each_to, RowCounts each_from) const {
  std::vector<std::int64_t> values(counts.begin(), counts.end());
  const Buffer sent = copy_of({values.data(), std::ssize(values), 1, DType::i64, {}}, memory());
  const Count num_received = total_rows(each_from);
  const Buffer received(memory(), {num_received, 1, DType::i64});
  const Buffer nothing_sent(memory(), {sent.tensor().rows, 0, DType::u8});
  const Buffer nothing_received(memory(), {num_received, 0, DType::u8});
  const std::array from = {nothing_sent.tensor(), sent.tensor()};
  const std::array to = {nothing_received.tensor(), received.tensor()};
  communicator().all_to_all_v(from, each_to, each_from, to);
  std::vector<std::int64_t> result(static_cast<std::size_t>(num_received));
  memory().copy_to_host(received.tensor(), {result.data(), num_received, 1, DType::i64, {}});
  return {result.begin(), result.end()};
}

MessageList MessageGroup::gathered(const std::vector<Tensor>& rows, const Tensor& places) const {
  MessageList list;
  for (const Tensor& tensor : rows) list.tensors.push_back(kernels().gather_rows(tensor, places));
  return list;
}

MessageList MessageGroup::room_for(const MessageList& sent, Count rows) const {
  MessageList list;
  for (const Tensor& like : sent.views()) {
    list.tensors.emplace_back(memory(), Shape{rows, like.columns, like.dtype});
  }
  return list;
}

std::vector<Buffer> MessageGroup::travelling(const Tensor& rows) const {
  std::vector<Buffer> sent;
  sent.push_back(widened(rows));
  if (!quantizer_.is_before_dispatch()) return sent;
  RowQuantizer::Quantized made = quantizer_.quantized(sent.front().tensor());
  sent.front() = std::move(made.rows);
  if (!quantizer_.has_scales_by_row()) return sent;
  const Tensor& scales = made.scales.tensor();
  const Count multiple = capabilities_.quantization.scale_bytes_multiple / size_of(scales.dtype);
  const Count columns = padded_to(scales.columns, std::max<Count>(multiple, 1));
  sent.push_back(columns == scales.columns ? std::move(made.scales)
                                           : kernels().resize_columns(scales, columns));
  return sent;
}

RowQuantizer::Quantized MessageGroup::arrived(MessageList& came, Count columns) const {
  const auto take = [&] {
    Buffer first = std::move(came.tensors.front());
    came.tensors.erase(came.tensors.begin());
    return first;
  };
  const Buffer rows = take();
  if (!quantizer_.is_before_dispatch()) {
    Buffer values = cut(rows.tensor(), columns);
    if (!quantizer_.is_after_receipt()) return {std::move(values), {}};
    return quantizer_.quantized(values.tensor());
  }
  RowQuantizer::Quantized result{cut(rows.tensor(), quantizer_.data_columns(columns)), {}};
  if (quantizer_.has_scales_by_row()) {
    result.scales = cut(take().tensor(), quantizer_.scale_columns(columns));
  }
  return result;
}

Buffer MessageGroup::widened(const Tensor& rows) const {
  return kernels().resize_columns(rows,
                                  wire_columns(capabilities_.limits, rows.columns, rows.dtype));
}

Buffer MessageGroup::cut(const Tensor& rows, Count columns) const {
  return kernels().resize_columns(rows, columns);
}

Buffer MessageGroup::sent_home(const Tensor& expert_output, const ReturnPath& path) const {
  const bool has_places = path.received_at.columns > 0;
  const Buffer given =
      has_places ? kernels().gather_rows(expert_output, path.received_at) : Buffer();
  const Buffer sent = widened(has_places ? given.tensor() : expert_output);
  const Buffer returned(memory(),
                        {total_rows(path.messages_to), sent.tensor().columns, expert_output.dtype});
  communicator().all_to_all_v({&sent.tensor(), 1}, path.messages_from, path.messages_to,
                              {&returned.tensor(), 1});
  return cut(returned.tensor(), expert_output.columns);
}

Buffer MessageGroup::tags(Count rows) const {
  return provenance_tags(memory(), config_.groups.ep.rank(), rows);
}

Buffer MessageGroup::no_tags(Count rows) const {
  Buffer tags(memory(), {rows, 1, DType::i64});
  memory().fill(tags.tensor(), all_ones);
  return tags;
}

Buffer MessageGroup::copied(std::span<const std::int32_t> values) const {
  return copy_of({const_cast<std::int32_t*>(values.data()), std::ssize(values), 1, DType::i32, {}},
                 memory());
}

void MessageGroup::tag_result(const Tensor& expert_output, const Tensor& output) const {
  SharingTags* sharing = config_.groups.sharing;
  if (sharing == nullptr) return;
  const bool is_sp = config_.parallel.is_sequence_parallel();
  Axes axes = dispatch_axes(config_.parallel);
  if (!is_sp && num_replicas() > 1) axes.push_back(Axis::tp);
  sharing->summed(expert_output, output, axes, Sharing::token_sharded);
  sharing->tag(output, {.dp = Sharing::token_sharded,
                        .pcp = Sharing::token_sharded,
                        .tp = is_sp ? Sharing::token_sharded : Sharing::replicated});
}

void MessageGroup::join_replicas(const Tensor& part, const Tensor& output) const {
  if (capabilities_.tp_replicas != TpReplicas::split || num_replicas() == 1) {
    return memory().copy(part, output);
  }
  config_.groups.tp.all_gather_v({&part, 1}, split(output.rows), {&output, 1});
}

std::vector<std::int32_t> offsets_of(std::span<const Count> counts) {
  std::vector<std::int32_t> offsets = {0};
  for (const Count count : counts) {
    offsets.push_back(offsets.back() + static_cast<std::int32_t>(count));
  }
  return offsets;
}

}  // namespace moe
