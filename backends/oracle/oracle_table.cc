// The axes as data, and the tree: each node is a list of the children's nodes, and equal nodes are
// one, so that comparing two is comparing two numbers.

#include "backends/oracle/oracle_table.h"

#include <algorithm>
#include <map>

#include "backends/config/validation.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

struct DeviceValue {
  std::string_view name;
  OraclePlatform platform;
  DeviceCapability capability = {};
  bool with_aiter = false;  // VLLM_ROCM_USE_AITER=1
};
constexpr std::array devices = {DeviceValue{"cuda-7.5", OraclePlatform::cuda, {7, 5}},
                                DeviceValue{"cuda-8.0", OraclePlatform::cuda, {8, 0}},
                                DeviceValue{"cuda-8.9", OraclePlatform::cuda, {8, 9}},
                                DeviceValue{"cuda-9.0", OraclePlatform::cuda, {9, 0}},
                                DeviceValue{"cuda-10.0", OraclePlatform::cuda, {10, 0}},
                                DeviceValue{"cuda-11.0", OraclePlatform::cuda, {11, 0}},
                                DeviceValue{"cuda-12.0", OraclePlatform::cuda, {12, 0}},
                                DeviceValue{"rocm-9.4", OraclePlatform::rocm, {9, 4}},
                                DeviceValue{"rocm-9.4-aiter", OraclePlatform::rocm, {9, 4}, true},
                                DeviceValue{"rocm-9.5", OraclePlatform::rocm, {9, 5}},
                                DeviceValue{"rocm-9.5-aiter", OraclePlatform::rocm, {9, 5}, true},
                                DeviceValue{"xpu", OraclePlatform::xpu},
                                DeviceValue{"cpu", OraclePlatform::cpu},
                                DeviceValue{"tpu", OraclePlatform::tpu},
                                DeviceValue{"out_of_tree", OraclePlatform::out_of_tree}};

// Under the name of its all2all backend: DP 4 with EP.
struct LayoutValue {
  std::string_view name;
  int dp = 1;
  int tp = 1;
  bool ep = false;
  std::string_view all2all = "allgather_reducescatter";
};
constexpr std::array layouts = {
    LayoutValue{"tp4", 1, 4},
    LayoutValue{"dp4", 4, 1},
    LayoutValue{"tp4-ep", 1, 4, true},
    LayoutValue{"naive", 4, 1, true, "naive"},
    LayoutValue{"allgather_reducescatter", 4, 1, true},
    LayoutValue{"deepep_high_throughput", 4, 1, true, "deepep_high_throughput"},
    LayoutValue{"deepep_low_latency", 4, 1, true, "deepep_low_latency"},
    LayoutValue{"deepep_v2", 4, 1, true, "deepep_v2"},
    LayoutValue{"nixl_ep", 4, 1, true, "nixl_ep"},
    LayoutValue{"mori", 4, 1, true, "mori"},
    LayoutValue{"mori_high_throughput", 4, 1, true, "mori_high_throughput"},
    LayoutValue{"flashinfer_nvlink_two_sided", 4, 1, true, "flashinfer_nvlink_two_sided"},
    LayoutValue{"flashinfer_nvlink_one_sided", 4, 1, true, "flashinfer_nvlink_one_sided"}};

constexpr std::array library_sets = {"usual", "none", "all"};
constexpr std::array activations = {MoEActivation::silu, MoEActivation::gelu,
                                    MoEActivation::swigluoai, MoEActivation::relu2_no_mul};
constexpr std::array routers = {RouterKind::softmax_renormalize, RouterKind::softmax,
                                RouterKind::sigmoid_bias_groups, RouterKind::sigmoid_renormalize};
constexpr std::array<std::string_view, 5> extras = {"plain", "eplb", "lora", "batch_invariant",
                                                    "without_vllm_cutlass"};

void set_device(ExpertsDeployment& deployment, int value) {
  const DeviceValue& device = devices[static_cast<std::size_t>(value)];
  deployment.platform = device.platform;
  deployment.capability = device.capability;
  deployment.libraries = usual_libraries(device.platform);
  if (device.with_aiter) deployment.environment.set("VLLM_ROCM_USE_AITER", "1");
}

// The usual ones and those that a user installs beside.
LibrarySet every_library(OraclePlatform platform) {
  const bool is_cuda = platform == OraclePlatform::cuda;
  return usual_libraries(platform).with(
      is_cuda ? LibrarySet{Library::humming, Library::hpc, Library::flashinfer_b12x}
              : LibrarySet{});
}

void set_layout(ExpertsDeployment& deployment, int value) {
  const LayoutValue& layout = layouts[static_cast<std::size_t>(value)];
  deployment.sizes.dp = layout.dp;
  deployment.sizes.tp = layout.tp;
  deployment.enable_expert_parallel = layout.ep;
  deployment.all2all_backend = layout.all2all;
}

void set_extra(ExpertsDeployment& deployment, int value) {
  deployment.enable_eplb = value == 1;
  deployment.enable_lora = value == 2;
  deployment.batch_invariant = value == 3;
  deployment.allow_vllm_cutlass = value != 4;
}

template <typename Row>
std::string named(const Row& row) {
  if constexpr (requires { name_of(row); }) {
    return std::string(name_of(row));
  } else if constexpr (requires { row.name; }) {
    return std::string(row.name);
  } else {
    return std::string(row);
  }
}

template <typename Rows>
std::vector<std::string> names_in(const Rows& rows) {
  std::vector<std::string> names;
  for (const auto& row : rows) names.push_back(named(row));
  return names;
}

std::vector<OracleAxis> made_axes() {
  const auto at = [](const auto& rows, int value) { return rows[static_cast<std::size_t>(value)]; };
  return {{"quant", names_in(all_quant_schemes()),
           [at](ExpertsDeployment& d, int value) { d.quant = at(all_quant_schemes(), value); }},
          {"device", names_in(devices), set_device},
          {"libraries", names_in(library_sets),
           [](ExpertsDeployment& d, int value) {
             if (value == 1) d.libraries = {};
             if (value == 2) d.libraries = every_library(d.platform);
           }},
          {"extra", names_in(extras), set_extra},
          {"activation", names_in(activations),
           [at](ExpertsDeployment& d, int value) { d.activation = at(activations, value); }},
          {"layout", names_in(layouts), set_layout},
          {"router", names_in(routers),
           [at](ExpertsDeployment& d, int value) { d.router = at(routers, value); }},
          {"router_logits", {"bf16", "f32"}, [](ExpertsDeployment& d, int value) {
             d.router_logits_dtype = value == 0 ? DType::bf16 : DType::f32;
           }}};
}

// Numbers of equal subtrees and of answers. An answer's node has no children.
class TreeNodes {
 public:
  int answer(const std::string& words) { return number_of(answers_, words); }
  int node(const std::vector<int>& children) { return number_of(nodes_, children); }

  const std::string& words_of(int answer) const {
    return answers_.values[static_cast<std::size_t>(answer)];
  }
  const std::vector<int>& children_of(int node) const {
    return nodes_.values[static_cast<std::size_t>(node)];
  }

 private:
  template <typename Value>
  struct Numbered {
    std::map<Value, int> numbers;
    std::vector<Value> values;
  };
  template <typename Value>
  static int number_of(Numbered<Value>& known, const Value& value) {
    const auto [place, is_fresh] =
        known.numbers.try_emplace(value, static_cast<int>(known.values.size()));
    if (is_fresh) known.values.push_back(value);
    return place->second;
  }

  Numbered<std::string> answers_;
  Numbered<std::vector<int>> nodes_;
};

class TreeMaker {
 public:
  TreeMaker(const AnswerMaker& answer, SilentCell silent) : answer_(answer), silent_(silent) {}

  OracleTree make() {
    const int root = grown({}, 0);
    print(root, 0, 0);
    return std::move(tree_);
  }

 private:
  // deployment: with the axes above already set. ORDER: axes are set from the outermost in.
  int grown(const ExpertsDeployment& deployment, std::size_t axis) {
    if (axis == oracle_axes().size()) {
      ++tree_.num_cells;
      const OracleAnswer said = answer_(deployment);
      if (said.decided.empty()) return nodes_.answer("");
      ++tree_.num_shown;
      return nodes_.answer(text(said.decided, numbered(said.refused)));
    }
    const OracleAxis& here = oracle_axes()[axis];
    std::vector<int> children;
    for (int value = 0; value < static_cast<int>(here.values.size()); ++value) {
      ExpertsDeployment deeper = deployment;
      here.set(deeper, value);
      children.push_back(grown(deeper, axis + 1));
    }
    return nodes_.node(children);
  }

  // "" where nobody was refused. Each beginning of a list has a number, so that lists share them.
  std::string numbered(const std::vector<std::string>& refused) {
    int number = -1;
    for (const std::string& one : refused) {
      const auto [place, is_fresh] =
          numbers_.try_emplace({number, one}, static_cast<int>(tree_.refusals.size()));
      if (is_fresh) {
        const std::string before = number < 0 ? "" : text("[", number, "], ");
        tree_.refusals.push_back(text("[", place->second, "] ", before, one));
      }
      number = place->second;
    }
    return number < 0 ? "" : text(" [", number, "]");
  }

  // Whether anything below is shown.
  bool is_shown(int node, std::size_t axis) {
    if (axis == oracle_axes().size()) return !nodes_.words_of(node).empty();
    const auto known = shown_.find({axis, node});
    if (known != shown_.end()) return known->second;
    const bool any = std::ranges::any_of(nodes_.children_of(node),
                                         [&](int child) { return is_shown(child, axis + 1); });
    shown_[{axis, node}] = any;
    return any;
  }

  void add(const std::string& words, std::size_t depth) {
    tree_.lines.push_back(std::string(2 * depth, ' ') + words);
  }

  void print(int node, std::size_t axis, std::size_t depth) {
    if (!is_shown(node, axis)) return;
    if (axis == oracle_axes().size()) {
      add(text("-> ", nodes_.words_of(node)), depth);
      return;
    }
    const std::vector<int>& children = nodes_.children_of(node);
    if (std::ranges::count(children, children.front()) ==
        static_cast<std::ptrdiff_t>(children.size())) {
      print(children.front(), axis + 1, depth);
      return;
    }
    std::vector<int> distinct;
    for (const int child : children) {
      if (std::ranges::count(distinct, child) == 0) distinct.push_back(child);
    }
    for (const int child : distinct) {
      if (!is_shown(child, axis + 1)) continue;
      add(text(oracle_axes()[axis].name, " ", values_text(children, child, axis)), depth);
      print(child, axis + 1, depth + 1);
      join_answer();
    }
  }

  // The values with that child, or all but the others where that is shorter.
  std::string values_text(const std::vector<int>& children, int child, std::size_t axis) {
    std::vector<std::string_view> values;
    std::vector<std::string_view> others;
    for (std::size_t i = 0; i < children.size(); ++i) {
      if (silent_ == SilentCell::is_none && !is_shown(children[i], axis + 1)) continue;
      (children[i] == child ? values : others).push_back(oracle_axes()[axis].values[i]);
    }
    if (others.empty()) return "any";
    const std::string those = joined(values);
    const std::string rest = "all but " + joined(others);
    return values.size() > 2 && rest.size() < those.size() ? rest : those;
  }

  // A value whose cells have one answer stands in one line with it.
  void join_answer() {
    if (tree_.lines.size() < 2) return;
    const std::string& last = tree_.lines.back();
    const std::size_t indent = last.find_first_not_of(' ');
    const std::string& before = tree_.lines[tree_.lines.size() - 2];
    const bool is_deeper = before.find_first_not_of(' ') + 2 == indent;
    if (!is_deeper || last.compare(indent, 3, "-> ") != 0) return;
    if (before.find(" -> ") != std::string::npos) return;
    const std::string both = text(before, " ", last.substr(indent));
    tree_.lines.pop_back();
    tree_.lines.back() = both;
  }

  const AnswerMaker& answer_;
  SilentCell silent_;
  std::map<std::pair<int, std::string>, int> numbers_;  // a list's number and one more
  TreeNodes nodes_;
  std::map<std::pair<std::size_t, int>, bool> shown_;
  OracleTree tree_;
};

}  // namespace

const std::vector<OracleAxis>& oracle_axes() {
  static const std::vector<OracleAxis> axes = made_axes();
  return axes;
}

ExpertsDeployment deployment_of(const OracleCell& cell) {
  ExpertsDeployment deployment;
  for (std::size_t axis = 0; axis < cell.size(); ++axis) {
    oracle_axes()[axis].set(deployment, cell[axis]);
  }
  return deployment;
}

OracleAnswer answer_of(const Profile& profile, const ExpertsDeployment& deployment,
                       const OracleSources& sources) {
  const std::string_view all2all = configured_backend(profile, deployment.all2all_backend);
  if (std::ranges::count(backends_in(profile), all2all) == 0) return {};
  const ExpertsDecision decision = select_experts_backend(profile, deployment, sources);
  OracleAnswer answer;
  if (decision.error != OracleError::none) {
    answer.decided = name_of(decision.error);
  } else {
    answer.decided = decision.backend->name;
    if (decision.experts != nullptr) answer.decided += text(" ", decision.experts->name);
    if (decision.is_unchecked) answer.decided += " unasked";
  }
  for (const Candidate& one : decision.trace) {
    if (!one.refusal) continue;
    answer.refused.push_back(text(one.experts->name, " ", name_of(one.refusal->predicate)));
  }
  return answer;
}

OracleTree oracle_tree(const AnswerMaker& answer, SilentCell silent) {
  return TreeMaker(answer, silent).make();
}

OracleTree oracle_table(const Profile& profile, const OracleSources& sources) {
  return oracle_tree(
      [&](const ExpertsDeployment& deployment) { return answer_of(profile, deployment, sources); },
      SilentCell::is_none);
}

OracleTree oracle_difference(const Profile& from, const Profile& to) {
  const auto decided = [](const Profile& profile, const ExpertsDeployment& deployment) {
    const std::string words = answer_of(profile, deployment).decided;
    return words.empty() ? std::string("no such all2all backend") : words;
  };
  return oracle_tree(
      [&](const ExpertsDeployment& deployment) -> OracleAnswer {
        const std::string before = decided(from, deployment);
        const std::string after = decided(to, deployment);
        return {before == after ? "" : text(before, " => ", after)};
      },
      SilentCell::has_no_line);
}

}  // namespace moe
