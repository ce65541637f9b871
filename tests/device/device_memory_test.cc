// A device's memory beside the host's: poison, guards, copies, fills, sums.
// What is compared are bytes.

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <ranges>
#include <thread>

#include "kernels/base/bits.h"
#include "tests/device/both_sides.h"

using namespace moe;

namespace {

// A part of a row of bytes that begins where no word does: all of it is a kernel's.
Tensor odd_part(const Tensor& whole, Count columns) {
  return {static_cast<std::byte*>(whole.data) + 1, 1, columns, DType::u8, whole.device};
}

}  // namespace

TEST_CASE("device memory: fresh buffers hold the poison of their type") {
  on_every_device([](BothSides& both) {
    for (const DType dtype : all_dtypes) {
      INFO(name_of(dtype));
      CHECK(both.difference(both.fresh({5, 7, dtype})) == "");
    }
  });
}

TEST_CASE("device memory: a guard row says that somebody wrote over the end") {
  on_every_device([](BothSides& both) {
    const Buffer buffer(both.device_memory(), {3, 40, DType::f32});
    CHECK(buffer.guards_intact());
    Tensor beyond = buffer.tensor();
    beyond.data = row_at(beyond, 3);
    beyond.rows = 1;
    both.device_memory().fill(beyond, 0);
    CHECK_FALSE(buffer.guards_intact());
  });
}

TEST_CASE("device memory: fills of any length and place are the host's") {
  on_every_device([](BothSides& both) {
    for (Count columns = 0; columns < 20; ++columns) {
      for (Count begin = 0; begin < 6; ++begin) {
        const Twin twin = both.fresh({1, 40, DType::u8});
        const auto fill = [&](Memory& memory, const Tensor& whole) {
          memory.fill(
              {static_cast<std::byte*>(whole.data) + begin, 1, columns, DType::u8, whole.device},
              0x04030201U);
        };
        fill(both.host_memory(), twin.host.tensor());
        fill(both.device_memory(), twin.device.tensor());
        CHECK(both.difference(twin) == "");
      }
    }
  });
}

TEST_CASE("device memory: a fill that takes more items than one launch is the host's") {
  on_every_device([](BothSides& both) {
    constexpr Count bytes = 2'500'003;
    const Twin twin = both.fresh({1, bytes + 2, DType::u8});
    both.host_memory().fill(odd_part(twin.host.tensor(), bytes), 0x04030201U);
    both.device_memory().fill(odd_part(twin.device.tensor(), bytes), 0x04030201U);
    CHECK(both.difference(twin) == "");
  });
}

// Under PoCL 3.1 launches wider than all before them, beside others of the same kernel, ended the
// process (opencl_device.cc says why). The more workers PoCL has, the more of them meet.
TEST_CASE("device memory: ranks may launch wider and wider beside each other") {
  setenv("POCL_MAX_PTHREAD_COUNT", "16", 1);  // NOLINT: before any thread is there
  on_every_device([](BothSides& both) {
    const DeviceKind kind = both.device_memory().stream().device.kind;
    std::vector<std::thread> ranks;
    std::atomic<int> right = 0;
    for (int rank = 0; rank < 8; ++rank) {
      ranks.emplace_back([kind, rank, &right] {
        const auto memory = device_maker(kind).make_memory(0, Poison::off);
        constexpr Count longest = 20'000;
        const Buffer row(*memory, {1, longest + 1, DType::u8});
        for (Count columns = 64; columns <= longest; columns += 64) {
          memory->fill(odd_part(row.tensor(), columns), 0x01010101U * rank);
        }
        std::vector<std::uint8_t> seen(longest + 1);
        memory->copy_to_host(row.tensor(), {seen.data(), 1, longest + 1, DType::u8, {}});
        const auto same = [&](Count i) { return seen[static_cast<std::size_t>(i)] == rank; };
        if (std::ranges::all_of(std::views::iota(Count{1}, longest / 64 * 64 + 1), same)) ++right;
      });
    }
    for (std::thread& rank : ranks) rank.join();
    CHECK(right == 8);
  });
}

TEST_CASE("device memory: rows are added in their order with one rounding") {
  on_every_device([](BothSides& both) {
    for (const DType dtype : row_types) {
      for (int count = 1; count <= 9; ++count) {
        INFO(name_of(dtype) << ", " << count << " operands");
        const Twin all = both.numbers({Count{7} * count, 33, dtype}, count);
        const auto sum = [count](Memory& memory, const Tensor& rows) {
          std::vector<Tensor> operands;
          for (Count i = 0; i < count; ++i) operands.push_back(rows_of(rows, 7 * i, 7));
          memory.add_rows(operands, operands.back());
        };
        sum(both.host_memory(), all.host.tensor());
        sum(both.device_memory(), all.device.tensor());
        CHECK(both.difference(all) == "");
      }
    }
  });
}

TEST_CASE("device memory: loads are added in double") {
  on_every_device([](BothSides& both) {
    std::vector<double> values = {0.1, 0.2, 0.3, 1e300, -1e300, 1};
    const Buffer rows = copy_of({values.data(), 6, 1, DType::f64, {}}, both.device_memory());
    const Buffer out(both.device_memory(), {2, 1, DType::f64});
    std::vector<Tensor> operands;
    for (Count i = 0; i < 3; ++i) operands.push_back(rows_of(rows.tensor(), 2 * i, 2));
    both.device_memory().add_rows(operands, out.tensor());
    CHECK(values_of(both.on_host(out.tensor()).tensor()) ==
          std::vector<double>{0.1 + 0.3 + -1e300, 0.2 + 1e300 + 1});
  });
}
