// The doors of Memory: shapes are checked here once, the do_… functions only move bytes.
// Every device's memory is behind these.

#include "kernels/base/memory.h"

#include "kernels/base/text.h"

namespace moe {
namespace {

void check_same_shape(const Tensor& from, const Tensor& to) {
  MOE_CHECK(from.rows == to.rows && from.columns == to.columns && from.dtype == to.dtype,
            text("copy of ", shape_text(from), " to ", shape_text(to)));
}

// A device's rows read as the host's are luck at best: they may lie where the host cannot reach.
void check_on_host(const Tensor& host) {
  MOE_CHECK(host.device.kind == DeviceKind::cpu,
            text("the host's side of a copy is ", shape_text(host)));
}

bool can_be_added(DType dtype) {
  return dtype == DType::f64 || dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
}

}  // namespace

void Memory::copy(const Tensor& from, const Tensor& to) {
  check_same_shape(from, to);
  if (bytes_of(from) > 0) do_copy(from.data, to.data, bytes_of(from));
}

void Memory::copy_from_host(const Tensor& host, const Tensor& to) {
  check_same_shape(host, to);
  check_on_host(host);
  if (bytes_of(host) > 0) do_copy_from_host(host.data, to.data, bytes_of(host));
}

void Memory::copy_to_host(const Tensor& from, const Tensor& host) {
  check_same_shape(from, host);
  check_on_host(host);
  if (bytes_of(from) > 0) do_copy_to_host(from.data, host.data, bytes_of(from));
}

void Memory::fill(const Tensor& tensor, std::uint32_t word) {
  if (bytes_of(tensor) > 0) do_fill(tensor.data, word, bytes_of(tensor));
}

void Memory::add_rows(std::span<const Tensor> operands, const Tensor& out) {
  MOE_CHECK(can_be_added(out.dtype), text("rows of ", name_of(out.dtype), " cannot be added"));
  MOE_CHECK(!operands.empty(), "a sum of no rows");
  for (const Tensor& operand : operands) check_same_shape(operand, out);
  if (bytes_of(out) > 0) do_add_rows(operands, out);
}

}  // namespace moe
