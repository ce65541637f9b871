// Scenario: what a YAML file under scenarios/ says, as plain structs with the defaults of
// formats.md,
// 5. scenario_reader.cc fills it and refuses what cannot be; nothing here runs anything.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "backends/backend.h"
#include "backends/call_form.h"
#include "backends/engine/engine_state.h"
#include "backends/placement/expert_load.h"
#include "backends/placement/expert_placement.h"
#include "backends/profile.h"
#include "backends/quant_schemes.h"
#include "golden/oracle.h"
#include "kernels/base/activation.h"
#include "kernels/base/device.h"
#include "kernels/base/dtype.h"
#include "kernels/router_settings.h"

namespace moe::sim {

using golden::ExpertKernel;

constexpr int ranks_max = 1024;

struct WorldSpec {
  int dp = 1;
  int tp = 1;
  int pp = 1;
  int pcp = 1;
  bool expert_parallel = true;
  bool sequence_parallel = false;
  std::vector<int> masked_ranks = {};  // of the EP group: dead ones, whose experts answer nobody

  int num_ranks() const { return dp * pp * pcp * tp; }
  // Ranks that share the experts of a layer out, whole or in shards.
  int expert_ranks() const { return dp * pcp * tp; }
  Deployment deployment() const {
    return {{.dp = dp, .pp = pp, .pcp = pcp, .tp = tp}, expert_parallel, sequence_parallel};
  }
};

// What one layer has of its own.
struct LayerSpec {
  Count hidden_size = 64;
  Count intermediate_size = 128;
};

struct ModelSpec {
  int num_experts = 8;
  int top_k = 2;
  Count hidden_size = 64;
  Count intermediate_size = 128;
  int num_layers = 1;
  DType dtype = DType::bf16;
  QuantizationScheme quantization = quant_schemes[0];
  ExpertKernel kernel = ExpertKernel::probe;
  Placement placement = Placement::linear;  // asked for: placement_choice.h says what it becomes
  int num_redundant_experts = 0;
  Activation activation = Activation::silu;  // real worlds
  bool has_bias = false;                     // real worlds
  int num_shared_experts = 0;
  double scale = 1.0;  // of the routed output; recorded weights contain their own
  bool router_weight_on_input = false;
  std::vector<LayerSpec> layers;  // empty: all are as the model says

  int num_physical_experts() const { return num_experts + num_redundant_experts; }
  LayerSpec layer(int number) const {
    if (layers.empty()) return {hidden_size, intermediate_size};
    return layers[static_cast<std::size_t>(number)];
  }
  Scoring scoring = Scoring::softmax;
  bool renormalize = true;
  int num_expert_groups = 1;
  int topk_group = 1;
  bool correction_bias = false;  // of mix (golden/oracle.py)
};

struct UniformRouting {};
struct SkewedRouting {
  double exponent = 1.0;
};
struct OneHotExpertRouting {
  int expert = 0;
};
struct HotRankRouting {
  int rank = 0;
  double share = 0.5;
};
struct MaskedRouting {
  double share = 0.25;
};
struct ListedRouting {
  std::vector<std::vector<int>> ids;
};
// The layer's own router decides, on made-up logits: spread and shift are whole sixteenths, ties is
// the share of tokens whose logits are whole numbers, nan that of tokens whose logits are all NaN.
struct LogitsRouting {
  double spread = 4.0;
  double shift = 0.0;
  double ties = 0.0;
  double nan = 0.0;
};

// A recorded trace: its file (as given, and as found), and half-open ranges of layers and steps,
// which are always there once the trace has been adopted (scenario_reader.h).
struct TraceRouting {
  std::string file;
  std::string path;
  std::optional<int> first_layer, last_layer;
  std::optional<int> first_step, last_step;
};

using RoutingSpec = std::variant<UniformRouting, SkewedRouting, OneHotExpertRouting, HotRankRouting,
                                 MaskedRouting, ListedRouting, LogitsRouting, TraceRouting>;

enum class RanksAre { threads, processes };

// Who selects experts: the router before dispatch, or the experts after it.
enum class Selection { modular, monolithic };

// The words of scenario files, and back. REQUIRES a word that name_of gives.
std::string_view name_of(Selection selection);
std::string_view name_of(DispatchSite site);
Selection selection_named(std::string_view word);
DispatchSite dispatch_site_named(std::string_view word);

// One line of `runs`.
struct RunLine {
  std::string backend = "allgather_reducescatter";
  DeviceKind device = DeviceKind::cpu;
  std::string communicator;  // empty: the device's own (gloo for cpu)
  RanksAre ranks = RanksAre::threads;
  std::string profile = std::string(default_profile);
  std::string platform = "cuda";
  Selection selection = Selection::modular;
  DispatchSite dispatch_site = DispatchSite::kernel;
  std::uint64_t arrival_seed = 0;
};

// integers: exact worlds, judged to the byte. real: judged by derived bounds (numerics.md, 1 and
// 2).
enum class Values { integers, real };

enum class Expectation { same_bytes, derived };

// Ends other than outputs as they should be. Kinds of error have their exit codes: 2, 3, 4.
enum class ErrorKind { scenario, system, contract };
struct ExpectedError {
  ErrorKind kind = ErrorKind::scenario;
  std::string text;  // part of its message
};
struct ExpectedFallback {
  std::string backend;
};
struct ExpectedDifference {
  std::string why;
};
using ExpectedEnd =
    std::variant<std::monostate, ExpectedError, ExpectedFallback, ExpectedDifference>;

// A seeded fault: its number in the catalogue and its parameters as written.
struct FaultSpec {
  std::string name;
  std::vector<std::pair<std::string, std::string>> parameters;
};

// EPLB: when experts are rearranged, and over how many nodes the ranks are spread for its policy.
struct EplbSpec {
  EplbSchedule settings;
  int num_nodes = 1;
};

// A key as the file writes it: "file:line:column", and its text where it is a single value.
struct WrittenKey {
  std::string place;
  std::string value;
};

// The layer is called chunk by chunk as well (legacy; call_form.h).
struct DpChunking {
  Count rows_max = 256;
  ResultStore store = ResultStore::if_unfinished;
};

// Which token of a step stands where: as the steps count them, each rank's own last first, or the
// last rank's first (relatives.h).
enum class TokenOrder { as_counted, tokens_reversed, ranks_reversed };

struct Scenario {
  std::string name;
  std::string path;    // of the file, for messages
  std::string sha256;  // of the file's bytes
  std::string why;
  std::vector<std::string> tags;
  std::uint64_t seed = 1;
  Values values = Values::integers;
  WorldSpec world;
  ModelSpec model;
  RoutingSpec routing;
  std::uint64_t routing_seed = 1;
  std::vector<std::vector<Count>> steps;  // tokens of each DP rank; empty with a trace
  // Requests whose engines decide the steps; steps then holds what they come to, dummy and pad
  // tokens included (engine_scenario.h).
  std::optional<EngineSettings> engine;
  std::optional<DpChunking> dp_chunking;
  int deadline_ms = 5000;
  int delay_max_ms = 0;  // of each rank before each of its operations (--delay)
  std::optional<Count> max_num_batched_tokens;              // of one DP rank in one step
  std::optional<Count> traced_max_num_batched_tokens = {};  // of the server that was recorded,
                                                            // whose DP ranks may be merged here
  Expectation expect = Expectation::same_bytes;
  ExpectedEnd end;                                  // of every run line
  std::optional<std::vector<std::string>> defects;  // to reproduce; none: the profile's own
  std::vector<FaultSpec> faults;
  std::vector<std::string> same_under = {};  // changes of the world that change no output
  TokenOrder token_order = TokenOrder::as_counted;
  std::optional<EplbSpec> eplb;  // none: experts stay where they are
  std::vector<RunLine> runs;
  std::map<std::string, WrittenKey> written;  // by name: model.top_k, steps[3], runs[0].backend

  bool says(const std::string& key) const { return written.contains(key); }
  // Where the file writes the key, or the nearest one around it, or else the file itself.
  std::string place_of(const std::string& key) const;
};

// What the command line says in place of the run lines' own words; what is absent changes nothing.
// Several backends multiply the run lines. Whoever runs scenarios applies it.
struct RunOverrides {
  std::vector<std::string> backends;
  std::optional<DeviceKind> device;
  std::optional<std::string> communicator;
  std::optional<RanksAre> ranks;
  std::optional<std::string> profile;
  std::optional<std::string> platform;
  std::optional<Selection> selection;
  std::optional<DispatchSite> dispatch_site;
};

// The largest absolute value of an exact world's hidden states: probes 8, exact_gemm 2; with a
// scale 2 and 1, so that its products stay exact. Probes of quantised rows 7, or 6 in four bits.
int hidden_max(const ModelSpec& model);

// The largest absolute value, in units of the smallest one, that any partial sum of the world can
// reach, and the largest that the dtype holds exactly (numerics.md, 1). is_exact: whether a unit
// exists at all, which a scale like 0.3 has not.
struct ExactBound {
  double reached = 0;
  double unit = 1;
  double limit = 0;  // in units
  bool is_exact = true;

  bool holds() const { return is_exact && reached / unit <= limit; }
};
ExactBound exact_bound(const ModelSpec& model);

// Which key of a model keeps its quantised numbers from being exact, and why (numerics.md, 1);
// empty where codes lose nothing.
struct ExactLoss {
  std::string key;
  std::string why;

  bool empty() const { return key.empty(); }
};
ExactLoss why_not_exact(const ModelSpec& model);

// Throws ScenarioError at the offending key for a world that cannot be: more choices than experts,
// an exact bound that the dtype does not hold.
void check_world(const Scenario& scenario);

}  // namespace moe::sim
