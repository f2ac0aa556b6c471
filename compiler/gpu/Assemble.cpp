//===- Assemble.cpp - runs ptxas ---------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/Assemble.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"

#include <fmt/format.h>

#include <cstdlib>

namespace seqmix::gpu {
namespace {

llvm::Expected<std::string> temporary(llvm::StringRef suffix, llvm::StringRef content) {
  llvm::SmallString<128> path;
  int file = 0;
  if (std::error_code code = llvm::sys::fs::createTemporaryFile("seqmix", suffix, file, path))
    return llvm::createStringError("cannot make a temporary file: " + code.message());
  llvm::raw_fd_ostream os(file, /*shouldClose=*/true);
  os << content;
  os.close();
  if (!os.has_error())
    return path.str().str();
  os.clear_error();
  llvm::FileRemover remove(path);
  return llvm::createStringError("cannot write " + path.str().str());
}

std::string contentOf(llvm::StringRef path) {
  auto buffer = llvm::MemoryBuffer::getFile(path);
  return buffer ? (*buffer)->getBuffer().str() : std::string();
}

/// The number in front of a word: "12 bytes stack frame" with " bytes stack frame".
unsigned numberBefore(llvm::StringRef line, llvm::StringRef word) {
  size_t at = line.find(word);
  if (at == llvm::StringRef::npos)
    return 0;
  llvm::StringRef before = line.take_front(at);
  size_t begin = before.find_last_not_of("0123456789");
  unsigned number = 0;
  before.drop_front(begin == llvm::StringRef::npos ? 0 : begin + 1).getAsInteger(10, number);
  return number;
}

/// The text between quotes.
llvm::StringRef quoted(llvm::StringRef line) { return line.split('\'').second.split('\'').first; }

} // namespace

std::optional<std::string> findAssembler() {
  if (const char *path = std::getenv("SEQMIX_PTXAS"))
    return *path ? std::optional<std::string>(path) : std::nullopt;
  if (auto path = llvm::sys::findProgramByName("ptxas"))
    return *path;
  if (auto path = llvm::sys::findProgramByName("ptxas", {"/usr/local/cuda/bin"}))
    return *path;
  return std::nullopt;
}

std::vector<KernelUse> readKernelUses(llvm::StringRef log) {
  std::vector<KernelUse> uses;
  bool isOurs = false; // the lines are about the last kernel
  while (!log.empty()) {
    auto [line, rest] = log.split('\n');
    log = rest;
    if (line.contains("Compiling entry function")) {
      uses.push_back({.name = quoted(line).str()});
      isOurs = true;
    } else if (line.contains("Function properties for")) {
      // Those of functions that are not inlined stand here, too.
      isOurs = !uses.empty() && line.trim().ends_with(" " + uses.back().name);
    } else if (isOurs && line.contains("bytes stack frame")) {
      uses.back().stackBytes = numberBefore(line, " bytes stack frame");
      uses.back().spillStoreBytes = numberBefore(line, " bytes spill stores");
      uses.back().spillLoadBytes = numberBefore(line, " bytes spill loads");
    } else if (!uses.empty() && line.contains("Used ")) {
      uses.back().registers = numberBefore(line, " registers");
      uses.back().sharedBytes = numberBefore(line, " bytes smem");
    }
  }
  return uses;
}

llvm::Error assemble(Image &image) {
  std::optional<std::string> program = findAssembler();
  if (!program) {
    image.notes.push_back("ptxas was not found (SEQMIX_PTXAS, PATH, /usr/local/cuda/bin): the "
                          "library holds PTX for " +
                          image.chip.name + ", which the driver compiles at the first call");
    return llvm::Error::success();
  }
  std::vector<std::string> paths;
  llvm::FileRemover removers[3];
  const std::pair<const char *, llvm::StringRef> files[] = {
      {"ptx", image.ptx}, {"cubin", ""}, {"log", ""}};
  for (auto [suffix, content] : files) {
    auto path = temporary(suffix, content);
    if (!path)
      return path.takeError();
    removers[paths.size()].setFile(*path);
    paths.push_back(*path);
  }
  const std::string architecture = "-arch=" + image.chip.name;
  llvm::StringRef arguments[] = {*program, architecture, "-v", paths[0], "-o", paths[1]};
  std::string message;
  int status = llvm::sys::ExecuteAndWait(
      *program, arguments, std::nullopt,
      {llvm::StringRef(), llvm::StringRef(paths[2]), llvm::StringRef(paths[2])},
      /*SecondsToWait=*/0, /*MemoryLimit=*/0, &message);
  std::string log = contentOf(paths[2]);
  if (status != 0)
    return llvm::createStringError(fmt::format("{} failed for {}{}{}\n{}", *program,
                                               image.chip.name, message.empty() ? "" : ": ",
                                               message, log.substr(0, 4000)));
  image.cubin = contentOf(paths[1]);
  image.uses = readKernelUses(log);
  for (llvm::StringRef rest = log; !rest.empty();) {
    auto [line, behind] = rest.split('\n');
    rest = behind;
    if (line.contains("warning") || line.contains("Potential Performance Loss"))
      image.notes.push_back(line.trim().str());
  }
  return llvm::Error::success();
}

} // namespace seqmix::gpu
