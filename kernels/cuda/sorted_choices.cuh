// Choices sorted by a small key, equal keys in the order of the choices: what plans of rows and
// blocks are read from. permute_cuda.cu sorts them.

#pragma once

#include "kernels/cuda/cuda_memory.cuh"

namespace moe::cuda {

// keys() is written by the owner, each from 0 to num_keys, and num_keys stands for no key; after
// sort() the rest may be read. LIFETIME: the memory's stream has to reach the end of its use.
class SortedChoices {
 public:
  SortedChoices(CudaMemory& memory, Count num_choices, int num_keys);

  std::int32_t* keys() const { return keys_.data(); }

  void sort();

  const std::int32_t* sorted_keys() const { return sorted_keys_.data(); }
  const std::int32_t* sorted() const { return sorted_.data(); }  // the choices

  // first[key], the place where the key's choices start, for keys 0 to num_keys.
  void write_first(std::int32_t* first) const;

 private:
  CudaMemory& memory_;
  Count num_choices_;
  int num_keys_;
  Scratch<std::int32_t> keys_;
  Scratch<std::int32_t> choices_;
  Scratch<std::int32_t> sorted_keys_;
  Scratch<std::int32_t> sorted_;
};

}  // namespace moe::cuda
