// A stand-in for libtorch_cuda where there is no GPU: devices cuda:0 and cuda:1 whose memory is this machine's and whose kernels are
// the CPU's. Tests open it by SRM_LIBTORCH_CUDA, and what a card would refuse is refused here, too: tensors of two devices in one
// operation, a host that reads while a graph is recorded, more memory than there is (SRM_STAND_IN_MB). SRM_STAND_IN_COUNT names a file
// for the number of each operation, a line each: what a GPU would start, and what the host waits for.
//
// It takes the CUDA key of libtorch's dispatcher, which is free where libtorch_cuda is not loaded. An operation gets views on its
// tensors as the CPU's, and its results are the device's again. It says nothing of speed, of streams, of a GPU's rounding, of how
// cuDNN chooses its kernels, or of what a recording that failed leaves behind in libtorch_cuda.

#include "guarded.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/clone.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace stand_in {

using c10::Device;
using c10::DeviceIndex;
using c10::IValue;
using torch::jit::Stack;

constexpr DeviceIndex COUNT = 2;
thread_local DeviceIndex current = 0;

// ---- memory

std::atomic<size_t> held{0};

struct Piece {
  void* data;
  size_t bytes;
};

void give_back(void* context) {
  std::unique_ptr<Piece> piece(static_cast<Piece*>(context));
  c10::GetCPUAllocator()->raw_deallocate(piece->data);
  held -= piece->bytes;
}

struct Memory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    const Device device(c10::kCUDA, current);
    if (bytes == 0) {
      return {nullptr, device};
    }
    const char* most = std::getenv("SRM_STAND_IN_MB");
    const bool fits = most == nullptr || held + bytes <= std::strtoull(most, nullptr, 10) << 20;
    TORCH_CHECK_WITH(OutOfMemoryError, fits, "CUDA out of memory. Tried to allocate ", bytes >> 20, " MiB of ", most, ".");
    held += bytes;
    auto* piece = new Piece{c10::GetCPUAllocator()->raw_allocate(bytes), bytes};
    return {piece->data, piece, &give_back, device};
  }
  c10::DeleterFnPtr raw_deleter() const override {
    return nullptr;
  }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
};

Memory memory;

// ---- what libtorch asks of a device

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override {
    return c10::kCUDA;
  }
  Device exchangeDevice(Device device) const override {
    const Device before = getDevice();
    setDevice(device);
    return before;
  }
  Device getDevice() const override {
    return Device(c10::kCUDA, current);
  }
  void setDevice(Device device) const override {
    TORCH_CHECK(device.is_cuda() && device.index() < COUNT, "CUDA error: invalid device ordinal ", device);
    current = device.index() < 0 ? current : device.index();
  }
  void uncheckedSetDevice(Device device) const noexcept override {
    current = device.index() < 0 ? current : device.index();
  }
  c10::Stream getStream(Device device) const override {
    return c10::Stream(c10::Stream::DEFAULT, device);
  }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    return c10::Stream(c10::Stream::DEFAULT, stream.device());
  }
  DeviceIndex deviceCount() const noexcept override {
    return COUNT;
  }
};

const at::Generator& generator(DeviceIndex index) {
  static const std::vector<at::Generator> all = [] {
    std::vector<at::Generator> made;
    for (DeviceIndex i = 0; i < COUNT; i++) {
      made.push_back(at::detail::createCPUGenerator());
    }
    return made;
  }();
  return all.at(index < 0 ? current : index);
}

struct CUDAHooks final : at::CUDAHooksInterface {
  explicit CUDAHooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override {
    return true;
  }
  bool isBuilt() const override {
    return true;
  }
  bool isAvailable() const override {
    return true;
  }
  bool hasPrimaryContext(DeviceIndex) const override {
    return true;
  }
  const at::Generator& getDefaultGenerator(DeviceIndex index) const override {
    return generator(index);
  }
  DeviceIndex current_device() const override {
    return current;
  }
  DeviceIndex deviceCount() const override {
    return COUNT;
  }
  int getNumGPUs() const override {
    return COUNT;
  }
  at::Allocator* getCUDADeviceAllocator() const override {
    return &memory;
  }
  long versionCUDART() const override {
    return 13000;
  }
  void deviceSynchronize(DeviceIndex) const override {}
};

// ---- what is started

struct Count {
  const char* file = std::getenv("SRM_STAND_IN_COUNT");
  std::mutex lock;
  std::map<std::string, size_t> of;
  // What the host waits for writes the file: the program's last word comes after such a wait.
  void see(const std::string& name, bool waits = false) {
    if (file == nullptr) {
      return;
    }
    const std::lock_guard<std::mutex> held(lock);
    of[name]++;
    if (waits) {
      std::ofstream out(file);
      for (const auto& [each, times] : of) {
        out << each << " " << times << "\n";
      }
    }
  }
};

Count& count() {
  static auto* all = new Count(); // for threads that outlive main
  return *all;
}

// ---- graphs

struct Graph {
  std::vector<std::function<void()>> steps;
  // what the recording itself has changed, as it was: a GPU only notes
  std::vector<std::pair<at::Tensor, at::Tensor>> before;
  void keep(const at::Tensor& host) {
    before.emplace_back(host, host.clone());
  }
};

thread_local Graph* recording = nullptr;

// ---- operations

bool on_device(const at::Tensor& tensor) {
  return tensor.defined() && tensor.is_cuda();
}

// The tensor as the CPU's, on the same memory, which it keeps.
at::Tensor as_host(const at::Tensor& tensor) {
  const auto options = tensor.options().device(c10::kCPU);
  if (tensor.numel() == 0) {
    return at::empty(tensor.sizes(), options); // an operation may make it larger
  }
  return at::for_blob(tensor.data_ptr(), tensor.sizes())
      .strides(tensor.strides())
      .deleter([tensor](void*) {})
      .options(options)
      .target_device(Device(c10::kCPU))
      .make_tensor();
}

// A tensor of the device with the shape and the numbers of one of the CPU's.
at::Tensor to_device(const at::Tensor& host, Device device) {
  const DeviceIndex before = current;
  current = device.index();
  at::Tensor made = at::detail::empty_strided_generic(
      host.sizes(), host.strides(), &memory, c10::DispatchKeySet(c10::DispatchKey::CUDA), host.scalar_type());
  current = before;
  as_host(made).copy_(host);
  return made;
}

// Call `change` on every tensor of an argument.
void each(IValue& value, const std::function<at::Tensor(const at::Tensor&)>& change) {
  if (value.isTensor()) {
    value = change(value.toTensor());
  } else if (value.isTensorList()) {
    auto all = value.toTensorVector();
    for (auto& one : all) {
      one = change(one);
    }
    value = all;
  } else if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> all;
    for (const std::optional<at::Tensor>& one : value.toOptionalTensorVector()) {
      all.push_back(one ? std::optional<at::Tensor>(change(*one)) : one);
    }
    value = all;
  }
}

// The device of an operation; tensors of two devices are an error, but for a CPU's single number.
Device device_of(const c10::OperatorHandle& op, at::ArrayRef<IValue> arguments) {
  const bool copies = op.schema().name() == "aten::copy_";
  std::optional<Device> found;
  const auto see = [&](const at::Tensor& tensor) {
    if (tensor.defined() && !(tensor.is_cpu() && (tensor.dim() == 0 || copies))) {
      TORCH_CHECK(
          copies || found.value_or(tensor.device()) == tensor.device(), "Expected all tensors to be on the same device, but found at "
          "least two devices, ", *found, " and ", tensor.device(), "! (when calling ", op.schema().operator_name(), ")");
      found = tensor.device();
    }
    return tensor;
  };
  for (IValue argument : arguments) {
    each(argument, see);
    if (argument.isDevice() && !found) {
      found = argument.toDevice();
    }
  }
  return Device(c10::kCUDA, found && found->index() >= 0 ? found->index() : current);
}

void compute(const c10::OperatorHandle& op, Stack* stack) {
  const auto& schema = op.schema();
  const size_t arity = schema.arguments().size();
  count().see(toString(schema.operator_name()), schema.name() == "aten::_local_scalar_dense");
  const auto arguments = torch::jit::last(*stack, arity);
  const Device device = device_of(op, arguments);
  TORCH_CHECK(
      recording == nullptr || schema.name() != "aten::_local_scalar_dense", "CUDA error: operation not permitted when stream is capturing");
  at::AutoDispatchBelowADInplaceOrView below;

  Stack hosts;
  std::vector<std::pair<at::Tensor, at::Tensor>> written; // of the device, and as the CPU's
  for (size_t i = 0; i < arity; i++) {
    const auto& formal = schema.arguments()[i];
    const bool writes = formal.alias_info() != nullptr && formal.alias_info()->isWrite();
    IValue value = arguments[i];
    each(value, [&](const at::Tensor& tensor) {
      if (!on_device(tensor)) {
        return tensor;
      }
      const at::Tensor host = as_host(tensor);
      if (writes) {
        written.emplace_back(tensor, host);
      }
      return host;
    });
    const auto* optional = formal.type()->castRaw<c10::OptionalType>();
    if (value.isDevice()) {
      value = Device(c10::kCPU);
    } else if (value.isNone() && optional != nullptr && optional->getElementType()->kind() == c10::TypeKind::GeneratorType) {
      value = generator(device.index());
    }
    hosts.push_back(value);
  }
  for (const auto& [tensor, host] : written) {
    if (recording != nullptr && host.numel() > 0) {
      recording->keep(host);
    }
  }
  Stack results = hosts;
  op.callBoxed(&results);

  std::vector<std::pair<at::Tensor, at::Tensor>> grown; // as the CPU's: what an operation has made larger, and where that is now
  for (auto& [tensor, host] : written) {
    if (tensor.sizes() != host.sizes() || (tensor.numel() > 0 && tensor.data_ptr() != host.data_ptr())) {
      const at::Tensor larger = to_device(host, device);
      grown.emplace_back(host, as_host(larger));
      tensor.unsafeGetTensorImpl()->set_storage_keep_dtype(larger.storage());
      tensor.unsafeGetTensorImpl()->set_sizes_and_strides(larger.sizes(), larger.strides());
    }
  }
  std::vector<at::Tensor> made; // views of results, as the CPU's
  for (auto& value : results) {
    each(value, [&](const at::Tensor& host) -> at::Tensor {
      if (!host.defined()) {
        return host;
      }
      for (const auto& [tensor, as_cpu] : written) {
        if (as_cpu.is_same(host)) {
          return tensor;
        }
      }
      const at::Tensor result = to_device(host, device);
      made.push_back(as_host(result));
      return result;
    });
  }
  if (recording != nullptr) {
    recording->steps.push_back([op, hosts, made, grown] {
      at::AutoDispatchBelowADInplaceOrView below;
      Stack again = hosts;
      op.callBoxed(&again);
      for (const auto& [host, place] : grown) {
        place.copy_(host);
      }
      size_t next = 0;
      for (auto& value : again) {
        each(value, [&](const at::Tensor& host) {
          // what an operation writes in place has been written
          const bool is_new = host.defined() && std::none_of(hosts.begin(), hosts.end(), [&](const IValue& argument) {
            return argument.isTensor() && argument.toTensor().is_same(host);
          });
          if (is_new) {
            made.at(next++).copy_(host);
          }
          return host;
        });
      }
    });
  }
  torch::jit::drop(*stack, arity);
  stack->insert(stack->end(), results.begin(), results.end());
}

at::Tensor empty(
    at::IntArrayRef size, std::optional<at::ScalarType> kind, std::optional<at::Layout>, std::optional<Device> device,
    std::optional<bool>, std::optional<at::MemoryFormat> format) {
  const c10::DeviceGuard guard(device.value_or(Device(c10::kCUDA)));
  return at::detail::empty_generic(
      size, &memory, c10::DispatchKeySet(c10::DispatchKey::CUDA), c10::dtype_or_default(kind), format);
}

at::Tensor empty_strided(
    at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> kind, std::optional<at::Layout>,
    std::optional<Device> device, std::optional<bool>) {
  const c10::DeviceGuard guard(device.value_or(Device(c10::kCUDA)));
  return at::detail::empty_strided_generic(
      size, stride, &memory, c10::DispatchKeySet(c10::DispatchKey::CUDA), c10::dtype_or_default(kind));
}

at::Tensor& copy(at::Tensor& to, const at::Tensor& from, bool) {
  TORCH_CHECK(
      recording == nullptr || (to.is_cuda() && from.is_cuda()), "CUDA error: operation not permitted when stream is capturing");
  count().see(!to.is_cuda() ? "copy to the host" : from.is_cuda() ? "copy" : "copy from the host", !to.is_cuda());
  const at::Tensor into = on_device(to) ? as_host(to) : to, of = on_device(from) ? as_host(from) : from;
  const auto step = [into, of] {
    at::AutoDispatchBelowADInplaceOrView below;
    into.copy_(of);
  };
  if (recording != nullptr) {
    recording->keep(into);
    recording->steps.push_back(step);
  }
  step();
  return to;
}

} // namespace stand_in

REGISTER_ALLOCATOR(c10::kCUDA, &stand_in::memory)
namespace at {
using stand_in::CUDAHooks;
REGISTER_CUDA_HOOKS(CUDAHooks)
} // namespace at
namespace stand_in {
C10_REGISTER_GUARD_IMPL(CUDA, Guard)
} // namespace stand_in

TORCH_LIBRARY_IMPL(_, CUDA, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&stand_in::compute>());
}

TORCH_LIBRARY_IMPL(aten, CUDA, library) {
  library.impl("empty.memory_format", &stand_in::empty);
  library.impl("empty_strided", &stand_in::empty_strided);
  library.impl("copy_", &stand_in::copy);
  library.impl("as_strided", &at::native::as_strided_tensorimpl);
  library.impl("view", &at::native::view);
  library.impl("unfold", &at::native::unfold);
  library.impl("_reshape_alias", &at::native::_reshape_alias);
  // whole, as libtorch's own choice of a kernel asks what kind of device it is
  for (const char* name : {"convolution", "convolution_backward", "_convolution"}) {
    library.impl(name, torch::CppFunction::makeFromBoxedFunction<&stand_in::compute>());
  }
}

// ---- graph.h

void srm_cuda_same() {}

void* srm_cuda_capture(int device, int (*work)(void*), void* data) {
  return guarded<void*>(nullptr, [&]() -> void* {
    const c10::DeviceGuard guard(c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(device)));
    TORCH_CHECK(work(data) == 0, "the work to record failed");
    auto graph = std::make_unique<stand_in::Graph>();
    at::Generator draws = stand_in::generator(guard.current_device().index());
    const at::Tensor state = draws.get_state();
    stand_in::recording = graph.get();
    const int failed = work(data);
    stand_in::recording = nullptr;
    draws.set_state(state);
    for (auto it = graph->before.rbegin(); it != graph->before.rend(); ++it) {
      it->first.copy_(it->second);
    }
    graph->before.clear();
    TORCH_CHECK(failed == 0, "the work to record failed while it was recorded");
    return graph.release();
  });
}

int srm_cuda_replay(void* graph) {
  return guarded(1, [&] {
    stand_in::count().see("graph");
    for (const auto& step : static_cast<stand_in::Graph*>(graph)->steps) {
      step();
    }
    return 0;
  });
}

void srm_cuda_forget(void* graph) {
  delete static_cast<stand_in::Graph*>(graph);
}

void* srm_cuda_bias_leaky_relu(const void* a, const void* bias, double slope) {
  return guarded<void*>(nullptr, [&]() -> void* {
    const auto& along = *static_cast<const at::Tensor*>(bias);
    return new at::Tensor(at::leaky_relu(static_cast<const at::Tensor*>(a)->add(along.view({1, -1, 1, 1})), slope));
  });
}
