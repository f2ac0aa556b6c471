//===- seqmix.hpp - compiled mixers from C++ -------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// C++17, header only, over the C interface (docs/abi.md). A library is linked, with the header that
// seqc wrote:
//
//     #include "gla.h"
//     #include "seqmix.hpp"
//     seqmix::Tensor q(data, {B, T, H, K}), ...;
//     seqmix::Carry carry(gla_carry_component, gla_carry_count(), 0, B, H);
//     seqmix::check(gla_forward(q, k, v, g, o, seqmix::Options().carryOut(carry)));
//     seqmix::check(gla_step(qt, kt, vt, gt, ot, carry, nullptr));
//
// or loaded:
//
//     seqmix::Library library("libgla.so");
//     seqmix::Mixer gla = library.mixer("gla");
//     seqmix::Carry carry = gla.carry(0, B, H);
//     gla.forward(seqmix::Options().carryOut(carry), q, k, v, g, o);      // throws seqmix::Error
//     gla.step(carry, {}, qt, kt, vt, gt, ot);
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_FRONTENDS_CPP_SEQMIX_HPP
#define SEQMIX_FRONTENDS_CPP_SEQMIX_HPP

#ifndef SEQMIX_SEQMIX_H // a generated header has it
#if __has_include("seqmix.h")
#include "seqmix.h"
#else
#include "../../runtime/seqmix.h"
#endif
#endif

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <initializer_list>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace seqmix {

/// A call that was refused: the status, and the runtime's text.
class Error : public std::runtime_error {
public:
  Error(int status, const std::string &text) : std::runtime_error(text), code(status) {}
  int status() const { return code; }

private:
  int code;
};

/// Throws unless the status of a linked function is SEQ_OK. `lastError` is the mixer's
/// NAME_last_error; with the default the program links with the runtime.
inline void check(int status, const char *(*lastError)() = seq_last_error) {
  if (status != SEQ_OK)
    throw Error(status, lastError());
}

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

/// Storage types that C++ has no name for: the bits of a bf16 or f16 number.
struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

/// The DLPack type of an element.
template <typename T> constexpr DLDataType dtypeOf() {
  using U = std::remove_cv_t<T>;
  static_assert(std::is_same_v<U, double> || std::is_same_v<U, float> ||
                    std::is_same_v<U, int32_t> || std::is_same_v<U, int64_t> ||
                    std::is_same_v<U, bool> || std::is_same_v<U, BFloat16> ||
                    std::is_same_v<U, Float16>,
                "no tensor of a mixer has this type");
  uint8_t code = std::is_same_v<U, bool>       ? uint8_t(6)
                 : std::is_same_v<U, BFloat16> ? uint8_t(kDLBfloat)
                 : std::is_integral_v<U>       ? uint8_t(kDLInt)
                                               : uint8_t(kDLFloat);
  return DLDataType{code, static_cast<uint8_t>(8 * sizeof(U)), 1};
}

/// A view of somebody's memory: passes as a DLTensor. Copies view the same memory.
class Tensor {
public:
  /// `strides` in elements; without them the tensor is compact, the last dim contiguous.
  template <typename T>
  Tensor(T *data, std::vector<int64_t> shape, std::vector<int64_t> strides = {})
      : Tensor(const_cast<void *>(static_cast<const void *>(data)), dtypeOf<T>(), std::move(shape),
               std::move(strides)) {}

  Tensor(void *data, DLDataType dtype, std::vector<int64_t> shape,
         std::vector<int64_t> strides = {})
      : extents(std::move(shape)), steps(std::move(strides)) {
    if (!steps.empty() && steps.size() != extents.size())
      throw Error(SEQ_INVALID_SHAPE, "a tensor has " + std::to_string(extents.size()) +
                                         " dims but " + std::to_string(steps.size()) + " strides");
    value.data = data;
    value.device.device_type = kDLCPU;
    value.dtype = dtype;
  }

  /// Somebody's DLTensor.
  explicit Tensor(const DLTensor &other) : value(other) {
    if (other.ndim < 0 || (other.ndim > 0 && !other.shape))
      throw Error(SEQ_INVALID_SHAPE, "a tensor has " + std::to_string(other.ndim) +
                                         (other.ndim < 0 ? " dims" : " dims but no shape"));
    if (other.ndim > 0)
      extents.assign(other.shape, other.shape + other.ndim);
    if (other.ndim > 0 && other.strides)
      steps.assign(other.strides, other.strides + other.ndim);
  }

  /// The same view of memory of a CUDA device.
  Tensor onCuda(int device) const {
    Tensor other = *this;
    other.value.device = {kDLCUDA, device};
    return other;
  }

  const std::vector<int64_t> &shape() const { return extents; }
  DLDataType dtype() const { return value.dtype; }
  template <typename T> T *data() const {
    return reinterpret_cast<T *>(static_cast<char *>(value.data) + value.byte_offset);
  }

  /// For the C interface; valid while the tensor lives and stays where it is.
  DLTensor *get() const {
    value.ndim = static_cast<int32_t>(extents.size());
    value.shape = extents.data();
    value.strides = steps.empty() ? nullptr : steps.data();
    return &value;
  }
  operator const DLTensor *() const { return get(); }

private:
  mutable DLTensor value = {nullptr, {kDLCPU, 0}, 0, {}, nullptr, nullptr, 0};
  mutable std::vector<int64_t> extents, steps;
};

/// 64-byte aligned memory that frees itself; for workspaces.
class Buffer {
public:
  explicit Buffer(size_t bytes) : count(bytes) {
    if (bytes == 0)
      return;
    memory.reset(std::aligned_alloc(SEQ_WORKSPACE_ALIGN, (bytes + SEQ_WORKSPACE_ALIGN - 1) /
                                                             SEQ_WORKSPACE_ALIGN *
                                                             SEQ_WORKSPACE_ALIGN));
    if (!memory)
      throw std::bad_alloc();
  }
  void *data() const { return memory.get(); }
  size_t size() const { return count; }

private:
  struct Free {
    void operator()(void *p) const { std::free(p); }
  };
  std::unique_ptr<void, Free> memory;
  size_t count;
};

//===----------------------------------------------------------------------===//
// The carry
//===----------------------------------------------------------------------===//

/// All components of a carry in memory of its own, with the values that sequences start from.
class Carry {
public:
  /// Tokens that there is room for in components that hold a row a token.
  struct Rows {
    int64_t count = 0;
  };

  /// From a mixer's NAME_carry_component and NAME_carry_count(): for the `size`-th size and the
  /// extents of the batch dims.
  template <typename... Arguments, typename... Batch>
  Carry(int (*query)(int32_t, int32_t, Arguments...), int32_t count, int32_t size, Batch... batch)
      : Carry(Rows{}, query, count, size, batch...) {}

  /// The same with room for `rows` tokens.
  template <typename... Arguments, typename... Batch>
  Carry(Rows rows, int (*query)(int32_t, int32_t, Arguments...), int32_t count, int32_t size,
        Batch... batch) {
    for (int32_t i = 0; i < count; ++i) {
      seq_component info{};
      if (query(size, i, static_cast<int64_t>(batch)..., &info) != SEQ_OK)
        throw Error(SEQ_INVALID_ARGUMENT,
                    "a query of the carry was refused: negative extents, or an "
                    "unknown size");
      for (int32_t axis = 0; axis < info.rank; ++axis)
        if (info.shape[axis] < 0)
          info.shape[axis] = rows.count;
      add(info);
    }
    for (Tensor &part : parts)
      pointers.push_back(part.get());
    pointers.push_back(nullptr); // where a step of a mixer with more components stops
  }
  /// Of tensors that the caller has made (on a device, say), one a component, in order.
  explicit Carry(std::vector<Tensor> components) : parts(std::move(components)) {
    names.resize(parts.size());
    for (Tensor &part : parts)
      pointers.push_back(part.get());
    pointers.push_back(nullptr);
  }
  Carry(Carry &&) = default;
  Carry &operator=(Carry &&) = default;

  size_t count() const { return parts.size(); }
  const Tensor &operator[](size_t component) const { return parts.at(component); }
  /// A component by name; throws std::out_of_range.
  const Tensor &operator[](const std::string &name) const {
    for (size_t i = 0; i < names.size(); ++i)
      if (names[i] == name)
        return parts[i];
    throw std::out_of_range("the carry has no part '" + name + "'");
  }
  DLTensor *const *get() const { return pointers.data(); }
  operator DLTensor *const *() const { return get(); }

private:
  template <typename T> static void fill(const Tensor &tensor, size_t elements, double value) {
    for (size_t i = 0; i < elements; ++i)
      tensor.data<T>()[i] = static_cast<T>(value);
  }

  void add(const seq_component &info) {
    size_t elements = 1;
    for (int32_t i = 0; i < info.rank; ++i)
      elements *= static_cast<size_t>(info.shape[i]);
    memory.emplace_back(elements * (info.dtype.bits / 8u));
    names.emplace_back(info.name);
    parts.emplace_back(memory.back().data(), info.dtype,
                       std::vector<int64_t>(info.shape, info.shape + info.rank));
    if (info.dtype.bits < 32) // rows of a storage type, which start empty
      std::memset(memory.back().data(), 0, elements * (info.dtype.bits / 8u));
    else if (info.dtype.code == kDLInt && info.dtype.bits == 64)
      fill<int64_t>(parts.back(), elements, info.init);
    else if (info.dtype.code == kDLInt)
      fill<int32_t>(parts.back(), elements, info.init);
    else if (info.dtype.bits == 64)
      fill<double>(parts.back(), elements, info.init);
    else
      fill<float>(parts.back(), elements, info.init);
  }

  std::vector<Buffer> memory;
  std::vector<std::string> names;
  std::vector<Tensor> parts;
  std::vector<DLTensor *> pointers;
};

//===----------------------------------------------------------------------===//
// Calls
//===----------------------------------------------------------------------===//

/// Options of a call. What they refer to must live until the call is over.
class Options {
public:
  Options() { value.size = sizeof(seq_options); }

  Options &threads(int count) { return value.threads = count, *this; }
  /// Verify declared ranges and look for NaN in the inputs first.
  Options &checked(bool on = true) { return flag(SEQ_CHECKED, on); }
  /// Never run parts of one sequence at the same time: the same bits for every number of threads.
  Options &unsplit(bool on = true) { return flag(SEQ_UNSPLIT, on); }
  Options &carryIn(const Carry &carry) {
    value.carry_in = carry.get();
    return value.carry_count = static_cast<int32_t>(carry.count()), *this;
  }
  Options &carryOut(Carry &carry) {
    value.carry_out = carry.get();
    return value.carry_count = static_cast<int32_t>(carry.count()), *this;
  }
  /// Starts from the carry and leaves the final one in its place.
  Options &carryInPlace(Carry &carry) { return carryIn(carry).carryOut(carry); }
  Options &cuSeqlens(const Tensor &ends) { return value.cu_seqlens = ends.get(), *this; }
  /// Rows of the carry stand in pages: i32, [sequences, pages of a sequence].
  Options &pages(const Tensor &table) { return value.pages = table.get(), *this; }
  Options &workspace(const Buffer &buffer) {
    value.workspace = buffer.data();
    return value.workspace_bytes = buffer.size(), *this;
  }
  /// Of a library for CUDA: memory of the device.
  Options &workspace(void *memory, size_t bytes) {
    value.workspace = memory;
    return value.workspace_bytes = bytes, *this;
  }
  /// Of a library for CUDA: the stream (CUstream, cudaStream_t) that the call goes into.
  Options &stream(void *handle) { return value.stream = handle, *this; }

  operator const seq_options *() const { return &value; }

private:
  Options &flag(uint32_t bit, bool on) {
    return value.flags = on ? value.flags | bit : value.flags & ~bit, *this;
  }

  seq_options value = SEQ_OPTIONS_INIT;
};

/// A mixer of a loaded library. Lives no longer than the library.
class Mixer {
public:
  /// Runs whole sequences: inputs and params in declared order, then outputs.
  template <typename... Tensors>
  void forward(const Options &options, const Tensors &...tensors) const {
    checkCount(sizeof...(tensors));
    auto function = find<int(as<const DLTensor *, Tensors>..., const seq_options *)>("_forward");
    checkStatus(function(tensors.get()..., options));
  }

  /// One token a batch element; the carry is updated in place.
  template <typename... Tensors>
  void step(Carry &carry, const Options &options, const Tensors &...tensors) const {
    checkCount(sizeof...(tensors));
    if (!hasStep())
      throw Error(SEQ_UNSUPPORTED, name + " has no step (the manifest says why)");
    auto parts = static_cast<size_t>(find<int32_t()>("_carry_count")());
    if (carry.count() != parts)
      throw Error(SEQ_INVALID_ARGUMENT, "the carry has " + std::to_string(carry.count()) +
                                            " parts; that of " + name + " has " +
                                            std::to_string(parts));
    auto function =
        find<int(as<const DLTensor *, Tensors>..., DLTensor *const *, const seq_options *)>(
            "_step");
    checkStatus(function(tensors.get()..., carry.get(), options));
  }
  bool hasStep() const { return dlsym(handle, (name + "_step").c_str()) != nullptr; }

  /// What sequences start from, for the `size`-th size and these extents of the batch dims.
  template <typename... Batch> Carry carry(int32_t size, Batch... batch) const {
    checkBatch(sizeof...(batch));
    auto query =
        find<int(int32_t, int32_t, as<int64_t, Batch>..., seq_component *)>("_carry_component");
    return Carry(query, find<int32_t()>("_carry_count")(), size, batch...);
  }
  template <typename... Batch> Carry carry(Carry::Rows rows, int32_t size, Batch... batch) const {
    checkBatch(sizeof...(batch));
    auto query =
        find<int(int32_t, int32_t, as<int64_t, Batch>..., seq_component *)>("_carry_component");
    return Carry(rows, query, find<int32_t()>("_carry_count")(), size, batch...);
  }

  /// A workspace for calls up to these extents: the batch dims, the tokens, other run-time dims.
  template <typename... Extents> Buffer workspace(int32_t threads, Extents... extents) const {
    return Buffer(workspaceBytes(threads, extents...));
  }
  /// Its size; of a library for CUDA the caller allocates it.
  template <typename... Extents> size_t workspaceBytes(int32_t threads, Extents... extents) const {
    static_assert(sizeof...(extents) > 0, "the last extent is the number of tokens");
    auto lengths = static_cast<size_t>(find<int32_t()>("_length_count")());
    checkBatch(sizeof...(extents) - std::min(sizeof...(extents), lengths));
    size_t bytes = 0;
    auto query = find<int(as<int64_t, Extents>..., int32_t, size_t *)>("_workspace_size");
    checkStatus(query(static_cast<int64_t>(extents)..., threads, &bytes));
    return bytes;
  }

  /// Of a library for CUDA: loads the kernels for a device, so that no call has to.
  void prepare(int32_t device) const { checkStatus(find<int(int32_t)>("_prepare")(device)); }

private:
  friend class Library;
  template <typename T, typename> using as = T;

  Mixer(void *handle, std::string name) : handle(handle), name(std::move(name)) {}

  template <typename Function> Function *find(const char *suffix) const {
    void *symbol = dlsym(handle, (name + suffix).c_str());
    if (!symbol)
      throw Error(SEQ_UNSUPPORTED, "the library has no " + name + suffix);
    return reinterpret_cast<Function *>(symbol);
  }

  void checkStatus(int status) const {
    if (status == SEQ_OK)
      return;
    throw Error(status, find<const char *()>("_last_error")());
  }

  void checkCount(size_t given) const {
    auto expected = static_cast<size_t>(find<int32_t()>("_tensor_count")());
    if (given != expected)
      throw Error(SEQ_INVALID_ARGUMENT, name + " takes " + std::to_string(expected) +
                                            " tensors, inputs before outputs; got " +
                                            std::to_string(given));
  }

  void checkBatch(size_t given) const {
    auto expected = static_cast<size_t>(find<int32_t()>("_batch_count")());
    if (given != expected)
      throw Error(SEQ_INVALID_ARGUMENT, name + " has " + std::to_string(expected) +
                                            " batch dims; got the extents of " +
                                            std::to_string(given));
  }

  void *handle;
  std::string name;
};

/// A loaded library.
class Library {
public:
  explicit Library(const std::string &path) : handle(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (!handle) {
      const char *text = dlerror();
      throw Error(SEQ_INVALID_ARGUMENT, text ? text : "cannot load " + path);
    }
  }

  /// A mixer by name; throws when the library has none of that name.
  Mixer mixer(const std::string &name) const {
    if (!dlsym(handle.get(), (name + "_forward").c_str()))
      throw Error(SEQ_INVALID_ARGUMENT, "the library has no mixer '" + name + "'");
    return Mixer(handle.get(), name);
  }

  /// The JSON manifest.
  std::string manifest() const {
    auto function = reinterpret_cast<const char *(*)()>(dlsym(handle.get(), "seqmix_manifest"));
    return function ? function() : "";
  }

private:
  struct Close {
    void operator()(void *p) const { dlclose(p); }
  };
  std::unique_ptr<void, Close> handle;
};

} // namespace seqmix

#endif // SEQMIX_FRONTENDS_CPP_SEQMIX_HPP
