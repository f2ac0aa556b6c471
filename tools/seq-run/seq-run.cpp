//===- seq-run.cpp - runs mixers and compares -------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Commands.h"
#include "tools/seq-run/Workers.h"

#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/raw_ostream.h"

#include <fmt/format.h>

namespace cl = llvm::cl;
using namespace seqmix;

namespace {

cl::SubCommand checkCommand("check", "Run the cases in the files on the oracle and compiled");
cl::SubCommand benchCommand("bench", "Measure the speed of mixers");
cl::SubCommand referenceCommand("reference", "Run the oracle on arrays in .npy files");
cl::SubCommand recordCommand("record",
                             "Write the cases in the files as arrays, with the oracle's results");
cl::SubCommand randomCommand("random", "Try random mixers on the oracle and compiled");

cl::OptionCategory category("Options");

// Of every command.
cl::opt<std::string> dtype("dtype", cl::desc("Storage type: f64, f32, bf16 or f16"),
                           cl::sub(checkCommand), cl::sub(benchCommand), cl::sub(randomCommand),
                           cl::sub(referenceCommand), cl::sub(recordCommand), cl::cat(category));
cl::opt<std::string> cpu("cpu", cl::desc("Instruction set, as for seqc"), cl::init("native"),
                         cl::sub(checkCommand), cl::sub(benchCommand), cl::sub(randomCommand),
                         cl::cat(category));
cl::opt<int64_t> chunk("chunk", cl::desc("Tokens of a chunk (0: by the cost model)"), cl::init(0),
                       cl::sub(checkCommand), cl::sub(benchCommand), cl::sub(randomCommand),
                       cl::cat(category));
cl::opt<Form> form("form", cl::desc("How affine states are computed"), cl::init(Form::Auto),
                   cl::values(clEnumValN(Form::Auto, "auto", "by the cost model"),
                              clEnumValN(Form::Block, "block", "in block form"),
                              clEnumValN(Form::Sequential, "sequential", "token by token")),
                   cl::sub(checkCommand), cl::sub(benchCommand), cl::sub(randomCommand),
                   cl::cat(category));
cl::opt<unsigned> optimisation("O", cl::desc("Optimisation of the compiled code, 0 to 3"),
                               cl::Prefix, cl::init(3), cl::sub(checkCommand),
                               cl::sub(benchCommand), cl::sub(randomCommand), cl::cat(category));
cl::opt<bool> printJson("json", cl::desc("Print JSON"), cl::sub(checkCommand),
                        cl::sub(benchCommand), cl::cat(category));
cl::opt<unsigned> jobs("jobs", cl::desc("Processes side by side (0: one a CPU)"), cl::init(0),
                       cl::sub(checkCommand), cl::sub(randomCommand), cl::cat(category));
cl::opt<bool> oracleOnly("oracle-only", cl::desc("Stop after the oracle"), cl::sub(checkCommand),
                         cl::sub(randomCommand), cl::cat(category));

// record
cl::list<std::string> recordFiles(cl::Positional, cl::desc("FILE..."), cl::OneOrMore,
                                  cl::sub(recordCommand), cl::cat(category));

// check and bench
cl::list<std::string> checkFiles(cl::Positional, cl::desc("FILE..."), cl::OneOrMore,
                                 cl::sub(checkCommand), cl::cat(category));
cl::list<std::string> benchFiles(cl::Positional, cl::desc("FILE..."), cl::OneOrMore,
                                 cl::sub(benchCommand), cl::cat(category));
cl::opt<std::string> filter("filter", cl::desc("Only what contains this text: \"mixer case\""),
                            cl::sub(checkCommand), cl::sub(benchCommand), cl::cat(category));

// random
cl::opt<uint64_t> count("count", cl::desc("Number of mixers"), cl::init(300),
                        cl::sub(randomCommand), cl::cat(category));
cl::opt<uint64_t> seed("seed", cl::desc("Which mixers"), cl::init(1), cl::sub(randomCommand),
                       cl::cat(category));
cl::opt<uint64_t> only("only", cl::desc("One mixer of the seed"), cl::sub(randomCommand),
                       cl::cat(category));
cl::opt<unsigned> batch("batch", cl::desc("Mixers in one library"), cl::init(4),
                        cl::sub(randomCommand), cl::cat(category));
cl::opt<bool> keepGoing("keep-going", cl::desc("Go on after a failure"), cl::sub(randomCommand),
                        cl::cat(category));
cl::opt<bool> shrinkFailures("shrink", cl::desc("Make failing mixers smaller"),
                             cl::sub(randomCommand), cl::cat(category));
cl::opt<bool> printOnly("print", cl::desc("Print the mixers and do nothing else"),
                        cl::sub(randomCommand), cl::cat(category));

// reference
cl::opt<std::string> referenceFile(cl::Positional, cl::desc("FILE"), cl::Required,
                                   cl::sub(referenceCommand), cl::cat(category));
cl::opt<std::string> mixer("mixer", cl::desc("Which mixer, where the file has several"),
                           cl::sub(referenceCommand), cl::cat(category));
cl::opt<std::string> inputs("inputs",
                            cl::desc("Folder of NAME.npy for each input and param, and of "
                                     "carry.NAME.npy for what is given of the carry"),
                            cl::value_desc("FOLDER"), cl::Required, cl::sub(referenceCommand),
                            cl::cat(category));
cl::opt<std::string> outputs("outputs",
                             cl::desc("Folder for the outputs and the final carry, named alike; "
                                      "of record: for a folder a case"),
                             cl::value_desc("FOLDER"), cl::Required, cl::sub(referenceCommand),
                             cl::sub(recordCommand), cl::cat(category));
cl::list<int64_t> cuSeqlens("cu-seqlens",
                            cl::desc("Starts of packed sequences and the end: 0,5,5,67"),
                            cl::CommaSeparated, cl::sub(referenceCommand), cl::cat(category));
cl::opt<bool> asWritten("as-written",
                        cl::desc("Run the sums over tokens as the file has them, none as a state"),
                        cl::sub(referenceCommand), cl::cat(category));

// bench and reference
cl::list<std::string> definitions("D", cl::Prefix, cl::desc("Size of a dim or value of a const"),
                                  cl::value_desc("NAME=VALUE"), cl::sub(benchCommand),
                                  cl::sub(referenceCommand), cl::cat(category));

// bench
cl::list<std::string> extents("extent",
                              cl::desc("Extent of a batch or run-time dim (default: B=1, T=1024, "
                                       "H=8, others 1)"),
                              cl::value_desc("NAME=VALUE"), cl::CommaSeparated,
                              cl::sub(benchCommand), cl::cat(category));
cl::opt<int64_t> extentB("B", cl::desc("Extent of B"), cl::sub(benchCommand), cl::cat(category));
cl::opt<int64_t> extentT("T", cl::desc("Extent of T"), cl::sub(benchCommand), cl::cat(category));
cl::opt<int64_t> extentH("H", cl::desc("Extent of H"), cl::sub(benchCommand), cl::cat(category));
cl::list<int64_t> threads("threads", cl::desc("Numbers of threads"), cl::CommaSeparated,
                          cl::sub(benchCommand), cl::cat(category));
cl::opt<int64_t> repetitions("reps", cl::desc("Repetitions (0: half a second)"), cl::init(0),
                             cl::sub(benchCommand), cl::cat(category));
cl::opt<bool> steps("steps", cl::desc("Measure the step, not whole sequences"),
                    cl::sub(benchCommand), cl::cat(category));

int fail(const std::string &message) {
  llvm::errs() << "seq-run: error: " << message << "\n";
  return 1;
}

} // namespace

int main(int argc, char **argv) {
  llvm::sys::PrintStackTraceOnErrorSignal(argv[0]);
  for (cl::SubCommand *command :
       {&checkCommand, &benchCommand, &randomCommand, &referenceCommand, &recordCommand})
    cl::HideUnrelatedOptions(category, *command);
  cl::ParseCommandLineOptions(argc, argv,
                              "Seqmix: runs mixers on the oracle and compiled, and measures\n");
  Options compile;
  compile.cpu = cpu;
  compile.chunk = chunk;
  compile.form = form;
  compile.optimisation = optimisation;
  std::string self = llvm::sys::fs::getMainExecutable(argv[0], reinterpret_cast<void *>(&fail));
  compile.runtimeDirectory =
      (llvm::sys::path::parent_path(llvm::sys::path::parent_path(self)) + "/lib").str();
  std::optional<ast::DType> type = dtypeNamed(dtype);
  if (!dtype.empty() && !type)
    return fail(
        fmt::format("unknown --dtype '{}'; expected f64, f32, bf16 or f16", dtype.getValue()));
  unsigned processes = jobs ? jobs : run::availableCpus();

  if (checkCommand) {
    run::CheckOptions options;
    options.files = {checkFiles.begin(), checkFiles.end()};
    options.compile = compile;
    options.dtype = type;
    options.filter = filter;
    options.json = printJson;
    options.oracleOnly = oracleOnly;
    options.jobs = processes;
    return run::runCheck(options);
  }
  if (recordCommand)
    return run::runRecord({{recordFiles.begin(), recordFiles.end()}, type, outputs});
  if (randomCommand) {
    run::RandomOptions options;
    options.compile = compile;
    options.count = count;
    options.seed = seed;
    if (only.getNumOccurrences())
      options.only = only;
    options.keepGoing = keepGoing;
    options.shrink = shrinkFailures;
    options.printOnly = printOnly;
    options.oracleOnly = oracleOnly;
    options.dtype = type;
    options.jobs = processes;
    options.batch = std::max(1u, batch.getValue());
    return run::runRandom(options);
  }
  if (referenceCommand) {
    run::ReferenceOptions options;
    options.file = referenceFile;
    options.mixer = mixer;
    options.dtype = type.value_or(ast::DType::F32);
    options.inputs = inputs;
    options.outputs = outputs;
    options.asWritten = asWritten;
    options.cuSeqlens = {cuSeqlens.begin(), cuSeqlens.end()};
    if (auto error = readSizes({definitions.begin(), definitions.end()}, {}, compile))
      return fail(llvm::toString(std::move(error)));
    options.sizes = compile.sizes.front();
    return run::runReference(options);
  }
  if (benchCommand) {
    run::BenchOptions options;
    options.files = {benchFiles.begin(), benchFiles.end()};
    options.compile = compile;
    options.compile.dtype = type.value_or(ast::DType::F32);
    options.filter = filter;
    if (auto error = readSizes({definitions.begin(), definitions.end()}, {}, options.compile))
      return fail(llvm::toString(std::move(error)));
    for (const std::string &text : extents) {
      auto [name, value] = llvm::StringRef(text).split('=');
      int64_t extent;
      if (name.empty() || value.getAsInteger(10, extent) || extent < 0)
        return fail(fmt::format("expected --extent NAME=VALUE, found '{}'", text));
      options.extents[name.str()] = extent;
    }
    for (auto *extent : {&extentB, &extentT, &extentH})
      if (extent->getNumOccurrences())
        options.extents[extent->ArgStr.str()] = *extent;
    if (!threads.empty())
      options.threads = {threads.begin(), threads.end()};
    options.repetitions = repetitions;
    options.steps = steps;
    options.json = printJson;
    return run::runBench(options);
  }
  return fail("expected a command: check, bench, random, record or reference; see seq-run --help");
}
