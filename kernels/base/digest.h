// Digests of bytes: xxh64 names outputs and routings, sha256 names scenario files in goldens.
// The libraries are included in digest.cc only.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace moe {

// XXH64 with seed 0, the same as python3-xxhash's xxh64.
std::uint64_t digest_of(std::span<const std::byte> bytes);

// SHA-256 as 64 lower-case hexadecimal digits, the same as hashlib's sha256(…).hexdigest().
std::string sha256_of(std::span<const std::byte> bytes);

}  // namespace moe
