// Each call passes unchanged, and leaves a closure with buffers of the same shapes behind.
// Buffers are zeroed: pages are there before anything is timed.

#include "sim/bench_calls.h"

#include <utility>

namespace moe::sim {
namespace {

using Counts = std::vector<Count>;

// Buffers like tensors, and their views in one list: each in memory of its own, or all in a window,
// at the same place on every rank.
class KeptTensors {
 public:
  KeptTensors(Memory& memory, Tensors like, const MakeWindow& make_window) {
    if (make_window) {
      take_window(make_window, like);
    } else {
      for (const Tensor& tensor : like) {
        buffers_.emplace_back(memory, Shape{tensor.rows, tensor.columns, tensor.dtype});
        views_.push_back(buffers_.back().tensor());
      }
    }
    for (const Tensor& view : views_) memory.fill(view, 0);
  }

  Tensors views() const { return views_; }

 private:
  static constexpr Count page = 4096;

  void take_window(const MakeWindow& make_window, Tensors like) {
    Count bytes = 0;
    for (const Tensor& tensor : like) bytes += (bytes_of(tensor) + page - 1) / page * page;
    window_ = make_window(bytes);
    auto* next = static_cast<std::byte*>(window_->part(window_->rank()).data);
    for (Tensor view : like) {
      view.data = next;
      next += (bytes_of(view) + page - 1) / page * page;
      views_.push_back(view);
    }
  }

  std::vector<Buffer> buffers_;
  std::unique_ptr<SymmetricMemory> window_;
  std::vector<Tensor> views_;
};

template <typename Function>
class CallOf final : public BareCall {
 public:
  explicit CallOf(Function function) : function_(std::move(function)) {}
  void make() const override { function_(); }

 private:
  Function function_;
};

template <typename Function>
std::unique_ptr<BareCall> call(Function function) {
  return std::make_unique<CallOf<Function>>(std::move(function));
}

Counts counts(RowCounts given) { return {given.begin(), given.end()}; }

}  // namespace

void RememberedCalls::do_all_gather_v(Tensors rows, RowCounts rows_per_rank, Tensors gathered) {
  inner_.all_gather_v(rows, rows_per_rank, gathered);
  calls_.push_back(
      call([&bare = bare_, from = KeptTensors(memory(), rows, make_window_),
            to = KeptTensors(memory(), gathered, make_window_),
            each = counts(rows_per_rank)] { bare.all_gather_v(from.views(), each, to.views()); }));
}

void RememberedCalls::do_reduce_scatter_v(const Tensor& rows, RowCounts rows_per_rank,
                                          const Tensor& own) {
  inner_.reduce_scatter_v(rows, rows_per_rank, own);
  if (&bare_ != &inner_) {
    calls_.push_back(
        call([&bare = bare_, from = KeptTensors(memory(), {&rows, 1}, make_window_),
              to = KeptTensors(memory(), {&own, 1}, make_window_), each = counts(rows_per_rank)] {
          bare.reduce_scatter_v(from.views()[0], each, to.views()[0]);
        }));
    return;
  }
  const Tensor parts{nullptr, own.rows * size(), own.columns, own.dtype, own.device};
  calls_.push_back(
      call([&bare = bare_, from = KeptTensors(memory(), {&rows, 1}, make_window_),
            to = KeptTensors(memory(), {&parts, 1}, make_window_), each = counts(rows_per_rank),
            own_rows = Counts(static_cast<std::size_t>(size()), own.rows)] {
        bare.all_to_all_v(from.views(), each, own_rows, to.views());
      }));
}

void RememberedCalls::do_all_to_all_v(Tensors sent, RowCounts rows_to, RowCounts rows_from,
                                      Tensors received) {
  inner_.all_to_all_v(sent, rows_to, rows_from, received);
  calls_.push_back(
      call([&bare = bare_, from = KeptTensors(memory(), sent, make_window_),
            to = KeptTensors(memory(), received, make_window_), out = counts(rows_to),
            in = counts(rows_from)] { bare.all_to_all_v(from.views(), out, in, to.views()); }));
}

void RememberedCalls::do_broadcast(Tensors rows, int root) {
  inner_.broadcast(rows, root);
  calls_.push_back(call([&bare = bare_, at = KeptTensors(memory(), rows, make_window_), root] {
    bare.broadcast(at.views(), root);
  }));
}

void RememberedCalls::do_all_reduce(const Tensor& in, ReduceOp op, const Tensor& out) {
  inner_.all_reduce(in, op, out);
  calls_.push_back(call([&bare = bare_, from = KeptTensors(memory(), {&in, 1}, make_window_),
                         to = KeptTensors(memory(), {&out, 1}, make_window_),
                         op] { bare.all_reduce(from.views()[0], op, to.views()[0]); }));
}

void RememberedCalls::do_send(Tensors rows, int to) {
  inner_.send(rows, to);
  calls_.push_back(call([&bare = bare_, from = KeptTensors(memory(), rows, make_window_), to] {
    bare.send(from.views(), to);
  }));
}

void RememberedCalls::do_recv(Tensors rows, int from) {
  inner_.recv(rows, from);
  calls_.push_back(call([&bare = bare_, to = KeptTensors(memory(), rows, make_window_), from] {
    bare.recv(to.views(), from);
  }));
}

void RememberedCalls::do_barrier() {
  inner_.barrier();
  calls_.push_back(call([&bare = bare_] { bare.barrier(); }));
}

std::unique_ptr<Communicator> RememberedCalls::do_split(int color, int key) {
  return inner_.split(color, key);
}

}  // namespace moe::sim
