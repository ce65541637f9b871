// Calls of a layer beside those that are judged, once a rank's last step is over: TWICE calls two
// cells again, LIN and WONCE call one of them with other weights and other rows
// (fault-catalogue.md, 2). All ranks probe the same cells, so that their collective calls match.
// Called by rank_program.cc.

#pragma once

#include <functional>
#include <vector>

#include "backends/parallel/rank_grid.h"
#include "kernels/base/buffer.h"
#include "sim/check_ledger.h"
#include "sim/scenario.h"
#include "sim/world_inputs.h"

namespace moe::sim {

class LayerProbes {
 public:
  // Runs the cell's layer on these inputs. RETURNS its output [tokens, hidden_size] in host memory.
  using Forward = std::function<Buffer(golden::Cell cell, const CellInputs& inputs)>;

  // world_rank is for sentences. LIFETIME: the references outlive it.
  LayerProbes(const Scenario& scenario, const WorldInputs& inputs, LayerRange stage, int world_rank,
              CheckLedger& ledger);

  // The cells that are probed: the first layer of the first step that has a token, the last one of
  // the last. cell.rank does not count.
  bool is_probed(golden::Cell cell) const;

  // The output of a probed cell's own run, host memory.
  void keep(golden::Cell cell, const Tensor& output);

  // Collective. REQUIRES that every probed cell was kept.
  void run(const Forward& forward);

 private:
  struct Kept {
    golden::Cell cell;
    Buffer output;
  };

  void twice(const Kept& kept, const Forward& forward);
  void linear(golden::Cell cell, const Forward& forward);
  void weighted_once(golden::Cell cell, const Forward& forward);
  Buffer with_weights(golden::Cell cell, float weight, const Forward& forward);
  golden::Expected expected_with(golden::Cell cell, float weight) const;
  void found(std::string_view check, golden::Cell cell, const std::string& what);

  const Scenario& scenario_;
  const WorldInputs& inputs_;
  int world_rank_;
  CheckLedger& ledger_;
  std::unique_ptr<Memory> host_;
  std::vector<golden::Cell> cells_;
  std::vector<Kept> kept_;
};

}  // namespace moe::sim
