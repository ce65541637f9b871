// Addresses of a device's memory are no host addresses: whoever reads or writes there is stopped by
// the machine, whoever asks our own doors by an error. Of devices that have addresses of their own
// only the doors are asked.

#include <unistd.h>

#include <cerrno>

#include "kernels/base/reserved_addresses.h"
#include "tests/device/both_sides.h"

using namespace moe;

namespace {

// What the system says of a byte that it is told to read.
int error_of_reading(const void* data) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const ssize_t written = write(ends[1], data, 1);
  const int error = written == 1 ? 0 : errno;
  close(ends[0]);
  close(ends[1]);
  return error;
}

}  // namespace

TEST_CASE("device addresses: reserved ones fault, are apart, and go away") {
  ReservedAddresses first(100);
  const ReservedAddresses second(100);
  CHECK(error_of_reading(first.begin()) == EFAULT);
  CHECK(reinterpret_cast<std::uintptr_t>(first.begin()) % 4096 == 0);
  const auto* const one = static_cast<const std::byte*>(first.begin());
  const auto* const other = static_cast<const std::byte*>(second.begin());
  CHECK((one + 100 < other || other + 100 < one));
  const ReservedAddresses moved = std::move(first);
  CHECK(moved.begin() == one);
  CHECK_THROWS_WITH(ReservedAddresses(Count{1} << 60), Catch::Contains("no addresses"));
}

TEST_CASE("device addresses: a host access is an error, not luck") {
  on_every_device([](BothSides& both) {
    const Buffer rows(both.device_memory(), {3, 5, DType::f32});
    CHECK_THROWS_WITH(elements_of<float>(rows.tensor()), Catch::Contains("[3, 5] f32 on"));
    if (rows.tensor().device.kind != DeviceKind::xpu) return;
    CHECK(error_of_reading(rows.tensor().data) == EFAULT);
    CHECK(error_of_reading(row_at(rows.tensor(), 2)) == EFAULT);
  });
}

TEST_CASE("device addresses: the host's memory given for an xpu's is refused") {
  on_every_device([](BothSides& both) {
    const Buffer rows(both.device_memory(), {3, 5, DType::f32});
    if (rows.tensor().device.kind != DeviceKind::xpu) return;
    const Buffer host(both.host_memory(), {3, 5, DType::f32});
    Tensor astray = host.tensor();
    CHECK_THROWS_WITH(both.device_memory().copy(astray, rows.tensor()),
                      Catch::Contains("not this device's memory"));
    CHECK_THROWS_WITH(both.device().scale_rows(astray, 2),
                      Catch::Contains("got [3, 5] f32 on cpu"));
    astray = rows.tensor();
    astray.rows = 4000;
    CHECK_THROWS_WITH(both.device_memory().fill(astray, 0), Catch::Contains("in no one buffer"));
  });
}

TEST_CASE("device memory: rows that overlap are copied as they were") {
  on_every_device([](BothSides& both) {
    if (both.device_memory().stream().device.kind != DeviceKind::xpu) return;
    const Twin rows = both.integers({9, 7, DType::i32}, {0, 1000}, 1);
    const auto shift = [](Memory& memory, const Tensor& all) {
      memory.copy(rows_of(all, 0, 7), rows_of(all, 2, 7));
    };
    shift(both.host_memory(), rows.host.tensor());
    shift(both.device_memory(), rows.device.tensor());
    CHECK(both.difference(rows) == "");
  });
}
