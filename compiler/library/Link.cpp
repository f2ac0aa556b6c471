//===- Link.cpp - runs the linker -------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/library/Library.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

using namespace llvm;

namespace seqmix {
namespace {

// The runtime's own interface; visible when it is part of the library.
constexpr const char *kRuntimeSymbols[] = {"seq_last_error",  "seq_status_name",     "seq_version",
                                           "seq_num_threads", "seq_set_num_threads", "seq_rt_*"};

Expected<std::string> writeTemporary(StringRef suffix, StringRef content) {
  SmallString<128> path;
  int file;
  if (std::error_code code = sys::fs::createTemporaryFile("seqmix", suffix, file, path))
    return createStringError(code, "cannot make a temporary file: %s", code.message().c_str());
  raw_fd_ostream os(file, /*shouldClose=*/true);
  os << content;
  return path.str().str();
}

struct Linker {
  std::string path;
  bool isDriver; // a C compiler: linker options go through -Wl
};

Expected<Linker> findLinker() {
  for (const char *name : {"ld.lld-22", "ld.lld"})
    if (auto path = sys::findProgramByName(name))
      return Linker{*path, false};
  if (auto path = sys::findProgramByName("ld.lld", {"/usr/lib/llvm-22/bin"}))
    return Linker{*path, false};
  for (const char *name : {"cc", "clang-22", "clang", "gcc"})
    if (auto path = sys::findProgramByName(name))
      return Linker{*path, true};
  return createStringError("no linker found: install lld (ld.lld), or a C compiler (cc)");
}

// A relative directory would be looked up from wherever the program runs.
std::string absolute(StringRef directory) {
  SmallString<256> path(directory);
  if (sys::fs::make_absolute(path))
    return directory.str();
  sys::path::remove_dots(path, /*remove_dot_dot=*/true);
  return path.str().str();
}

Error checkRuntime(const LinkOptions &options) {
  SmallString<256> path(options.runtimeDirectory);
  sys::path::append(path, options.staticRuntime ? "libseqmix_rt.a" : "libseqmix_rt.so");
  if (sys::fs::exists(path))
    return Error::success();
  return createStringError("the runtime '%s' is not there", path.c_str());
}

std::vector<std::string> linkerArguments(const LinkOptions &options, StringRef versionScript) {
  std::string runtime = absolute(options.runtimeDirectory);
  std::vector<std::string> arguments = {"-shared",
                                        "-o",
                                        options.output,
                                        "-soname",
                                        sys::path::filename(options.output).str(),
                                        "--version-script",
                                        versionScript.str(),
                                        "--gc-sections",
                                        "--hash-style=gnu",
                                        "--no-undefined-version",
                                        "-z",
                                        "relro",
                                        "-z",
                                        "noexecstack"};
  // The workers of a runtime in it go on running when the library is closed, and what the driver
  // has loaded of its kernels is known in it.
  if (options.staticRuntime || options.staysLoaded)
    arguments.insert(arguments.end(), {"-z", "nodelete"});
  if (!options.staticRuntime)
    arguments.insert(arguments.end(), {"--enable-new-dtags", "-rpath", "$ORIGIN:" + runtime});
  arguments.insert(arguments.end(), options.objects.begin(), options.objects.end());
  if (options.staticRuntime)
    arguments.insert(arguments.end(),
                     {"--whole-archive", runtime + "/libseqmix_rt.a", "--no-whole-archive"});
  else
    arguments.insert(arguments.end(), {"-L", runtime, "-l:libseqmix_rt.so"});
  return arguments;
}

// The C library is named so that its symbols are bound by version.
void addCLibrary(const Linker &linker, std::vector<std::string> &arguments) {
  if (linker.isDriver)
    return;
  arguments.push_back("--as-needed");
  for (const char *directory : {"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64",
                                "/usr/lib64", "/usr/lib", "/lib"})
    if (sys::fs::is_directory(directory))
      arguments.insert(arguments.end(), {"-L", directory});
  arguments.insert(arguments.end(), {"-l:libc.so.6", "-l:ld-linux-x86-64.so.2"});
}

std::vector<std::string> driverArguments(const std::vector<std::string> &arguments) {
  std::vector<std::string> result;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string &argument = arguments[i];
    bool direct = argument == "-shared" || argument == "-o" || argument == "-L" ||
                  argument[0] != '-' || StringRef(argument).starts_with("-l:");
    if (direct)
      result.push_back(argument);
    else if (argument == "-soname" || argument == "--version-script" || argument == "-z" ||
             argument == "-rpath")
      result.push_back("-Wl," + argument + "," + arguments[++i]);
    else if (argument != "--no-undefined-version")
      result.push_back("-Wl," + argument);
    if (argument == "-o" || argument == "-L")
      result.push_back(arguments[++i]);
  }
  return result;
}

std::string readText(StringRef path) {
  auto buffer = MemoryBuffer::getFile(path);
  return buffer ? (*buffer)->getBuffer().str() : std::string();
}

} // namespace

Error linkLibrary(const LinkOptions &options) {
  auto linker = findLinker();
  if (!linker)
    return linker.takeError();
  if (auto error = checkRuntime(options))
    return error;
  std::vector<std::string> names = options.exports;
  if (options.staticRuntime)
    names.insert(names.end(), std::begin(kRuntimeSymbols), std::end(kRuntimeSymbols));
  auto script =
      writeTemporary("map", fmt::format("{{ global: {}; local: *; }};\n", fmt::join(names, "; ")));
  if (!script)
    return script.takeError();
  FileRemover removeScript(*script);
  auto log = writeTemporary("log", "");
  if (!log)
    return log.takeError();
  FileRemover removeLog(*log);

  auto arguments = linkerArguments(options, *script);
  addCLibrary(*linker, arguments);
  if (linker->isDriver)
    arguments = driverArguments(arguments);
  arguments.insert(arguments.begin(), linker->path);
  std::vector<StringRef> references(arguments.begin(), arguments.end());
  std::string message;
  int status = sys::ExecuteAndWait(linker->path, references, std::nullopt,
                                   {StringRef(), StringRef(*log), StringRef(*log)},
                                   /*SecondsToWait=*/0, /*MemoryLimit=*/0, &message);
  if (status == 0)
    return Error::success();
  return createStringError(fmt::format("{} failed{}{}\n{}", linker->path,
                                       message.empty() ? "" : ": ", message, readText(*log)));
}

} // namespace seqmix
