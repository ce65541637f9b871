// One decorator with its ways to go wrong: what happens before an operation, which counts it tells,
// which rows it sends, adds first or takes for new. All else goes through untouched; groups split
// from it are healthy.

#include "comm/faulty_communicator.h"

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>

#include "comm/forwarding_communicator.h"
#include "kernels/base/buffer.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

using std::chrono::milliseconds;

// What a rank does before the operation of that number.
using Before = std::function<void(Count operation)>;

// In which order a reduce-scatter adds.
enum class SumOrder { ranks, own_rank_first };

// Which payload is there when the flags of an operation are.
enum class Payload { in_time, late };

// How an all-to-all reads the rows that it sends.
enum class SentRows { as_they_are, halves_exchanged };

// What moved rows go through on this rank.
struct RowLies {
  SumOrder sum_order = SumOrder::ranks;
  SentRows sent_rows = SentRows::as_they_are;
  Payload payload = Payload::in_time;
};

class FaultyCommunicator final : public ForwardingCommunicator {
 public:
  FaultyCommunicator(std::unique_ptr<Communicator> inner, Before before,
                     std::optional<SwappedCounts> swapped, RowLies lies = {})
      : ForwardingCommunicator(std::move(inner)),
        before_(std::move(before)),
        swapped_(swapped),
        lies_(lies) {}

 private:
  Communicator& next() override {
    if (before_) before_(num_operations_);
    ++num_operations_;
    return inner();
  }

  void do_all_gather_v(Tensors rows, RowCounts rows_per_rank, Tensors gathered) override {
    Communicator& honest = next();
    std::vector<Count> told(rows_per_rank.begin(), rows_per_rank.end());
    if (swapped_ && swapped_->rank == rank()) {
      std::swap(told.at(static_cast<std::size_t>(swapped_->first)),
                told.at(static_cast<std::size_t>(swapped_->second)));
    }
    const Count own = told[static_cast<std::size_t>(rank())];
    std::vector<Buffer> longer;
    std::vector<Tensor> shown;
    for (const Tensor& tensor : rows) shown.push_back(with_rows(tensor, own, longer));
    honest.all_gather_v(shown, told, gathered);
    if (lies_.payload == Payload::late) keep_previous(gathered);
  }

  // As many rows of the tensor as are told; where it has fewer, a longer copy is kept in a buffer.
  Tensor with_rows(const Tensor& tensor, Count num_rows, std::vector<Buffer>& longer) {
    if (num_rows <= tensor.rows) return rows_of(tensor, 0, num_rows);
    longer.emplace_back(memory(), Shape{num_rows, tensor.columns, tensor.dtype});
    const Tensor copy = longer.back().tensor();
    memory().copy(tensor, rows_of(copy, 0, tensor.rows));
    return copy;
  }

  void do_reduce_scatter_v(const Tensor& rows, RowCounts rows_per_rank,
                           const Tensor& own) override {
    Communicator& honest = next();
    if (lies_.sum_order == SumOrder::ranks)
      return honest.reduce_scatter_v(rows, rows_per_rank, own);
    const std::vector<Count> from(static_cast<std::size_t>(size()), own.rows);
    const Buffer parts(memory(), {own.rows * size(), own.columns, own.dtype});
    honest.all_to_all_v({&rows, 1}, rows_per_rank, from, {&parts.tensor(), 1});
    std::vector<Tensor> operands;
    for (int i = 0; i < size(); ++i) {
      const int part = (rank() + i) % size();
      operands.push_back(rows_of(parts.tensor(), part * own.rows, own.rows));
    }
    if (own.rows > 0) memory().add_rows(operands, own);
  }
  void do_all_to_all_v(Tensors sent, RowCounts rows_to, RowCounts rows_from,
                       Tensors received) override {
    if (lies_.sent_rows == SentRows::as_they_are) {
      next().all_to_all_v(sent, rows_to, rows_from, received);
      if (lies_.payload == Payload::late) keep_previous(received);
      return;
    }
    std::vector<Buffer> copies;
    std::vector<Tensor> shown;
    for (const Tensor& tensor : sent) {
      copies.emplace_back(memory(), Shape{tensor.rows, tensor.columns, tensor.dtype});
      shown.push_back(copies.back().tensor());
      for (Count row = 0; row < tensor.rows; ++row) exchange_halves(tensor, shown.back(), row);
    }
    next().all_to_all_v(shown, rows_to, rows_from, received);
  }

  // What came before stays in place of the first rows; what came now is what stays the next time.
  void keep_previous(Tensors received) {
    if (received.size() < 3 || received[0].rows == 0) return;
    const Tensor& payload = received[0];
    Buffer now(memory(), {payload.rows, payload.columns, payload.dtype});
    memory().copy(payload, now.tensor());
    const Tensor& before = previous_.tensor();
    if (before.columns == payload.columns && before.dtype == payload.dtype) {
      const Count late = std::min(before.rows, payload.rows);
      memory().copy(rows_of(before, 0, late), rows_of(payload, 0, late));
    }
    previous_ = std::move(now);
  }

  // The second half comes first; of an odd number of columns it is the longer one.
  void exchange_halves(const Tensor& from, const Tensor& to, Count row) {
    const Count half = from.columns / 2;
    const auto part = [&](const Tensor& tensor, Count column, Count columns) {
      return Tensor{row_at(tensor, row) + column * size_of(tensor.dtype), 1, columns, tensor.dtype,
                    tensor.device};
    };
    memory().copy(part(from, half, from.columns - half), part(to, 0, from.columns - half));
    memory().copy(part(from, 0, half), part(to, from.columns - half, half));
  }

  Before before_;
  std::optional<SwappedCounts> swapped_;
  RowLies lies_;
  Buffer previous_;  // payload that came last
  Count num_operations_ = 0;
};

void wait_for(milliseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any told;
  std::unique_lock lock(mutex);
  told.wait_for(lock, stop, time, [] { return false; });
}

std::unique_ptr<Communicator> going_wrong(std::unique_ptr<Communicator> inner, FaultyMoment moment,
                                          std::function<void()> wrong) {
  Before before;
  if (inner->rank() == moment.rank) {
    before = [moment, wrong = std::move(wrong)](Count operation) {
      if (operation == moment.operation) wrong();
    };
  }
  return std::make_unique<FaultyCommunicator>(std::move(inner), std::move(before), std::nullopt);
}

}  // namespace

std::unique_ptr<Communicator> with_swapped_counts(std::unique_ptr<Communicator> inner,
                                                  SwappedCounts fault) {
  for (const int rank : {fault.rank, fault.first, fault.second}) {
    MOE_CHECK(rank >= 0 && rank < inner->size(),
              text("swapped counts name rank ", rank, " of a group of ", inner->size(), " ranks"));
  }
  return std::make_unique<FaultyCommunicator>(std::move(inner), Before{}, fault);
}

std::unique_ptr<Communicator> with_own_rank_added_first(std::unique_ptr<Communicator> inner) {
  return std::make_unique<FaultyCommunicator>(std::move(inner), Before{}, std::nullopt,
                                              RowLies{.sum_order = SumOrder::own_rank_first});
}

std::unique_ptr<Communicator> with_late_payload(std::unique_ptr<Communicator> inner) {
  return std::make_unique<FaultyCommunicator>(std::move(inner), Before(), std::nullopt,
                                              RowLies{.payload = Payload::late});
}

std::unique_ptr<Communicator> with_strided_send(std::unique_ptr<Communicator> inner) {
  return std::make_unique<FaultyCommunicator>(std::move(inner), Before(), std::nullopt,
                                              RowLies{.sent_rows = SentRows::halves_exchanged});
}

std::unique_ptr<Communicator> with_delay(std::unique_ptr<Communicator> inner, FaultyMoment moment,
                                         milliseconds delay, std::stop_token stop) {
  return going_wrong(std::move(inner), moment, [=] { wait_for(delay, stop); });
}

std::unique_ptr<Communicator> with_stall(std::unique_ptr<Communicator> inner, FaultyMoment moment,
                                         milliseconds time_max, std::stop_token stop) {
  return going_wrong(std::move(inner), moment, [=] {
    wait_for(time_max, stop);
    throw SystemError(
        text("seeded fault: rank ", moment.rank, " stalled at operation ", moment.operation));
  });
}

std::unique_ptr<Communicator> with_failure(std::unique_ptr<Communicator> inner,
                                           FaultyMoment moment) {
  return going_wrong(std::move(inner), moment, [=] {
    throw SystemError(
        text("seeded fault: rank ", moment.rank, " fails at operation ", moment.operation));
  });
}

}  // namespace moe
