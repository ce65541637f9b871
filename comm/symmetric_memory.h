// SymmetricMemory: a window of the same size on every rank of a group, in which a rank reaches its
// peers' parts as it reaches its own. A seam: what device-initiated backends stand on. Who may read
// what when is theirs to agree on; nothing here waits.

#pragma once

#include <memory>

#include "comm/communicator.h"

namespace moe {

// LIFETIME: not longer than its group. Peers may reach a part until its rank drops it: a group has
// a barrier before.
class SymmetricMemory {
 public:
  virtual ~SymmetricMemory() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // A rank's part, [1, bytes] u8, under the address that this rank reaches it by. Fresh parts hold
  // anything.
  virtual Tensor part(int rank) const = 0;
};

// For ranks that are threads of one process and share one device or the host: their buffers'
// addresses. Collective.
std::unique_ptr<SymmetricMemory> make_shared_addresses(Communicator& group, Count bytes);

}  // namespace moe
