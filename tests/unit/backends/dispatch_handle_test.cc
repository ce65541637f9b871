// The handle between dispatch and combine: used once, keeps its buffers, moves without losing
// either. A capability-free part of the layer, so it needs no ranks.

#include <utility>

#include "backends/moe_layer.h"
#include "tests/catch.h"

using namespace moe;

TEST_CASE("dispatch handle: the second use is refused") {
  DispatchHandle handle;
  handle.use();
  CHECK_THROWS_AS(handle.use(), ContractError);
}

TEST_CASE("dispatch handle: one that was moved from cannot be used") {
  DispatchHandle from;
  DispatchHandle to = std::move(from);
  to.use();
  CHECK_THROWS_AS(from.use(), ContractError);  // NOLINT(bugprone-use-after-move)
}

TEST_CASE("dispatch handle: kept buffers stay where they are and are watched") {
  const auto memory = make_host_memory(Poison::on);
  DispatchHandle handle;
  const Tensor first = handle.keep(Buffer(*memory, {2, 64, DType::u8}));
  for (int i = 0; i < 20; ++i) handle.keep(Buffer(*memory, {1, 64, DType::u8}));
  DispatchHandle moved = std::move(handle);
  CHECK(moved.guards_intact());
  static_cast<std::uint8_t*>(first.data)[128] = 0;
  CHECK_FALSE(moved.guards_intact());
}

TEST_CASE("dispatch handle: workspaces are remembered, and whose buffer a row lies in is known") {
  const auto memory = make_host_memory(Poison::on);
  DispatchHandle handle;
  const Tensor rows = handle.keep(Buffer(*memory, {3, 8, DType::u8}));
  const Tensor workspace = handle.keep_workspace(Buffer(*memory, {5, 8, DType::u8}));
  const DispatchHandle moved = std::move(handle);
  REQUIRE(moved.workspaces().size() == 1);
  CHECK(moved.workspaces()[0].data == workspace.data);
  REQUIRE(moved.buffer_of(rows_of(rows, 1, 1)));
  CHECK(moved.buffer_of(rows_of(rows, 1, 1))->data == rows.data);
  CHECK(moved.buffer_of(rows_of(workspace, 4, 1))->rows == 5);
  std::uint8_t elsewhere = 0;
  CHECK_FALSE(moved.buffer_of({&elsewhere, 1, 1, DType::u8}));
}
