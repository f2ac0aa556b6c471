//===- Resources.cpp - what kernels for GPUs take of a multiprocessor --------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/kernels/Resources.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"

#include <fmt/format.h>

using namespace mlir;

namespace seqmix::gpu {
namespace {

/// "V13.0.88", from the last words that `ptxas --version` prints; empty without ptxas.
std::string assemblerVersion() {
  std::optional<std::string> program = findAssembler();
  llvm::SmallString<128> path;
  if (!program || llvm::sys::fs::createTemporaryFile("seqmix", "log", path))
    return "";
  llvm::FileRemover remover(path);
  if (llvm::sys::ExecuteAndWait(*program, {*program, "--version"}, std::nullopt,
                                {llvm::StringRef(), llvm::StringRef(path), llvm::StringRef(path)}))
    return "";
  auto buffer = llvm::MemoryBuffer::getFile(path);
  if (!buffer)
    return "";
  llvm::StringRef text = (*buffer)->getBuffer();
  size_t at = text.rfind(", V");
  return at == llvm::StringRef::npos ? "" : text.drop_front(at + 2).split('\n').first.str();
}

} // namespace

void Resources::add(const Image &image, Operation *kernels) {
  for (const KernelUse &use : image.uses) {
    Row &row = rows.emplace_back(Row{use, image.chip.name});
    Operation *kernel = SymbolTable::lookupSymbolIn(kernels, use.name);
    if (auto bytes = kernel ? kernel->getAttrOfType<IntegerAttr>("shared_bytes") : IntegerAttr())
      row.use.sharedBytes += static_cast<unsigned>(bytes.getInt());
  }
  for (const std::string &note : image.notes)
    if (!llvm::is_contained(notes, note))
      notes.push_back(note);
}

void Resources::print(llvm::raw_ostream &os) const {
  size_t width = llvm::StringRef("kernel").size();
  for (const Row &row : rows)
    width = std::max(width, row.use.name.size());
  if (!rows.empty())
    os << fmt::format("{:<{}}  {:<8}  registers  shared  stack  spill stores  spill loads\n",
                      "kernel", width, "chip");
  for (const Row &row : rows)
    os << fmt::format("{:<{}}  {:<8}  {:>9}  {:>6}  {:>5}  {:>12}  {:>11}\n", row.use.name, width,
                      row.chip, row.use.registers, row.use.sharedBytes, row.use.stackBytes,
                      row.use.spillStoreBytes, row.use.spillLoadBytes);
  for (const std::string &note : notes)
    os << "note: " << note << "\n";
  if (!rows.empty())
    os << "ptxas " << assemblerVersion() << "; registers a thread, all else in bytes\n";
}

} // namespace seqmix::gpu
