// What arrives on each rank as text, where rows are sent to owners: few rows one by one, many as
// counts of each expert.

#include <algorithm>

#include "kernels/base/text.h"
#include "sim/explanation.h"
#include "sim/text_layout.h"

namespace moe::sim {
namespace {

constexpr std::size_t rows_shown_max = 12;
constexpr std::size_t line_width = 96;

// Words with commas between them, as many as fit on a line.
std::string wrapped(const std::string& start, const std::vector<std::string>& words) {
  std::string out;
  std::string line = start;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string word = text(words[i], i + 1 < words.size() ? ", " : "");
    if (line.size() + word.size() > line_width) {
      out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
      line = std::string(start.size(), ' ');
    }
    line += word;
  }
  return out + line + "\n";
}

std::string source_of(const ExplainedWorld& world, const ExplainedArrival& row) {
  if (row.is_padding) return text("padding from rank ", row.from);
  const bool is_own = world.scenario.world.tp == 1;
  return text("token ", row.token, is_own ? " of rank " : " from rank ", row.from);
}

std::vector<int> local_experts(const ExplainedWorld& world, std::size_t rank) {
  std::vector<int> experts;
  for (int expert = 0; expert < world.expert_map.num_experts(); ++expert) {
    if (world.expert_map.rank_of[static_cast<std::size_t>(expert)] == static_cast<int>(rank)) {
      experts.push_back(expert);
    }
  }
  return experts;
}

// Choices of each local expert among the rows.
std::string counts_text(const std::vector<ExplainedArrival>& rows,
                        const std::vector<int>& experts) {
  std::vector<std::string> words;
  for (const int expert : experts) {
    Count count = 0;
    for (const ExplainedArrival& row : rows) {
      count += row.expert == expert ? 1 : std::ranges::count(row.ids, expert);
    }
    words.push_back(text("expert ", expert, ": ", count));
  }
  return wrapped("      counts  ", words);
}

std::string ids_text(const ExplainedWorld& world, const std::vector<ExplainedArrival>& rows) {
  std::string out;
  for (const ExplainedArrival& row : rows) {
    out += text("      ", padded(source_of(world, row), 25), "ids ", joined(row.ids), "\n");
  }
  return out;
}

std::string rooms_text(const ExplainedWorld& world, const std::vector<ExplainedArrival>& rows,
                       const std::vector<int>& experts) {
  std::string out;
  for (const int expert : experts) {
    std::vector<std::string> words;
    for (const ExplainedArrival& row : rows) {
      if (row.expert == expert) {
        words.push_back(source_of(world, row));
      }
    }
    if (words.empty()) words.emplace_back("nothing");
    out += wrapped(text("      room of expert ", padded(text(expert), 4)), words);
  }
  return out;
}

std::string heading(const ExplainedWorld& world) {
  const Capabilities& capabilities = world.capabilities;
  if (capabilities.activation_format == ActivationFormat::batched_experts) {
    return text("   What arrives: each expert has room for ", room_of_expert(world),
                " rows, and a count says how many are valid. Ids and\n   weights stay at home. ",
                capabilities.arrival_is_free ? "Which row comes first is free; shown as if nobody "
                                               "were late.\n"
                                             : "\n");
  }
  const std::string foreign =
      capabilities.foreign_choices == ForeignChoices::as_sent
          ? "   What arrives, by source rank: rows with the ids of all their choices, as sent.\n"
          : "   What arrives, by source rank: rows with the ids of all their choices. One that is "
            "masked or\n   lives elsewhere comes as an expert that is not there, with weight 0.\n";
  return text(foreign,
              capabilities.pads_received_rows()
                  ? "   The room is made before anybody knows how many come: unused rows have the "
                    "ids -1.\n"
                  : "");
}

}  // namespace

std::string arrivals_text(const ExplainedWorld& world, const StepExplanation& step) {
  constexpr std::size_t experts_listed_max = 32;
  if (step.arrivals.empty()) return "";
  std::string out = heading(world);
  const bool is_batched = world.capabilities.activation_format == ActivationFormat::batched_experts;
  for (std::size_t rank = 0; rank < step.arrivals.size(); ++rank) {
    const std::vector<ExplainedArrival>& rows = step.arrivals[rank];
    const std::vector<int> experts = local_experts(world, rank);
    out += text("   rank ", padded(text(rank), 4), counted(std::ssize(rows), "row"), "\n");
    const bool lists_rows = rows.size() <= rows_shown_max && !rows.empty();
    if (lists_rows && is_batched) {
      out += rooms_text(world, rows, experts);
    } else if (lists_rows) {
      out += ids_text(world, rows);
    }
    if (experts.size() <= experts_listed_max && !rows.empty()) out += counts_text(rows, experts);
  }
  return out;
}

}  // namespace moe::sim
