// The kernel chooses the way: a datagram socket that is connected knows its own end.
// store.cc opens the connections themselves.

#include "comm/own_address.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

struct Closed {
  int socket;
  ~Closed() { close(socket); }
};

std::string as_numbers(const sockaddr* address, socklen_t bytes) {
  std::array<char, NI_MAXHOST> host{};
  getnameinfo(address, bytes, host.data(), host.size(), nullptr, 0, NI_NUMERICHOST);
  return host.data();
}

}  // namespace

Reach reach_of(const StoreAddress& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* first = nullptr;
  const std::string port = text(address.port);
  const int error = getaddrinfo(address.host.c_str(), port.c_str(), &hints, &first);
  if (error != 0) {
    throw SystemError(text("no address for host '", address.host, "': ", gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> found(first, freeaddrinfo);
  int last_error = 0;
  for (const addrinfo* one = first; one != nullptr; one = one->ai_next) {
    const Closed end{socket(one->ai_family, SOCK_DGRAM, 0)};
    sockaddr_storage own{};
    socklen_t bytes = sizeof own;
    auto* own_address = reinterpret_cast<sockaddr*>(&own);
    if (connect(end.socket, one->ai_addr, one->ai_addrlen) == 0 &&
        getsockname(end.socket, own_address, &bytes) == 0) {
      return {as_numbers(own_address, bytes), as_numbers(one->ai_addr, one->ai_addrlen)};
    }
    last_error = errno;
  }
  throw SystemError(text("no way to host '", address.host, "': ", std::strerror(last_error)));
}

bool is_loopback(const std::string& address) {
  return address.starts_with("127.") || address == "::1" || address == "localhost";
}

StoreAddress listening_address(const StoreAddress& address) {
  if (is_loopback(address.host)) return address;
  const bool is_six = address.host.find(':') != std::string::npos;
  return {is_six ? "::" : "0.0.0.0", address.port};
}

}  // namespace moe
