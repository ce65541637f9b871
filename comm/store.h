// The meeting point of a world's ranks: a small key-value store over TCP (Boost.Asio), served by
// one process. It carries addresses and short reports, never rows. It notices a member whose
// connection ends without goodbye and tells the others.

#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/base/check.h"

namespace moe {

// Nobody listened at a store's address within the deadline: whoever waits may try again.
class NobodyListens : public SystemError {
 public:
  using SystemError::SystemError;
};

struct StoreAddress {
  std::string host = "127.0.0.1";
  int port = 0;  // 0: any free port
};

// "host:port" → address. Throws ScenarioError with what is wrong.
StoreAddress store_address(const std::string& words);

// Serves until destroyed, on a thread of its own. Only connections with the same token are let in,
// so that two jobs on one port do not mix. Throws SystemError if the port is taken, with its
// number.
class StoreServer {
 public:
  StoreServer(StoreAddress address, std::string token);
  ~StoreServer();
  StoreServer(const StoreServer&) = delete;
  StoreServer& operator=(const StoreServer&) = delete;

  // The address to give to members, with the port that was chosen.
  StoreAddress address() const;

  // As a client's calls, without a wire.
  void set(const std::string& key, const std::string& value);
  std::optional<std::string> get(const std::string& key, std::chrono::milliseconds wait);

  // Members whose connection ended without goodbye, in the order of their loss.
  std::vector<int> lost_members() const;

 private:
  class Server;
  std::unique_ptr<Server> server_;
};

// One member's connection. THREAD: any, calls are serialised.
class StoreClient {
 public:
  // Connects within the deadline, retrying while nobody listens. Throws NobodyListens, or
  // SystemError where the token is another job's.
  // connect_within: another time for that; the deadline is then that of answers alone.
  StoreClient(StoreAddress address, std::string token, int member,
              std::chrono::milliseconds deadline,
              std::optional<std::chrono::milliseconds> connect_within = std::nullopt);
  ~StoreClient();
  StoreClient(const StoreClient&) = delete;
  StoreClient& operator=(const StoreClient&) = delete;

  // Keys are written once; a second write with another value throws ContractError.
  void set(const std::string& key, const std::string& value);

  // Waits until the key is there. RETURNS nothing when the time is over. Throws SystemError if the
  // server is gone.
  std::optional<std::string> get(const std::string& key, std::chrono::milliseconds wait);

  std::vector<int> lost_members();

  // Ends membership in peace: the server does not count this member as lost.
  void goodbye();

 private:
  class Connection;
  std::unique_ptr<Connection> connection_;
};

}  // namespace moe
