// The oracle's products with AVX2; compiled with its flag, run only where a processor has it.
// See products.h.

#include "golden/products_loop.h"

namespace moe::golden {

extern const Products products_avx2;
const Products products_avx2 = ProductsLoop<4>::run;

}  // namespace moe::golden
