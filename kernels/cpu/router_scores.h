// Scores of one row of logits on the host: reading, softmax, sigmoid, rounding, and the best of a
// row. The routing operators of this folder share them.

#pragma once

#include <span>

#include "kernels/router_settings.h"

namespace moe::cpu {

// logits [tokens, scores.size()], widened to float.
void read_row(const Tensor& logits, Count row, std::span<float> scores);

// exp(score - largest) · (1 / sum), in place; a NaN or +Inf in the row makes all of it NaN.
void softmax(std::span<float> scores);

// Every score rounded to bf16 or f16 and widened again; f32 changes nothing.
void round_scores(std::span<float> scores, DType dtype);

// Whether a goes before b: the larger, and as torch has it a NaN before everything.
bool nan_first_greater(float a, float b);

// w / Σw, Σ from the left in float, with that much added to it.
void divide_by_sum(std::span<float> weights, float epsilon);

}  // namespace moe::cpu
