// The memory of a board, from its start: header, one reason an author, one bell an area, areas. It
// is sparse: an area that nobody uses costs nothing. All words are atomic and every wait is a futex
// that processes share; this is the one file that knows futexes.

#include "comm/board.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <thread>

#include "comm/agreement.h"
#include "comm/group_agreement.h"
#include "kernels/base/text.h"

namespace moe {

struct Board::Header {
  std::uint64_t mark;
  std::int32_t size;
  std::int32_t deadline_ms;
  std::uint32_t broken_by;  // the author of the reason that counts, and one; 0: not broken
};

namespace {

using Clock = std::chrono::steady_clock;
using Word = std::atomic_ref<std::uint32_t>;
static_assert(Word::is_always_lock_free, "processes cannot share a lock that they do not see");

constexpr std::uint64_t board_mark = 0x312d6472616f626d;  // "mboard-1"
constexpr int areas_per_rank = 8;                         // the groups of a world are five kinds
constexpr Count line = 64;  // of cache: words of different groups do not share one
constexpr Count reason_bytes = 2048;
constexpr std::uint32_t broken_bit = 1;
constexpr std::chrono::microseconds spin{20};

Count in_lines(Count bytes) { return (bytes + line - 1) / line * line; }

// Where things lie in a world of that many ranks.
struct Layout {
  explicit Layout(int ranks) : size(ranks) {}

  Count size;
  Count slot =
      in_lines(line + std::max(words_per_record(static_cast<int>(size)), words_per_statement()) *
                          size_of(DType::i64));
  Count num_areas = size * areas_per_rank;
  Count arrived = in_lines(size * size_of(DType::i32));
  Count area = arrived + 2 * size * slot;
  Count reasons = line;
  Count bells = reasons + (size + 1) * reason_bytes;
  Count areas = bells + num_areas * line;
  Count total = areas + num_areas * area;
};

Layout layout_of(const BoardSettings& settings) { return Layout(settings.size); }

std::string system_words() { return std::strerror(errno); }

void sleep_while(std::uint32_t& word, std::uint32_t value, std::chrono::nanoseconds time) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
  const timespec patience{seconds.count(), (time - seconds).count()};
  syscall(SYS_futex, &word, FUTEX_WAIT, value, &patience, nullptr, 0);
}

void wake_all(std::uint32_t& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

bool has_idle_cores(int num_ranks) {
  return static_cast<int>(std::thread::hardware_concurrency()) > num_ranks;
}

}  // namespace

Board::Board(BoardSettings settings) : settings_(settings), author_(settings.size) {
  MOE_CHECK(settings.size > 0, text("a board for ", settings.size, " ranks"));
  descriptor_ = memfd_create("moebius board", MFD_CLOEXEC);
  const Count bytes = layout_of(settings_).total;
  if (descriptor_ < 0 || ftruncate(descriptor_, bytes) != 0) {
    const std::string why = system_words();
    if (descriptor_ >= 0) close(descriptor_);
    throw SystemError(text("no shared memory of ", bytes, " bytes for the board of ",
                           settings_.size, " ranks: ", why));
  }
  map();
  header().size = settings_.size;
  header().deadline_ms = static_cast<std::int32_t>(settings_.deadline.count());
  header().mark = board_mark;
}

Board::Board(BoardSeat seat) : descriptor_(seat.descriptor), author_(seat.rank) {
  Header found{};
  const bool is_read = pread(descriptor_, &found, sizeof found, 0) == sizeof found;
  if (!is_read || found.mark != board_mark || seat.rank < 0 || seat.rank >= found.size) {
    throw SystemError(text("rank ", seat.rank, ": descriptor ", seat.descriptor, " is no board of ",
                           "its world"));
  }
  settings_ = {found.size, std::chrono::milliseconds(found.deadline_ms)};
  if (seat.rank == 0) lead_another();  // the world
  map();
}

Board::~Board() {
  munmap(memory_.data(), memory_.size());
  close(descriptor_);
}

void Board::map() {
  const auto bytes = static_cast<std::size_t>(layout_of(settings_).total);
  void* const data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_, 0);
  if (data == MAP_FAILED) {
    const std::string why = system_words();
    close(descriptor_);
    throw SystemError(text("cannot map ", bytes, " bytes of a board: ", why));
  }
  memory_ = {static_cast<std::byte*>(data), bytes};
  spins_ = has_idle_cores(settings_.size);
}

Board::Header& Board::header() const { return *reinterpret_cast<Header*>(memory_.data()); }

std::span<char> Board::reason_of(int author) const {
  std::byte* const at = memory_.data() + layout_of(settings_).reasons + author * reason_bytes;
  return {reinterpret_cast<char*>(at), static_cast<std::size_t>(reason_bytes)};
}

// Each author has a place of its own, so that one that dies while it writes leaves no half reason.
// Who comes second rings again: the first may have died before it did.
void Board::abort(const std::string& why) {
  const std::lock_guard lock(aborting_);
  const Word broken_by(header().broken_by);
  if (broken_by == 0) {
    const std::span<char> reason = reason_of(author_);
    const std::size_t length = std::min(why.size(), reason.size() - 1);
    std::ranges::copy(why.substr(0, length), reason.begin());
    reason[length] = '\0';
    std::uint32_t nobody = 0;
    broken_by.compare_exchange_strong(nobody, static_cast<std::uint32_t>(author_ + 1));
  }
  const Layout layout = layout_of(settings_);
  for (int number = 0; number < layout.num_areas; ++number) {
    const Area broken = area(number, settings_.size);
    Word(broken.bell).fetch_or(broken_bit);
    wake_all(broken.bell);
  }
}

std::optional<std::string> Board::broken() const {
  const std::uint32_t author = Word(header().broken_by);
  if (author == 0) return std::nullopt;
  return std::string(reason_of(static_cast<int>(author) - 1).data());
}

Board::Area Board::area(int number, int group_size) const {
  const Layout layout = layout_of(settings_);
  std::byte* const bell = memory_.data() + layout.bells + number * line;
  std::byte* const words = memory_.data() + layout.areas + number * layout.area;
  return {*reinterpret_cast<std::uint32_t*>(bell),
          {reinterpret_cast<std::uint32_t*>(words), static_cast<std::size_t>(group_size)},
          words + layout.arrived};
}

Count Board::slot_bytes() const { return layout_of(settings_).slot; }

int Board::area_led_by(int rank, int nth) const {
  MOE_CHECK(
      nth < areas_per_rank,
      text("rank ", rank, " leads ", nth, " groups and is to lead another; a board has areas ",
           "for ", areas_per_rank, " a rank, ", layout_of(settings_).num_areas, " in all"));
  return rank * areas_per_rank + nth;
}

bool Board::await_ring(const Area& area, std::uint32_t before, Clock::time_point end) {
  const Clock::time_point spin_end = spins_ ? Clock::now() + spin : Clock::time_point();
  while (true) {
    const std::uint32_t seen = Word(area.bell);
    if ((seen & ~broken_bit) != before) return true;
    if (seen != before) throw SystemError(*broken());
    const Clock::time_point now = Clock::now();
    if (now >= end) return false;
    if (now < spin_end) {
      std::this_thread::yield();
    } else {
      sleep_while(area.bell, seen, end - now);
    }
  }
}

void Board::ring(const Area& area, std::uint32_t before) {
  const Word bell(area.bell);
  std::uint32_t seen = bell;
  while ((seen & ~broken_bit) == before) {
    if (bell.compare_exchange_weak(seen, seen + 2)) return wake_all(area.bell);
  }
}

}  // namespace moe
