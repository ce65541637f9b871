// A rank for tests of whoever starts ranks: called as `moebius rank` and `moebius bench-rank` are,
// rank 0 reports at once that all went well, the others never say anything. With MOE_GIVES_UP set
// rank 0 breaks the board and says nothing either.

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "comm/board.h"
#include "comm/store.h"
#include "sim/bench.h"
#include "sim/json_reading.h"
#include "sim/process_job.h"

using namespace moe;
using namespace moe::sim;

namespace {

StoreAddress address_of(const std::string& words) {
  const std::size_t colon = words.rfind(':');
  return {words.substr(0, colon), static_cast<std::uint16_t>(std::stoi(words.substr(colon + 1)))};
}

void say(const StoreAddress& address, const std::string& token, const std::string& key,
         const JsonValue& report) {
  StoreClient store(address, token, 0, std::chrono::milliseconds(10000));
  store.set(key, json_text(report));
  store.goodbye();
}

void give_up(const StoreAddress& address, const std::string& token) {
  StoreClient store(address, token, 0, std::chrono::milliseconds(10000));
  const auto job = store.get(job_key, std::chrono::milliseconds(10000));
  Board board(BoardSeat{process_job_from(parse_json(*job, "the job")).board, 0});
  board.abort("rank 0 gave up");
  pause();
}

}  // namespace

int main(int count, char** words) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const std::vector<std::string> given(words, words + count);
  const bool is_bench = given.at(1) == "bench-rank";  // HOST:PORT TOKEN RANK+1
  const int rank = is_bench ? std::stoi(given.at(4)) - 1 : std::stoi(given.at(7));
  if (rank != 0) pause();
  if (std::getenv("MOE_GIVES_UP") != nullptr) give_up(address_of(given.at(3)), given.at(5));
  if (is_bench) {
    say(address_of(given.at(2)), given.at(3), bench_report_key(0), to_json(BenchReport{}));
  } else {
    say(address_of(given.at(3)), given.at(5), report_key(0), to_json(RankReport{}));
  }
  return EXIT_SUCCESS;
}
