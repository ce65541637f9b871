// Under which address other machines reach this one: the one from which it reaches a meeting point
// that they reach, too. Opens no connection and sends nothing.

#pragma once

#include <string>

#include "comm/store.h"

namespace moe {

// Both as numbers, "10.0.0.7".
struct Reach {
  std::string own;
  std::string theirs;
};

// Throws SystemError for a host that has no address or to which no way leads.
Reach reach_of(const StoreAddress& address);

// Whether it never leaves its machine.
bool is_loopback(const std::string& address);

// Where to listen for members that know the address: on it where it is loopback, else on every
// interface, since the host's own name may be loopback on the host itself.
StoreAddress listening_address(const StoreAddress& address);

}  // namespace moe
