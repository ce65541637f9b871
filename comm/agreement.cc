// Records are compared by value: ranks with the same value form a camp, and the smallest camp is
// named first, since it is most likely the one that went astray.

#include "comm/agreement.h"

#include <algorithm>
#include <functional>
#include <map>

#include "kernels/base/text.h"

namespace moe {
namespace {

constexpr std::size_t fixed_words = 11;

// What the sentences of one group are made with.
struct Words {
  const StageNames& stages;
  const GroupWords& group;

  std::string of(const OperationRecord& record) const {
    return operation_text(record, stages, group);
  }
  int rank(std::size_t rank_in_group) const {
    return group.ranks.empty() ? static_cast<int>(rank_in_group) : group.ranks.at(rank_in_group);
  }
};

struct Camp {
  std::string says;
  std::vector<int> ranks;
};

// Ranks by what they say. One camp: they agree.
std::vector<Camp> camps(std::span<const OperationRecord> records, const Words& words,
                        const std::function<std::string(const OperationRecord&)>& saying) {
  std::map<std::string, std::vector<int>> by_saying;
  for (std::size_t rank = 0; rank < records.size(); ++rank) {
    by_saying[saying(records[rank])].push_back(words.rank(rank));
  }
  std::vector<Camp> found;
  for (auto& [says, ranks] : by_saying) found.push_back({says, std::move(ranks)});
  std::ranges::sort(found, [](const Camp& a, const Camp& b) {
    return std::pair(a.ranks.size(), a.ranks) < std::pair(b.ranks.size(), b.ranks);
  });
  return found;
}

std::string state_text(const OperationRecord& record, const Words& words) {
  if (record.operation == Operation::finished) return "finished";
  const std::string root = record.root < 0 ? "" : text(" with root ", record.root);
  return words.of(record) + root;
}

std::string camp_text(const Camp& camp) {
  const bool single = camp.ranks.size() == 1;
  if (camp.says == "finished") {
    return text(ranks_text(camp.ranks), single ? " has finished" : " have finished");
  }
  return text(ranks_text(camp.ranks), single ? " is at " : " are at ", camp.says);
}

std::optional<Disagreement> out_of_step(std::span<const OperationRecord> records,
                                        const Words& words) {
  std::string message;
  const std::vector<Camp> found = camps(
      records, words, [&](const OperationRecord& record) { return state_text(record, words); });
  for (const Camp& camp : found) {
    message += text(message.empty() ? "" : " while ", camp_text(camp));
  }
  if (found.size() == 1) return std::nullopt;
  return Disagreement{"SEQ", message};
}

std::optional<Disagreement> split_camps(
    std::span<const OperationRecord> records, const Words& words, std::string_view subject,
    const std::function<std::string(const OperationRecord&)>& saying) {
  const std::vector<Camp> found = camps(records, words, saying);
  if (found.size() == 1) return std::nullopt;
  std::string message;
  for (const Camp& camp : found) {
    const std::string_view says = camp.ranks.size() == 1 ? " says " : " say ";
    const bool first = message.empty();
    message +=
        text(first ? "" : ", ", ranks_text(camp.ranks), says, first ? subject : "", camp.says);
  }
  return Disagreement{"COUNT", text(words.of(records[0]), ": ", message)};
}

std::string shape_saying(const OperationRecord& record) {
  const std::string op =
      record.reduce_op < 0
          ? ""
          : text(", reduced by ", name_of(static_cast<ReduceOp>(record.reduce_op)));
  const std::string dtype =
      record.dtype < 0 ? "" : text(" ", name_of(static_cast<DType>(record.dtype)));
  return text(record.num_tensors, dtype, record.num_tensors == 1 ? " tensor" : " tensors", " of ",
              record.row_bytes, " bytes a row", op);
}

std::string rows_saying(const OperationRecord& record) {
  if (record.operation == Operation::broadcast) {
    return text("[", joined(record.rows_per_rank), "] of ", record.bytes, " bytes in all");
  }
  return text("[", joined(record.rows_per_rank), "]");
}

// all_to_all_v: what each rank sends to each other one is what that one expects.
std::optional<Disagreement> unexpected_rows(std::span<const OperationRecord> records,
                                            const Words& words) {
  std::string message;
  for (std::size_t from = 0; from < records.size(); ++from) {
    for (std::size_t to = 0; to < records.size(); ++to) {
      const Count sent = records[from].rows_per_rank[to];
      const Count expected = records[to].rows_from[from];
      if (sent == expected) continue;
      message +=
          text(message.empty() ? "" : "; ", "rank ", words.rank(from), " sends ", sent,
               " rows to rank ", words.rank(to), ", rank ", words.rank(to), " expects ", expected);
    }
  }
  if (message.empty()) return std::nullopt;
  return Disagreement{"COUNT", text(words.of(records[0]), ": ", message)};
}

// A count list in its words: the length, then size entries.
void put_counts(RowCounts counts, std::span<Count> words) {
  words[0] = static_cast<Count>(counts.size());
  std::ranges::fill(words.subspan(1), 0);
  std::ranges::copy(counts, words.begin() + 1);
}

std::vector<Count> counts_of(std::span<const Count> words) {
  const auto found = std::clamp<Count>(words[0], 0, static_cast<Count>(words.size()) - 1);
  return {words.begin() + 1, words.begin() + 1 + found};
}

}  // namespace

Count words_per_record(int size) { return static_cast<Count>(fixed_words) + 2 * (size + 1); }

void put_record(const OperationRecord& record, std::span<Count> words) {
  const Place& place = record.place;
  const Count fixed[] = {record.number,    static_cast<Count>(record.operation),
                         place.step,       place.layer,
                         place.stage,      record.root,
                         record.reduce_op, record.num_tensors,
                         record.row_bytes, record.dtype,
                         record.bytes};
  std::ranges::fill(words.first(fixed_words), 0);
  std::ranges::copy(fixed, words.begin());
  const std::size_t list = (words.size() - fixed_words) / 2;
  put_counts(record.rows_per_rank, words.subspan(fixed_words, list));
  put_counts(record.rows_from, words.subspan(fixed_words + list, list));
}

OperationRecord record_of(std::span<const Count> words) {
  const auto number = [&](std::size_t i) { return static_cast<std::int32_t>(words[i]); };
  const std::size_t list = (words.size() - fixed_words) / 2;
  return {.number = words[0],
          .operation = static_cast<Operation>(number(1)),
          .place = {number(2), number(3), number(4)},
          .root = number(5),
          .num_tensors = number(7),
          .dtype = number(9),
          .reduce_op = number(6),
          .row_bytes = words[8],
          .rows_per_rank = counts_of(words.subspan(fixed_words, list)),
          .rows_from = counts_of(words.subspan(fixed_words + list, list)),
          .bytes = words[10]};
}

std::string operation_text(const OperationRecord& record, const StageNames& stage_names,
                           const GroupWords& group) {
  std::vector<std::string> where;
  const Place& place = record.place;
  if (place.step >= 0) where.push_back(text("step ", place.step));
  if (place.layer >= 0) where.push_back(text("layer ", place.layer));
  const auto stage = static_cast<std::size_t>(std::max(place.stage, 0));
  if (place.stage >= 0) {
    where.push_back(stage < stage_names.size() ? stage_names[stage] : text("stage ", stage));
  }
  return text("operation ", record.number, group.name.empty() ? "" : " of group ", group.name, " (",
              name_of(record.operation), where.empty() ? "" : ", ", joined(where, " "), ")");
}

std::optional<Disagreement> disagreement_of(std::span<const OperationRecord> records,
                                            const StageNames& stage_names,
                                            const GroupWords& group) {
  const Words words{stage_names, group};
  if (auto found = out_of_step(records, words)) return found;
  if (auto found = split_camps(records, words, "", shape_saying)) return found;
  if (records[0].operation == Operation::all_to_all_v) return unexpected_rows(records, words);
  const bool v = records[0].rows_per_rank.size() == records.size();
  return split_camps(records, words, v ? "rows_per_rank " : "rows ", rows_saying);
}

}  // namespace moe
