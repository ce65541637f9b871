// Slots of one place that hold equal rows: which is whose only the sums say. Every token of such
// rows has the choices of slots that make its combined row; one choice for each is searched so that
// no slot is taken twice.

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "golden/capture_judging.h"

namespace moe::golden {
namespace {

constexpr Count equal_max = 512;        // slots of one content, before they are left as they are
constexpr Count options_max = 1 << 16;  // of one token that are tried
constexpr Count tried_max = 2'000'000;  // options of all tokens
constexpr Count steps_max = 4'000'000;  // of the search, in options looked at

// Slots that are the same to every token: equal outputs, the same labels.
struct SlotClass {
  std::size_t place = 0;
  std::vector<Count> slots;
};

// One of a token's rows that may be in slots of these classes.
struct Cell {
  std::size_t place = 0;
  Count due = 0;
  std::vector<std::size_t> classes;
};

using Option = std::vector<std::size_t>;  // the class of each of a token's cells

struct Token {
  DueRow row;  // of the rank that sends
  std::vector<Cell> cells;
  std::vector<Option> options;  // that make the combined rows right
};

class EqualRows {
 public:
  explicit EqualRows(Judging& judging) : judging_(judging) {}

  void settle() {
    if (!has_wrong_row()) return;
    find_groups();
    std::vector<std::size_t> wrong;
    for (std::size_t token = 0; token < tokens_.size(); ++token) {
      if (has_wrong_sum(tokens_[token])) wrong.push_back(token);
    }
    const std::vector<Arrival> before = judging_.arrivals;
    connected_ = connected(wrong);
    for (const std::size_t token : connected_) {
      find_options(tokens_[token]);
      if (!tokens_[token].options.empty()) searched_.push_back(token);
    }
    if (wrong.empty()) return;
    for (const SlotClass& one : classes_) left_.push_back(std::ssize(one.slots));
    chosen_.assign(tokens_.size(), nullptr);
    search();
    put_best();
    Count still_wrong = 0;
    for (const Token& token : tokens_) still_wrong += static_cast<Count>(has_wrong_sum(token));
    if (still_wrong >= std::ssize(wrong)) judging_.arrivals = before;
  }

 private:
  bool has_wrong_row() const {
    for (int rank = 0; rank < judging_.capture.ep_size(); ++rank) {
      for (Count row = 0; row < judging_.rank(rank).combined.rows; ++row) {
        if (is_wrong(judging_, {rank, row})) return true;
      }
    }
    return false;
  }

  void find_groups() {
    for (std::size_t place = 0; place < judging_.places.size(); ++place) {
      const ArrivedRows rows = judging_.rows_at(place);
      std::map<std::string_view, std::vector<Count>> slots_of;
      for (Count slot = 0; slot < rows.place.size; ++slot) {
        if (judging_.due_at(place, slot) == nullptr) continue;
        if (!judging_.arrivals[place].is_whole[static_cast<std::size_t>(slot)]) continue;
        slots_of[key_of(rows.content(slot))].push_back(slot);
      }
      for (const auto& [content, slots] : slots_of) {
        if (slots.size() > 1 && std::ssize(slots) <= equal_max) add_group(place, slots);
      }
    }
  }

  // Slots of one content: their classes, and a cell for each row that is due in one of them.
  void add_group(std::size_t place, const std::vector<Count>& slots) {
    std::map<std::pair<std::string_view, std::vector<bool>>, std::size_t> class_of;
    std::vector<std::size_t> classes;  // of each slot
    std::vector<std::vector<bool>> claims;
    for (const Count slot : slots) {
      std::vector<bool>& claimed = claims.emplace_back();
      for (const Count other : slots) {
        claimed.push_back(labels_claim(judging_, place, slot, *judging_.due_at(place, other)));
      }
      const Place& here = judging_.places[place];
      const auto output = key_of(judging_.rank(here.rank).expert_output.row(here.first + slot));
      const auto [found, is_new] = class_of.try_emplace({output, claimed}, classes_.size());
      if (is_new) classes_.push_back({place, {}});
      classes_[found->second].slots.push_back(slot);
      classes.push_back(found->second);
    }
    for (std::size_t row = 0; row < slots.size(); ++row) {
      std::set<std::size_t> possible = {classes[row]};
      for (std::size_t i = 0; i < slots.size(); ++i) {
        if (claims[i][row]) possible.insert(classes[i]);
      }
      const Count due = judging_.arrivals[place].due_of[static_cast<std::size_t>(slots[row])];
      add_cell({place, due, {possible.begin(), possible.end()}});
    }
  }

  void add_cell(Cell cell) {
    const DueRow& due = judging_.places[cell.place].due[static_cast<std::size_t>(cell.due)];
    const auto [found, is_new] = token_of_.try_emplace({due.source, due.row}, tokens_.size());
    if (is_new) tokens_.push_back({.row = {due.source, due.row}});
    tokens_[found->second].cells.push_back(std::move(cell));
  }

  // A row that one rank sends for its TP group comes home to each of them.
  bool has_wrong_sum(const Token& token) const {
    for (int rank = 0; rank < judging_.capture.ep_size(); ++rank) {
      if (sender_of(judging_.capture, rank) != token.row.source) continue;
      if (is_wrong(judging_, {rank, token.row.row})) return true;
    }
    return false;
  }

  static std::vector<std::size_t> classes_of(const Token& token) {
    std::vector<std::size_t> classes;
    for (const Cell& cell : token.cells) {
      classes.insert(classes.end(), cell.classes.begin(), cell.classes.end());
    }
    return classes;
  }

  // Tokens that share a class with one of these, or with one that does.
  std::vector<std::size_t> connected(std::vector<std::size_t> reached) const {
    std::vector<std::vector<std::size_t>> tokens_of(classes_.size());
    for (std::size_t token = 0; token < tokens_.size(); ++token) {
      for (const std::size_t one : classes_of(tokens_[token])) tokens_of[one].push_back(token);
    }
    std::set<std::size_t> all(reached.begin(), reached.end());
    const auto reach = [&](std::size_t token) {
      if (all.insert(token).second) reached.push_back(token);
    };
    while (!reached.empty()) {
      const Token& token = tokens_[reached.back()];
      reached.pop_back();
      for (const std::size_t one : classes_of(token)) {
        for (const std::size_t other : std::exchange(tokens_of[one], {})) reach(other);
      }
    }
    return {all.begin(), all.end()};
  }

  // Every choice of classes for the token's rows that makes its sums, the slots of the others left
  // out of it.
  void find_options(Token& token) {
    Count product = 1;
    for (const Cell& cell : token.cells) {
      product *= std::ssize(cell.classes);
      if (product > options_max) return;
    }
    tried_ += product;
    if (tried_ > tried_max) return;
    const auto slot_of = [&](const Cell& cell) -> Count& {
      return judging_.arrivals[cell.place].slot_of[static_cast<std::size_t>(cell.due)];
    };
    std::vector<Count> before;
    for (const Cell& cell : token.cells) before.push_back(slot_of(cell));
    for (Count number = 0; number < product; ++number) {
      Option option;
      Count left = number;
      for (const Cell& cell : token.cells) {
        const Count count = std::ssize(cell.classes);
        option.push_back(cell.classes[static_cast<std::size_t>(left % count)]);
        slot_of(cell) = classes_[option.back()].slots.front();
        left /= count;
      }
      if (!has_wrong_sum(token)) token.options.push_back(std::move(option));
    }
    for (std::size_t i = 0; i < before.size(); ++i) slot_of(token.cells[i]) = before[i];
  }

  bool is_open(const Option& option) const {
    return std::ranges::all_of(option, [&](std::size_t one) {
      return std::ranges::count(option, one) <= left_[one];  // ids may stand twice in a token
    });
  }

  void take(const Option& option, Count by) {
    for (const std::size_t one : option) left_[one] -= by;
  }

  // The searched token without a choice that has the fewest open options; its number of them.
  std::pair<std::size_t, Count> tightest() {
    std::pair<std::size_t, Count> found{tokens_.size(), 0};
    for (const std::size_t token : searched_) {
      if (chosen_[token] != nullptr) continue;
      steps_ += std::ssize(tokens_[token].options);
      const Count open = std::ranges::count_if(
          tokens_[token].options, [&](const Option& option) { return is_open(option); });
      if (found.first == tokens_.size() || open < found.second) found = {token, open};
      if (open == 0) break;
    }
    return found;
  }

  // RETURNS whether every searched token has got an option; the most that had one are kept.
  bool search() {
    const auto count = std::ranges::count_if(chosen_, [](const Option* one) { return one; });
    if (count > best_count_) {
      best_count_ = count;
      best_ = chosen_;
    }
    const auto [token, open] = tightest();
    if (token == tokens_.size()) return true;
    for (const Option& option : tokens_[token].options) {
      if (open == 0 || steps_ > steps_max) return false;
      if (!is_open(option)) continue;
      take(option, 1);
      chosen_[token] = &option;
      if (search()) return true;
      chosen_[token] = nullptr;
      take(option, -1);
    }
    return false;
  }

  // Slots for the chosen classes, and for what has none the slots that are left of its content.
  void put_best() {
    if (best_.empty()) return;
    std::vector<std::vector<Count>> slots(classes_.size());  // that are left, of connected tokens
    for (const std::size_t token : connected_) {
      for (const std::size_t one : classes_of(tokens_[token])) slots[one] = classes_[one].slots;
    }
    const auto put = [&](const Cell& cell, std::size_t one) {
      Arrival& arrival = judging_.arrivals[cell.place];
      arrival.slot_of[static_cast<std::size_t>(cell.due)] = slots[one].back();
      arrival.due_of[static_cast<std::size_t>(slots[one].back())] = cell.due;
      slots[one].pop_back();
    };
    std::vector<Cell> rest;
    for (const std::size_t token : connected_) {
      const std::vector<Cell>& cells = tokens_[token].cells;
      for (std::size_t i = 0; i < cells.size(); ++i) {
        if (best_[token] == nullptr) {
          rest.push_back(cells[i]);
        } else {
          put(cells[i], (*best_[token])[i]);
        }
      }
    }
    for (const Cell& cell : rest) put(cell, class_left(cell, slots));
  }

  // A class with a slot that is left: one of the cell's, else one of the same content.
  std::size_t class_left(const Cell& cell, const std::vector<std::vector<Count>>& slots) const {
    const auto has_slot = [&](std::size_t one) { return !slots[one].empty(); };
    const auto own = std::ranges::find_if(cell.classes, has_slot);
    if (own != cell.classes.end()) return *own;
    const ArrivedRows rows = judging_.rows_at(cell.place);
    const auto wanted = key_of(rows.content(classes_[cell.classes.front()].slots.front()));
    for (std::size_t one = 0; one < classes_.size(); ++one) {
      if (has_slot(one) && classes_[one].place == cell.place &&
          key_of(rows.content(slots[one].front())) == wanted) {
        return one;
      }
    }
    return cell.classes.front();
  }

  Judging& judging_;
  std::vector<SlotClass> classes_;
  std::vector<Token> tokens_;
  std::map<std::pair<int, Count>, std::size_t> token_of_;
  std::vector<std::size_t> connected_;  // tokens that wrong ones share slots with
  std::vector<std::size_t> searched_;   // of them those that have options
  std::vector<Count> left_;             // slots of each class
  std::vector<const Option*> chosen_;
  std::vector<const Option*> best_;
  Count best_count_ = 0;
  Count tried_ = 0;
  Count steps_ = 0;
};

}  // namespace

void settle_equal_rows(Judging& judging) { EqualRows(judging).settle(); }

}  // namespace moe::golden
