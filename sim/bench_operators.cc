// The operators that are timed, their shapes and their bytes. Inputs are cycled where one would fit
// into a cache, and several calls are recorded one behind another, so that neither cache nor launch
// is what is measured.

#include "sim/bench_operators.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "kernels/base/bits.h"
#include "kernels/base/device_queue.h"
#include "kernels/base/mix.h"
#include "kernels/base/text.h"
#include "kernels/device_makers.h"
#include "sim/bench_inputs.h"
#include "sim/machine_memory.h"

namespace moe::sim {
namespace {

constexpr Count cache_bytes = 128 << 20;  // more than any cache here holds
constexpr int calls_min = 10;
constexpr int calls_max = 4096;  // of inputs so small that they stay in a cache all the same

// Experts of a rank and the products' time to beat: the better of vLLM's Triton kernel (the best of
// a sweep) and torch._grouped_mm, measured 2026-11-23 on an H100, bf16, without the activation that
// ours include.
struct ExpertCase {
  BenchShape shape;  // num_experts: the rank's
  Count tokens;
  double anchor_us;
};

const std::vector<ExpertCase>& expert_cases() {
  static const BenchShape mixtral = {"mixtral", 4096, 14336, 8, 2};
  static const BenchShape half = {"mixtral/2", 4096, 14336, 4, 2};
  static const BenchShape qwen3 = {"qwen3", 2048, 768, 128, 8};
  static const BenchShape deepseek = {"deepseek-v3/32", 7168, 2048, 8, 8};
  static const std::vector<ExpertCase> cases = {
      {mixtral, 16, 930},  {mixtral, 128, 963},  {mixtral, 1024, 1571},  {mixtral, 4096, 4931},
      {half, 4096, 4400},  {qwen3, 16, 250},     {qwen3, 128, 413},      {qwen3, 1024, 478},
      {qwen3, 8192, 1334}, {deepseek, 128, 276}, {deepseek, 4096, 4566},
  };
  return cases;
}

// Of routers and what moves rows.
std::vector<ExpertCase> row_cases() {
  std::vector<ExpertCase> cases;
  for (const BenchShape& shape :
       {BenchShape{"mixtral", 4096, 14336, 8, 2}, BenchShape{"qwen3", 2048, 768, 128, 8},
        BenchShape{"deepseek-v3", 7168, 2048, 256, 8}}) {
    for (const Count tokens : {Count{128}, Count{4096}}) cases.push_back({shape, tokens, 0});
  }
  return cases;
}

// Weights twice, while they are made, and the experts' rows. A device says itself what is too much.
void check_memory(const BenchSettings& settings, const ExpertCase& expert_case) {
  if (settings.device != DeviceKind::cpu) return;
  const auto& [shape, tokens, anchor_us] = expert_case;
  const Count weights = 3 * shape.hidden_size * shape.intermediate_size * shape.num_experts;
  const Count rows = tokens * shape.top_k * (2 * shape.hidden_size + 3 * shape.intermediate_size);
  const double needed = 4.0 * static_cast<double>(weights) + 2.0 * static_cast<double>(rows);
  const Count there = machine_memory_bytes() / 10 * 8;
  if (needed < static_cast<double>(there)) return;
  throw ScenarioError(text("--shape ", shape.name, " --tokens ", tokens, ": its experts need ",
                           std::llround(needed / (1 << 30)), " GiB, of this machine's memory ",
                           there >> 30, " GiB may be taken"));
}

// top_k different experts for each token, all alike likely.
std::vector<std::int32_t> random_ids(const BenchShape& shape, Count tokens) {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> experts(static_cast<std::size_t>(shape.num_experts));
  for (std::size_t e = 0; e < experts.size(); ++e) experts[e] = static_cast<std::int32_t>(e);
  for (Count token = 0; token < tokens; ++token) {
    for (int k = 0; k < shape.top_k; ++k) {
      const auto left = static_cast<unsigned>(shape.num_experts - k);
      const auto at = static_cast<std::size_t>(k) + mix(17, token, k) % left;
      std::swap(experts[static_cast<std::size_t>(k)], experts[at]);
      ids.push_back(experts[static_cast<std::size_t>(k)]);
    }
  }
  return ids;
}

class Device {
 public:
  explicit Device(const BenchSettings& settings)
      : settings_(settings),
        maker_(device_maker(settings.device)),
        memory_(maker_.make_memory(0, Poison::off)),
        kernels_(maker_.make_kernels(*memory_)) {}

  Memory& memory() { return *memory_; }
  Kernels& kernels() { return *kernels_; }

  // Rows that repeat some made on the host.
  Buffer rows(Shape shape) {
    constexpr Count made_max = 64;
    const Count made = std::min(shape.rows, made_max);
    const Buffer some =
        random_rows(*memory_, {made, shape.columns, shape.dtype}, 3, std::sqrt(3.0));
    Buffer all(*memory_, shape);
    for (Count row = 0; row < shape.rows; row += made) {
      const Count count = std::min(made, shape.rows - row);
      memory_->copy(rows_of(some.tensor(), 0, count), rows_of(all.tensor(), row, count));
    }
    return all;
  }

  Buffer ids(const BenchShape& shape, Count tokens) {
    std::vector<std::int32_t> made = random_ids(shape, tokens);
    return copy_of({made.data(), tokens, shape.top_k, DType::i32, {}}, *memory_);
  }

  // The median and the 99th percentile of one call, of `calls` that work queues.
  void time(OperatorRow& row, int calls, const std::function<void()>& work) {
    work();  // once before: what is loaded or asked for at first use waits for the host
    memory_->synchronize();
    std::vector<double> times = times_us(work);
    for (double& time : times) time /= calls;
    row.us = percentile(times, 0.5);
    row.us_p99 = percentile(times, 0.99);
  }

 private:
  // Microseconds of each replay; on the host, which keeps no calls, of each call.
  std::vector<double> times_us(const std::function<void()>& work) {
    std::vector<double> times;
    DeviceQueue* queue = queue_of(*memory_);
    if (queue == nullptr) {
      using Clock = std::chrono::steady_clock;
      for (int i = 0; i < settings_.iterations; ++i) {
        const Clock::time_point begin = Clock::now();
        work();
        times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
      }
      return times;
    }
    const Recording recording = queue->recorded(work);
    if (recording.replay == nullptr) {
      throw SystemError("an operator cannot be recorded: it " + recording.why_not);
    }
    constexpr int warm_up = 2;
    const auto moments = queue->moments(warm_up + settings_.iterations + 1);
    moments->note();
    for (int i = 0; i < warm_up + settings_.iterations; ++i) {
      recording.replay->play();
      moments->note();
    }
    for (int i = 0; i < settings_.iterations; ++i) {
      times.push_back(moments->microseconds(warm_up + i, warm_up + i + 1));
    }
    return times;
  }

  BenchSettings settings_;
  const DeviceMaker& maker_;
  std::unique_ptr<Memory> memory_;
  std::unique_ptr<Kernels> kernels_;
};

// How many calls are recorded, on inputs of their own.
int calls_for(Count bytes) {
  return static_cast<int>(
      std::clamp<Count>(cache_bytes / std::max<Count>(1, bytes), calls_min, calls_max));
}

template <typename Make>
auto several(int count, Make make) {
  std::vector<decltype(make())> all;
  for (int i = 0; i < count; ++i) all.push_back(make());
  return all;
}

// The better of the device's own copy and of rows that our kernel puts where they were.
double copy_rate(Device& device) {
  constexpr Shape shape = {1 << 16, 1 << 12, DType::bf16};
  const Buffer from = device.rows(shape);
  const Buffer to(device.memory(), shape);
  std::vector<std::int32_t> own(static_cast<std::size_t>(shape.rows));
  std::iota(own.begin(), own.end(), 0);
  const Buffer places = copy_of({own.data(), shape.rows, 1, DType::i32, {}}, device.memory());
  OperatorRow copied;
  OperatorRow moved;
  device.time(copied, 1, [&] { device.memory().copy(from.tensor(), to.tensor()); });
  device.time(moved, 1,
              [&] { device.kernels().scatter_rows(from.tensor(), places.tensor(), to.tensor()); });
  return 2.0 * static_cast<double>(bytes_of(from.tensor())) / std::min(copied.us, moved.us) / 1e3;
}

// The ids that a router would have chosen are made; first_row follows from them.
OperatorRow experts_row(Device& device, const ExpertCase& expert_case) {
  const BenchShape& shape = expert_case.shape;
  BenchSettings settings;
  settings.shape = shape;
  const auto experts = device.kernels().gemm_experts(
      random_weights(settings, device.memory(), shape.num_experts, 0), shape.num_experts);
  const Buffer ids = device.ids(shape, expert_case.tokens);
  const RowPlanBuffers plan = device.kernels().plan_rows(ids.tensor(), {}, shape.num_experts);
  const Count num_rows = expert_case.tokens * shape.top_k;
  const Buffer rows = device.rows({num_rows, shape.hidden_size, DType::bf16});
  const Count each = 3 * shape.hidden_size * shape.intermediate_size;
  std::vector<bool> has_rows(static_cast<std::size_t>(shape.num_experts));
  for (const std::int32_t id : random_ids(shape, expert_case.tokens)) {
    has_rows[static_cast<std::size_t>(id)] = true;
  }
  const Count active = std::ranges::count(has_rows, true);
  OperatorRow row{.name = "experts", .shape = shape.name, .tokens = expert_case.tokens};
  row.flops = 2.0 * static_cast<double>(num_rows * each);
  row.bytes =
      2 * (active * each + num_rows * (2 * shape.hidden_size + 2 * shape.intermediate_size));
  row.anchor_us = expert_case.anchor_us;
  device.time(row, 1,
              [&] { const Buffer out = experts->apply(rows.tensor(), plan.first_row.tensor()); });
  return row;
}

OperatorRow router_row(Device& device, const BenchShape& shape, Count tokens) {
  const Buffer logits = device.rows({tokens, shape.num_experts, DType::f32});
  const Buffer bias = device.rows({1, shape.num_experts, DType::f32});
  const Buffer ids(device.memory(), {tokens, shape.top_k, DType::i32});
  const Buffer weights(device.memory(), {tokens, shape.top_k, DType::f32});
  const Routing chosen{ids.tensor(), weights.tensor()};
  const bool is_grouped = shape.num_experts == 256;  // DeepSeek-V3's router
  OperatorRow row{
      .name = is_grouped ? "grouped_topk" : "fused_topk", .shape = shape.name, .tokens = tokens};
  row.bytes = tokens * (4 * shape.num_experts + 8 * shape.top_k);
  device.time(row, calls_min, [&] {
    for (int i = 0; i < calls_min; ++i) {
      if (!is_grouped) {
        device.kernels().fused_topk(logits.tensor(), {}, chosen);
        continue;
      }
      device.kernels().grouped_topk(logits.tensor(),
                                    {.topk = {.scoring = Scoring::sigmoid,
                                              .routed_scaling_factor = 2.5F,
                                              .correction_bias = bias.tensor()},
                                     .num_expert_group = 8,
                                     .topk_group = 4},
                                    chosen);
    }
  });
  return row;
}

OperatorRow plan_row(Device& device, const BenchShape& shape, Count tokens) {
  const Buffer ids = device.ids(shape, tokens);
  OperatorRow row{.name = "plan_rows", .shape = shape.name, .tokens = tokens};
  row.bytes = tokens * shape.top_k * 12;
  device.time(row, calls_min, [&] {
    for (int i = 0; i < calls_min; ++i) {
      const RowPlanBuffers plan = device.kernels().plan_rows(ids.tensor(), {}, shape.num_experts);
    }
  });
  return row;
}

OperatorRow permute_row(Device& device, const BenchShape& shape, Count tokens) {
  const Buffer ids = device.ids(shape, tokens);
  const RowPlanBuffers plan = device.kernels().plan_rows(ids.tensor(), {}, shape.num_experts);
  OperatorRow row{.name = "permute", .shape = shape.name, .tokens = tokens};
  row.bytes = 2 * shape.hidden_size * tokens * (1 + shape.top_k);
  const int calls = calls_for(row.bytes);
  const auto inputs = several(calls, [&] {
    return device.rows({tokens, shape.hidden_size, DType::bf16});
  });
  device.time(row, calls, [&] {
    std::vector<Buffer> outputs;  // none takes another's place, which a cache may hold
    for (const Buffer& rows : inputs) {
      outputs.push_back(device.kernels().permute(rows.tensor(), plan.view(), GroupedRows::bounded));
    }
  });
  return row;
}

OperatorRow reduce_row(Device& device, const BenchShape& shape, Count tokens) {
  const Buffer ids = device.ids(shape, tokens);
  const RowPlanBuffers plan = device.kernels().plan_rows(ids.tensor(), {}, shape.num_experts);
  const Buffer weights = device.rows({tokens, shape.top_k, DType::f32});
  OperatorRow row{.name = "weight_and_reduce", .shape = shape.name, .tokens = tokens};
  row.bytes = 2 * shape.hidden_size * tokens * (1 + shape.top_k);
  const int calls = calls_for(row.bytes);
  const auto inputs = several(calls, [&] {
    return device.rows({tokens * shape.top_k, shape.hidden_size, DType::bf16});
  });
  const auto outputs = several(calls, [&] {
    return Buffer(device.memory(), {tokens, shape.hidden_size, DType::bf16});
  });
  device.time(row, calls, [&] {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      device.kernels().weight_and_reduce(inputs[i].tensor(), plan.row_of.tensor(), weights.tensor(),
                                         outputs[i].tensor());
    }
  });
  return row;
}

OperatorRow quantize_row(Device& device, const BenchShape& shape, Count tokens,
                         QuantRecipe recipe) {
  OperatorRow row{
      .name = text("quantize ", recipe_row(recipe).name), .shape = shape.name, .tokens = tokens};
  const QuantizedLayout layout = quantized_layout(recipe, tokens, shape.hidden_size, {});
  const Shape codes = data_shape(layout);
  row.bytes = tokens * 2 * shape.hidden_size + codes.rows * codes.columns +
              layout.scales.rows * layout.scales.columns * size_of(layout.scales.dtype);
  const int calls = calls_for(row.bytes);
  const auto inputs = several(calls, [&] {
    return device.rows({tokens, shape.hidden_size, DType::bf16});
  });
  device.time(row, calls, [&] {
    std::vector<QuantizedRowsBuffers> outputs;
    for (const Buffer& rows : inputs) {
      outputs.push_back(device.kernels().quantize(rows.tensor(), recipe));
    }
  });
  return row;
}

}  // namespace

OperatorBench run_operator_bench(const BenchSettings& settings,
                                 const std::vector<BenchSettings>& sizes) {
  std::vector<ExpertCase> given;
  for (const BenchSettings& one : sizes) given.push_back({one.shape, one.num_tokens, 0});
  for (const ExpertCase& one : given) check_memory(settings, one);
  Device device(settings);
  OperatorBench bench{.device = std::string(name_of(settings.device)),
                      .iterations = settings.iterations,
                      .copy_gb_per_s = copy_rate(device)};
  for (const auto& [shape, tokens, anchor_us] : given.empty() ? row_cases() : given) {
    bench.rows.push_back(router_row(device, shape, tokens));
    bench.rows.push_back(plan_row(device, shape, tokens));
    bench.rows.push_back(permute_row(device, shape, tokens));
    bench.rows.push_back(reduce_row(device, shape, tokens));
    bench.rows.push_back(quantize_row(device, shape, tokens, QuantRecipe::fp8_block128));
    bench.rows.push_back(quantize_row(device, shape, tokens, QuantRecipe::fp8_dynamic_token));
  }
  for (const ExpertCase& expert_case : given.empty() ? expert_cases() : given) {
    bench.rows.push_back(experts_row(device, expert_case));
  }
  return bench;
}

}  // namespace moe::sim
