// The maker of a rank's memory and operators on a GPU, and the question whether there is one.
// Nothing asks the driver before somebody wants a device.

#include "kernels/cuda/cuda_device.h"

#include "kernels/base/text.h"
#include "kernels/cuda/cuda_memory.cuh"
#include "kernels/cuda/cuda_operators.cuh"

namespace moe {
namespace {

// What kernels of this build need: they have no other code.
constexpr int capability = 90;

int count() {
  int devices = 0;
  return cudaGetDeviceCount(&devices) == cudaSuccess ? devices : 0;
}

std::string absence() {
  int devices = 0;
  const cudaError_t result = cudaGetDeviceCount(&devices);
  if (result != cudaSuccess || devices == 0) {
    return text("no CUDA device", result == cudaSuccess ? "" : ": ",
                result == cudaSuccess ? "" : cudaGetErrorString(result));
  }
  int major = 0;
  int minor = 0;
  cuda::check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "device 0");
  cuda::check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0), "device 0");
  if (10 * major + minor == capability) return {};
  return text("no CUDA device of compute capability 9.0: device 0 has ", major, ".", minor);
}

std::unique_ptr<Memory> make_memory(int ordinal, Poison poison) {
  return std::make_unique<cuda::CudaMemory>(ordinal, poison);
}

}  // namespace

const DeviceMaker cuda_device = {.kind = DeviceKind::cuda,
                                 .has = "NVIDIA GPUs, products on their tensor cores",
                                 .make_memory = make_memory,
                                 .make_kernels = cuda::make_cuda_kernels,
                                 .count = count,
                                 .absence = absence,
                                 .products = "tensor cores",
                                 .products_absence = [] { return std::string(); }};

}  // namespace moe
