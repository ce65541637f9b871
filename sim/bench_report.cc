// What a bench found, as a table for people and as one JSON object. Percentiles are of the largest
// over the ranks of each iteration; the share of the limit compares medians.

#include <algorithm>
#include <iomanip>
#include <sstream>

#include "kernels/base/text.h"
#include "sim/bench.h"

namespace moe::sim {
namespace {

const std::vector<double>& of(const BenchSamples& samples, BenchStage stage) {
  return samples[static_cast<std::size_t>(stage)];
}

double median(const BenchSamples& samples, BenchStage stage) {
  return percentile(of(samples, stage), 0.5);
}

struct StageLine {
  BenchStage stage;
  std::optional<BenchStage> limit;
  const char* what_limit_is;
};

constexpr std::array<StageLine, 6> host_lines = {{
    {BenchStage::route, std::nullopt, ""},
    {BenchStage::dispatch, BenchStage::bare_dispatch, "the same collective calls, kept buffers"},
    {BenchStage::experts, BenchStage::bare_experts, "the same packed products alone"},
    {BenchStage::combine, BenchStage::bare_combine, "the same moves, without the sum"},
    {BenchStage::layer, std::nullopt, ""},
    {BenchStage::checked_layer, std::nullopt, ""},
}};

constexpr std::array<StageLine, 14> device_lines = {{
    {BenchStage::route, std::nullopt, ""},
    {BenchStage::dispatch, BenchStage::bare_dispatch, "the library's own calls, kept buffers"},
    {BenchStage::experts, BenchStage::bare_experts, "the same products and activation, alone"},
    {BenchStage::combine, BenchStage::bare_combine, "the library's own calls, kept buffers"},
    {BenchStage::layer, std::nullopt, ""},
    {BenchStage::queued_dispatch, BenchStage::bare_queued_dispatch, "own calls, queued as well"},
    {BenchStage::queued_combine, BenchStage::bare_queued_combine, "own calls, queued as well"},
    {BenchStage::queued_pair, BenchStage::bare_queued_pair, "own calls, queued as well"},
    {BenchStage::replayed_dispatch, BenchStage::bare_replayed_dispatch, "own calls, replayed"},
    {BenchStage::replayed_combine, BenchStage::bare_replayed_combine, "own calls, replayed"},
    {BenchStage::replayed_pair, BenchStage::bare_replayed_pair, "own calls, replayed"},
    {BenchStage::window_replayed_dispatch, BenchStage::bare_replayed_dispatch, "without windows"},
    {BenchStage::window_replayed_combine, BenchStage::bare_replayed_combine, "without windows"},
    {BenchStage::window_replayed_pair, BenchStage::bare_replayed_pair, "without windows"},
}};

bool is_on_host(const BenchSettings& settings) { return settings.device == DeviceKind::cpu; }

// Those that were measured.
std::vector<StageLine> lines_of(const BenchResult& result) {
  const std::span<const StageLine> all =
      is_on_host(result.settings) ? std::span<const StageLine>(host_lines) : device_lines;
  std::vector<StageLine> lines(all.begin(), all.end());
  std::erase_if(lines,
                [&](const StageLine& line) { return of(result.samples, line.stage).empty(); });
  return lines;
}

// The link's rate and what it makes of the bytes; without a probe nothing.
void write_link(std::ostringstream& out, const BenchResult& result) {
  if (result.link_gb_per_s == 0) return;
  out << std::setprecision(1) << "  link: a bare all-gather of 128 MiB a rank sends "
      << result.link_gb_per_s << " GB/s each way";
  if (result.copies_gb_per_s > 0) {
    out << ", copies into the peers' windows " << result.copies_gb_per_s;
  }
  out << "; floor of dispatch " << bench_floor_us(result, result.dispatch_bytes)
      << " us, of combine " << bench_floor_us(result, result.combine_bytes) << " us\n";
}

// Nothing: the stage has no limit, or moves nothing.
std::optional<double> share_of_limit(const BenchSamples& samples, const StageLine& line) {
  if (!line.limit) return std::nullopt;
  if (of(samples, *line.limit).empty()) return std::nullopt;
  const double limit = median(samples, *line.limit);
  return limit < 1 ? std::nullopt : std::optional(limit / median(samples, line.stage));
}

const PeerRow& fastest(const std::vector<PeerRow>& rows, double PeerRow::*time) {
  return *std::ranges::min_element(rows, {}, time);
}

std::string name_of_stage(BenchStage stage) {
  return std::string(bench_stage_names[static_cast<std::size_t>(stage)]);
}

void write_stages(std::ostringstream& out, const BenchResult& result) {
  const BenchSamples& samples = result.samples;
  out << "  " << std::left << std::setw(25) << "us" << std::right << std::setw(10) << "p50"
      << std::setw(10) << "p99" << std::setw(10) << "min" << std::setw(10) << "of limit"
      << "\n";
  for (const StageLine& line : lines_of(result)) {
    const auto& all = of(samples, line.stage);
    out << "  " << std::left << std::setw(25) << name_of_stage(line.stage) << std::right
        << std::setprecision(is_on_host(result.settings) ? 0 : 1) << std::setw(10)
        << percentile(all, 0.5) << std::setw(10) << percentile(all, 0.99) << std::setw(10)
        << percentile(all, 0);
    if (const auto share = share_of_limit(samples, line)) {
      out << std::setw(8) << *share * 100 << " %  (" << median(samples, *line.limit) << ": "
          << line.what_limit_is << ")";
    }
    out << "\n";
  }
}

void write_peer(std::ostringstream& out, const BenchResult& result) {
  if (!result.peer_absence.empty()) out << "  peer torch: " << result.peer_absence << "\n";
  if (result.peer.empty()) return;
  for (const PeerRow& row : result.peer) {
    out << "  peer " << std::left << std::setw(9) << row.method << std::right << std::setw(10)
        << row.layer_us << std::setw(20) << row.layer_min_us << "\n";
  }
  const auto& layer = of(result.samples, BenchStage::layer);
  const PeerRow& by_median = fastest(result.peer, &PeerRow::layer_us);
  const PeerRow& by_min = fastest(result.peer, &PeerRow::layer_min_us);
  out << std::setprecision(2) << "  layer / peer's fastest: median "
      << percentile(layer, 0.5) / by_median.layer_us << " (" << by_median.method << "), min "
      << percentile(layer, 0) / by_min.layer_min_us << " (" << by_min.method << ")\n";
}

JsonValue stage_json(const BenchSamples& samples, const StageLine& line) {
  const auto& all = of(samples, line.stage);
  const auto share = share_of_limit(samples, line);
  return JsonObject{{"p50_us", percentile(all, 0.5)},
                    {"p99_us", percentile(all, 0.99)},
                    {"min_us", percentile(all, 0)},
                    {"limit_us", line.limit && !of(samples, *line.limit).empty()
                                     ? JsonValue(median(samples, *line.limit))
                                     : JsonValue(nullptr)},
                    {"share_of_limit", share ? JsonValue(*share) : JsonValue(nullptr)}};
}

JsonValue peer_json(const BenchResult& result) {
  if (result.peer.empty()) return nullptr;
  JsonArray methods;
  for (const PeerRow& row : result.peer) {
    methods.push_back(JsonObject{
        {"method", row.method}, {"layer_us", row.layer_us}, {"layer_min_us", row.layer_min_us}});
  }
  const auto& layer = of(result.samples, BenchStage::layer);
  const double median_us = fastest(result.peer, &PeerRow::layer_us).layer_us;
  const double min_us = fastest(result.peer, &PeerRow::layer_min_us).layer_min_us;
  return JsonObject{{"methods", std::move(methods)},
                    {"ratio_median", percentile(layer, 0.5) / median_us},
                    {"ratio_min", percentile(layer, 0) / min_us}};
}

}  // namespace

BenchSamples largest_of_ranks(const std::vector<BenchReport>& reports) {
  BenchSamples largest = reports.front().samples;
  for (const BenchReport& report : reports) {
    for (std::size_t stage = 0; stage < largest.size(); ++stage) {
      const std::vector<double>& own = report.samples[stage];
      MOE_CHECK(own.size() == largest[stage].size(), "ranks took different numbers of samples");
      for (std::size_t i = 0; i < own.size(); ++i) {
        largest[stage][i] = std::max(largest[stage][i], own[i]);
      }
    }
  }
  return largest;
}

double bench_floor_us(const BenchResult& result, Count bytes) {
  const double each = static_cast<double>(bytes) / result.settings.world_size;
  const double rate = std::max(result.link_gb_per_s, result.copies_gb_per_s);
  return rate == 0 ? 0 : each / rate / 1e3;
}

double percentile(std::vector<double> samples, double share) {
  MOE_CHECK(!samples.empty() && share >= 0 && share <= 1, "a percentile of nothing");
  const auto place = static_cast<Count>(share * static_cast<double>(samples.size() - 1) + 0.5);
  std::ranges::nth_element(samples, samples.begin() + place);
  return samples[static_cast<std::size_t>(place)];
}

JsonValue to_json(const BenchResult& result) {
  JsonObject stages;
  for (const StageLine& line : lines_of(result)) {
    stages.push_back({name_of_stage(line.stage), stage_json(result.samples, line)});
  }
  JsonArray notes;
  for (const std::string& note : result.notes) notes.emplace_back(note);
  return JsonObject{
      {"bench", to_json(result.settings)},
      {"samples", static_cast<Count>(of(result.samples, BenchStage::dispatch).size())},
      {"stages", std::move(stages)},
      {"wire_bytes",
       JsonObject{{"dispatch", result.dispatch_bytes}, {"combine", result.combine_bytes}}},
      {"link_gb_per_s", result.link_gb_per_s},
      {"copies_gb_per_s", result.copies_gb_per_s},
      {"made_on", result.made_on},
      {"notes", std::move(notes)},
      {"peer", peer_json(result)},
      {"peer_absence",
       result.peer_absence.empty() ? JsonValue(nullptr) : JsonValue(result.peer_absence)}};
}

std::string bench_text(const BenchResult& result) {
  const BenchSettings& at = result.settings;
  std::ostringstream out;
  out << std::fixed;
  out << at.backend << ", " << name_of(at.device) << ", " << at.world_size
      << (at.ranks == RanksAre::threads ? " threads" : " processes") << " over " << at.communicator
      << (at.pinning == Pinning::none ? ", not pinned" : ", one core each") << ", " << at.num_tokens
      << " tokens a rank, " << name_of(at.dtype) << ", hidden " << at.shape.hidden_size << ", "
      << at.shape.num_experts << " experts of " << at.shape.intermediate_size << ", top-"
      << at.shape.top_k << "; " << of(result.samples, BenchStage::dispatch).size() << " samples\n";
  write_stages(out, result);
  if (is_on_host(at) && at.of == BenchOf::layer) {
    out << "  checked_layer is the layer with poison, guard rows, agreement and provenance\n";
  }
  out << "  wire bytes of all ranks: dispatch " << result.dispatch_bytes << ", combine "
      << result.combine_bytes << "\n";
  write_link(out, result);
  for (const std::string& note : result.notes) out << "  " << note << "\n";
  if (!result.made_on.empty()) out << "  on " << result.made_on << "\n";
  out << std::setprecision(0);
  write_peer(out, result);
  return out.str();
}

}  // namespace moe::sim
