// The tree: each node is a list of the children's nodes, and equal nodes are one, so that comparing
// two is comparing two numbers. Its axes are oracle_axes.cc.

#include "backends/oracle/oracle_table.h"

#include <algorithm>
#include <map>

#include "backends/config/validation.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

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
  TreeMaker(const OracleAxes& axes, const AnswerMaker& answer, SilentCell silent)
      : axes_(axes), answer_(answer), silent_(silent) {}

  OracleTree make() {
    const int root = grown({}, 0);
    print(root, 0, 0);
    return std::move(tree_);
  }

 private:
  // deployment: with the axes above already set. ORDER: axes are set from the outermost in.
  int grown(const ExpertsDeployment& deployment, std::size_t axis) {
    if (axis == axes_.size()) {
      ++tree_.num_cells;
      const OracleAnswer said = answer_(deployment);
      if (said.decided.empty()) return nodes_.answer("");
      ++tree_.num_shown;
      return nodes_.answer(text(said.decided, numbered(said.refused)));
    }
    const OracleAxis& here = axes_[axis];
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
    if (axis == axes_.size()) return !nodes_.words_of(node).empty();
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
    if (axis == axes_.size()) {
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
      add(text(axes_[axis].name, " ", values_text(children, child, axis)), depth);
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
      (children[i] == child ? values : others).push_back(axes_[axis].values[i]);
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

  const OracleAxes& axes_;
  const AnswerMaker& answer_;
  SilentCell silent_;
  std::map<std::pair<int, std::string>, int> numbers_;  // a list's number and one more
  TreeNodes nodes_;
  std::map<std::pair<std::size_t, int>, bool> shown_;
  OracleTree tree_;
};

}  // namespace

std::string_view absence_of(const Profile& profile, const ExpertsDeployment& deployment) {
  if (!deployment.quant.eras.covers(profile)) return "no such oracle";
  const std::string_view all2all = configured_backend(profile, deployment.all2all_backend);
  if (std::ranges::count(backends_in(profile), all2all) == 0) return "no such all2all backend";
  const auto words = moe_backend_words(profile);
  return std::ranges::count(words, deployment.moe_backend) == 0 ? "no such moe_backend" : "";
}

OracleAnswer answer_of(const Profile& profile, const ExpertsDeployment& deployment,
                       const OracleSources& sources) {
  if (!absence_of(profile, deployment).empty()) return {};
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

OracleTree oracle_tree(const OracleAxes& axes, const AnswerMaker& answer, SilentCell silent) {
  return TreeMaker(axes, answer, silent).make();
}

OracleTree oracle_table(const Profile& profile) {
  return oracle_tree(
      oracle_axes(),
      [&](const ExpertsDeployment& deployment) { return answer_of(profile, deployment); },
      SilentCell::is_none);
}

OracleTree choice_table(const Profile& profile) {
  return oracle_tree(
      choice_axes(),
      [&](const ExpertsDeployment& deployment) -> OracleAnswer {
        ExpertsDeployment without = deployment;
        without.moe_backend = "auto";
        without.environment = {};
        const std::string before = answer_of(profile, without).decided;
        const std::string after = answer_of(profile, deployment).decided;
        const bool is_silent = after.empty() || before == after;
        return {is_silent ? "" : text(before, " => ", after)};
      },
      SilentCell::has_no_line);
}

OracleTree disagreement(const OracleAxes& axes, const AnswerMaker& before,
                        const AnswerMaker& after) {
  return oracle_tree(
      axes,
      [&](const ExpertsDeployment& deployment) -> OracleAnswer {
        const OracleAnswer one = before(deployment);
        const OracleAnswer other = after(deployment);
        if (one.decided != other.decided) return {text(one.decided, " => ", other.decided)};
        return {one.refused == other.refused ? "" : text(one.decided, ", others refused")};
      },
      SilentCell::has_no_line);
}

OracleTree oracle_difference(const Profile& from, const Profile& to, const OracleAxes& axes) {
  const auto decided = [](const Profile& profile, const ExpertsDeployment& deployment) {
    return answer_of(profile, deployment).decided;
  };
  const auto shown = [](const std::string& decision, const Profile& profile,
                        const ExpertsDeployment& deployment) {
    return decision.empty() ? std::string(absence_of(profile, deployment)) : decision;
  };
  return oracle_tree(
      axes,
      [&](const ExpertsDeployment& deployment) -> OracleAnswer {
        const std::string before = decided(from, deployment);
        const std::string after = decided(to, deployment);
        if (before == after) return {""};  // also where both are absent, for whatever reason
        return {text(shown(before, from, deployment), " => ", shown(after, to, deployment))};
      },
      SilentCell::has_no_line);
}

}  // namespace moe
