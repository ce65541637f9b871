// The one file that knows libxxhash and OpenSSL.
// Called wherever bytes need a short name.

#include "kernels/base/digest.h"

#include <openssl/evp.h>
#include <xxhash.h>

#include <array>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {

std::uint64_t digest_of(std::span<const std::byte> bytes) {
  return XXH64(bytes.data(), bytes.size(), 0);
}

std::string sha256_of(std::span<const std::byte> bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  const int done =
      EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr);
  if (done != 1) throw SystemError("OpenSSL offers no SHA-256 on this machine");
  std::string hexadecimal;
  for (unsigned int i = 0; i < size; ++i) hexadecimal += hex2(digest[i]);
  return hexadecimal;
}

}  // namespace moe
