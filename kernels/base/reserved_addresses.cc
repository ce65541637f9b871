// Pages that are mapped without any right and without memory behind them.
// One mapping a range; nothing here knows what the addresses stand for.

#include "kernels/base/reserved_addresses.h"

#include <sys/mman.h>

#include <utility>

#include "kernels/base/text.h"

namespace moe {
namespace {

constexpr Count page_bytes = 4096;

}  // namespace

ReservedAddresses::ReservedAddresses(Count bytes)
    : bytes_(static_cast<std::size_t>((bytes + page_bytes - 1) / page_bytes * page_bytes +
                                      page_bytes)) {
  begin_ = mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (begin_ == MAP_FAILED) throw SystemError(text("no addresses for ", bytes, " bytes"));
}

ReservedAddresses::~ReservedAddresses() {
  if (begin_ != nullptr) munmap(begin_, bytes_);
}

ReservedAddresses::ReservedAddresses(ReservedAddresses&& other) noexcept
    : begin_(std::exchange(other.begin_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

ReservedAddresses& ReservedAddresses::operator=(ReservedAddresses&& other) noexcept {
  std::swap(begin_, other.begin_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace moe
