// MessageGroup: what dispatches to chosen ranks have in common: the ranks that exchange messages
// and the rows of each, how many messages come, rows as wide as the wire wants them, and tags. Rows
// go over EP: ranks of a TP group that hold the same tokens each send them all, or split them.

#pragma once

#include "backends/backend.h"

namespace moe {

// Columns of what is beside the rows, tags last.
struct MessageList {
  std::vector<Buffer> tensors;
  std::vector<Tensor> views() const;
};

class MessageGroup {
 public:
  MessageGroup(const PrepareFinalizeConfig& config, const Capabilities& capabilities);

  Communicator& communicator() const { return config_.groups.ep; }
  Memory& memory() const { return config_.memory; }
  Kernels& kernels() const { return *config_.kernels; }
  int num_ranks() const { return config_.groups.ep.size(); }
  const ExpertMap& expert_map() const { return config_.expert_map; }
  int num_local_experts() const;
  // Ranks whose rows an expert's room must hold.
  int num_dispatchers() const;

  // The rows that this rank sends, out of those that it holds: first row and count.
  struct Share {
    Count first = 0;
    Count rows = 0;
  };
  Share own_share(Count rows) const;

  // Rows that each rank of the group sends. tokens: rows of every rank of the dispatch group.
  std::vector<Count> rows_per_rank(RowCounts tokens) const;

  // RETURNS counts that each rank has for this one, as many as each_from[r] of rank r. counts: as
  // many as each_to[r] for rank r. They travel beside nothing and are no payload.
  std::vector<Count> exchange_counts(const std::vector<Count>& counts, RowCounts each_to,
                                     RowCounts each_from) const;

  // Rows as they travel: as wide as the wire wants them. Where the dispatch sends codes, their
  // scales are beside them if each row has its own.
  std::vector<Buffer> travelling(const Tensor& rows) const;
  // The dispatched rows out of what came in their places, `columns` values each: codes and scales
  // where anything is quantised. Takes the first of came, or the first two.
  RowQuantizer::Quantized arrived(MessageList& came, Count columns) const;
  const RowQuantizer& quantizer() const { return quantizer_; }

  // The list to send, each tensor's rows in the order of places, and room for what comes.
  MessageList gathered(const std::vector<Tensor>& rows, const Tensor& places) const;
  MessageList room_for(const MessageList& sent, Count rows) const;

  // Rows with the columns of the wire; rows with the columns of the layer.
  Buffer widened(const Tensor& rows) const;
  Buffer cut(const Tensor& rows, Count columns) const;

  // The way back: answers to all messages from where they stand in expert_output. RETURNS the
  // answers to this rank's messages, in the order in which it sent them.
  Buffer sent_home(const Tensor& expert_output, const ReturnPath& path) const;

  bool has_tags() const { return config_.provenance == Provenance::travels; }
  // Of this rank's own rows.
  Buffer tags(Count rows) const;
  // For rows that nobody sent: a tag of no row.
  Buffer no_tags(Count rows) const;

  // A tensor of the group's memory with these values.
  Buffer copied(std::span<const std::int32_t> values) const;

  // What finalize leaves behind: sums of partial rows, complete on every rank.
  void tag_result(const Tensor& expert_output, const Tensor& output) const;

  // Where every rank of a TP group has sent a part: all parts, on all of them.
  void join_replicas(const Tensor& part, const Tensor& output) const;

 private:
  int num_replicas() const;  // ranks that hold the same tokens
  std::vector<Count> split(Count rows) const;

  PrepareFinalizeConfig config_;
  const Capabilities& capabilities_;
  RowQuantizer quantizer_;
};

// Sums of counts before each, and of all at the end.
std::vector<std::int32_t> offsets_of(std::span<const Count> counts);

}  // namespace moe
