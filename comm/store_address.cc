// "host:port" as a person writes it. Called by whoever reads a command line; opens nothing.
// The store itself is store.cc.

#include <charconv>

#include "comm/store.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {

StoreAddress store_address(const std::string& words) {
  const std::size_t colon = words.rfind(':');
  const std::string wanted = text("'", words, "' is no address of a store: write host:port");
  if (colon == std::string::npos || colon == 0) throw ScenarioError(wanted);
  StoreAddress address{words.substr(0, colon), 0};
  const bool is_bracketed = address.host.starts_with('[') && address.host.ends_with(']');
  if (is_bracketed) address.host = address.host.substr(1, address.host.size() - 2);
  const char* begin = words.data() + colon + 1;
  const char* end = words.data() + words.size();
  const auto [stop, error] = std::from_chars(begin, end, address.port);
  if (error != std::errc{} || stop != end || address.port < 0 || address.port > 65535) {
    throw ScenarioError(text(wanted, ", port 0 to 65535"));
  }
  return address;
}

}  // namespace moe
