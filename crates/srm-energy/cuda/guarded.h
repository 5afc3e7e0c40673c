// What both libraries behind graph.h say of themselves and of what they throw.
#pragma once

#include "graph.h"

#include <torch/headeronly/version.h>

#include <exception>
#include <string>

inline thread_local std::string srm_cuda_said;

const char* srm_cuda_libtorch() {
  return TORCH_VERSION;
}

const char* srm_cuda_error() {
  return srm_cuda_said.c_str();
}

// What `call` gives, or `failed` where it throws.
template <class T, class F>
T guarded(T failed, F call) {
  try {
    return call();
  } catch (const std::exception& thrown) {
    srm_cuda_said = thrown.what();
  } catch (...) {
    srm_cuda_said = "an exception of unknown kind";
  }
  return failed;
}
