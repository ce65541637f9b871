// Which of the oracle's products this x86 processor runs.
// products_any.cc stands in its place elsewhere.

#include "golden/products_loop.h"

namespace moe::golden {

extern const Products products_avx512;
extern const Products products_avx2;

Products chosen_products() {
  if (__builtin_cpu_supports("avx512f")) return products_avx512;
  if (__builtin_cpu_supports("avx2")) return products_avx2;
  return ProductsLoop<2>::run;
}

}  // namespace moe::golden
