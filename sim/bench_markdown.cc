// What several benches found, as rows for tests/device/RESULTS.md. A row is one move made in one
// way, beside the library's own calls made in the same way.

#include <algorithm>
#include <iomanip>
#include <sstream>

#include "kernels/base/text.h"
#include "sim/bench.h"
#include "sim/version.h"

namespace moe::sim {
namespace {

struct Row {
  const char* move;
  const char* way;
  BenchStage stage;
  BenchStage bare;
  std::optional<BenchStage> window;
  Count BenchResult::*bytes;  // null: of both
};

using S = BenchStage;

constexpr std::array<Row, 8> rows = {{
    {"dispatch", "replayed", S::replayed_dispatch, S::bare_replayed_dispatch,
     S::window_replayed_dispatch, &BenchResult::dispatch_bytes},
    {"combine", "replayed", S::replayed_combine, S::bare_replayed_combine,
     S::window_replayed_combine, &BenchResult::combine_bytes},
    {"pair", "replayed", S::replayed_pair, S::bare_replayed_pair, S::window_replayed_pair, nullptr},
    {"dispatch", "queued", S::queued_dispatch, S::bare_queued_dispatch, S::window_queued_dispatch,
     &BenchResult::dispatch_bytes},
    {"combine", "queued", S::queued_combine, S::bare_queued_combine, S::window_queued_combine,
     &BenchResult::combine_bytes},
    {"pair", "queued", S::queued_pair, S::bare_queued_pair, S::window_queued_pair, nullptr},
    {"dispatch", "awaited", S::dispatch, S::bare_dispatch, std::nullopt,
     &BenchResult::dispatch_bytes},
    {"combine", "awaited", S::combine, S::bare_combine, std::nullopt, &BenchResult::combine_bytes},
}};

const std::vector<double>& of(const BenchResult& result, BenchStage stage) {
  return result.samples[static_cast<std::size_t>(stage)];
}

void write_row(std::ostringstream& out, const BenchResult& result, const Row& row) {
  const std::vector<double>& samples = of(result, row.stage);
  const std::vector<double>& bare = of(result, row.bare);
  if (samples.empty() || bare.empty()) return;
  const Count all =
      row.bytes != nullptr ? result.*row.bytes : result.dispatch_bytes + result.combine_bytes;
  const double p50 = percentile(samples, 0.5);
  const double bare_p50 = percentile(bare, 0.5);
  const bool has_window = row.window && !of(result, *row.window).empty();
  const double window_p50 = has_window ? percentile(of(result, *row.window), 0.5) : bare_p50;
  const double floor = bench_floor_us(result, all);
  out << "| " << result.settings.shape.name << " | " << result.settings.num_tokens << " | "
      << row.move << ", " << row.way << " | " << all / result.settings.world_size << " | "
      << std::setprecision(1) << floor << " | " << p50 << " | " << percentile(samples, 0.99)
      << " | " << bare_p50 << " | ";
  if (has_window) out << window_p50;
  out << " | " << std::setprecision(2) << p50 / std::min(bare_p50, window_p50) << " | "
      << std::setprecision(0) << floor / p50 * 100 << " % |\n";
}

}  // namespace

std::string bench_markdown(const std::vector<BenchResult>& results, const std::string& command) {
  std::ostringstream out;
  out << std::fixed;
  const BenchResult& first = results.front();
  const BenchSettings& at = first.settings;
  out << "`moebius bench " << command << "` at " << commit_text() << ", " << at.world_size
      << (at.ranks == RanksAre::threads ? " threads" : " processes") << ", " << at.backend << ", "
      << name_of(at.dtype) << ", " << of(first, S::dispatch).size() << " samples; "
      << (first.made_on.empty() ? "the host" : first.made_on)
      << ". Microseconds, of the slower rank. Link: copies into the peer's window "
      << std::setprecision(0) << first.copies_gb_per_s << " GB/s, a bare all-gather of 128 MiB "
      << first.link_gb_per_s << " GB/s; floor: a rank's bytes at the faster of the two.\n\n"
      << "| shape | tokens | move | bytes a rank | floor | p50 | p99 | bare calls | on windows | "
         "p50 to the better | of the link |\n|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|\n";
  std::vector<std::string> notes;
  for (const BenchResult& result : results) {
    for (const Row& row : rows) write_row(out, result, row);
    for (const std::string& note : result.notes) {
      if (std::ranges::count(notes, note) == 0) notes.push_back(note);
    }
  }
  for (const std::string& note : notes) out << "\n" << note << "\n";
  return out.str();
}

}  // namespace moe::sim
