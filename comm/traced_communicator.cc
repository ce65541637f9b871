// Each operation: write the record down, let the group agree, pass it on, count what left this
// rank. How records are compared is agreement.cc.

#include "comm/traced_communicator.h"

#include <utility>

#include "comm/agreement.h"
#include "comm/exchange_sum.h"
#include "comm/group_agreement.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

Tensors one(const Tensor& tensor) { return {&tensor, 1}; }

Count bytes_a_row(Tensors tensors) {
  Count bytes = 0;
  for (const Tensor& tensor : tensors) bytes += row_bytes(tensor);
  return bytes;
}

Count rows_of_others(RowCounts rows_per_rank, int rank) {
  return total_rows(rows_per_rank) - rows_per_rank[static_cast<std::size_t>(rank)];
}

}  // namespace

TracedCommunicator::TracedCommunicator(std::unique_ptr<Communicator> inner, Agreement agreement,
                                       StageNames stage_names, LastTensor last_tensor,
                                       std::unique_ptr<Communicator> side)
    : inner_(std::move(inner)),
      side_(std::move(side)),
      agreement_(agreement),
      stage_names_(std::move(stage_names)),
      last_tensor_(last_tensor),
      own_log_(std::make_unique<TraceLog>()),
      log_(*own_log_) {
  prepare_agreement();
}

TracedCommunicator::TracedCommunicator(std::unique_ptr<Communicator> inner,
                                       std::unique_ptr<Communicator> side,
                                       const TracedCommunicator& parent, GroupWords words)
    : inner_(std::move(inner)),
      side_(std::move(side)),
      agreement_(parent.agreement_),
      stage_names_(parent.stage_names_),
      last_tensor_(parent.last_tensor_),
      words_(std::move(words)),
      log_(parent.log_) {
  prepare_agreement();
}

Traffic TracedCommunicator::traffic() const {
  Traffic all = log_.traffic;
  all.staged_bytes = staged_bytes();
  return all;
}

void TracedCommunicator::prepare_agreement() {
  if (size() == 1) agreement_ = Agreement::trusted;
  if (agreement_ == Agreement::trusted) return;
  own_record_ = Buffer(way().memory(), {1, words_per_record(size()), DType::i64});
  all_records_ = Buffer(way().memory(), {size(), words_per_record(size()), DType::i64});
}

OperationRecord TracedCommunicator::record(Operation operation, Tensors tensors,
                                           RowCounts rows_per_rank) const {
  return {.number = num_collectives_,
          .operation = operation,
          .place = log_.place,
          .num_tensors = static_cast<std::int32_t>(tensors.size()),
          .dtype = tensors.empty() ? -1 : static_cast<std::int32_t>(tensors[0].dtype),
          .row_bytes = bytes_a_row(tensors),
          .rows_per_rank = {rows_per_rank.begin(), rows_per_rank.end()},
          .rows_from = {}};
}

// Of operations that move whole tensors, each with rows of its own.
OperationRecord TracedCommunicator::whole_record(Operation operation, Tensors tensors,
                                                 int root) const {
  OperationRecord whole = record(operation, tensors, {&tensors[0].rows, 1});
  whole.root = root;
  for (const Tensor& tensor : tensors) whole.bytes += bytes_of(tensor);
  return whole;
}

void TracedCommunicator::begin(OperationRecord record) {
  MOE_CHECK(!finished_, text(name_of(record.operation), " after finish"));
  finished_ = record.operation == Operation::finished;
  last_ = std::move(record);
  log_.started = true;
  log_.last = last_;
  log_.last_group = words_;
  if (!is_collective(last_.operation)) return;
  ++num_collectives_;
  if (agreement_ == Agreement::checked) agree();
}

void TracedCommunicator::agree() {
  const auto words = static_cast<std::size_t>(words_per_record(size()));
  std::vector<Count> own(words);
  std::vector<Count> all(words * static_cast<std::size_t>(size()));
  const auto width = static_cast<Count>(words);
  put_record(last_, own);
  Memory& memory = way().memory();
  memory.copy_from_host({own.data(), 1, width, DType::i64, {}}, own_record_.tensor());
  const std::vector<Count> once(static_cast<std::size_t>(size()), 1);
  try {
    way().all_gather_v(one(own_record_.tensor()), once, one(all_records_.tensor()));
  } catch (const SystemError& error) {
    throw SystemError(text("before ", last_operation(), ": ", error.what()));
  }
  memory.copy_to_host(all_records_.tensor(), {all.data(), size(), width, DType::i64, {}});
  std::vector<OperationRecord> records;
  for (std::size_t rank = 0; rank < once.size(); ++rank) {
    records.push_back(record_of(std::span(all).subspan(rank * words, words)));
  }
  if (const auto found = disagreement_of(records, stage_names_, words_)) {
    throw DisagreementError(found->check, found->message);
  }
}

void TracedCommunicator::agree_on(std::string_view subject, std::span<const Count> says) {
  if (agreement_ == Agreement::trusted) return;
  const auto width = static_cast<std::size_t>(words_per_statement());
  std::vector<Count> own(width);
  std::vector<Count> all(width * static_cast<std::size_t>(size()));
  put_statement(rank(), says, own);
  Memory& memory = way().memory();
  const Buffer mine(memory, {1, words_per_statement(), DType::i64});
  const Buffer theirs(memory, {size(), words_per_statement(), DType::i64});
  memory.copy_from_host({own.data(), 1, words_per_statement(), DType::i64, {}}, mine.tensor());
  const std::vector<Count> once(static_cast<std::size_t>(size()), 1);
  way().all_gather_v(one(mine.tensor()), once, one(theirs.tensor()));
  memory.copy_to_host(theirs.tensor(), {all.data(), size(), words_per_statement(), DType::i64, {}});
  const auto found = group_disagreement(subject, all, words_);
  if (found) throw DisagreementError("GROUP", *found);
}

Tensors TracedCommunicator::payload(Tensors tensors) const {
  const bool has_side = last_tensor_ == LastTensor::side && tensors.size() > 1 &&
                        tensors.back().dtype == DType::i64 && tensors.back().columns == 1;
  return has_side ? tensors.first(tensors.size() - 1) : tensors;
}

void TracedCommunicator::count_sent(Count rows, Count bytes) {
  if (bytes > 0) log_.traffic.rows += rows;  // not rows of counts alone, which are no payload
  log_.traffic.bytes += bytes;
  if (is_collective(last_.operation)) ++log_.traffic.collectives;
}

void TracedCommunicator::finish() { begin(record(Operation::finished, {}, {})); }

std::string TracedCommunicator::last_operation() const {
  if (!log_.started) return "no operation yet";
  if (log_.last.operation != Operation::finished) {
    return operation_text(log_.last, stage_names_, log_.last_group);
  }
  return text("finished after ", log_.traffic.collectives, " collectives");
}

void TracedCommunicator::do_all_gather_v(Tensors rows, RowCounts rows_per_rank, Tensors gathered) {
  begin(record(Operation::all_gather_v, rows, rows_per_rank));
  inner_->all_gather_v(rows, rows_per_rank, gathered);
  const Count sent = rows[0].rows * (size() - 1);
  count_sent(sent, sent * bytes_a_row(payload(rows)));
}

void TracedCommunicator::do_reduce_scatter_v(const Tensor& rows, RowCounts rows_per_rank,
                                             const Tensor& own) {
  begin(record(Operation::reduce_scatter_v, one(rows), rows_per_rank));
  inner_->reduce_scatter_v(rows, rows_per_rank, own);
  const Count sent = rows_of_others(rows_per_rank, rank());
  count_sent(sent, sent * last_.row_bytes);
}

void TracedCommunicator::do_all_to_all_v(Tensors sent, RowCounts rows_to, RowCounts rows_from,
                                         Tensors received) {
  OperationRecord both_ways = record(Operation::all_to_all_v, sent, rows_to);
  both_ways.rows_from.assign(rows_from.begin(), rows_from.end());
  begin(std::move(both_ways));
  inner_->all_to_all_v(sent, rows_to, rows_from, received);
  const Count rows = rows_of_others(rows_to, rank());
  count_sent(rows, rows * bytes_a_row(payload(sent)));
}

void TracedCommunicator::do_broadcast(Tensors rows, int root) {
  begin(whole_record(Operation::broadcast, rows, root));
  inner_->broadcast(rows, root);
  const Count copies = root == rank() ? size() - 1 : 0;
  count_sent(rows[0].rows * copies, last_.bytes * copies);
}

void TracedCommunicator::do_all_reduce(const Tensor& in, ReduceOp op, const Tensor& out) {
  OperationRecord reduction = record(Operation::all_reduce, one(in), {&in.rows, 1});
  reduction.reduce_op = static_cast<std::int32_t>(op);
  begin(std::move(reduction));
  inner_->all_reduce(in, op, out);
  const std::vector<Count> parts = even_split(in.rows * in.columns, size());
  const Count own = parts[static_cast<std::size_t>(rank())];
  const Count elements = rows_of_others(parts, rank()) + own * (size() - 1);
  count_sent(in.columns > 0 ? elements / in.columns : 0, elements * size_of(in.dtype));
}

void TracedCommunicator::do_send(Tensors rows, int to) {
  begin(whole_record(Operation::send, rows, to));
  inner_->send(rows, to);
  count_sent(rows[0].rows, last_.bytes);
}

void TracedCommunicator::do_recv(Tensors rows, int from) {
  begin(whole_record(Operation::recv, rows, from));
  inner_->recv(rows, from);
}

void TracedCommunicator::do_barrier() {
  begin(record(Operation::barrier, {}, {}));
  inner_->barrier();
  count_sent(0, 0);
}

std::unique_ptr<TracedCommunicator> TracedCommunicator::split_as(GroupWords words, int color,
                                                                 int key, const Between& between) {
  begin(record(Operation::split, {}, {}));
  std::unique_ptr<Communicator> group = inner_->split(color, key);
  std::unique_ptr<Communicator> side = side_ == nullptr ? nullptr : side_->split(color, key);
  count_sent(0, 0);
  if (group == nullptr) return nullptr;
  if (between) group = between(std::move(group));
  return std::make_unique<TracedCommunicator>(std::move(group), std::move(side), *this,
                                              std::move(words));
}

std::unique_ptr<Communicator> TracedCommunicator::do_split(int color, int key) {
  return split_as({}, color, key);
}

}  // namespace moe
