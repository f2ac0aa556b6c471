//===- Caller.h - calling compiled mixers of any signature --------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TOOLS_SEQRUN_CALLER_H
#define SEQMIX_TOOLS_SEQRUN_CALLER_H

#include "compiler/reference/Array.h"
#include "runtime/Descriptor.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"

#include <memory>
#include <string>
#include <vector>

namespace seqmix::run {

/// Memory of a tensor in its storage type. Every byte that is not an element is poisoned (NaN for
/// reals), and so is every element until it is stored; an unreadable page follows the last element.
class TensorBuffer {
public:
  /// Dense: compact, in the order of the axes. Strided: the leading axes in reverse order in
  /// memory and room behind each row; the last `denseAxes` axes stay compact. Aligned: dense, and
  /// beginning with a page, for measurements.
  enum Layout { Dense, Strided, Aligned };

  TensorBuffer(SeqDType dtype, std::vector<int64_t> shape, Layout layout = Dense,
               unsigned denseAxes = 1);
  TensorBuffer(TensorBuffer &&other) noexcept;
  TensorBuffer(const TensorBuffer &) = delete;
  TensorBuffer &operator=(const TensorBuffer &) = delete;
  ~TensorBuffer();

  /// Writes every element, rounded to storage. Shapes must agree.
  void store(const reference::Array &array);
  /// Reads every element.
  reference::Array load() const;
  /// Whether nothing but elements has been written.
  bool hasIntactGaps() const;

  /// For a call; valid as long as the buffer.
  DLTensor *tensor() { return &view; }

private:
  template <typename Visit> void forEachOffset(Visit visit) const;

  SeqDType dtype;
  std::vector<int64_t> shape, strides;
  int64_t span = 0; ///< elements between the first and the end of the last
  char *mapping = nullptr;
  size_t mappingBytes = 0;
  char *data = nullptr;
  DLTensor view = {nullptr, {kDLCPU, 0}, 0, {}, nullptr, nullptr, 0};
};

/// Bytes of an element.
int64_t bytesOf(SeqDType dtype);

/// A loaded library. Closed with the last handle.
class LoadedLibrary {
public:
  static llvm::Expected<std::shared_ptr<LoadedLibrary>> open(const std::string &path);
  ~LoadedLibrary();
  /// An exported symbol, or null.
  void *find(const std::string &symbol) const;

private:
  explicit LoadedLibrary(void *handle) : handle(handle) {}
  void *handle;
};

/// Where a library's tensors are, if not in the memory of the process.
class CallDevice {
public:
  virtual ~CallDevice() = default;
  /// The tensor on the device; valid until `finish`.
  virtual DLTensor *enter(DLTensor *tensor) = 0;
  virtual void *enterWorkspace(void *memory, size_t bytes) = 0;
  /// Ends a call: what it wrote is in the tensors that were entered. Fails where the device reports
  /// something.
  virtual llvm::Error finish() = 0;
};

/// One mixer of a library, called by its exported C functions.
class CompiledMixer {
public:
  /// For calls from now on; null: the memory of the process.
  void useDevice(CallDevice *other) { device = other; }
  bool isOnDevice() const { return device; }
  static llvm::Expected<CompiledMixer> find(std::shared_ptr<LoadedLibrary> library,
                                            const std::string &mixer);

  bool hasStep() const { return stepFunction; }
  /// NAME_forward; the error carries the status and the library's text.
  llvm::Error forward(llvm::ArrayRef<DLTensor *> tensors, const seq_options *options) const;
  /// NAME_step.
  llvm::Error step(llvm::ArrayRef<DLTensor *> tensors, llvm::ArrayRef<DLTensor *> carry,
                   const seq_options *options) const;
  /// NAME_workspace_size for these batch extents and tokens.
  llvm::Expected<size_t> workspaceSize(llvm::ArrayRef<int64_t> extents, int threads) const;

private:
  llvm::Error check(int status) const;
  std::vector<DLTensor *> onDevice(llvm::ArrayRef<DLTensor *> tensors) const;

  CallDevice *device = nullptr;
  std::shared_ptr<LoadedLibrary> library;
  std::string name;
  void *forwardFunction = nullptr, *stepFunction = nullptr, *workspaceFunction = nullptr;
  const char *(*lastError)() = nullptr;
};

} // namespace seqmix::run

#endif // SEQMIX_TOOLS_SEQRUN_CALLER_H
