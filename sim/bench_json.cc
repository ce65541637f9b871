// Settings and reports of a bench as JSON, both ways: how processes hear what to do and tell what
// they measured. The result for people and programs is bench_report.cc.

#include "sim/bench.h"
#include "sim/json_reading.h"

namespace moe::sim {

namespace {

double number_of(const JsonValue& value) {
  const std::int64_t* whole = value.integer();
  const double* fraction = value.fraction();
  MOE_CHECK(whole != nullptr || fraction != nullptr, "a number is " + described(value));
  return whole != nullptr ? static_cast<double>(*whole) : *fraction;
}

}  // namespace

JsonValue to_json(const BenchSettings& settings) {
  const BenchShape& shape = settings.shape;
  return JsonObject{{"shape", shape.name},
                    {"hidden_size", shape.hidden_size},
                    {"intermediate_size", shape.intermediate_size},
                    {"num_experts", shape.num_experts},
                    {"top_k", shape.top_k},
                    {"tokens", settings.num_tokens},
                    {"world_size", settings.world_size},
                    {"backend", settings.backend},
                    {"communicator", settings.communicator},
                    {"ranks", settings.ranks == RanksAre::threads ? "threads" : "processes"},
                    {"dtype", name_of(settings.dtype)},
                    {"pinned", settings.pinning == Pinning::one_core_each},
                    {"iterations", settings.iterations},
                    {"device", std::string(name_of(settings.device))},
                    {"deadline_ms", settings.deadline_ms},
                    {"of", settings.of == BenchOf::layer ? "layer" : "moves"}};
}

BenchSettings bench_settings_from(const JsonValue& value) {
  const auto whole = [&](std::string_view key) { return static_cast<int>(integer_at(value, key)); };
  const bool* pinned = member(value, "pinned").boolean();
  BenchSettings settings;
  settings.shape = {string_at(value, "shape"), integer_at(value, "hidden_size"),
                    integer_at(value, "intermediate_size"), whole("num_experts"), whole("top_k")};
  settings.num_tokens = integer_at(value, "tokens");
  settings.world_size = whole("world_size");
  settings.backend = string_at(value, "backend");
  settings.communicator = string_at(value, "communicator");
  settings.ranks = string_at(value, "ranks") == "threads" ? RanksAre::threads : RanksAre::processes;
  settings.dtype = dtype_named(string_at(value, "dtype")).value();
  settings.pinning = pinned != nullptr && *pinned ? Pinning::one_core_each : Pinning::none;
  settings.iterations = whole("iterations");
  settings.device = device_at(value, "device");
  settings.deadline_ms = whole("deadline_ms");
  settings.of = string_at(value, "of") == "layer" ? BenchOf::layer : BenchOf::moves;
  return settings;
}

JsonValue to_json(const BenchReport& report) {
  JsonObject samples;
  for (std::size_t stage = 0; stage < report.samples.size(); ++stage) {
    JsonArray all;
    for (const double sample : report.samples[stage]) all.emplace_back(sample);
    samples.push_back({std::string(bench_stage_names[stage]), std::move(all)});
  }
  JsonArray notes;
  for (const std::string& note : report.notes) notes.emplace_back(note);
  return JsonObject{{"rank", report.rank},
                    {"samples", std::move(samples)},
                    {"dispatch_bytes", report.dispatch_bytes},
                    {"combine_bytes", report.combine_bytes},
                    {"link_gb_per_s", report.link_gb_per_s},
                    {"copies_gb_per_s", report.copies_gb_per_s},
                    {"made_on", report.made_on},
                    {"notes", std::move(notes)},
                    {"failure", report.failure}};
}

BenchReport bench_report_from(const JsonValue& value) {
  BenchReport report;
  report.rank = static_cast<int>(integer_at(value, "rank"));
  const JsonValue& samples = member(value, "samples");
  for (std::size_t stage = 0; stage < report.samples.size(); ++stage) {
    for (const JsonValue& sample : array_at(samples, bench_stage_names[stage])) {
      report.samples[stage].push_back(number_of(sample));
    }
  }
  report.dispatch_bytes = integer_at(value, "dispatch_bytes");
  report.combine_bytes = integer_at(value, "combine_bytes");
  report.link_gb_per_s = number_at(value, "link_gb_per_s");
  report.copies_gb_per_s = number_at(value, "copies_gb_per_s");
  report.made_on = string_at(value, "made_on");
  for (const JsonValue& note : array_at(value, "notes")) {
    const std::string* words = note.string();
    if (words != nullptr) report.notes.push_back(*words);
  }
  report.failure = string_at(value, "failure");
  return report;
}

}  // namespace moe::sim
