// Which token of the world each row is that a layer's dispatch hands out: rows carry tags of their
// place in the dispatch, and with sequence parallelism or PCP a rank's rows are a part of its
// tokens and padding. Pure arithmetic on counts; read by the checks.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backends/backend.h"
#include "sim/scenario.h"

namespace moe::sim {

// A token of a DP rank.
struct TokenOf {
  int dp_rank = 0;
  Count token = 0;
};

// How ranks of a TP group dispatch that hold the same tokens: none do, each sends them all, or they
// split them.
struct TpSources {
  int replicas = 1;
  bool are_split = false;
};

// Of a dispatch to owners; for others there are none.
TpSources tp_sources(const Capabilities& capabilities, const WorldSpec& world);

// The part of a step's tokens that one call of a layer has, where the layer is called chunk by
// chunk: of each DP rank num_rows tokens from first_token on; what its tokens do not fill is a
// dummy's.
struct CallPart {
  std::vector<Count> first_token;
  std::vector<Count> num_rows;
};

class DispatchedTokens {
 public:
  // layer_moves_rows: whether the layer's dispatch sees each rank's rows apart, or all that it gets
  // as its own. part: of the call that dispatches; null: all tokens in one.
  DispatchedTokens(const FusedMoEParallelConfig& parallel, RowCounts num_tokens_across_dp,
                   bool layer_moves_rows, TpSources sources = {}, const CallPart* part = nullptr);

  // Rows by the rank that their tags name.
  RowCounts rows_per_rank() const { return rows_per_rank_; }

  // Whether the tag names a row of this dispatch.
  bool contains(std::int64_t tag) const;
  // The row's place among all, ranks ascending. REQUIRES contains(tag).
  std::size_t index_of(std::int64_t tag) const;
  // The row's place among those that its rank's router sees. REQUIRES contains(tag).
  Count router_row(std::int64_t tag) const;
  // Nothing for padding.
  std::optional<TokenOf> token_of(std::int64_t tag) const;

  // Whether the tag names a row of this dispatch that is a token's, not padding.
  bool is_token(std::int64_t tag) const { return contains(tag) && token_of(tag).has_value(); }

  // "token 17 of rank 2", "padding row 3 of rank 1".
  std::string words(std::int64_t tag) const;

 private:
  // Rows of one source: tokens of a DP rank from first_token on; beyond its last one padding.
  // first_row: how many rows its router sees before them.
  struct Run {
    int dp_rank = 0;
    Count first_token = 0;
    Count num_rows = 0;
    Count first_row = 0;
  };

  void add_sources(const Run& run, TpSources sources);

  std::vector<Count> first_token_;  // of each DP rank in this call
  std::vector<Count> num_tokens_;   // of this call that are tokens, not padding
  std::vector<Count> rows_per_rank_;
  std::vector<Run> runs_;  // one after the other over all rows
};

}  // namespace moe::sim
