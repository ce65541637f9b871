// The table of devices: a row for each kind, and for each that is lacking the reason.
// What a device computes is tests/device.

#include "kernels/device_makers.h"
#include "tests/catch.h"

using namespace moe;

TEST_CASE("device makers: a row for each kind, in the order of the kinds") {
  CHECK(device_makers().size() == 3);
  for (const DeviceKind kind : {DeviceKind::cpu, DeviceKind::cuda, DeviceKind::xpu}) {
    CHECK(device_maker(kind).kind == kind);
  }
}

TEST_CASE("device makers: what cannot be made says why, what can has a device") {
  for (const DeviceMaker& maker : device_makers()) {
    INFO(name_of(maker.kind));
    const bool is_lacking = !maker.absence().empty();
    const bool is_built = maker.make_memory != nullptr;
    CHECK((maker.make_kernels != nullptr) == is_built);
    CHECK((is_built || is_lacking));
    CHECK((maker.count() > 0 || is_lacking));
    if (!is_built) CHECK_THAT(maker.absence(), Catch::Contains("not in this build ("));
    CHECK_FALSE(maker.products.empty());
  }
}

TEST_CASE("device makers: the host is always there, with its memory and its operators") {
  const DeviceMaker& host = device_maker(DeviceKind::cpu);
  REQUIRE(host.absence().empty());
  const auto memory = host.make_memory(0, Poison::on);
  CHECK(memory->stream().device == Device{});
  CHECK(&host.make_kernels(*memory)->memory() == memory.get());
}

TEST_CASE("device makers: without a library experts with products are refused with its name") {
  const DeviceMaker& host = device_maker(DeviceKind::cpu);
  if (host.products_absence().empty()) return;  // judged by experts_kernel_test.cc
  const auto memory = host.make_memory(0, Poison::on);
  const auto kernels = host.make_kernels(*memory);
  GemmWeights weights{.w13 = Buffer(*memory, {4, 3, DType::f32}),
                      .w2 = Buffer(*memory, {3, 2, DType::f32})};
  CHECK_THROWS_WITH(kernels->gemm_experts(std::move(weights), 1),
                    Catch::Contains("onednn") && Catch::Contains("MOE_ONEDNN"));
}
