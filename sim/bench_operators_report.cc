// What the operators took, as a table for people and as one JSON object. Floors and shares are
// computed here, from bytes, products and the copy's rate of the same run.

#include <algorithm>
#include <iomanip>
#include <sstream>

#include "sim/bench_operators.h"

namespace moe::sim {
namespace {

// Dense bf16 products of 8192 cubed on the H100 whose times there are to beat.
constexpr double tensor_tflops = 779;

double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

std::string fixed(double value, int digits) {
  if (value == 0) return "-";
  std::ostringstream out;
  out << std::fixed << std::setprecision(digits) << value;
  return out.str();
}

}  // namespace

double floor_us(const OperatorBench& bench, const OperatorRow& row) {
  const double moved = static_cast<double>(row.bytes) / bench.copy_gb_per_s / 1e3;
  return std::max(moved, row.flops / tensor_tflops / 1e6);
}

std::string operators_text(const OperatorBench& bench) {
  std::ostringstream out;
  out << "operators on " << bench.device << ", bf16, " << bench.iterations
      << " replays of a recording, microseconds a call; copy " << fixed(bench.copy_gb_per_s, 0)
      << " GB/s read and written\n"
      << "floor: bytes at the copy's rate or products at " << fixed(tensor_tflops, 0)
      << " TFLOP/s; share: floor / p50; anchor: what there is to beat / p50\n\n"
      << "  operator                     shape           tokens       p50       p99     floor  "
         "share    GB/s  TFLOP/s  anchor\n";
  for (const OperatorRow& row : bench.rows) {
    const double floor = floor_us(bench, row);
    out << "  " << std::left << std::setw(28) << row.name << " " << std::setw(15) << row.shape
        << std::right << std::setw(7) << row.tokens << std::setw(10) << fixed(row.us, 1)
        << std::setw(10) << fixed(row.us_p99, 1) << std::setw(10) << fixed(floor, 1) << std::setw(7)
        << fixed(share(floor, row.us), 2) << std::setw(8)
        << fixed(static_cast<double>(row.bytes) / row.us / 1e3, 0) << std::setw(9)
        << fixed(row.flops / row.us / 1e6, 0) << std::setw(8)
        << fixed(share(row.anchor_us, row.us), 2) << "\n";
  }
  return out.str();
}

JsonValue to_json(const OperatorBench& bench) {
  JsonArray rows;
  for (const OperatorRow& row : bench.rows) {
    const double floor = floor_us(bench, row);
    rows.push_back(JsonObject{{"operator", row.name},
                              {"shape", row.shape},
                              {"tokens", row.tokens},
                              {"us_p50", row.us},
                              {"us_p99", row.us_p99},
                              {"bytes", row.bytes},
                              {"flops", row.flops},
                              {"floor_us", floor},
                              {"share_of_floor", share(floor, row.us)},
                              {"gb_per_s", static_cast<double>(row.bytes) / row.us / 1e3},
                              {"tflop_per_s", row.flops / row.us / 1e6},
                              {"anchor_us", row.anchor_us},
                              {"share_of_anchor", share(row.anchor_us, row.us)}});
  }
  return JsonObject{{"device", bench.device},
                    {"iterations", bench.iterations},
                    {"copy_gb_per_s", bench.copy_gb_per_s},
                    {"operators", std::move(rows)}};
}

}  // namespace moe::sim
