// Ranks over TCP through Gloo: threads of one process or processes, meeting through the store.
// Gloo's headers live in gloo_communicator.cc only; gloo_absent.cc stands in where a build has
// none.

#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "comm/store.h"

namespace moe {

struct GlooSettings {
  int rank = 0;
  int size = 1;
  std::string group = "world";  // names this mesh's keys in the store; every mesh has its own
  std::string host = "127.0.0.1";
  std::chrono::milliseconds deadline{5000};
};

// How to make a Gloo communicator in this build; make is null where it has none, and absence says
// what to do about that.
struct GlooMaker {
  std::unique_ptr<Communicator> (*make)(const GlooSettings& settings, StoreClient& store,
                                        Memory& memory);
  const char* absence;
};

extern const GlooMaker gloo_maker;

}  // namespace moe
