// Split with zero padding, gather and cut.
// PCP in vLLM deals each request's tokens out in two pieces a rank; a layer does not see which.

#include "backends/parallel/token_share.h"

#include <algorithm>
#include <vector>

namespace moe {

Buffer own_share(const Tensor& rows, Communicator& group) {
  const Count each = (rows.rows + group.size() - 1) / group.size();
  Buffer share(group.memory(), {each, rows.columns, rows.dtype});
  const Count begin = std::min(group.rank() * each, rows.rows);
  const Count held = std::min(each, rows.rows - begin);
  group.memory().copy(rows_of(rows, begin, held), rows_of(share.tensor(), 0, held));
  group.memory().fill(rows_of(share.tensor(), held, each - held), 0);
  return share;
}

void gather_shares(const Tensor& share, Communicator& group, const Tensor& rows) {
  const std::vector<Count> sizes(static_cast<std::size_t>(group.size()), share.rows);
  const Buffer all(group.memory(), {share.rows * group.size(), share.columns, share.dtype});
  group.all_gather_v({&share, 1}, sizes, {&all.tensor(), 1});
  group.memory().copy(rows_of(all.tensor(), 0, rows.rows), rows);
}

}  // namespace moe
