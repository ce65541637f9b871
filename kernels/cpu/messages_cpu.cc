// What dispatches to chosen ranks need on the host: to whom a token goes, what of its choices
// counts there, and rows from and to their places. Arguments have passed the doors of kernels.h.

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/base/text.h"
#include "kernels/cpu/cpu_operators.h"

namespace moe::cpu {
namespace {

std::int32_t looked_up(std::int32_t id, std::span<const std::int32_t> map) {
  if (id < 0) return -1;
  MOE_CHECK(static_cast<std::size_t>(id) < map.size(), text("expert ", id, " of ", map.size()));
  return map[static_cast<std::size_t>(id)];
}

template <typename From, typename To>
void cast(const Tensor& ids, const Tensor& out) {
  std::ranges::transform(elements_of<From>(ids), elements_of<To>(out).begin(), [](From id) {
    MOE_CHECK(id >= std::numeric_limits<std::int32_t>::min() &&
                  id <= std::numeric_limits<std::int32_t>::max(),
              text("id ", id, " as i32"));
    return static_cast<To>(id);
  });
}

}  // namespace

void destination_ranks(const Tensor& topk_ids, const Tensor& rank_of_expert, const Tensor& ranks) {
  const auto ids = elements_of<std::int32_t>(topk_ids);
  const auto owners = elements_of<std::int32_t>(rank_of_expert);
  const auto out = elements_of<std::int32_t>(ranks);
  const auto top_k = static_cast<std::size_t>(topk_ids.columns);
  std::vector<std::int32_t> distinct;
  for (std::size_t begin = 0; begin < ids.size(); begin += top_k) {
    distinct.clear();
    for (const std::int32_t id : ids.subspan(begin, top_k)) {
      const std::int32_t owner = looked_up(id, owners);
      if (owner >= 0) distinct.push_back(owner);
    }
    std::ranges::sort(distinct);
    const auto repeated = std::ranges::unique(distinct);
    distinct.erase(repeated.begin(), repeated.end());
    distinct.resize(top_k, -1);
    std::ranges::copy(distinct, out.begin() + static_cast<std::ptrdiff_t>(begin));
  }
}

void count_choices(const Tensor& topk_ids, const Tensor& expert_map, const Tensor& counts) {
  const auto map = elements_of<std::int32_t>(expert_map);
  const auto out = elements_of<std::int32_t>(counts);
  std::ranges::fill(out, 0);
  for (const std::int32_t id : elements_of<std::int32_t>(topk_ids)) {
    const std::int32_t local = looked_up(id, map);
    if (local >= 0) ++out[static_cast<std::size_t>(local)];
  }
}

void replace_foreign_choices(const Routing& routing, const Tensor& expert_map,
                             std::int32_t replacement) {
  const auto map = elements_of<std::int32_t>(expert_map);
  const auto ids = elements_of<std::int32_t>(routing.topk_ids);
  const auto weights = elements_of<float>(routing.topk_weights);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (looked_up(ids[i], map) >= 0) continue;
    ids[i] = replacement;
    weights[i] = 0;
  }
}

void cast_ids(const Tensor& ids, const Tensor& out) {
  if (ids.dtype == DType::i32) return cast<std::int32_t, std::int64_t>(ids, out);
  cast<std::int64_t, std::int32_t>(ids, out);
}

void gather_rows(const Tensor& rows, const Tensor& places, const Tensor& out) {
  const auto place = elements_of<std::int32_t>(places);
  const auto size = static_cast<std::size_t>(row_bytes(out));
  for (Count row = 0; row < out.rows; ++row) {
    std::memcpy(row_at(out, row), row_at(rows, place[static_cast<std::size_t>(row)]), size);
  }
}

void scatter_rows(const Tensor& rows, const Tensor& places, const Tensor& to) {
  const auto place = elements_of<std::int32_t>(places);
  const auto size = static_cast<std::size_t>(row_bytes(to));
  for (Count row = 0; row < rows.rows; ++row) {
    std::memcpy(row_at(to, place[static_cast<std::size_t>(row)]), row_at(rows, row), size);
  }
}

void resize_columns(const Tensor& rows, const Tensor& out) {
  const auto wide = static_cast<std::size_t>(row_bytes(out));
  const auto kept = std::min(wide, static_cast<std::size_t>(row_bytes(rows)));
  for (Count row = 0; row < rows.rows; ++row) {
    std::byte* to = row_at(out, row);
    std::memcpy(to, row_at(rows, row), kept);
    std::memset(to + kept, 0, wide - kept);
  }
}

}  // namespace moe::cpu
