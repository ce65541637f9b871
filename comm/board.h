// A board: memory that ranks share which are processes of one machine, with an area for each group
// in which its ranks show each other small records. It moves no rows and starts no process; ranks
// hold a board_communicator.h of it.

#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "kernels/base/tensor.h"

namespace moe {

struct BoardSettings {
  int size = 1;  // ranks of the world
  std::chrono::milliseconds deadline{5000};
};

// What a rank that was started knows of its board.
struct BoardSeat {
  int descriptor = -1;
  int rank = 0;  // in the world
};

// One process's end of a board. THREAD: one at a time, but for abort and broken; ranks that are
// threads have an end each.
class Board {
 public:
  // A new board, the end of whoever starts the ranks. Its descriptor is closed in the programs that
  // this one starts, unless they are given it.
  explicit Board(BoardSettings settings);

  // A rank's end, which owns the descriptor. Throws SystemError where that is no board.
  explicit Board(BoardSeat seat);

  ~Board();
  Board(const Board&) = delete;
  Board& operator=(const Board&) = delete;

  int descriptor() const { return descriptor_; }
  const BoardSettings& settings() const { return settings_; }
  int rank() const { return author_; }  // of a rank's end

  // Breaks the board: ranks that wait in any group wake with a SystemError that says why, those
  // that come later get it too. Only the first reason counts.
  void abort(const std::string& why);

  // Why it is broken.
  std::optional<std::string> broken() const;

  // What the ranks of one group share. Fresh areas are zero.
  struct Area {
    std::uint32_t& bell;  // twice the number of meetings; odd where the board is broken
    std::span<std::uint32_t> arrived;  // how many meetings each rank has come to
    std::byte* slots;                  // two rows that take turns, with a slot a rank
  };
  Area area(int number, int group_size) const;
  Count slot_bytes() const;

  // The area of the world, and that of the n-th group that a rank leads: all ranks of a group come
  // to the same number. The world is the first of rank 0. Throws ContractError beyond the last.
  static constexpr int world_area = 0;
  int area_led_by(int rank, int nth) const;

  // How many groups this rank leads so far, and one more.
  int num_led() const { return num_led_; }
  void lead_another() { ++num_led_; }

  // Waits while the bell says `before`. RETURNS whether it was rung until the end, throws
  // SystemError where the board is broken instead.
  bool await_ring(const Area& area, std::uint32_t before,
                  std::chrono::steady_clock::time_point end);

  // Rings a bell that still says `before`, and wakes who waits for it.
  void ring(const Area& area, std::uint32_t before);

 private:
  struct Header;

  void map();
  Header& header() const;
  std::span<char> reason_of(int author) const;

  BoardSettings settings_;
  std::mutex aborting_;
  int descriptor_ = -1;
  int author_ = 0;  // of reasons: a rank, or the size of the world for whoever starts them
  int num_led_ = 0;
  std::span<std::byte> memory_;
  bool spins_ = false;
};

}  // namespace moe
