// What a line's ranks need together for rows: rooms of a fixed size stand there in full, however
// few rows come. Held against the machine before any rank starts, since a process that takes too
// much is killed without a word.

#pragma once

#include <string>

#include "sim/world_inputs.h"

namespace moe::sim {

// Of all ranks, and how it comes about: "8 ranks x 65536 rows (8192 tokens of each of 8 ranks) x
// …".
struct RoomEstimate {
  Count bytes = 0;
  std::string words;
  std::string lower;  // the key that makes it smaller, with what it says
};
RoomEstimate estimated_room(const Scenario& scenario, const WorldInputs& inputs,
                            const Capabilities& capabilities, const Profile& profile);

// Why the line cannot run in that much memory, half of which it may take; empty: it can.
std::string room_refusal(const RoomEstimate& estimate, Count machine_bytes);

}  // namespace moe::sim
