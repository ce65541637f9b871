// ReservedAddresses: addresses of this process that nobody can read or write. They are names for
// memory that lies elsewhere: arithmetic on them is as on any pointer, and a host access faults.
// Memories of devices whose buffers have no address of their own hold these.

#pragma once

#include "kernels/base/tensor.h"

namespace moe {

class ReservedAddresses {
 public:
  // At least `bytes` addresses and one page beyond, so that the end of one range is no beginning of
  // another. Aligned to a page. Throws SystemError if there are none.
  explicit ReservedAddresses(Count bytes);
  ~ReservedAddresses();
  ReservedAddresses(ReservedAddresses&& other) noexcept;
  ReservedAddresses& operator=(ReservedAddresses&& other) noexcept;
  ReservedAddresses(const ReservedAddresses&) = delete;
  ReservedAddresses& operator=(const ReservedAddresses&) = delete;

  void* begin() const { return begin_; }

 private:
  void* begin_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace moe
