// M-BACK: what two run lines of one scenario gave, against each other (fault-catalogue.md, 2):
// exact worlds to the byte, real ones within both lines' bounds together. A golden judges each line
// alone; this is what a migration asks. Called where outcomes come in, and for a faulty line
// against a healthy one.

#pragma once

#include <map>
#include <string>
#include <vector>

#include "golden/golden.h"

namespace moe::sim {

struct Outcome;

// One element of a rank's output, and how far from the truth it may be.
struct OutputSample {
  golden::Cell cell;
  Count token = 0;
  Count column = 0;
  double value = 0;
  double bound = 0;
};

// One row of a rank's output, by the number of its token among all of the step, whoever holds it.
struct OutputRow {
  golden::Cell cell;
  Count token = 0;
  Count number = 0;
  std::uint64_t digest = 0;
  double first = 0;  // its element in column 0
};

// What one rank's layers gave in a run.
struct RankOutputs {
  std::uint64_t digest = 0;  // of all outputs in their order
  bool has_bounds = false;   // of a real world: bits may differ between backends
  std::vector<OutputSample>
      samples;  // of the cells that are probed, edges of the first and last row
  std::vector<OutputRow> rows = {};  // all of them, where the scenario has relatives
};

// One row of a cell's output [tokens, hidden_size], which lies in host memory. bounds: of the row's
// elements; empty in exact worlds.
std::vector<OutputSample> row_samples(golden::Cell cell, const Tensor& output, Count token,
                                      const std::vector<double>& bounds);

// The first difference of two lines' ranks, in their order, as a sentence; empty where none is.
std::string output_difference(const std::vector<RankOutputs>& ones,
                              const std::vector<RankOutputs>& others);

// Holds each passed outcome against the first one of its scenario that passed.
class BackCheck {
 public:
  // Fails an outcome that differs. Faulty lines and expected errors are left alone.
  void look(Outcome& outcome);

 private:
  struct First {
    std::string words;  // backend and way
    std::vector<RankOutputs> outputs;
  };
  std::map<std::string, First> first_of_;
};

}  // namespace moe::sim
