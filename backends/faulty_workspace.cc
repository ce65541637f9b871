// Three decorators around healthy experts, whose results they copy to a place of their own.
// Nothing is written outside a buffer's block: guards catch what runs over.

#include "backends/faulty_workspace.h"

#include <algorithm>
#include <utility>

namespace moe {
namespace {

class WorkspaceByDpSize final : public Experts {
 public:
  WorkspaceByDpSize(std::unique_ptr<Experts> inner, Memory& memory, int dp_size)
      : inner_(std::move(inner)), memory_(memory), dp_size_(dp_size) {}

  Tensor apply(Dispatched& dispatched) override {
    const Tensor output = inner_->apply(dispatched);
    const std::vector<Count>& tokens = dispatched.handle.rows_per_rank;
    const Count declared = dp_size_ * std::ranges::max(tokens);
    const Tensor workspace =
        dispatched.handle.keep_workspace(Buffer(memory_, {declared, output.columns, output.dtype}));
    const Count fitting = std::min(declared, output.rows);
    memory_.copy(rows_of(output, 0, fitting), rows_of(workspace, 0, fitting));
    if (output.rows > declared) memory_.copy(rows_of(output, declared, 1), row_after(workspace));
    return output;
  }

 private:
  // Where row number rows would be: in the guard, which is at least one row.
  static Tensor row_after(const Tensor& rows) {
    return {row_at(rows, rows.rows), 1, rows.columns, rows.dtype, rows.device};
  }

  std::unique_ptr<Experts> inner_;
  Memory& memory_;
  int dp_size_;
};

class InputOverwritten final : public Experts {
 public:
  InputOverwritten(std::unique_ptr<Experts> inner, Memory& memory)
      : inner_(std::move(inner)), memory_(memory) {}

  Tensor apply(Dispatched& dispatched) override {
    const Tensor output = inner_->apply(dispatched);
    memory_.copy(output, dispatched.hidden_states);
    return output;
  }

 private:
  std::unique_ptr<Experts> inner_;
  Memory& memory_;
};

class UntrimmedWidth final : public Experts {
 public:
  UntrimmedWidth(std::unique_ptr<Experts> inner, Memory& memory, int multiple)
      : inner_(std::move(inner)), memory_(memory), multiple_(multiple) {}

  Tensor apply(Dispatched& dispatched) override {
    const Tensor output = inner_->apply(dispatched);
    const Count width = (output.columns + multiple_ - 1) / multiple_ * multiple_;
    const Tensor padded =
        dispatched.handle.keep(Buffer(memory_, {output.rows, width, output.dtype}));
    memory_.fill(padded, 0);
    for (Count row = 0; row < output.rows; ++row) {
      Tensor begin = rows_of(padded, row, 1);
      begin.columns = output.columns;
      memory_.copy(rows_of(output, row, 1), begin);
    }
    return padded;
  }

 private:
  std::unique_ptr<Experts> inner_;
  Memory& memory_;
  int multiple_;
};

}  // namespace

std::unique_ptr<Experts> with_workspace_by_dp_size(std::unique_ptr<Experts> inner, Memory& memory,
                                                   int dp_size) {
  return std::make_unique<WorkspaceByDpSize>(std::move(inner), memory, dp_size);
}

std::unique_ptr<Experts> with_input_overwritten(std::unique_ptr<Experts> inner, Memory& memory) {
  return std::make_unique<InputOverwritten>(std::move(inner), memory);
}

std::unique_ptr<Experts> with_untrimmed_width(std::unique_ptr<Experts> inner, Memory& memory,
                                              int multiple) {
  return std::make_unique<UntrimmedWidth>(std::move(inner), memory, multiple);
}

}  // namespace moe
