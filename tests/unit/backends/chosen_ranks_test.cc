// Dispatches to chosen ranks on the worked example of distribution-layer.md, 9.0: two ranks, four
// experts, top-2; rank 0 holds rows a b c, rank 1 rows d e. What arrives, in which order, with
// which ids and counts, and what goes over the wire.

#include <algorithm>

#include "backends/backend.h"
#include "backends/placement/expert_placement.h"
#include "comm/traced_communicator.h"
#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"
#include "tests/unit/kernels/host_rows.h"

namespace moe::backends {
extern const Backend deepep_high_throughput;
extern const Backend deepep_low_latency;
extern const Backend nixl_ep;
extern const Backend mori_high_throughput;
extern const Backend flashinfer_nvlink_two_sided;
extern const Backend flashinfer_nvlink_one_sided;
}  // namespace moe::backends
namespace moe::legacy {
extern const Backend pplx;
}

using namespace moe;
using namespace moe::test;

namespace {

constexpr Count capacity = 4;

// What one rank saw.
struct Arrived {
  std::string rows;  // letters; '.' where nobody sent one
  std::vector<double> ids = {};
  std::vector<double> weights = {};
  std::vector<double> counts = {};
  Count sent = 0;  // rows to other ranks
  std::vector<double> home = {};
};

struct Example {
  const Backend& backend;
  Placement placement = Placement::linear;
  std::uint64_t arrival_seed = 0;
};

// Rows carry 1, 2, … for a, b, …; their weights are the same and ten times that. Experts answer
// with what they got; in the standard format weighted and summed over the choices that live here,
// as experts do.
std::string letters(const Tensor& rows, const Tensor& tags) {
  const std::vector<double> values = values_of(rows);
  const auto tag = elements_of<std::int64_t>(tags);
  std::string text;
  for (Count row = 0; row < rows.rows; ++row) {
    const bool is_there = tag[static_cast<std::size_t>(row)] >= 0;
    text += is_there ? static_cast<char>('a' + values[static_cast<std::size_t>(row)] - 1) : '.';
  }
  return text;
}

// Each expert's valid rows, experts apart: "ab|bd".
std::string rooms(const std::string& all, const std::vector<double>& counts) {
  std::string text;
  const std::size_t each = counts.empty() ? 0 : all.size() / counts.size();
  for (std::size_t expert = 0; expert < counts.size(); ++expert) {
    text += expert == 0 ? "" : "|";
    text += all.substr(expert * each, static_cast<std::size_t>(counts[expert]));
  }
  return text;
}

class ExampleRank {
 public:
  ExampleRank(const Example& example, Communicator& world)
      : example_(example),
        traced_(world.split(0, world.rank()), Agreement::trusted, {}, LastTensor::side),
        alone_(world.split(world.rank(), 0)),
        kernels_(make_cpu_kernels(world.memory())),
        map_(determine_expert_map(4, 2, example.placement)) {}

  Arrived run() {
    Memory& memory = traced_.memory();
    const bool is_first = traced_.rank() == 0;
    const std::vector<double> values =
        is_first ? std::vector<double>{1, 2, 3} : std::vector<double>{4, 5};
    const std::vector<double> ids =
        is_first ? std::vector<double>{0, 2, 0, 1, 3, 2} : std::vector<double>{1, 3, 2, 3};
    const Count num_rows = std::ssize(values);
    std::vector<double> weights;
    for (const double value : values) weights.insert(weights.end(), {value, 10 * value});
    const Buffer hidden = rows_with(memory, {num_rows, 1, DType::bf16}, values);
    const Buffer topk_ids = rows_with(memory, {num_rows, 2, DType::i32}, ids);
    const Buffer topk_weights = rows_with(memory, {num_rows, 2, DType::f32}, weights);
    const ParallelGroups groups{*alone_, *alone_, traced_, traced_};
    const auto prepare_finalize =
        example_.backend.make({groups,
                               make_parallel_config({.sizes = {.dp = 2}}, traced_.rank()),
                               memory,
                               map_,
                               Provenance::travels,
                               NaiveForm::ep_group,
                               kernels_.get(),
                               capacity,
                               false,
                               {},
                               {},
                               example_.arrival_seed});
    const std::vector<Count> tokens = {3, 2};
    Dispatched dispatched = prepare_finalize->prepare(
        hidden.tensor(), {topk_ids.tensor(), topk_weights.tensor()}, tokens);
    Arrived arrived = seen(dispatched);
    const Buffer answers = answered(dispatched);
    const Buffer output(memory, {num_rows, 1, DType::bf16});
    prepare_finalize->finalize(answers.tensor(), std::move(dispatched), output.tensor());
    arrived.home = values_of(output.tensor());
    return arrived;
  }

 private:
  Arrived seen(const Dispatched& dispatched) {
    Arrived arrived{letters(dispatched.hidden_states, dispatched.provenance)};
    arrived.counts = values_of(dispatched.expert_num_tokens);
    arrived.sent = traced_.traffic().rows;
    if (example_.backend.capabilities.activation_format == ActivationFormat::batched_experts) {
      arrived.rows = rooms(arrived.rows, arrived.counts);
      return arrived;
    }
    arrived.ids = values_of(dispatched.routing.topk_ids);
    arrived.weights = values_of(dispatched.routing.topk_weights);
    return arrived;
  }

  // Batched: rows as they came. Standard: each row times the sum of its weights here.
  Buffer answered(const Dispatched& dispatched) {
    const Tensor& rows = dispatched.hidden_states;
    std::vector<double> values = values_of(rows);
    if (dispatched.routing.topk_ids.rows > 0) {
      const std::vector<double> ids = values_of(dispatched.routing.topk_ids);
      const std::vector<double> weights = values_of(dispatched.routing.topk_weights);
      for (std::size_t row = 0; row < values.size(); ++row) {
        double sum = 0;
        for (std::size_t k = 2 * row; k < 2 * row + 2; ++k) {
          const bool is_here =
              ids[k] >= 0 && map_.rank_of[static_cast<std::size_t>(ids[k])] == traced_.rank();
          if (is_here) sum += weights[k];
        }
        values[row] *= sum;
      }
    }
    return rows_with(traced_.memory(), {rows.rows, rows.columns, rows.dtype}, values);
  }

  Example example_;
  TracedCommunicator traced_;
  std::unique_ptr<Communicator> alone_;
  std::unique_ptr<Kernels> kernels_;
  ExpertMap map_;
};

std::vector<Arrived> arrived(const Example& example) {
  std::vector<Arrived> all;
  const auto outcomes = run_world(
      {Wire::local, 2}, [&](Communicator& world) { return ExampleRank(example, world).run(); });
  for (const auto& outcome : outcomes) {
    REQUIRE(outcome.error == "");
    all.push_back(*outcome.value);
  }
  // x · 11 x comes home, whatever the way: 11, 44, 99, 176, 275, rounded to bf16's 8 bits.
  CHECK(all[0].home == std::vector<double>{11, 44, 99});
  CHECK(all[1].home == std::vector<double>{176, 276});
  return all;
}

using Numbers = std::vector<double>;

}  // namespace

TEST_CASE(
    "9.0: high throughput: rows in source order, ids as vLLM maps them, counts, 2 rows and 1") {
  const std::vector<Arrived> all = arrived({backends::deepep_high_throughput});
  CHECK(all[0].rows == "abd");
  CHECK(all[0].ids == Numbers{0, 3, 0, 1, 1, 3});
  CHECK(all[0].weights == Numbers{1, 0, 2, 20, 4, 0});
  CHECK(all[0].counts == Numbers{2, 2});
  CHECK(all[0].sent == 2);
  CHECK(all[1].rows == "acde");
  CHECK(all[1].ids == Numbers{0, 2, 3, 2, 0, 3, 2, 3});
  CHECK(all[1].weights == Numbers{0, 10, 3, 30, 0, 40, 5, 50});
  CHECK(all[1].counts == Numbers{3, 3});
  CHECK(all[1].sent == 1);
}

TEST_CASE("9.0: MoRI and FlashInfer two-sided: the same rows, ids as they were sent") {
  for (const Backend* backend :
       {&backends::mori_high_throughput, &backends::flashinfer_nvlink_two_sided}) {
    const std::vector<Arrived> all = arrived({*backend});
    const bool is_padded = backend == &backends::mori_high_throughput;
    CHECK(all[0].rows == (is_padded ? "abd....." : "abd"));
    CHECK(Numbers(all[0].ids.begin(), all[0].ids.begin() + 6) == Numbers{0, 2, 0, 1, 1, 3});
    CHECK(std::ranges::all_of(all[0].ids.begin() + 6, all[0].ids.end(),
                              [](double id) { return id == -1; }));
    CHECK(all[1].rows == (is_padded ? "acde...." : "acde"));
    CHECK(all[0].sent == 2);
    CHECK(all[1].sent == 1);
  }
}

TEST_CASE("9.0: FlashInfer one-sided: a window of the longest rank for each source") {
  const std::vector<Arrived> all = arrived({backends::flashinfer_nvlink_one_sided});
  CHECK(all[0].rows == "ab.d..");
  CHECK(all[0].ids == Numbers{0, 2, 0, 1, -1, -1, 1, 3, -1, -1, -1, -1});
  CHECK(all[1].rows == "ac.de.");
  CHECK(all[0].sent == 2);
  CHECK(all[1].sent == 1);
}

TEST_CASE("9.0: low latency: a message for each choice, 3 and 1, in rooms of its expert") {
  for (const Backend* backend :
       {&backends::deepep_low_latency, &backends::nixl_ep, &legacy::pplx}) {
    const std::vector<Arrived> all = arrived({*backend});
    CHECK(all[0].rows == "ab|bd");
    CHECK(all[0].counts == Numbers{2, 2});
    CHECK(all[0].sent == 3);
    CHECK(all[1].rows == "ace|cde");
    CHECK(all[1].counts == Numbers{3, 3});
    CHECK(all[1].sent == 1);
  }
}

TEST_CASE("9.0: low latency with experts dealt round robin: 2 messages and 1") {
  const std::vector<Arrived> all = arrived({backends::deepep_low_latency, Placement::round_robin});
  CHECK(all[0].rows == "ab|ace");
  CHECK(all[0].counts == Numbers{2, 3});
  CHECK(all[0].sent == 2);
  CHECK(all[1].rows == "bd|cde");
  CHECK(all[1].counts == Numbers{2, 3});
  CHECK(all[1].sent == 1);
}

TEST_CASE("I8: the order within an expert's room is free, its rows and the result are not") {
  bool any_differs = false;
  for (std::uint64_t seed = 1; seed < 12; ++seed) {
    const std::vector<Arrived> all =
        arrived({backends::deepep_low_latency, Placement::linear, seed});
    std::string rows = all[1].rows;
    any_differs = any_differs || rows != "ace|cde";
    std::sort(rows.begin(), rows.begin() + 3);
    std::sort(rows.begin() + 4, rows.end());
    CHECK(rows == "ace|cde");
  }
  CHECK(any_differs);
}

TEST_CASE("low latency: rows of a source stand together, whatever the order") {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    const std::string rows =
        arrived({backends::deepep_low_latency, Placement::linear, seed})[1].rows.substr(4);
    CHECK((rows.find("de") != std::string::npos || rows.find("ed") != std::string::npos));
  }
}

TEST_CASE("refusals: what a library does not take is said with what it does") {
  const Capabilities& low_latency = backends::deepep_low_latency.capabilities;
  const WireQuestion fits{
      .num_ranks = 4, .hidden_size = 7168, .top_k = 8, .num_experts = 64, .max_num_tokens = 256};
  CHECK(refusal_of(low_latency, fits) == "");
  const auto refused = [&](auto change) {
    WireQuestion question = fits;
    change(question);
    return refusal_of(low_latency, question);
  };
  using Catch::Contains;
  CHECK_THAT(refused([](WireQuestion& q) { q.hidden_size = 8193; }), Contains("at most 8192"));
  CHECK_THAT(refused([](WireQuestion& q) { q.top_k = 12; }), Contains("at most top-11, not 12"));
  CHECK_THAT(refused([](WireQuestion& q) { q.num_experts = 66; }),
             Contains("66 do not divide by 4"));
  CHECK_THAT(refused([](WireQuestion& q) { q.dtype = DType::f16; }), Contains("rows of bf16"));
  CHECK_THAT(refused([](WireQuestion& q) { q.max_num_tokens = 512; }), Contains("at most 511"));
  CHECK(refused([](WireQuestion& q) { q.max_num_tokens = 511; }) == "");
  CHECK_THAT(refused([](WireQuestion& q) { q.num_ranks = 2, q.max_num_tokens = 7; }),
             Contains("a multiple of 4, not 7 x 2"));
  WireQuestion three = fits;
  three.num_ranks = 3;
  CHECK_THAT(refusal_of(backends::deepep_high_throughput.capabilities, three),
             Contains("runs on 2, 4, 8, 16") && Contains("not on 3"));
  WireQuestion on_input = fits;
  on_input.weight_on_input = true;
  CHECK_THAT(refusal_of(backends::mori_high_throughput.capabilities, on_input),
             Contains("router weights on the input"));
  WireQuestion dealt = fits;
  dealt.is_linear = false;
  CHECK_THAT(refusal_of(legacy::pplx.capabilities, dealt), Contains("placement linear"));
}

TEST_CASE(
    "wire columns: high throughput rounds to 512 bytes, low latency to the next size it has") {
  const WireLimits& high = backends::deepep_high_throughput.capabilities.limits;
  CHECK(wire_columns(high, 2880, DType::bf16) == 3072);
  CHECK(wire_columns(high, 3072, DType::bf16) == 3072);
  CHECK(wire_columns(high, 1, DType::bf16) == 256);
  const WireLimits& low = backends::deepep_low_latency.capabilities.limits;
  CHECK(wire_columns(low, 2880, DType::bf16) == 3072);
  CHECK(wire_columns(low, 64, DType::bf16) == 2048);
  CHECK(wire_columns(low, 8192, DType::bf16) == 8192);
}
