// One rank that repeats one operation over Gloo until it fails, and the store that such ranks meet
// at, each a process of its own: lost_peers_test.py kills and stops them. Says "at work" when all
// are, and leaves with the code that main.cc would give the error.

#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <string>
#include <thread>

#include "comm/gloo_communicator.h"
#include "comm/store.h"
#include "kernels/base/buffer.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

constexpr int columns = 1024;
constexpr int iterations_before_work = 3;

// Rows of every rank, and room for all.
struct Rows {
  Rows(Communicator& group, Count rows)
      : per_rank(static_cast<std::size_t>(group.size()), rows),
        own(group.memory(), {rows, columns, DType::f32}),
        all(group.memory(), {rows * group.size(), columns, DType::f32}),
        received(group.memory(), {rows * group.size(), columns, DType::f32}) {
    for (const Buffer* buffer : {&own, &all}) {
      for (float& value : elements_of<float>(buffer->tensor())) value = 1;
    }
  }

  std::vector<Count> per_rank;
  Buffer own;
  Buffer all;
  Buffer received;
};

Tensors one(const Buffer& buffer) { return {&buffer.tensor(), 1}; }

// A ring, rank 0 first: nobody sends while its receiver sends.
void pass_around(Communicator& group, const Rows& rows) {
  const int next = (group.rank() + 1) % group.size();
  const int previous = (group.rank() + group.size() - 1) % group.size();
  if (group.rank() == 0) group.send(one(rows.own), next);
  group.recv(one(rows.own), previous);
  if (group.rank() != 0) group.send(one(rows.own), next);
}

using Operations = std::map<std::string, std::function<void(Communicator&, const Rows&)>>;

const Operations& operations() {
  static const Operations all = {
      {"all_gather_v",
       [](Communicator& group, const Rows& rows) {
         group.all_gather_v(one(rows.own), rows.per_rank, one(rows.received));
       }},
      {"reduce_scatter_v",
       [](Communicator& group, const Rows& rows) {
         group.reduce_scatter_v(rows.all.tensor(), rows.per_rank, rows.own.tensor());
       }},
      {"all_to_all_v",
       [](Communicator& group, const Rows& rows) {
         group.all_to_all_v(one(rows.all), rows.per_rank, rows.per_rank, one(rows.received));
       }},
      {"broadcast",
       [](Communicator& group, const Rows& rows) { group.broadcast(one(rows.own), 0); }},
      {"all_reduce",
       [](Communicator& group, const Rows& rows) {
         group.all_reduce(rows.own.tensor(), ReduceOp::max, rows.own.tensor());
       }},
      {"send", pass_around},
      {"barrier", [](Communicator& group, const Rows&) { group.barrier(); }}};
  return all;
}

// Until whoever started it closes the other end of standard input.
int serve() {
  const StoreServer server({}, "test");
  std::cout << server.address().port << std::endl;
  std::cin.get();
  return 0;
}

struct Words {
  int port;
  int rank;
  int size;
  std::string operation;
  int rows;
  int deadline_ms;
};

int work(const Words& words) {
  const std::chrono::milliseconds deadline(words.deadline_ms);
  StoreClient store({"127.0.0.1", words.port}, "test", words.rank, std::chrono::seconds(20));
  const auto memory = make_host_memory(Poison::on);
  const GlooSettings settings{.rank = words.rank, .size = words.size, .deadline = deadline};
  const auto group = gloo_maker.make(settings, store, *memory);
  const Rows rows(*group, words.rows);
  const auto& repeat = operations().at(words.operation);
  for (int i = 0;; ++i) {
    repeat(*group, rows);
    if (i == iterations_before_work) std::cout << "at work" << std::endl;
  }
}

}  // namespace
}  // namespace moe

int main(int argc, char** argv) {
  try {
    if (argc != 7) return moe::serve();
    return moe::work({std::atoi(argv[1]), std::atoi(argv[2]), std::atoi(argv[3]), argv[4],
                      std::atoi(argv[5]), std::atoi(argv[6])});
  } catch (const moe::SystemError& error) {
    std::cerr << error.what() << "\n";
    return 3;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 4;
  }
}
