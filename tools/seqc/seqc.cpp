//===- seqc.cpp - the compiler's command line ----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Pipeline.h"

#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/ToolOutputFile.h"

#include <fmt/format.h>

namespace cl = llvm::cl;
using namespace seqmix;

namespace {

cl::OptionCategory category("Seqmix options");
cl::list<std::string> files(cl::Positional, cl::desc("[explain] FILE..."), cl::cat(category));
cl::opt<std::string> output("o", cl::desc("Write the shared library here"),
                            cl::value_desc("file.so"), cl::cat(category));
cl::opt<std::string> header("header", cl::desc("Write the C header here"), cl::value_desc("file.h"),
                            cl::cat(category));
cl::opt<std::string> manifest("manifest",
                              cl::desc("Write the JSON manifest here (the library holds it too)"),
                              cl::value_desc("file.json"), cl::cat(category));
cl::list<std::string> definitions("D", cl::Prefix,
                                  cl::desc("Set the size of a dim or the value of a const"),
                                  cl::value_desc("NAME=VALUE"), cl::cat(category));
cl::list<std::string> sizes(
    "sizes",
    cl::desc("Compile for these sizes; give it several times for several sizes in one library"),
    cl::value_desc("K=64,V=64"), cl::cat(category));
cl::opt<std::string>
    dtype("dtype", cl::desc("Storage type where the file names none; f64 also computes in double"),
          cl::value_desc("f64|f32|bf16|f16"), cl::init("f32"), cl::cat(category));
cl::opt<std::string> cpu("cpu",
                         cl::desc("Instruction set; portable holds several and chooses at load"),
                         cl::value_desc("native|x86-64-v2|x86-64-v3|x86-64-v4|portable"),
                         cl::init("native"), cl::cat(category));
cl::opt<Target> target("target", cl::desc("What the library runs on"), cl::init(Target::Cpu),
                       cl::values(clEnumValN(Target::Cpu, "cpu", "the CPU"),
                                  clEnumValN(Target::Cuda, "cuda", "GPUs of NVIDIA")),
                       cl::cat(category));
cl::list<std::string> chips("chips", cl::CommaSeparated,
                            cl::desc("With --target=cuda: chips to compile for, the best first "
                                     "(default: sm_90a,sm_80, which serves all later ones, too)"),
                            cl::value_desc("sm_90a,sm_80"), cl::cat(category));
cl::opt<int64_t> chunk("chunk", cl::desc("Tokens of a chunk (0: chosen by the cost model)"),
                       cl::init(0), cl::cat(category));
cl::opt<Form> form("form", cl::desc("How affine matrix states are computed"), cl::init(Form::Auto),
                   cl::values(clEnumValN(Form::Auto, "auto", "by the cost model"),
                              clEnumValN(Form::Block, "block",
                                         "in block form wherever the algebra allows it"),
                              clEnumValN(Form::Sequential, "sequential", "token by token")),
                   cl::cat(category));
cl::opt<std::string> emit("emit", cl::desc("Print the IR of a stage instead of compiling"),
                          cl::value_desc("stage"), cl::cat(category));
cl::opt<bool> printTimes("time", cl::desc("Print the time spent by stage"), cl::cat(category));
cl::opt<bool> printResources("resources",
                             cl::desc("With --target=cuda: print registers, shared memory and "
                                      "spills of the kernels, where ptxas is installed"),
                             cl::cat(category));
cl::opt<bool> staticRuntime("static-runtime", cl::desc("Link the runtime into the library"),
                            cl::cat(category));
cl::opt<std::string>
    runtimeDirectory("runtime-dir",
                     cl::desc("Folder of the runtime library (default: beside seqc)"),
                     cl::value_desc("folder"), cl::cat(category));

int fail(const std::string &message) {
  llvm::errs() << "seqc: error: " << message << "\n";
  return 1;
}

std::string stageList() {
  std::string text = "Stages (--emit=STAGE):\n";
  for (const StageInfo &info : stages())
    text += fmt::format("  {:<10} {}\n", std::string_view(info.name),
                        std::string_view(info.description));
  return text;
}

llvm::Expected<std::vector<SourceFile>> readSources(llvm::ArrayRef<std::string> names) {
  std::vector<SourceFile> sources;
  for (const std::string &name : names) {
    auto buffer = llvm::MemoryBuffer::getFileOrSTDIN(name, /*IsText=*/false,
                                                     /*RequiresNullTerminator=*/false);
    if (!buffer)
      return llvm::createStringError("cannot read '" + name + "': " + buffer.getError().message());
    sources.emplace_back(name == "-" ? "<stdin>" : name, (*buffer)->getBuffer().str());
  }
  return sources;
}

} // namespace

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::HideUnrelatedOptions(category);
  std::string overview =
      "Seqmix: compiles sequence mixers from .seq files to shared libraries\n\n"
      "  seqc FILE... -o lib.so --header lib.h   compile\n"
      "  seqc explain FILE...                    what was derived and chosen, and why\n"
      "  seqc FILE --emit=STAGE                  the IR of a stage\n\n" +
      stageList();
  cl::ParseCommandLineOptions(argc, argv, overview);

  std::vector<std::string> names(files.begin(), files.end());
  bool explain = !names.empty() && names.front() == "explain";
  if (explain)
    names.erase(names.begin());
  if (names.empty())
    return fail("no input file; see seqc --help");

  Options options;
  if (auto error = readSizes({definitions.begin(), definitions.end()}, {sizes.begin(), sizes.end()},
                             options))
    return fail(llvm::toString(std::move(error)));
  auto type = dtypeNamed(dtype);
  if (!type)
    return fail(
        fmt::format("unknown --dtype '{}'; expected f64, f32, bf16 or f16", dtype.getValue()));
  options.dtype = *type;
  options.cpu = cpu;
  options.target = target;
  if (target == Target::Cuda && cpu.getNumOccurrences())
    return fail("--cpu goes with --target=cpu; for GPUs there is --chips");
  if (target == Target::Cpu && chips.getNumOccurrences())
    return fail("--chips goes with --target=cuda");
  if (target == Target::Cpu && printResources)
    return fail("--resources goes with --target=cuda");
  if (chips.getNumOccurrences())
    options.chips.assign(chips.begin(), chips.end());
  options.form = form;
  options.staticRuntime = staticRuntime;
  options.runtimeDirectory = runtimeDirectory;
  if (chunk < 0 || chunk > 4096)
    return fail(fmt::format(
        "--chunk={} is out of range; expected 1 to 4096, or 0 to let the cost model choose",
        chunk.getValue()));
  options.chunk = chunk;
  if (options.runtimeDirectory.empty()) {
    std::string self = llvm::sys::fs::getMainExecutable(argv[0], reinterpret_cast<void *>(&fail));
    options.runtimeDirectory =
        (llvm::sys::path::parent_path(llvm::sys::path::parent_path(self)) + "/lib").str();
  }

  auto sources = readSources(names);
  if (!sources)
    return fail(llvm::toString(sources.takeError()));
  if (explain)
    return mlir::failed(explainSources(*sources, options, llvm::outs(), llvm::errs()));
  if (!emit.empty()) {
    auto stage = stageNamed(emit);
    if (!stage || *stage == Stage::Library)
      return fail(fmt::format("unknown --emit stage '{}'\n{}", emit.getValue(), stageList()));
    return mlir::failed(emitStage(*sources, *stage, options, llvm::outs(), llvm::errs()));
  }
  if (output.empty())
    return fail("nothing to write: give -o FILE.so, --emit=STAGE, or use seqc explain");
  StageTimes times;
  auto result = compileSources(*sources, options,
                               {output, header, manifest, printResources ? &llvm::outs() : nullptr},
                               llvm::errs(), &times);
  if (printTimes)
    times.print(llvm::errs());
  return mlir::failed(result);
}
