// What srm calls of a shared library that it opens beside libtorch_cuda: CUDA graphs and fused kernels, for which tch has no door.
// graph.cpp is the real one; stand_in.cpp has the same for a machine without a GPU.
//
// Tensors are libtorch's own `at::Tensor*`, as tch hands them on. A call that fails says so by its result, and srm_cuda_error() why.
#pragma once

extern "C" {
// The libtorch that the library was compiled against, "2.11.0"; no other may call it.
const char* srm_cuda_libtorch();

// What the last call of this thread that failed has said.
const char* srm_cuda_error();

// From now on cuDNN's kernels give the same bits each time.
void srm_cuda_same();

// Run `work(data)` once on a stream of its own, which leaves nothing to be set up, and once more to record what it starts on `device`
// without doing it; no other thread may draw or record there meanwhile. `work` gives 0 where it succeeds. The graph, or null.
void* srm_cuda_capture(int device, int (*work)(void*), void* data);

// Do what was recorded, on the same tensors; the draws of the default generator go on where they are. 0, or 1 where it fails.
int srm_cuda_replay(void* graph);

// Forget it, and give back what its tensors take.
void srm_cuda_forget(void* graph);

// LeakyReLU of a + bias in one pass, slope >= 0; a: [b, c, h, w], bias: [c]. A tensor of the caller's, or null.
void* srm_cuda_bias_leaky_relu(const void* a, const void* bias, double slope);
}
