//===- Caller.cpp -------------------------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Caller.h"

#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/STLExtras.h"

#include <array>
#include <bit>
#include <cassert>
#include <cstring>
#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

using namespace llvm;

namespace seqmix::run {

//===----------------------------------------------------------------------===//
// Buffers
//===----------------------------------------------------------------------===//

int64_t bytesOf(SeqDType dtype) {
  switch (dtype) {
  case SEQ_F64:
  case SEQ_I64:
    return 8;
  case SEQ_F32:
  case SEQ_I32:
    return 4;
  case SEQ_BF16:
  case SEQ_F16:
    return 2;
  case SEQ_BOOL:
    return 1;
  }
  return 0;
}

static DLDataType typeOf(SeqDType dtype) {
  uint8_t bits = static_cast<uint8_t>(8 * bytesOf(dtype));
  switch (dtype) {
  case SEQ_F64:
  case SEQ_F32:
  case SEQ_F16:
    return {kDLFloat, bits, 1};
  case SEQ_BF16:
    return {kDLBfloat, bits, 1};
  case SEQ_I32:
  case SEQ_I64:
    return {kDLInt, bits, 1};
  case SEQ_BOOL:
    return {6, bits, 1}; // kDLBool, which older dlpack.h lack
  }
  return {};
}

static uint16_t toHalf(double value, const fltSemantics &semantics) {
  APFloat number(value);
  bool lost;
  number.convert(semantics, APFloat::rmNearestTiesToEven, &lost);
  return static_cast<uint16_t>(number.bitcastToAPInt().getZExtValue());
}

static double fromHalf(uint16_t bits, const fltSemantics &semantics) {
  APFloat number(semantics, APInt(16, bits));
  bool lost;
  number.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lost);
  return number.convertToDouble();
}

static void encode(SeqDType dtype, double value, char *at) {
  auto put = [&](auto stored) { std::memcpy(at, &stored, sizeof stored); };
  switch (dtype) {
  case SEQ_F64:
    return put(value);
  case SEQ_F32:
    return put(static_cast<float>(value));
  case SEQ_BF16:
    return put(toHalf(value, APFloat::BFloat()));
  case SEQ_F16:
    return put(toHalf(value, APFloat::IEEEhalf()));
  case SEQ_I32:
    return put(static_cast<int32_t>(value));
  case SEQ_I64:
    return put(static_cast<int64_t>(value));
  case SEQ_BOOL:
    return put(static_cast<uint8_t>(value != 0));
  }
}

static double decode(SeqDType dtype, const char *at) {
  auto get = [&]<typename T>(T stored) {
    std::memcpy(&stored, at, sizeof stored);
    return stored;
  };
  switch (dtype) {
  case SEQ_F64:
    return get(double());
  case SEQ_F32:
    return get(float());
  case SEQ_BF16:
    return fromHalf(get(uint16_t()), APFloat::BFloat());
  case SEQ_F16:
    return fromHalf(get(uint16_t()), APFloat::IEEEhalf());
  case SEQ_I32:
    return get(int32_t());
  case SEQ_I64:
    return static_cast<double>(get(int64_t()));
  case SEQ_BOOL:
    return get(uint8_t());
  }
  return 0;
}

TensorBuffer::TensorBuffer(SeqDType dtype, std::vector<int64_t> shapeGiven, Layout layout,
                           unsigned denseAxes)
    : dtype(dtype), shape(std::move(shapeGiven)), strides(shape.size()) {
  unsigned rank = shape.size(), dense = std::min<unsigned>(denseAxes, rank);
  int64_t extent = 1;
  for (unsigned axis = rank; axis-- > rank - dense;) {
    strides[axis] = extent;
    extent *= shape[axis];
  }
  if (layout == Strided)
    extent += 3;
  for (unsigned lead = 0; lead < rank - dense; ++lead) {
    unsigned axis = layout == Strided ? lead : rank - dense - 1 - lead;
    strides[axis] = extent;
    extent *= shape[axis];
  }
  bool isEmpty = llvm::is_contained(shape, 0);
  for (auto [size, stride] : llvm::zip_equal(shape, strides))
    span += isEmpty ? 0 : (size - 1) * stride;
  span += isEmpty ? 0 : 1;

  size_t page = sysconf(_SC_PAGESIZE), bytes = span * bytesOf(dtype);
  size_t used = std::max(page, (bytes + page - 1) / page * page);
  mappingBytes = used + page;
  void *memory =
      mmap(nullptr, mappingBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    report_fatal_error("no memory for a tensor", false);
  mapping = static_cast<char *>(memory);
  mprotect(mapping + used, page, PROT_NONE);
  data = layout == Aligned ? mapping : mapping + used - bytes;
  std::memset(data, 0xff, bytes);

  view.data = data;
  view.device = {kDLCPU, 0};
  view.ndim = static_cast<int32_t>(rank);
  view.dtype = typeOf(dtype);
  view.shape = shape.data();
  view.strides = strides.data();
}

TensorBuffer::TensorBuffer(TensorBuffer &&other) noexcept
    : dtype(other.dtype), shape(std::move(other.shape)), strides(std::move(other.strides)),
      span(other.span), mapping(std::exchange(other.mapping, nullptr)),
      mappingBytes(other.mappingBytes), data(other.data), view(other.view) {
  view.shape = shape.data();
  view.strides = strides.data();
}

TensorBuffer::~TensorBuffer() {
  if (mapping)
    munmap(mapping, mappingBytes);
}

/// Calls `visit` with the offset of each element in the order of a dense array.
template <typename Visit> void TensorBuffer::forEachOffset(Visit visit) const {
  if (span == 0)
    return;
  std::vector<int64_t> index(shape.size(), 0);
  int64_t offset = 0;
  while (true) {
    visit(offset);
    unsigned axis = shape.size();
    while (axis-- > 0) {
      offset += strides[axis];
      if (++index[axis] < shape[axis])
        break;
      offset -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
    if (axis == ~0u)
      return;
  }
}

void TensorBuffer::store(const reference::Array &array) {
  assert(array.shape == shape && "an array has the shape of its buffer");
  const double *next = array.values.data();
  int64_t bytes = bytesOf(dtype);
  forEachOffset([&](int64_t offset) { encode(dtype, *next++, data + offset * bytes); });
}

reference::Array TensorBuffer::load() const {
  reference::Array array(shape);
  double *next = array.values.data();
  int64_t bytes = bytesOf(dtype);
  forEachOffset([&](int64_t offset) { *next++ = decode(dtype, data + offset * bytes); });
  return array;
}

bool TensorBuffer::hasIntactGaps() const {
  int64_t bytes = bytesOf(dtype);
  std::vector<bool> isElement(span, false);
  forEachOffset([&](int64_t offset) { isElement[offset] = true; });
  auto isPoison = [](char byte) { return byte == static_cast<char>(0xff); };
  for (int64_t offset = 0; offset < span; ++offset)
    if (!isElement[offset] &&
        !std::all_of(data + offset * bytes, data + (offset + 1) * bytes, isPoison))
      return false;
  return true;
}

//===----------------------------------------------------------------------===//
// Libraries
//===----------------------------------------------------------------------===//

Expected<std::shared_ptr<LoadedLibrary>> LoadedLibrary::open(const std::string &path) {
  void *handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle)
    return createStringError(fmt::format("cannot load the library: {}", dlerror()));
  return std::shared_ptr<LoadedLibrary>(new LoadedLibrary(handle));
}

LoadedLibrary::~LoadedLibrary() { dlclose(handle); }

void *LoadedLibrary::find(const std::string &symbol) const { return dlsym(handle, symbol.c_str()); }

//===----------------------------------------------------------------------===//
// Calls
//===----------------------------------------------------------------------===//

namespace {

// Every argument is a pointer or an integer, and on the targets that we compile for these are
// passed alike, so a function type with as many pointers does.
using Arguments = ArrayRef<void *>;

template <size_t... N>
int callWith(void *function, Arguments arguments, std::index_sequence<N...>) {
  auto *typed =
      reinterpret_cast<int (*)(decltype(static_cast<void>(N), (void *)nullptr)...)>(function);
  return typed(arguments[N]...);
}

template <size_t count> int callCount(void *function, Arguments arguments) {
  return callWith(function, arguments, std::make_index_sequence<count>());
}

constexpr size_t maxArguments = 80;

template <size_t... N> constexpr auto makeTable(std::index_sequence<N...>) {
  return std::array<int (*)(void *, Arguments), sizeof...(N)>{&callCount<N>...};
}

int call(void *function, Arguments arguments) {
  static constexpr auto table = makeTable(std::make_index_sequence<maxArguments + 1>());
  assert(arguments.size() <= maxArguments && "the runtime has no mixer with more tensors");
  return table[arguments.size()](function, arguments);
}

void *asPointer(int64_t value) { return std::bit_cast<void *>(static_cast<intptr_t>(value)); }

} // namespace

Expected<CompiledMixer> CompiledMixer::find(std::shared_ptr<LoadedLibrary> library,
                                            const std::string &mixer) {
  CompiledMixer found;
  found.name = mixer;
  found.forwardFunction = library->find(mixer + "_forward");
  found.stepFunction = library->find(mixer + "_step");
  found.workspaceFunction = library->find(mixer + "_workspace_size");
  found.lastError = reinterpret_cast<const char *(*)()>(library->find("seq_last_error"));
  if (!found.forwardFunction || !found.workspaceFunction || !found.lastError)
    return createStringError(fmt::format("the library lacks {}_forward, {}_workspace_size or "
                                         "seq_last_error",
                                         mixer, mixer));
  found.library = std::move(library);
  return found;
}

Error CompiledMixer::check(int status) const {
  Error reported = device ? device->finish() : Error::success();
  if (status == SEQ_OK)
    return reported;
  consumeError(std::move(reported));
  return createStringError(fmt::format("status {}: {}", status, lastError()));
}

std::vector<DLTensor *> CompiledMixer::onDevice(ArrayRef<DLTensor *> tensors) const {
  std::vector<DLTensor *> result(tensors);
  for (DLTensor *&tensor : result)
    if (device && tensor)
      tensor = device->enter(tensor);
  return result;
}

Error CompiledMixer::forward(ArrayRef<DLTensor *> tensors, const seq_options *options) const {
  std::vector<DLTensor *> entered = onDevice(tensors), carryIn, carryOut;
  seq_options own = options ? *options : seq_options SEQ_OPTIONS_INIT;
  auto enter = [&](auto &list, std::vector<DLTensor *> &copy) {
    if (!list)
      return;
    for (int32_t i = 0; i < own.carry_count; ++i)
      copy.push_back(list[i] ? device->enter(const_cast<DLTensor *>(list[i])) : nullptr);
    list = copy.data();
  };
  if (device) {
    enter(own.carry_in, carryIn);
    enter(own.carry_out, carryOut);
    if (own.cu_seqlens)
      own.cu_seqlens = device->enter(const_cast<DLTensor *>(own.cu_seqlens));
    if (own.workspace)
      own.workspace = device->enterWorkspace(own.workspace, own.workspace_bytes);
    options = &own;
  }
  std::vector<void *> arguments(entered.begin(), entered.end());
  arguments.push_back(const_cast<seq_options *>(options));
  return check(call(forwardFunction, arguments));
}

Error CompiledMixer::step(ArrayRef<DLTensor *> tensors, ArrayRef<DLTensor *> carry,
                          const seq_options *options) const {
  std::vector<DLTensor *> entered = onDevice(tensors), state = onDevice(carry);
  seq_options own = options ? *options : seq_options SEQ_OPTIONS_INIT;
  if (device && own.workspace) {
    own.workspace = device->enterWorkspace(own.workspace, own.workspace_bytes);
    options = &own;
  }
  std::vector<void *> arguments(entered.begin(), entered.end());
  arguments.push_back(static_cast<void *>(state.data()));
  arguments.push_back(const_cast<seq_options *>(options));
  return check(call(stepFunction, arguments));
}

Expected<size_t> CompiledMixer::workspaceSize(ArrayRef<int64_t> extents, int threads) const {
  std::vector<void *> arguments;
  for (int64_t extent : extents)
    arguments.push_back(asPointer(extent));
  size_t bytes = 0;
  arguments.push_back(asPointer(threads));
  arguments.push_back(&bytes);
  if (Error error = check(call(workspaceFunction, arguments)))
    return std::move(error);
  return bytes;
}

} // namespace seqmix::run
