// TracedCommunicator: a decorator that writes down what a rank asked for, and, when checks are on,
// lets the group agree on every operation before a row moves. It changes no byte.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "comm/communicator.h"
#include "comm/operation.h"
#include "kernels/base/buffer.h"

namespace moe {

// Where in its program a rank is; the three numbers mean nothing to this room.
struct Place {
  std::int32_t step = -1;
  std::int32_t layer = -1;
  std::int32_t stage = -1;

  bool operator==(const Place&) const = default;
};

// One operation as a rank called it.
struct OperationRecord {
  std::int64_t number = 0;  // counts the collectives of this rank in this group from 0; send and
                            // recv have the number of the next one
  Operation operation = Operation::finished;
  Place place = {};
  std::int32_t root = -1;  // of broadcast; the peer of send and recv
  std::int32_t num_tensors = 0;
  std::int32_t dtype = -1;                // of the first tensor
  std::int32_t reduce_op = -1;            // of all_reduce
  std::int64_t row_bytes = 0;             // of all tensors of the list together
  std::vector<Count> rows_per_rank = {};  // of v-collectives: rows each rank gives; all_to_all_v:
                                          // rows_to; others: the rows of the first tensor, once
  std::vector<Count> rows_from = {};      // of all_to_all_v
  std::int64_t bytes = 0;  // of broadcast, send and recv, whose tensors may differ in rows
};

// What the reference algorithms send from this rank to others: all_gather_v its rows to each,
// all_to_all_v and reduce_scatter_v the parts of others, all_reduce both over an even split,
// broadcast the root's rows to each. Agreement is not counted.
struct Traffic {
  Count bytes = 0;
  Count rows = 0;  // the same in rows of the first tensor; of all_reduce rounded down
  Count collectives = 0;
  Count staged_bytes = 0;  // beside these: Communicator::staged_bytes
};

// How ranks differ in one operation: which check saw it and the sentence that says it.
class DisagreementError : public SystemError {
 public:
  DisagreementError(std::string check, const std::string& message)
      : SystemError(message), check_(std::move(check)) {}
  const std::string& check() const { return check_; }  // SEQ, COUNT, GROUP or PROG

 private:
  std::string check_;
};

enum class Agreement { checked, trusted };

// Stage n is stage_names[n] in messages, or "stage n".
using StageNames = std::vector<std::string>;

// Whether a list of several may end with a side tensor, one i64 a row, that is there for whoever
// watches and is not counted as traffic.
enum class LastTensor { payload, side };

// What messages call a group: "dp [1, 3]", and the world's number of each of its ranks. Without
// words a group is the world and its ranks have their own numbers.
struct GroupWords {
  std::string name = {};
  std::vector<int> ranks = {};
};

// What the traced communicators of one rank write down together: a group that was split from
// another shares its log.
struct TraceLog {
  Place place = {};
  Traffic traffic = {};
  bool started = false;
  OperationRecord last = {};
  GroupWords last_group = {};
};

// What stands between a group and its trace.
using Between = std::function<std::unique_ptr<Communicator>(std::unique_ptr<Communicator> group)>;

class TracedCommunicator final : public Communicator {
 public:
  // checked: before each collective all ranks exchange their records (uncounted). Where they
  // differ, every rank throws DisagreementError: SEQ when operation or place differ, COUNT when
  // rows do. send and recv are written down only.
  // Records travel over side where there is one: the same ranks, by a way that costs less than
  // inner.
  TracedCommunicator(std::unique_ptr<Communicator> inner, Agreement agreement,
                     StageNames stage_names = {}, LastTensor last_tensor = LastTensor::payload,
                     std::unique_ptr<Communicator> side = nullptr);

  // As split, with words for the new group. RETURNS null for color < 0. It has the same agreement,
  // counts its own operations, and shares this one's log. LIFETIME: not longer than this one.
  std::unique_ptr<TracedCommunicator> split_as(GroupWords words, int color, int key,
                                               const Between& between = nullptr);

  // What split_as makes of inner and side.
  TracedCommunicator(std::unique_ptr<Communicator> inner, std::unique_ptr<Communicator> side,
                     const TracedCommunicator& parent, GroupWords words);

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  Memory& memory() override { return inner_->memory(); }
  Memory& memory_for(RowPlace place) override { return inner_->memory_for(place); }
  Count staged_bytes() const override { return inner_->staged_bytes(); }

  // Says where the program is now; later operations carry it, those of split groups too.
  void enter(Place place) { log_.place = place; }

  // Where checked, ranks say what they take for true before they act on it; exchanged as records
  // are, and not counted. Where they differ, or a rank has another number in the group than the
  // group knows, every rank throws DisagreementError "GROUP". Collective.
  void agree_on(std::string_view subject, std::span<const Count> says);

  // The group of the operation that this rank entered last.
  const GroupWords& last_group() const { return log_.last_group; }

  // The last word of this rank: peers that still wait for an operation learn that none comes.
  // Collective; REQUIRES that no operation follows.
  void finish();

  // Of this rank in all groups that share the log.
  Traffic traffic() const;

  // The operation that this rank entered last in any of these groups, done or not, as a sentence
  // with its place.
  std::string last_operation() const;

 private:
  void do_all_gather_v(Tensors rows, RowCounts rows_per_rank, Tensors gathered) override;
  void do_reduce_scatter_v(const Tensor& rows, RowCounts rows_per_rank, const Tensor& own) override;
  void do_all_to_all_v(Tensors sent, RowCounts rows_to, RowCounts rows_from,
                       Tensors received) override;
  void do_broadcast(Tensors rows, int root) override;
  void do_all_reduce(const Tensor& in, ReduceOp op, const Tensor& out) override;
  void do_send(Tensors rows, int to) override;
  void do_recv(Tensors rows, int from) override;
  void do_barrier() override;
  // RETURNS a traced group, as split_as.
  std::unique_ptr<Communicator> do_split(int color, int key) override;

  OperationRecord record(Operation operation, Tensors tensors, RowCounts rows_per_rank) const;
  OperationRecord whole_record(Operation operation, Tensors tensors, int root) const;
  void prepare_agreement();
  Communicator& way() const { return side_ == nullptr ? *inner_ : *side_; }  // of records
  void begin(OperationRecord record);
  void agree();
  void count_sent(Count rows, Count bytes);
  Tensors payload(Tensors tensors) const;

  std::unique_ptr<Communicator> inner_;
  std::unique_ptr<Communicator> side_;  // null: records travel over inner
  Agreement agreement_;
  StageNames stage_names_;
  LastTensor last_tensor_;
  Buffer own_record_;   // [1, words] i64
  Buffer all_records_;  // [size, words] i64
  GroupWords words_;
  std::unique_ptr<TraceLog> own_log_;  // null: a parent's
  TraceLog& log_;
  OperationRecord last_;  // of this group
  bool finished_ = false;
  Count num_collectives_ = 0;
};

}  // namespace moe
