// Laws of dispatch and combine (distribution-layer.md, 19) for every backend of the registry, over
// all small worlds first, then made-up ones. A test's name starts with the law's number.

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "kernels/base/check.h"
#include "tests/catch.h"
#include "tests/property/dispatch_worlds.h"

namespace moe::test {
namespace {

using sim::RegistryRow;
using Calls = std::vector<std::vector<Call>>;  // of each rank

// What is wrong with a run, empty: nothing.
using Law = std::function<std::string(const DispatchWorld&, const RegistryRow&)>;
using Asked = std::function<bool(const Capabilities&)>;

bool every_backend(const Capabilities&) { return true; }
bool sends_everything(const Capabilities& has) {
  return has.dispatch_reach == DispatchReach::every_rank;
}
bool sends_to_ranks(const Capabilities& has) {
  return has.dispatch_move == DispatchMove::rank_messages;
}
bool is_batched(const Capabilities& has) {
  return has.activation_format == ActivationFormat::batched_experts;
}

std::string words_of(const DispatchWorld& world) {
  std::vector<std::string> ranks;
  for (const Ids& ids : world.ids) ranks.push_back(text("[", joined(ids), "]"));
  return text("experts ", world.num_experts, " top ", world.top_k, " ids ", joined(ranks));
}

// Holds the law against every backend that is asked, in every world that it can take. Each must
// have had some.
void check_law(const std::vector<DispatchWorld>& worlds, const Asked& asked, const Law& law) {
  std::vector<std::string> troubles;
  for (const RegistryRow& row : sim::registry()) {
    if (!asked(row.backend->capabilities)) continue;
    int num_runs = 0;
    for (const DispatchWorld& world : worlds) {
      if (!refusal(row, world).empty()) continue;
      ++num_runs;
      const std::string found = law(world, row);
      if (!found.empty() && troubles.size() < 5)
        troubles.push_back(text(row.name, ", ", words_of(world), ": ", found));
    }
    INFO(row.name);
    CHECK(num_runs > 0);
  }
  CHECK(troubles == std::vector<std::string>{});
}

std::vector<DispatchWorld> worlds_with(const std::function<void(DispatchWorld&)>& change) {
  std::vector<DispatchWorld> worlds = dispatch_worlds();
  std::ranges::for_each(worlds, change);
  return worlds;
}

// "" where every rank's rows came home as they are due.
std::string came_home(const DispatchWorld& world, const Calls& calls) {
  for (int rank = 0; rank < world.num_ranks(); ++rank) {
    if (calls[static_cast<std::size_t>(rank)][0].home != due(world, rank)) {
      return text("rank ", rank, " got [", joined(calls[static_cast<std::size_t>(rank)][0].home),
                  "] for [", joined(due(world, rank)), "]");
    }
  }
  return "";
}

using Histogram = std::vector<int>;  // choices of each expert

Histogram chosen(const DispatchWorld& world) {
  Histogram counts(static_cast<std::size_t>(world.num_experts), 0);
  for (const Ids& ids : world.ids) {
    for (const int id : ids) counts[static_cast<std::size_t>(std::max(id, 0))] += id >= 0 ? 1 : 0;
  }
  return counts;
}

ExpertMap map_of(const DispatchWorld& world) {
  return determine_expert_map(world.num_experts, world.num_ranks(), world.placement);
}

// The tags of the rows of which some choice lives on the rank. ORDER: source rank, source row.
std::vector<std::int64_t> rows_for(const DispatchWorld& world, int rank) {
  const ExpertMap map = map_of(world);
  std::vector<std::int64_t> tags;
  for (int source = 0; source < world.num_ranks(); ++source) {
    const Ids& ids = world.ids[static_cast<std::size_t>(source)];
    for (Count row = 0; row < world.tokens()[static_cast<std::size_t>(source)]; ++row) {
      const auto begin = ids.begin() + row * world.top_k;
      const bool is_for = std::any_of(begin, begin + world.top_k, [&](int id) {
        return id >= 0 && map.rank_of[static_cast<std::size_t>(id)] == rank;
      });
      if (is_for) tags.push_back(provenance_tag(source, row));
    }
  }
  return tags;
}

std::vector<std::int64_t> valid(std::vector<std::int64_t> tags) {
  std::erase_if(tags, [](std::int64_t tag) { return tag < 0; });
  return tags;
}

}  // namespace

TEST_CASE("I1: every rank has the same sizes, its own rows among them, and their sum arrives") {
  check_law(dispatch_worlds(), sends_everything, [](const auto& world, const auto& row) {
    const Calls calls = run_dispatch(row, world);
    for (const std::vector<Call>& own : calls) {
      if (own[0].rows_per_rank != world.tokens()) return std::string("other sizes");
      if (std::ssize(own[0].tags) != total_rows(world.tokens())) return std::string("other rows");
    }
    return std::string();
  });
}

TEST_CASE("I2: a rank's slice of what was gathered is what it gave, row by row, id by id") {
  check_law(dispatch_worlds(), sends_everything, [](const auto& world, const auto& row) {
    const Calls calls = run_dispatch(row, world);
    Numbers ids;
    Numbers rows;
    for (int source = 0; source < world.num_ranks(); ++source) {
      const Ids& own = world.ids[static_cast<std::size_t>(source)];
      ids.insert(ids.end(), own.begin(), own.end());
      for (Count i = 0; i < world.tokens()[static_cast<std::size_t>(source)] * hidden_columns; ++i)
        rows.push_back(row_value(source, i / hidden_columns, i % hidden_columns));
    }
    for (const std::vector<Call>& own : calls) {
      if (own[0].ids != ids) return std::string("other ids");
      if (own[0].rows != rows) return std::string("other rows");
    }
    return std::string();
  });
}

TEST_CASE("I3: counts of all ranks' experts are the histogram of the valid choices") {
  const auto counts = [](const Capabilities& has) {
    return is_batched(has) || has.foreign_choices == ForeignChoices::non_local_expert;
  };
  check_law(dispatch_worlds(), counts, [](const auto& world, const auto& row) {
    const Calls calls = run_dispatch(row, world);
    const ExpertMap map = map_of(world);
    Histogram seen(static_cast<std::size_t>(world.num_experts), 0);
    for (std::size_t expert = 0; expert < seen.size(); ++expert) {
      const Numbers& own = calls[static_cast<std::size_t>(map.rank_of[expert])][0].counts;
      seen[expert] = static_cast<int>(own.at(static_cast<std::size_t>(map.local_of[expert])));
    }
    return seen == chosen(world) ? "" : text("counts [", joined(seen), "]");
  });
}

TEST_CASE("I4: a rank receives each row that chose one of its experts, and each once") {
  check_law(dispatch_worlds(), sends_to_ranks, [](const auto& world, const auto& row) {
    const Calls calls = run_dispatch(row, world);
    for (int rank = 0; rank < world.num_ranks(); ++rank) {
      std::vector<std::int64_t> tags = valid(calls[static_cast<std::size_t>(rank)][0].tags);
      std::ranges::sort(tags);
      if (tags != rows_for(world, rank)) return text("rank ", rank, " has other rows");
    }
    return std::string();
  });
}

TEST_CASE("I5: every expert's answer comes home once with its weight") {
  check_law(dispatch_worlds(), every_backend, [](const auto& world, const auto& row) {
    return came_home(world, run_dispatch(row, world));
  });
}

TEST_CASE("I6: with weights of 1 a row comes home once for each valid choice") {
  const auto ones = worlds_with([](DispatchWorld& world) { world.ones = true; });
  check_law(ones, every_backend, [](const auto& world, const auto& row) {
    return came_home(world, run_dispatch(row, world));
  });
}

TEST_CASE("I6: where experts are left out a row comes home once for each rank that had it") {
  const auto same = worlds_with([](DispatchWorld& world) { world.answer = Answer::same; });
  check_law(same, sends_to_ranks, [](const auto& world, const auto& row) {
    const Calls calls = run_dispatch(row, world);
    for (int source = 0; source < world.num_ranks(); ++source) {
      Numbers expected;
      for (Count own = 0; own < world.tokens()[static_cast<std::size_t>(source)]; ++own) {
        int num_ranks = 0;
        for (int rank = 0; rank < world.num_ranks(); ++rank) {
          const auto tags = rows_for(world, rank);
          num_ranks += static_cast<int>(std::ranges::count(tags, provenance_tag(source, own)));
        }
        for (Count column = 0; column < hidden_columns; ++column)
          expected.push_back(row_value(source, own, column) * num_ranks);
      }
      if (calls[static_cast<std::size_t>(source)][0].home != expected) return text("rank ", source);
    }
    return std::string();
  });
}

TEST_CASE("I7: rows for a rank come in the order of source rank and source row, every time") {
  check_law(dispatch_worlds(), sends_to_ranks, [](const auto& world, const auto& row) {
    const Calls calls = run_dispatch(row, world);
    for (int rank = 0; rank < world.num_ranks(); ++rank) {
      if (valid(calls[static_cast<std::size_t>(rank)][0].tags) != rows_for(world, rank))
        return text("rank ", rank, " has another order");
    }
    return run_dispatch(row, world) == calls ? "" : std::string("another time, other rows");
  });
}

TEST_CASE("I8: any arrival order has the same rows for each expert and the same result") {
  const auto is_free = [](const Capabilities& has) { return has.arrival_is_free; };
  std::set<std::vector<std::int64_t>> orders;
  check_law(dispatch_worlds(), is_free, [&](const auto& world, const auto& row) {
    const Calls first = run_dispatch(row, world);
    for (const std::uint64_t seed : {1, 2, 3}) {
      DispatchWorld other = world;
      other.arrival_seed = seed;
      const Calls calls = run_dispatch(row, other);
      for (std::size_t rank = 0; rank < calls.size(); ++rank) {
        if (calls[rank][0].home != first[rank][0].home) return text("seed ", seed, ": result");
        if (calls[rank][0].counts != first[rank][0].counts) return text("seed ", seed, ": counts");
        const auto room = std::ssize(first[rank][0].tags) / std::ssize(first[rank][0].counts);
        auto ones = first[rank][0].tags;
        auto others = calls[rank][0].tags;
        if (ones != others) orders.insert(others);
        for (auto at = 0; at < std::ssize(ones); at += static_cast<int>(room)) {
          std::sort(ones.begin() + at, ones.begin() + at + room);
          std::sort(others.begin() + at, others.begin() + at + room);
        }
        if (ones != others) return text("seed ", seed, ": other rows for an expert");
      }
    }
    return std::string();
  });
  CHECK(orders.size() > 10);  // else the seeds chose nothing
}

TEST_CASE("I9, I10: what stands in rooms that nobody filled, and masked weights, never matter") {
  const auto zeros = worlds_with([](DispatchWorld& world) { world.unused = Unused::zeros; });
  check_law(zeros, every_backend, [](const auto& world, const auto& row) {
    const Calls clean = run_dispatch(row, world);
    DispatchWorld poisoned = world;
    poisoned.unused = Unused::nans;
    const Calls calls = run_dispatch(row, poisoned);
    for (std::size_t rank = 0; rank < calls.size(); ++rank) {
      if (calls[rank][0].home != clean[rank][0].home) return text("rank ", rank, " saw the poison");
    }
    return std::string();
  });
}

TEST_CASE("I11: all backends that can take a world give the same numbers") {
  for (const DispatchWorld& world : dispatch_worlds()) {
    std::set<std::vector<Numbers>> results;
    int num_backends = 0;
    for (const RegistryRow& row : sim::registry()) {
      if (!refusal(row, world).empty()) continue;
      std::vector<Numbers> homes;
      for (const std::vector<Call>& own : run_dispatch(row, world)) homes.push_back(own[0].home);
      results.insert(homes);
      ++num_backends;
    }
    INFO(words_of(world));
    CHECK(results.size() == 1);
    CHECK(num_backends >= 3);
  }
}

TEST_CASE("I16: ranks make as many collective calls as each other, whatever rows they have") {
  // Of each backend and number of ranks: no count of rows may change it.
  std::map<std::string, std::set<Count>> numbers;
  check_law(dispatch_worlds(), every_backend, [&](const auto& world, const auto& row) {
    std::set<Count> own;
    for (const std::vector<Call>& calls : run_dispatch(row, world))
      own.insert(calls[0].collectives);
    numbers[text(row.name, " on ", world.num_ranks())].insert(own.begin(), own.end());
    return own.size() == 1 ? "" : text("ranks made [", joined(own), "] calls");
  });
  for (const auto& [name, calls] : numbers) {
    INFO(name);
    CHECK(calls.size() == 1);
  }
}

TEST_CASE("I17: a rank without rows gets none back and changes nobody's") {
  std::vector<DispatchWorld> worlds;
  for (const DispatchWorld& world : dispatch_worlds()) {
    for (int idle = 0; idle < world.num_ranks(); ++idle) {
      worlds.push_back(world);
      worlds.back().ids[static_cast<std::size_t>(idle)].clear();
    }
  }
  check_law(worlds, every_backend, [](const auto& world, const auto& row) {
    return came_home(world, run_dispatch(row, world));
  });
}

TEST_CASE("I19: experts dealt round robin give what experts dealt linearly give") {
  const auto dealt =
      worlds_with([](DispatchWorld& world) { world.placement = Placement::round_robin; });
  check_law(
      dealt, [](const Capabilities& has) { return !has.limits.linear_placement_only; },
      [](const auto& world, const auto& row) {
        return came_home(world, run_dispatch(row, world));
      });
}

TEST_CASE("I20: a weight on the input is a weight on the output, and inputs stay as they are") {
  std::vector<DispatchWorld> worlds = dispatch_worlds();
  std::erase_if(worlds, [](const DispatchWorld& world) { return world.top_k != 1; });
  for (DispatchWorld& world : worlds) world.weight_on_input = true;
  const auto takes = [](const Capabilities& has) { return has.limits.takes_weight_on_input; };
  check_law(worlds, takes, [](const auto& world, const auto& row) {
    return came_home(world, run_dispatch(row, world));
  });
  check_law(dispatch_worlds(), every_backend, [](const auto& world, const auto& row) {
    for (const std::vector<Call>& own : run_dispatch(row, world)) {
      if (!own[0].inputs_unchanged) return std::string("an input has other bytes");
    }
    return std::string();
  });
}

TEST_CASE("I23: an expert's room holds all that all ranks may send, and not a row more") {
  std::vector<DispatchWorld> worlds;
  for (const int ranks : {1, 2, 3, 4}) {
    worlds.push_back({.num_experts = 2 * ranks});
    worlds.back().ids.assign(static_cast<std::size_t>(ranks), Ids(tokens_of_rank_max, 1));
  }
  const auto has_room = [](const Capabilities& has) { return has.fixed_capacity.has_value(); };
  check_law(worlds, has_room, [](const auto& world, const auto& row) {
    const std::string found = came_home(world, run_dispatch(row, world));
    if (!found.empty()) return found;
    DispatchWorld larger = world;  // by one row of the last rank
    larger.ids.back().push_back(1);
    try {
      run_dispatch(row, larger);
    } catch (const std::runtime_error& error) {
      return contains(error.what(), "hands in 5 rows") ? std::string() : std::string(error.what());
    }
    return text("took ", tokens_of_rank_max + 1, " tokens of a rank");
  });
}

TEST_CASE("I28: as many dispatches as the buffers hold may be in flight, and no more") {
  const auto is_bounded = [](const Capabilities& has) { return has.max_in_flight.has_value(); };
  std::vector<DispatchWorld> worlds = dispatch_worlds();
  check_law(worlds, is_bounded, [](const auto& world, const auto& row) {
    const int most = *row.backend->capabilities.max_in_flight;
    for (const int begun : {most, most + 1}) {
      const std::string words = words_of_flights(row, world, begun);
      const bool is_refused = contains(words, "its combine must come first");
      if (is_refused != (begun > most)) return text(begun, " in flight: '", words, "'");
    }
    return std::string();
  });
}

TEST_CASE("I31: a step that is run again after another gives the same") {
  const auto again = worlds_with([](DispatchWorld& world) { world.calls = 3; });
  check_law(again, every_backend, [](const auto& world, const auto& row) {
    for (const std::vector<Call>& calls : run_dispatch(row, world)) {
      if (!(calls[0] == calls[2])) return std::string("the third call differs from the first");
    }
    return std::string();
  });
}

}  // namespace moe::test
