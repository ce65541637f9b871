// The oracle's products with AVX-512; compiled with its flag, run only where a processor has it.
// See products.h.

#include "golden/products_loop.h"

namespace moe::golden {

extern const Products products_avx512;
const Products products_avx512 = ProductsLoop<8>::run;

}  // namespace moe::golden
