// Worlds of ranks as threads for the tests of comm: each rank runs one function and returns a value
// or the words of its error; the main thread asserts. Local and Gloo worlds look the same from
// here.

#pragma once

#include <chrono>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "comm/communicator.h"
#include "comm/gloo_communicator.h"
#include "comm/local_communicator.h"
#include "comm/makers.h"
#include "comm/traced_communicator.h"
#include "kernels/base/buffer.h"
#include "kernels/base/mix.h"
#include "kernels/base/text.h"
#include "kernels/device_makers.h"

namespace moe::test {

using std::chrono::milliseconds;

// What became of one rank. kind names the type of the error, "" where there is none.
template <typename T>
struct Outcome {
  std::optional<T> value = {};
  std::string kind = {};
  std::string error = {};
};

template <typename T, typename Program>
Outcome<T> outcome_of(const Program& program) {
  try {
    return {.value = program()};
  } catch (const DisagreementError& error) {
    return {.kind = error.check(), .error = error.what()};
  } catch (const SystemError& error) {
    return {.kind = "SystemError", .error = error.what()};
  } catch (const ContractError& error) {
    return {.kind = "ContractError", .error = error.what()};
  } catch (const std::exception& error) {
    return {.kind = "exception", .error = error.what()};
  }
}

// Runs program(rank) on a thread per rank and joins them all.
template <typename Program>
auto run_ranks(int size, const Program& program) {
  using T = decltype(program(0));
  std::vector<Outcome<T>> outcomes(static_cast<std::size_t>(size));
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < size; ++rank) {
    ranks.emplace_back([&, rank] {
      outcomes[static_cast<std::size_t>(rank)] = outcome_of<T>([&] { return program(rank); });
    });
  }
  for (std::thread& rank : ranks) rank.join();
  return outcomes;
}

enum class Wire { local, gloo };

inline std::string name_of(Wire wire) { return wire == Wire::local ? "local" : "gloo"; }

// The wires of this build.
inline std::vector<Wire> wires() {
  if (gloo_maker.make == nullptr) return {Wire::local};
  return {Wire::local, Wire::gloo};
}

struct WorldSettings {
  Wire wire = Wire::local;
  int size = 1;
  milliseconds deadline{20000};
};

// One rank's endpoint with all that it stands on, in the order in which it goes away.
struct Endpoint {
  std::unique_ptr<StoreClient> store = {};
  std::unique_ptr<Memory> memory = {};
  std::unique_ptr<Communicator> communicator = {};
};

inline const CommunicatorMaker& maker_of(std::string_view name) {
  for (const CommunicatorMaker& maker : communicator_makers()) {
    if (maker.name == name) return maker;
  }
  throw ContractError(text("no communicator ", name));
}

// What a rank keeps its rows in: ranks of one process share the first device of a kind, where their
// communicator does not want one for each.
inline std::unique_ptr<Memory> memory_of(Device device) {
  return device_maker(device.kind).make_memory(device.ordinal, Poison::on);
}

class World {
 public:
  explicit World(WorldSettings settings)
      : World(maker_of(name_of(settings.wire)), settings.size, settings.deadline) {}

  // device: whose memory ranks have where the communicator moves any.
  World(const CommunicatorMaker& maker, int size, milliseconds deadline,
        DeviceKind device = DeviceKind::cpu)
      : maker_(maker),
        size_(size),
        deadline_(deadline),
        device_(moves_memory_of(maker, device) ? device : *maker.device),
        group_(size, deadline) {
    if (maker.needs_store) store_ = std::make_unique<StoreServer>(StoreAddress{}, "test");
  }

  LocalGroup& group() { return group_; }

  Endpoint endpoint(int rank) {
    Endpoint endpoint;
    endpoint.memory = memory_of({device_, maker_.one_device_each ? rank : 0});
    if (maker_.needs_store) {
      endpoint.store =
          std::make_unique<StoreClient>(store_->address(), "test", rank, milliseconds(20000));
    }
    Meeting meeting;
    meeting.size = size_;
    meeting.deadline = deadline_;
    meeting.group = &group_;
    meeting.store = endpoint.store.get();
    meeting.share_process = true;
    meeting.end_process = [](const std::string& words) {
      std::cerr << words << "\n";
      std::_Exit(1);
    };
    endpoint.communicator = maker_.make(meeting, rank, *endpoint.memory);
    return endpoint;
  }

 private:
  const CommunicatorMaker& maker_;
  int size_;
  milliseconds deadline_;
  DeviceKind device_;
  LocalGroup group_;
  std::unique_ptr<StoreServer> store_;
};

// Runs program(communicator) on every rank of a new world.
template <typename Program>
auto run_world(WorldSettings settings, const Program& program) {
  World world(settings);
  return run_ranks(settings.size, [&](int rank) {
    const Endpoint endpoint = world.endpoint(rank);
    return program(*endpoint.communicator);
  });
}

// The same with a communicator that the program owns, for decorators.
template <typename Program>
auto run_owned(WorldSettings settings, const Program& program) {
  World world(settings);
  return run_ranks(settings.size, [&](int rank) {
    Endpoint endpoint = world.endpoint(rank);
    return program(std::move(endpoint.communicator));
  });
}

using Bytes = std::vector<std::uint8_t>;
using Counts = std::vector<Count>;

inline Tensors one(const Tensor& tensor) { return {&tensor, 1}; }

// The made-up bytes of one rank's tensor.
inline Bytes pattern(int rank, int tensor, Count bytes) {
  Bytes out(static_cast<std::size_t>(bytes));
  for (Count i = 0; i < bytes; ++i) {
    out[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(mix(20261125, rank, tensor, i));
  }
  return out;
}

// A buffer's bytes, wherever it lies.
inline Bytes bytes_in(const Buffer& buffer) {
  const Tensor& tensor = buffer.tensor();
  Bytes bytes(static_cast<std::size_t>(bytes_of(tensor)));
  memory_of(tensor.device)
      ->copy_to_host(tensor, {bytes.data(), tensor.rows, tensor.columns, tensor.dtype, {}});
  return bytes;
}

// A buffer that holds the pattern of a rank's tensor.
inline Buffer patterned(Communicator& group, int tensor, Shape shape, int rank = -1) {
  const Count size = shape.rows * shape.columns * size_of(shape.dtype);
  Bytes bytes = pattern(rank < 0 ? group.rank() : rank, tensor, size);
  return copy_of({bytes.data(), shape.rows, shape.columns, shape.dtype, {}}, group.memory());
}

// A row of floats, or of another type, on a rank.
template <typename T>
Buffer filled(Communicator& group, std::vector<T> values, Count columns = 1) {
  const auto rows = static_cast<Count>(values.size()) / columns;
  return copy_of({values.data(), rows, columns, dtype_for<T>(), {}}, group.memory());
}

template <typename T>
std::vector<T> values_in(const Buffer& buffer) {
  const Tensor& tensor = buffer.tensor();
  MOE_CHECK(tensor.dtype == dtype_for<T>(), shape_text(tensor) + " read as another type");
  std::vector<T> values(static_cast<std::size_t>(tensor.rows * tensor.columns));
  memory_of(tensor.device)
      ->copy_to_host(tensor, {values.data(), tensor.rows, tensor.columns, tensor.dtype, {}});
  return values;
}

inline bool contains(const std::string& words, const std::string& part) {
  return words.find(part) != std::string::npos;
}

}  // namespace moe::test
