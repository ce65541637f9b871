// The digest decides, the entries only show. Ranks that say the same form a camp, and the smallest
// is named first, as in agreement.cc.

#include "comm/group_agreement.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "comm/operation.h"
#include "kernels/base/digest.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

constexpr std::size_t fixed_words = 3;  // digest, length, rank in group
constexpr std::size_t shown_words = 16;

int world_rank(std::size_t rank, const GroupWords& group) {
  return group.ranks.empty() ? static_cast<int>(rank) : group.ranks.at(rank);
}

std::string saying_of(std::span<const Count> statement) {
  const auto length = static_cast<std::size_t>(std::max<Count>(statement[1], 0));
  const auto shown = statement.subspan(fixed_words, std::min(length, shown_words));
  return text("[", joined(shown), length > shown_words ? ", …]" : "]");
}

}  // namespace

Count words_per_statement() { return static_cast<Count>(fixed_words + shown_words); }

void put_statement(int rank_in_group, std::span<const Count> says, std::span<Count> words) {
  std::ranges::fill(words, 0);
  const std::uint64_t digest = digest_of(std::as_bytes(says));
  std::memcpy(words.data(), &digest, sizeof digest);
  words[1] = static_cast<Count>(says.size());
  words[2] = rank_in_group;
  std::ranges::copy(says.first(std::min(says.size(), shown_words)), words.begin() + fixed_words);
}

std::optional<std::string> group_disagreement(std::string_view subject, std::span<const Count> all,
                                              const GroupWords& group) {
  const auto width = static_cast<std::size_t>(words_per_statement());
  const std::string where = group.name.empty() ? "the world" : text("group ", group.name);
  std::map<std::pair<Count, std::string>, std::vector<int>> camps;
  for (std::size_t rank = 0; rank < all.size() / width; ++rank) {
    const auto statement = all.subspan(rank * width, width);
    if (statement[2] != static_cast<Count>(rank)) {
      return text(where, ": rank ", world_rank(rank, group), " takes itself for number ",
                  statement[2], ", the group has it as number ", rank);
    }
    camps[{statement[0], saying_of(statement)}].push_back(world_rank(rank, group));
  }
  if (camps.size() == 1) return std::nullopt;
  std::vector<std::pair<std::vector<int>, std::string>> said;
  for (const auto& [what, ranks] : camps) said.emplace_back(ranks, what.second);
  std::ranges::sort(said, [](const auto& a, const auto& b) {
    return std::pair(a.first.size(), a.first) < std::pair(b.first.size(), b.first);
  });
  std::vector<std::string> sentences;
  for (const auto& [ranks, what] : said) {
    sentences.push_back(text(ranks_text(ranks), ranks.size() == 1 ? " says " : " say ", what));
  }
  return text(subject, " of ", where, ": ", joined(sentences));
}

}  // namespace moe
