// What is said of ids and weights that are not the due ones.
// Internal to golden/capture_choice*.cc.

#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "golden/capture_judging.h"

namespace moe::golden {

struct Choice {
  int expert = -1;
  bool is_local = false;
  std::int64_t id = 0;
  float weight = 0;
};

// A row of labels, as text.
using Labels = std::vector<std::string>;

inline bool is_same(float one, float other) {
  return std::bit_cast<std::uint32_t>(one) == std::bit_cast<std::uint32_t>(other);
}

// Why a choice has another id than the expected one of the row's.
std::string id_cause(const Judging& judging, const Place& place, const Choice& choice,
                     std::int64_t actual, std::span<const std::string> expected);

std::string weight_cause(const Judging& judging, const DueRow& due, const Choice& choice,
                         float actual);

// "that of choice 2 in slot 0, …" where the row has its labels in another order; else empty.
std::string order_text(const Labels& actual, const Labels& expected);

// All of the row's weights times a constant; else empty.
std::string scaled_text(const std::vector<float>& actual, const std::vector<float>& expected);

}  // namespace moe::golden
