// CUDA graphs and fused kernels of libtorch_cuda behind a few C functions: see graph.h. `cargo xtask setup --cuda` compiles it.

#include "graph.h"

#include <ATen/cuda/CUDAGraph.h>
#include <ATen/cuda/jiterator.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/headeronly/version.h>

#include <memory>
#include <string>

namespace {

thread_local std::string error;

struct Graph {
  explicit Graph(c10::DeviceIndex device) : device(device) {}
  c10::DeviceIndex device;
  at::cuda::CUDAGraph graph;
};

// What `call` gives, or `failed` where it throws.
template <class T, class F>
T guarded(T failed, F call) {
  try {
    return call();
  } catch (const std::exception& thrown) {
    error = thrown.what();
  } catch (...) {
    error = "an exception of unknown kind";
  }
  return failed;
}

void done(int (*work)(void*), void* data) {
  TORCH_CHECK(work(data) == 0, "the work to record failed");
}

} // namespace

const char* srm_cuda_libtorch() {
  return TORCH_VERSION;
}

const char* srm_cuda_error() {
  return error.c_str();
}

void* srm_cuda_capture(int device, int (*work)(void*), void* data) {
  return guarded<void*>(nullptr, [&]() -> void* {
    c10::cuda::CUDAGuard on_device(static_cast<c10::DeviceIndex>(device));
    auto before = c10::cuda::getCurrentCUDAStream();
    auto aside = c10::cuda::getStreamFromPool(false, on_device.current_device().index());
    auto made = std::make_unique<Graph>(on_device.current_device().index());
    {
      c10::cuda::CUDAStreamGuard on_stream(aside);
      before.synchronize(); // what the work reads is there
      done(work, data);
      aside.synchronize();
      // other threads, which feed images, may go on with theirs meanwhile
      made->graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
      bool captured = false;
      try {
        done(work, data);
        captured = true;
      } catch (...) {
        guarded(0, [&] { return made->graph.capture_end(), 0; }); // the stream must not stay in capture
      }
      TORCH_CHECK(captured, "the work to record failed while it was recorded");
      made->graph.capture_end();
    }
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
