// The sums for every processor.
// Nothing but the body may be compiled here.

#include "kernels/base/row_sums_body.h"

namespace moe {

const RowSums row_sums_baseline = {"baseline", add_rows_in_order};

}  // namespace moe
