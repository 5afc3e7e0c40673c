// CUDA graphs and fused kernels of libtorch_cuda behind a few C functions: see graph.h. `cargo xtask setup --cuda` compiles it.

#include "guarded.h"

#include <ATen/Context.h>
#include <ATen/cuda/CUDAGeneratorImpl.h>
#include <ATen/cuda/CUDAGraph.h>
#include <ATen/cuda/jiterator.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace {

struct Graph {
  explicit Graph(c10::DeviceIndex device) : device(device) {}
  c10::DeviceIndex device;
  at::cuda::CUDAGraph graph;
};

// The stream on which a device's graphs are recorded, always the same: libraries keep a workspace for each.
c10::cuda::CUDAStream aside(c10::DeviceIndex device) {
  static std::mutex lock;
  static std::map<c10::DeviceIndex, c10::cuda::CUDAStream> all;
  const std::lock_guard<std::mutex> held(lock);
  auto it = all.find(device);
  if (it == all.end()) {
    it = all.emplace(device, c10::cuda::getStreamFromPool(false, device)).first;
  }
  return it->second;
}

// What libtorch leaves undone where CUDA has refused a recording: the allocator and the generator would take it to go on for ever.
void give_up(std::unique_ptr<Graph> broken, at::cuda::MempoolId_t pool) {
  const auto device = broken.release()->device; // the allocator may still ask it which streams are its own
  c10::cuda::CUDACachingAllocator::endAllocateToPool(device, pool);
  at::Generator draws = at::cuda::detail::getDefaultCUDAGenerator(device);
  draws.graphsafe_set_state(at::make_generator<at::CUDAGeneratorImpl>(device));
}

} // namespace

void srm_cuda_same() {
  at::globalContext().setDeterministicCuDNN(true);
}

void* srm_cuda_capture(int device, int (*work)(void*), void* data) {
  return guarded<void*>(nullptr, [&]() -> void* {
    const c10::cuda::CUDAGuard on_device(static_cast<c10::DeviceIndex>(device));
    const auto index = on_device.current_device().index();
    const auto before = c10::cuda::getCurrentCUDAStream();
    const auto stream = aside(index);
    const c10::cuda::CUDAStreamGuard on_stream(stream);
    before.synchronize(); // what the work reads is there
    TORCH_CHECK(work(data) == 0, "the work to record failed");
    stream.synchronize();
    // while it records, the allocator gives nothing back
    c10::cuda::CUDACachingAllocator::emptyCache();

    const auto pool = at::cuda::graph_pool_handle();
    auto made = std::make_unique<Graph>(index);
    // other threads, which feed images, may go on with theirs meanwhile
    made->graph.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
    const int failed = work(data);
    try {
      made->graph.capture_end();
    } catch (...) {
      give_up(std::move(made), pool);
      throw;
    }
    stream.synchronize();
    TORCH_CHECK(failed == 0, "the work to record failed while it was recorded");
    return made.release();
  });
}

int srm_cuda_replay(void* graph) {
  return guarded(1, [&] {
    auto* it = static_cast<Graph*>(graph);
    c10::cuda::CUDAGuard on_device(it->device);
    it->graph.replay();
    return 0;
  });
}

void srm_cuda_forget(void* graph) {
  guarded(0, [&] { return delete static_cast<Graph*>(graph), 0; });
}

void* srm_cuda_bias_leaky_relu(const void* a, const void* bias, double slope) {
  return guarded<void*>(nullptr, [&]() -> void* {
    static const std::string code =
        "template <typename T> T bias_leaky_relu(T a, T bias, T slope) { T s = a + bias; if (s > T(0)) return s; return s * slope; }";
    const auto& input = *static_cast<const at::Tensor*>(a);
    auto along = static_cast<const at::Tensor*>(bias)->view({1, -1, 1, 1});
    c10::cuda::CUDAGuard on_device(input.device());
    auto made = at::cuda::CompileAndLaunchKernel(code, "bias_leaky_relu", 1, {input, along}, {slope}, false);
    return new at::Tensor(made[0]);
  });
}
