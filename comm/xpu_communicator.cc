// Staging, operation by operation. A copy from the device waits for what the rank has queued, so
// that no operation begins before its rows are written; ranks that only receive copy nothing down.

#include "comm/xpu_communicator.h"

#include <utility>
#include <vector>

#include "kernels/base/buffer.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

// What a communicator and those split from it share.
struct Staging {
  std::unique_ptr<Memory> host;
  Count bytes = 0;
};

class XpuCommunicator final : public Communicator {
 public:
  XpuCommunicator(std::unique_ptr<Staging> staging, std::unique_ptr<Communicator> host,
                  Memory& memory)
      : own_staging_(std::move(staging)),
        staging_(*own_staging_),
        host_(std::move(host)),
        memory_(memory) {}

  XpuCommunicator(Staging& staging, std::unique_ptr<Communicator> host, Memory& memory)
      : staging_(staging), host_(std::move(host)), memory_(memory) {}

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  Memory& memory() override { return memory_; }
  Count staged_bytes() const override { return staging_.bytes; }

 private:
  // Host buffers for a list of tensors.
  class Stage {
   public:
    Stage(XpuCommunicator& owner, Tensors tensors) : owner_(owner), tensors_(tensors) {
      for (const Tensor& tensor : tensors) {
        buffers_.emplace_back(*owner.staging_.host,
                              Shape{tensor.rows, tensor.columns, tensor.dtype});
        views_.push_back(buffers_.back().tensor());
      }
    }

    Tensors views() const { return views_; }

    void fill() {
      for (std::size_t i = 0; i < views_.size(); ++i) {
        owner_.memory_.copy_to_host(tensors_[i], views_[i]);
        owner_.staging_.bytes += bytes_of(views_[i]);
      }
    }

    void hand_over() {
      for (std::size_t i = 0; i < views_.size(); ++i) {
        owner_.memory_.copy_from_host(views_[i], tensors_[i]);
        owner_.staging_.bytes += bytes_of(views_[i]);
      }
    }

   private:
    XpuCommunicator& owner_;
    Tensors tensors_;
    std::vector<Buffer> buffers_;
    std::vector<Tensor> views_;
  };

  void do_all_gather_v(Tensors rows, RowCounts rows_per_rank, Tensors gathered) override {
    Stage sent(*this, rows);
    Stage received(*this, gathered);
    sent.fill();
    host_->all_gather_v(sent.views(), rows_per_rank, received.views());
    received.hand_over();
  }

  void do_reduce_scatter_v(const Tensor& rows, RowCounts rows_per_rank,
                           const Tensor& own) override {
    Stage sent(*this, {&rows, 1});
    Stage received(*this, {&own, 1});
    sent.fill();
    host_->reduce_scatter_v(sent.views()[0], rows_per_rank, received.views()[0]);
    received.hand_over();
  }

  void do_all_to_all_v(Tensors sent, RowCounts rows_to, RowCounts rows_from,
                       Tensors received) override {
    Stage down(*this, sent);
    Stage up(*this, received);
    down.fill();
    host_->all_to_all_v(down.views(), rows_to, rows_from, up.views());
    up.hand_over();
  }

  void do_broadcast(Tensors rows, int root) override {
    Stage stage(*this, rows);
    if (rank() == root) stage.fill();
    host_->broadcast(stage.views(), root);
    if (rank() != root) stage.hand_over();
  }

  void do_all_reduce(const Tensor& in, ReduceOp op, const Tensor& out) override {
    Stage sent(*this, {&in, 1});
    Stage received(*this, {&out, 1});
    sent.fill();
    host_->all_reduce(sent.views()[0], op, received.views()[0]);
    received.hand_over();
  }

  void do_send(Tensors rows, int to) override {
    Stage stage(*this, rows);
    stage.fill();
    host_->send(stage.views(), to);
  }

  void do_recv(Tensors rows, int from) override {
    Stage stage(*this, rows);
    host_->recv(stage.views(), from);
    stage.hand_over();
  }

  void do_barrier() override {
    memory_.synchronize();
    host_->barrier();
  }

  std::unique_ptr<Communicator> do_split(int color, int key) override {
    std::unique_ptr<Communicator> part = host_->split(color, key);
    if (part == nullptr) return nullptr;
    return std::make_unique<XpuCommunicator>(staging_, std::move(part), memory_);
  }

  std::unique_ptr<Staging> own_staging_;  // null: a parent's
  Staging& staging_;
  std::unique_ptr<Communicator> host_;
  Memory& memory_;
};

}  // namespace

std::unique_ptr<Communicator> make_xpu_communicator(std::unique_ptr<Memory> host_memory,
                                                    std::unique_ptr<Communicator> host,
                                                    Memory& memory) {
  MOE_CHECK(&host->memory() == host_memory.get() && memory.stream().device.kind == DeviceKind::xpu,
            text("rows of ", name_of(memory.stream().device.kind), " staged through ",
                 name_of(host->memory().stream().device.kind)));
  auto staging = std::make_unique<Staging>(Staging{std::move(host_memory)});
  return std::make_unique<XpuCommunicator>(std::move(staging), std::move(host), memory);
}

}  // namespace moe
