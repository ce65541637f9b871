// Seeded faults: the table of what can be asked for with --fault or `faults:`, and the decorators
// that a rank's layer gets for them. The decorators themselves stand beside their seams.

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backends/expert_id_map.h"
#include "backends/moe_layer.h"
#include "backends/parallel/parallel_config.h"
#include "backends/shared_experts.h"
#include "comm/communicator.h"
#include "kernels/base/expert_map.h"
#include "sim/scenario.h"

namespace moe::sim {

struct FaultParameter {
  std::string_view name;
  int default_value = 0;  // -1: that, beside what is from the smallest on, which meaning explains
  std::string_view meaning;
  int smallest = 0;
};

// One row of `moebius list faults`.
struct FaultRow {
  std::string_view name;
  std::string_view lie;
  std::string_view upstream;                // the bugs it stands for
  std::vector<std::string_view> killed_by;  // checks that must name it
  std::vector<FaultParameter> parameters;
};
const std::vector<FaultRow>& all_faults();

// The row of that name. Throws ScenarioError with the nearest one.
const FaultRow& fault_row(const std::string& name);

// "MF-42:rank=1,first=0" → name and parameters, checked against the table.
FaultSpec parsed_fault(const std::string& words);

// The words that parsed_fault reads back.
std::string fault_words(const FaultSpec& fault);

// Throws ScenarioError for a parameter or a value that the row does not have.
void check_fault(const FaultSpec& fault);

// What a fault's parameters may name in a world: each below its limit. tokens: of a rank in a step.
struct FaultLimits {
  Count ranks = 0;
  Count counts = 0;  // of one dispatch: ranks of its group
  Count experts = 0;
  Count steps = 0;
  Count layers = 0;
  Count columns = 0;
  Count bits = 0;
  std::function<Count(int step, int rank)> tokens = {};
};

// Throws ScenarioError for a rank, expert, step, layer, token, column or bit that the world does
// not have, whether it was written or is the table's default.
void check_fault_fits(const FaultSpec& fault, const FaultLimits& limits);

// Where a fault's decorators go on one rank.
struct FaultSite {
  int rank = 0;  // of the world
  int layer = 0;
  Memory& memory;
  std::vector<int> expert_map;  // of each global expert its slot on this rank, -1 elsewhere
  const ParallelGroups& groups;
  FusedMoEParallelConfig parallel;
  double scale = 1;                    // routed scaling factor
  const ExpertMap* experts = nullptr;  // of all ranks. LIFETIME: longer than the layer
};

// A group of the rank: those too small to have the entries that a fault names stay healthy.
std::unique_ptr<Communicator> with_faults(std::unique_ptr<Communicator> group, int rank,
                                          const std::vector<FaultSpec>& faults);
std::unique_ptr<PrepareFinalize> with_faults(std::unique_ptr<PrepareFinalize> inner,
                                             const FaultSite& site,
                                             const std::vector<FaultSpec>& faults);
std::unique_ptr<Experts> with_faults(std::unique_ptr<Experts> inner, const FaultSite& site,
                                     const std::vector<FaultSpec>& faults);
std::unique_ptr<ExpertIdMap> with_faults(std::unique_ptr<ExpertIdMap> inner, const FaultSite& site,
                                         const std::vector<FaultSpec>& faults);
std::unique_ptr<Router> with_faults(std::unique_ptr<Router> inner, const FaultSite& site,
                                    const std::vector<FaultSpec>& faults);
// None stays none.
std::unique_ptr<SharedExperts> with_faults(std::unique_ptr<SharedExperts> inner,
                                           const FaultSite& site,
                                           const std::vector<FaultSpec>& faults);

// A parameter's value as written, or the table's default.
int fault_parameter(const FaultSpec& fault, std::string_view key);
// Whether the fault is for that rank.
bool fault_is_on_rank(const FaultSpec& fault, int rank);
// Whether it is the fault of that name, and for that rank.
bool is_fault_on(const FaultSpec& fault, std::string_view name, int rank);
// The first of them that is; null: none.
const FaultSpec* find_fault(const std::vector<FaultSpec>& faults, std::string_view name, int rank);

}  // namespace moe::sim
