// Bench without ranks: its options, what is refused, how samples become numbers, and that settings
// and reports survive the way to another process.

#include "sim/bench.h"

#include "kernels/base/check.h"
#include "sim/bench_options.h"
#include "tests/catch.h"

using namespace moe;
using namespace moe::sim;

namespace {

std::string refusal(const std::vector<std::string>& words) {
  try {
    bench_options(words);
  } catch (const ScenarioError& error) {
    return error.what();
  }
  return "accepted";
}

bool contains(const std::string& words, const std::string& part) {
  return words.find(part) != std::string::npos;
}

BenchReport report_with(int rank, double first, double second) {
  BenchReport report;
  report.rank = rank;
  for (auto& samples : report.samples) samples = {first, second};
  report.dispatch_bytes = 7;
  report.combine_bytes = 9;
  report.notes = {"a note"};
  return report;
}

}  // namespace

TEST_CASE("bench: options become settings, named shapes and written ones") {
  const auto named = bench_options({"--shape", "deepseek-v3", "--tokens=8", "--pin"});
  CHECK(named->settings.shape.hidden_size == 7168);
  CHECK(named->settings.shape.num_experts == 256);
  CHECK(named->settings.num_tokens == 8);
  CHECK(named->settings.pinning == Pinning::one_core_each);
  CHECK(named->settings.ranks == RanksAre::processes);
  const auto written = bench_options({"--shape", "64x32x8x2", "--communicator", "local"});
  CHECK(written->settings.shape.intermediate_size == 32);
  CHECK(written->settings.shape.top_k == 2);
  CHECK(written->settings.ranks == RanksAre::threads);
  CHECK_FALSE(bench_options({"--tokens", "8", "--help"}).has_value());
  CHECK(contains(bench_help(), "--iterations N"));
}

TEST_CASE("bench: several shapes and numbers of tokens are measured in one command") {
  const auto bench = bench_options({"--shape", "mixtral,64x32x8x2", "--tokens=128,4096", "--only",
                                    "moves", "--deadline", "2000", "--results", "FILE"});
  std::vector<std::string> measured;
  for (const BenchSettings& one : bench->all()) {
    measured.push_back(one.shape.name + " " + std::to_string(one.num_tokens));
    CHECK(one.of == BenchOf::moves);
    CHECK(one.deadline_ms == 2000);
  }
  CHECK(measured ==
        std::vector<std::string>{"mixtral 128", "mixtral 4096", "64x32x8x2 128", "64x32x8x2 4096"});
  CHECK(bench->results == "FILE");
  CHECK(bench_options({"--tokens", "8"})->all().size() == 1);
  CHECK(contains(refusal({"--shape", "mixtral,"}), "accepted"));
  CHECK(contains(refusal({"--tokens", "8,x"}), "'x'"));
  CHECK(contains(refusal({"--only", "experts"}), "moves"));
  CHECK(contains(refusal({"--peer", "torch", "--tokens", "8,9"}), "one shape"));
}

TEST_CASE("bench: what cannot be measured is refused with what can") {
  CHECK(contains(refusal({"--shape", "mixtrall"}), "mixtral"));
  CHECK(contains(refusal({"--shape", "64x32x8"}), "four numbers"));
  CHECK(contains(refusal({"--shape", "64x32x8x9"}), "top-9 of 8 experts"));
  CHECK(contains(refusal({"--tokens", "-1"}), "'-1'"));
  CHECK(contains(refusal({"--tokens"}), "missing"));
  CHECK(contains(refusal({"--token", "8"}), "--tokens"));
  CHECK(contains(refusal({"--dtype", "f8"}), "bf16"));
  CHECK(contains(refusal({"--backend", "no_epp"}), "no_ep"));
  CHECK(contains(refusal({"--communicator", "local", "--ranks", "processes"}), "threads"));
  CHECK(contains(refusal({"--peer", "torch", "--dtype", "f16"}), "bf16 and f32"));
  CHECK(contains(refusal({"--peer", "torch", "--shape", "64x32x9x2"}), "9 on 2"));
}

TEST_CASE("bench: percentiles, and the largest of the ranks iteration by iteration") {
  CHECK(percentile({4, 1, 3, 2, 5}, 0) == 1);
  CHECK(percentile({4, 1, 3, 2, 5}, 0.5) == 3);
  CHECK(percentile({4, 1, 3, 2, 5}, 0.99) == 5);
  CHECK_THROWS_AS(percentile({}, 0.5), ContractError);
  const BenchSamples largest = largest_of_ranks({report_with(0, 1, 8), report_with(1, 3, 2)});
  CHECK(largest[0] == std::vector<double>{3, 8});
}

TEST_CASE("bench: settings and reports survive as JSON") {
  const BenchSettings settings =
      bench_options({"--shape", "64x32x8x2", "--dtype", "f32", "--pin", "--world-size", "3"})
          ->settings;
  const BenchSettings read = bench_settings_from(parse_json(json_text(to_json(settings)), "it"));
  CHECK(json_text(to_json(read)) == json_text(to_json(settings)));
  CHECK(read.dtype == DType::f32);
  CHECK(read.pinning == Pinning::one_core_each);
  const BenchReport report =
      bench_report_from(parse_json(json_text(to_json(report_with(1, 2, 2.5))), "it"));
  CHECK(report.rank == 1);
  CHECK(report.samples[8] == std::vector<double>{2, 2.5});
  CHECK(report.combine_bytes == 9);
  CHECK(report.notes == std::vector<std::string>{"a note"});
}

TEST_CASE("bench: a result says the ratio to the fastest method, for people and programs") {
  BenchResult result{.samples = report_with(0, 40, 60).samples};
  result.peer = {{"naive", 100, 80}, {"a2a", 120, 50}};
  CHECK(contains(bench_text(result), "median 0.60 (naive), min 0.80 (a2a)"));
  const JsonValue json = to_json(result);
  CHECK(*json.find("peer")->find("ratio_min")->fraction() == Approx(0.8));
  CHECK(*json.find("stages")->find("experts")->find("share_of_limit")->fraction() == Approx(1));
  CHECK(json.find("stages")->find("layer")->find("limit_us")->is_null());
}

TEST_CASE("bench: a table has a row for each move and way, with what it is held against") {
  BenchResult result{.settings = bench_options({"--shape", "64x32x8x2"})->settings};
  const auto set = [&](BenchStage stage, double us) {
    result.samples[static_cast<std::size_t>(stage)] = {us};
  };
  set(BenchStage::replayed_dispatch, 21);
  set(BenchStage::bare_replayed_dispatch, 20);
  set(BenchStage::window_replayed_dispatch, 15);
  set(BenchStage::queued_dispatch, 25);
  set(BenchStage::bare_queued_dispatch, 30);  // on windows not measured
  set(BenchStage::dispatch, 50);  // without bare calls there is nothing to hold it against
  result.dispatch_bytes = 2'000'000;
  result.copies_gb_per_s = 100;
  result.notes = {"replayed_combine: cannot be recorded: waits for the device"};
  const std::string table = bench_markdown({result, result}, "--only moves");
  CHECK(contains(table, "`moebius bench --only moves` at "));
  CHECK(contains(table,
                 "| 64x32x8x2 | 512 | dispatch, replayed | 1000000 | 10.0 | 21.0 | 21.0 | "
                 "20.0 | 15.0 | 1.40 | 48 % |"));
  CHECK(contains(table, "| dispatch, queued | 1000000 | 10.0 | 25.0 | 25.0 | 30.0 |  | 0.83 |"));
  CHECK_FALSE(contains(table, "awaited"));
  CHECK(table.find("waits for the device") == table.rfind("waits for the device"));
}
