// Numbers from mix, so that every run of a bench computes the same. Products on the host are the
// library's packed ones, on a device the operator that the layer uses.

#include "sim/bench_inputs.h"

#include <cmath>
#include <utility>

#include "kernels/base/bits.h"
#include "kernels/base/mix.h"
#include "kernels/cpu/gemm.h"

namespace moe::sim {
namespace {

Buffer random_host_rows(Memory& memory, Shape shape, std::uint64_t seed, double bound) {
  Buffer rows(memory, shape);
  for_row_type(shape.dtype, [&](auto element) {
    std::uint64_t state = mix(seed, shape.rows);
    for (auto& to : elements_of<decltype(element)>(rows.tensor())) {
      state += 0x9E3779B97F4A7C15ULL;
      const double share = static_cast<double>(splitmix64(state) >> 40U) * 0x1p-23 - 1;
      round_to(static_cast<float>(share * bound), to);
    }
  });
  return rows;
}

bool is_host(const Memory& memory) { return memory.stream().device.kind == DeviceKind::cpu; }

// One expert's random rows for each of them.
Buffer repeated_rows(Memory& memory, Shape of_one, Count count, std::uint64_t seed, double bound) {
  const Buffer one = random_rows(memory, of_one, seed, bound);
  Buffer all(memory, {of_one.rows * count, of_one.columns, of_one.dtype});
  for (Count i = 0; i < count; ++i) {
    memory.copy(one.tensor(), rows_of(all.tensor(), i * of_one.rows, of_one.rows));
  }
  return all;
}

class PackedExperts final : public BareExperts {
 public:
  PackedExperts(const BenchSettings& settings, Memory& memory, std::vector<std::int32_t> first)
      : num_local_experts_(std::ssize(first) - 1), first_(std::move(first)) {
    GemmWeights weights = random_weights(settings, memory, num_local_experts_, -1);
    w13_ = cpu::onednn_gemm.pack({std::move(weights.w13), {}, num_local_experts_}, memory);
    w2_ = cpu::onednn_gemm.pack({std::move(weights.w2), {}, num_local_experts_}, memory);
    const Count num_rows = first_.back();
    const auto& [name, hidden, intermediate, num_experts, top_k] = settings.shape;
    rows_ = random_rows(memory, {num_rows, hidden, settings.dtype}, 5, 1.7);
    inner_ = random_rows(memory, {num_rows, 2 * intermediate, settings.dtype}, 6, 1);
    activated_ = random_rows(memory, {num_rows, intermediate, settings.dtype}, 7, 1);
    out_ = random_rows(memory, {num_rows, hidden, settings.dtype}, 8, 1);
  }

  void multiply() override {
    for (Count expert = 0; expert < num_local_experts_; ++expert) {
      const Count begin = first_[static_cast<std::size_t>(expert)];
      const Count count = first_[static_cast<std::size_t>(expert) + 1] - begin;
      if (count == 0) continue;
      const Tensor rows = rows_of(rows_.tensor(), begin, count);
      w13_->multiply(expert, rows, rows_of(inner_.tensor(), 0, count));
      w2_->multiply(expert, rows_of(activated_.tensor(), 0, count),
                    rows_of(out_.tensor(), begin, count));
    }
  }

 private:
  Count num_local_experts_;
  std::unique_ptr<cpu::PackedWeights> w13_;
  std::unique_ptr<cpu::PackedWeights> w2_;
  std::vector<std::int32_t> first_;
  Buffer rows_;
  Buffer inner_;
  Buffer activated_;
  Buffer out_;
};

class OperatorExperts final : public BareExperts {
 public:
  OperatorExperts(const BenchSettings& settings, Kernels& kernels, std::vector<std::int32_t> first)
      : first_row_(copy_of({first.data(), std::ssize(first), 1, DType::i32, {}}, kernels.memory())),
        rows_(random_rows(kernels.memory(),
                          {first.back(), settings.shape.hidden_size, settings.dtype}, 5, 1.7)),
        experts_(kernels.gemm_experts(
            random_weights(settings, kernels.memory(), std::ssize(first) - 1, -1),
            std::ssize(first) - 1)) {}

  void multiply() override {
    const Buffer out = experts_->apply(rows_.tensor(), first_row_.tensor());
  }

 private:
  Buffer first_row_;
  Buffer rows_;
  std::unique_ptr<GemmExperts> experts_;
};

}  // namespace

Buffer random_rows(Memory& memory, Shape shape, std::uint64_t seed, double bound) {
  if (is_host(memory)) return random_host_rows(memory, shape, seed, bound);
  const auto host = make_host_memory(Poison::off);
  return copy_of(random_host_rows(*host, shape, seed, bound).tensor(), memory);
}

GemmWeights random_weights(const BenchSettings& settings, Memory& memory, Count num_local_experts,
                           int rank) {
  const auto& [name, hidden, intermediate, num_experts, top_k] = settings.shape;
  const auto seeded = [&](BenchSeed seed, Count rows, Count columns) {
    const std::uint64_t number = mix(static_cast<std::uint64_t>(seed), rank);
    const double bound = std::sqrt(3.0 / static_cast<double>(columns));
    if (!is_host(memory)) {
      return repeated_rows(memory, {rows, columns, settings.dtype}, num_local_experts, number,
                           bound);
    }
    return random_rows(memory, {num_local_experts * rows, columns, settings.dtype}, number, bound);
  };
  return {.w13 = seeded(BenchSeed::w13, 2 * intermediate, hidden),
          .w2 = seeded(BenchSeed::w2, hidden, intermediate),
          .activation = Activation::silu};
}

std::unique_ptr<BareExperts> make_bare_experts(const BenchSettings& settings, Kernels& kernels,
                                               std::vector<std::int32_t> first) {
  if (is_host(kernels.memory())) {
    return std::make_unique<PackedExperts>(settings, kernels.memory(), std::move(first));
  }
  return std::make_unique<OperatorExperts>(settings, kernels, std::move(first));
}

}  // namespace moe::sim
