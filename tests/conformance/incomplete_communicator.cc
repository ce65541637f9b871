// The decorator: a lapse in one call, all else as the communicator inside. Groups split from it
// have the same lapse.

#include "tests/conformance/incomplete_communicator.h"

#include <vector>

#include "kernels/base/buffer.h"
#include "kernels/base/text.h"

namespace moe::test {
namespace {

class IncompleteCommunicator final : public Communicator {
 public:
  IncompleteCommunicator(std::unique_ptr<Communicator> inner, std::string call, Lapse lapse)
      : inner_(std::move(inner)), call_(std::move(call)), lapse_(lapse) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  Memory& memory() override { return inner_->memory(); }

 private:
  // The tensors that a call moves; empty: it does nothing.
  Tensors moved(std::string_view call, Tensors tensors) const {
    if (call != call_) return tensors;
    if (lapse_ == Lapse::skips) return {};
    if (lapse_ == Lapse::first_of_list_only) return tensors.first(1);
    for (const Tensor& tensor : tensors) {
      const bool is_empty = lapse_ == Lapse::no_zero_rows && tensor.rows == 0;
      const bool is_fp8 = lapse_ == Lapse::no_fp8 && tensor.dtype == DType::f8e4m3;
      if (lapse_ == Lapse::refuses || is_empty || is_fp8) {
        throw ContractError(text(call, " is not written"));
      }
    }
    return tensors;
  }

  // The inner call; its failures lose their words where the lapse is that.
  template <typename Call>
  void passed_on(const Call& call) {
    try {
      call();
    } catch (const SystemError& error) {
      if (lapse_ != Lapse::names_nobody) throw;
      throw SystemError("timed out");
    }
  }

  void do_all_gather_v(Tensors rows, RowCounts counts, Tensors gathered) override {
    const Tensors from = moved("all_gather_v", rows);
    if (from.empty()) return;
    passed_on([&] { inner_->all_gather_v(from, counts, gathered.first(from.size())); });
  }

  void do_reduce_scatter_v(const Tensor& rows, RowCounts counts, const Tensor& own) override {
    if (moved("reduce_scatter_v", {&rows, 1}).empty()) return;
    passed_on([&] { inner_->reduce_scatter_v(rows, counts, own); });
  }

  void do_all_to_all_v(Tensors sent, RowCounts to, RowCounts from, Tensors received) override {
    const Tensors list = moved("all_to_all_v", sent);
    if (list.empty()) return;
    passed_on([&] { inner_->all_to_all_v(list, to, from, received.first(list.size())); });
  }

  void do_broadcast(Tensors rows, int root) override {
    const Tensors list = moved("broadcast", rows);
    if (!list.empty()) passed_on([&] { inner_->broadcast(list, root); });
  }

  void do_all_reduce(const Tensor& in, ReduceOp op, const Tensor& out) override {
    if (moved("all_reduce", {&in, 1}).empty()) return;
    if (lapse_ == Lapse::rounds_between && op == ReduceOp::sum && in.dtype == DType::bf16) {
      sum_step_by_step(in, out);
    } else {
      passed_on([&] { inner_->all_reduce(in, op, out); });
    }
  }

  // Rank by rank with a rounding after each, as a library does that adds in the wire's type.
  void sum_step_by_step(const Tensor& in, const Tensor& out) {
    const std::vector<Count> rows(static_cast<std::size_t>(size()), in.rows);
    const Buffer all(memory(), {in.rows * size(), in.columns, in.dtype});
    inner_->all_gather_v({&in, 1}, rows, {&all.tensor(), 1});
    memory().copy(rows_of(all.tensor(), 0, in.rows), out);
    for (int rank = 1; rank < size(); ++rank) {
      const Tensor pair[] = {out, rows_of(all.tensor(), rank * in.rows, in.rows)};
      memory().add_rows(pair, out);
    }
  }

  void do_send(Tensors rows, int to) override {
    const Tensors list = moved("send", rows);
    if (!list.empty()) passed_on([&] { inner_->send(list, to); });
  }

  void do_recv(Tensors rows, int from) override {
    const Tensors list = moved("recv", rows);
    if (!list.empty()) passed_on([&] { inner_->recv(list, from); });
  }

  void do_barrier() override {
    if (call_ == "barrier" && lapse_ == Lapse::skips) return;
    if (call_ == "barrier" && lapse_ == Lapse::refuses) throw ContractError("no barrier");
    passed_on([&] { inner_->barrier(); });
  }

  std::unique_ptr<Communicator> do_split(int color, int key) override {
    if (call_ == "split" && lapse_ == Lapse::skips) return nullptr;
    if (call_ == "split" && lapse_ == Lapse::refuses) throw ContractError("no split");
    std::unique_ptr<Communicator> group;
    passed_on([&] { group = inner_->split(color, key); });
    return group == nullptr ? nullptr : incomplete(std::move(group), call_, lapse_);
  }

  std::unique_ptr<Communicator> inner_;
  std::string call_;
  Lapse lapse_;
};

}  // namespace

std::unique_ptr<Communicator> incomplete(std::unique_ptr<Communicator> inner, std::string call,
                                         Lapse lapse) {
  return std::make_unique<IncompleteCommunicator>(std::move(inner), std::move(call), lapse);
}

}  // namespace moe::test
