// The store's server and client, the one file that knows Boost.Asio. Each connection of the server
// is one coroutine that owns its socket and answers one question after the other; a client asks in
// turn. A waiting get is asked in slices, so that other threads' calls and the end of a connection
// get in.

#include "comm/store.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include <boost/asio.hpp>

#include "comm/store_frame.h"
#include "comm/turns.h"
#include "kernels/base/check.h"
#include "kernels/base/dtype.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds slice{100};        // of a waiting get
constexpr milliseconds hello_wait{5000};  // for a connection that says nothing
constexpr milliseconds retry_pause{20};

struct NotAFrame {};

// Frames are handed to coroutines by name only: g++ 12 destroys a temporary of a co_await twice.
asio::awaitable<void> write_frame(tcp::socket& socket, const StoreFrame& frame) {
  const std::string bytes = encoded(frame);
  co_await asio::async_write(socket, asio::buffer(bytes), asio::use_awaitable);
}

// Throws system_error when the connection ends and NotAFrame for bytes that are none of ours.
asio::awaitable<StoreFrame> read_frame(tcp::socket& socket, std::uint32_t bytes_max) {
  std::string bytes(frame_head_bytes, '\0');
  co_await asio::async_read(socket, asio::buffer(bytes), asio::use_awaitable);
  const std::uint32_t length = body_bytes(bytes);
  if (length > bytes_max) throw NotAFrame{};
  bytes.resize(length);
  co_await asio::async_read(socket, asio::buffer(bytes), asio::use_awaitable);
  std::optional<StoreFrame> frame = decoded(bytes);
  if (!frame) throw NotAFrame{};
  co_return std::move(*frame);
}

void prepare(tcp::socket& socket) {
  socket.set_option(tcp::no_delay(true));
  socket.set_option(asio::socket_base::keep_alive(true));
}

}  // namespace

class StoreServer::Server {
  using Strangers = std::map<Count, tcp::socket*>;

 public:
  Server(const StoreAddress& address, std::string token)
      : host_(address.host), token_(std::move(token)), acceptor_(io_) {
    open(address);
    asio::co_spawn(io_, accept_all(), asio::detached);
    thread_ = std::thread([this] { io_.run(); });
  }

  ~Server() {
    io_.stop();
    thread_.join();
  }

  StoreAddress address() const { return {host_, port_}; }

  // RETURNS false if another value is there.
  bool set(const std::string& key, const std::string& value) {
    const std::lock_guard lock(mutex_);
    const auto [found, written] = values_.try_emplace(key, value);
    if (!written) return found->second == value;
    changed_.notify_all();
    asio::post(io_, [this, key] { wake(key); });
    return true;
  }

  std::optional<std::string> get(const std::string& key, milliseconds wait) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, wait, [&] { return values_.contains(key); });
    const auto found = values_.find(key);
    return found == values_.end() ? std::nullopt : std::optional(found->second);
  }

  std::vector<int> lost_members() const {
    const std::lock_guard lock(mutex_);
    return lost_;
  }

 private:
  struct Forgetting {
    Strangers& strangers;
    Count stranger;
    ~Forgetting() { strangers.erase(stranger); }
  };

  void open(const StoreAddress& address) {
    error_code error;
    const auto found =
        tcp::resolver(io_).resolve(address.host, std::to_string(address.port), error);
    if (error)
      throw SystemError(text("no address for host '", address.host, "': ", error.message()));
    const tcp::endpoint endpoint = found.begin()->endpoint();
    acceptor_.open(endpoint.protocol());
    acceptor_.set_option(tcp::acceptor::reuse_address(true));
    acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error == asio::error::address_in_use) {
      throw SystemError(text("port ", address.port, " of ", address.host, " is taken"));
    }
    if (error) {
      throw SystemError(text("the store cannot listen on ", address.host, ":", address.port, ": ",
                             error.message()));
    }
    port_ = acceptor_.local_endpoint().port();
  }

  asio::awaitable<void> accept_all() {
    asio::steady_timer pause(io_);
    while (true) {
      error_code error;
      auto accepted = asio::redirect_error(asio::use_awaitable, error);
      tcp::socket socket = co_await acceptor_.async_accept(accepted);
      if (!error) {
        asio::co_spawn(io_, serve(std::move(socket)), asio::detached);
        continue;
      }
      pause.expires_after(retry_pause);  // out of descriptors, say: others may end meanwhile
      co_await pause.async_wait(asio::use_awaitable);
    }
  }

  // One connection from hello to its end. A connection that never was let in leaves no trace.
  asio::awaitable<void> serve(tcp::socket socket) {
    std::optional<int> member;
    bool goes_on = true;
    try {
      prepare(socket);
      member = co_await let_in(socket);
      goes_on = member.has_value();
      while (goes_on) goes_on = co_await answer(socket);
    } catch (const boost::system::system_error&) {
      // The connection ended.
    } catch (const NotAFrame&) {
      // Whoever this is speaks another language.
    }
    error_code ignored;
    socket.close(ignored);
    if (member && goes_on) lose(*member);
  }

  void lose(int member) {
    const std::lock_guard lock(mutex_);
    lost_.push_back(member);
  }

  asio::awaitable<std::optional<int>> let_in(tcp::socket& socket) {
    const Count stranger = num_strangers_++;
    strangers_[stranger] = &socket;
    asio::steady_timer patience(io_, hello_wait);
    patience.async_wait([this, stranger](error_code error) {
      const auto found = strangers_.find(stranger);
      if (!error && found != strangers_.end()) found->second->close(error);
    });
    const Forgetting forgetting{strangers_, stranger};
    const StoreFrame hello = co_await read_frame(socket, hello_bytes_max);
    if (hello.kind != FrameKind::hello || hello.value != store_protocol) co_return std::nullopt;
    if (hello.key != token_) {
      const StoreFrame refusal{.kind = FrameKind::refused,
                               .value = text("another job is using port ", port_)};
      co_await write_frame(socket, refusal);
      co_return std::nullopt;
    }
    const StoreFrame welcome;
    co_await write_frame(socket, welcome);
    co_return static_cast<int>(hello.number);
  }

  // RETURNS false after a goodbye.
  asio::awaitable<bool> answer(tcp::socket& socket) {
    const StoreFrame question = co_await read_frame(socket, frame_bytes_max);
    StoreFrame reply;
    if (question.kind == FrameKind::set) {
      if (!set(question.key, question.value)) reply.kind = FrameKind::refused;
    } else if (question.kind == FrameKind::get) {
      reply = co_await waited(question.key, milliseconds(question.number));
    } else if (question.kind == FrameKind::lost) {
      reply.value = members_text(lost_members());
    } else if (question.kind != FrameKind::goodbye) {
      throw NotAFrame{};
    }
    co_await write_frame(socket, reply);
    co_return question.kind != FrameKind::goodbye;
  }

  asio::awaitable<StoreFrame> waited(const std::string& key, milliseconds wait) {
    asio::steady_timer timer(io_, std::clamp(wait, milliseconds(0), slice));
    const auto place = waiting_.emplace(key, &timer);
    std::optional<std::string> value = get(key, milliseconds(0));
    if (!value) {
      error_code woken;
      co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, woken));
      value = get(key, milliseconds(0));
    }
    waiting_.erase(place);
    StoreFrame found{.kind = value ? FrameKind::ok : FrameKind::absent};
    found.value = value.value_or("");
    co_return found;
  }

  void wake(const std::string& key) {
    const auto [begin, end] = waiting_.equal_range(key);
    for (auto at = begin; at != end; ++at) at->second->cancel();
  }

  const std::string host_;
  const std::string token_;
  int port_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::string> values_;
  std::vector<int> lost_;

  // Of the server's thread alone: gets that wait, connections that have not said hello.
  std::multimap<std::string, asio::steady_timer*> waiting_;
  Strangers strangers_;
  Count num_strangers_ = 0;

  asio::io_context io_;
  tcp::acceptor acceptor_;
  std::thread thread_;
};

StoreServer::StoreServer(StoreAddress address, std::string token)
    : server_(std::make_unique<Server>(address, std::move(token))) {}

StoreServer::~StoreServer() = default;

StoreAddress StoreServer::address() const { return server_->address(); }

void StoreServer::set(const std::string& key, const std::string& value) {
  check_length(key, value);
  MOE_CHECK(server_->set(key, value), text("key '", key, "' is written twice with other values"));
}

std::optional<std::string> StoreServer::get(const std::string& key, milliseconds wait) {
  return server_->get(key, wait);
}

std::vector<int> StoreServer::lost_members() const { return server_->lost_members(); }

class StoreClient::Connection {
 public:
  Connection(StoreAddress address, milliseconds deadline)
      : address_(std::move(address)), deadline_(deadline), socket_(io_) {}

  void open(const std::string& token, int member, milliseconds within) {
    const Clock::time_point end = Clock::now() + within;
    while (!connected(end)) {
      if (Clock::now() + retry_pause >= end) {
        throw NobodyListens(text("no store at ", name(), " within ", within.count(), " ms"));
      }
      std::this_thread::sleep_for(retry_pause);
    }
    StoreFrame hello{FrameKind::hello, member, token, std::string(store_protocol)};
    const StoreFrame reply = ask(std::move(hello), deadline_);
    if (reply.kind == FrameKind::refused) throw SystemError(reply.value);
  }

  // One question and its answer, when it is this thread's turn.
  StoreFrame ask(StoreFrame question, milliseconds wait) {
    const Turns::Turn turn(turns_);
    if (!broken_.empty()) throw SystemError(broken_);
    std::optional<StoreFrame> reply;
    bool nonsense = false;
    asio::co_spawn(io_, exchange(question), [&](const std::exception_ptr& error, StoreFrame frame) {
      if (!error) reply = std::move(frame);
      nonsense = error && is_nonsense(error);
    });
    const bool in_time = run(Clock::now() + wait);
    if (reply) return std::move(*reply);
    broken_ = nonsense ? text("what listens at ", name(), " is no store: another program uses it")
              : in_time
                  ? text("the store at ", name(), " is gone")
                  : text("the store at ", name(), " did not answer within ", wait.count(), " ms");
    throw SystemError(broken_);
  }

  milliseconds deadline() const { return deadline_; }

 private:
  std::string name() const { return text(address_.host, ":", address_.port); }

  static bool is_nonsense(const std::exception_ptr& error) {
    try {
      std::rethrow_exception(error);
    } catch (const NotAFrame&) {
      return true;
    } catch (...) {
      return false;
    }
  }

  // Runs what was started. RETURNS false if it did not end in time; it is cancelled then.
  bool run(Clock::time_point end) {
    io_.restart();
    io_.run_until(end);
    if (io_.stopped()) return true;
    error_code ignored;
    socket_.close(ignored);
    io_.run();
    return false;
  }

  bool connected(Clock::time_point end) {
    error_code error;
    const auto found =
        tcp::resolver(io_).resolve(address_.host, std::to_string(address_.port), error);
    if (error) {
      throw SystemError(text("no address for host '", address_.host, "': ", error.message()));
    }
    socket_ = tcp::socket(io_);
    error = asio::error::timed_out;
    asio::async_connect(socket_, found,
                        [&](error_code result, const tcp::endpoint&) { error = result; });
    run(end);
    if (error) return false;
    // A port of our own choosing may be connected with itself while nobody listens there.
    if (socket_.local_endpoint() == socket_.remote_endpoint()) return false;
    prepare(socket_);
    return true;
  }

  asio::awaitable<StoreFrame> exchange(const StoreFrame& question) {
    co_await write_frame(socket_, question);
    co_return co_await read_frame(socket_, frame_bytes_max);
  }

  const StoreAddress address_;
  const milliseconds deadline_;
  asio::io_context io_;
  tcp::socket socket_;
  std::string broken_;  // why no question can be asked any more

  Turns turns_;
};

StoreClient::StoreClient(StoreAddress address, std::string token, int member, milliseconds deadline,
                         std::optional<milliseconds> connect_within)
    : connection_(std::make_unique<Connection>(std::move(address), deadline)) {
  connection_->open(token, member, connect_within.value_or(deadline));
}

StoreClient::~StoreClient() = default;

void StoreClient::set(const std::string& key, const std::string& value) {
  check_length(key, value);
  const StoreFrame reply =
      connection_->ask({FrameKind::set, 0, key, value}, connection_->deadline());
  MOE_CHECK(reply.kind != FrameKind::refused,
            text("key '", key, "' is written twice with other values"));
}

std::optional<std::string> StoreClient::get(const std::string& key, milliseconds wait) {
  const Clock::time_point end = Clock::now() + wait;
  while (true) {
    const auto left = std::chrono::duration_cast<milliseconds>(end - Clock::now());
    StoreFrame question{FrameKind::get, std::clamp(left, milliseconds(0), slice).count(), key, {}};
    StoreFrame reply = connection_->ask(std::move(question), connection_->deadline() + slice);
    if (reply.kind == FrameKind::ok) return std::move(reply.value);
    if (Clock::now() >= end) return std::nullopt;
  }
}

std::vector<int> StoreClient::lost_members() {
  return members_of(connection_->ask({.kind = FrameKind::lost}, connection_->deadline()).value);
}

void StoreClient::goodbye() {
  connection_->ask({.kind = FrameKind::goodbye}, connection_->deadline());
}

}  // namespace moe
