//===- Header.cpp - the C header of a library -------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/library/Library.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"

#include <cmath>
#include <fmt/format.h>
#include <fmt/ranges.h>

using namespace llvm;

namespace seqmix {
namespace {

// The text of runtime/seqmix.h, so that a generated header needs no other of this project.
constexpr const char kRuntimeHeader[] =
#include "SeqmixHeader.inc"
    ;

constexpr const char *kDTypes[] = {"f64", "f32", "bf16", "f16", "i32", "bool", "i64"};

const StringSet<> &reservedNames() {
  static const StringSet<> names = {
      // Parameters that the functions have themselves.
      "options", "carry", "threads", "bytes", "size", "component", "info",
      // Keywords of C11 and C++20.
      "alignas", "alignof", "and", "and_eq", "asm", "auto", "bitand", "bitor", "bool", "break",
      "case", "catch", "char", "char8_t", "char16_t", "char32_t", "class", "co_await", "co_return",
      "co_yield", "compl", "concept", "const", "const_cast", "consteval", "constexpr", "constinit",
      "continue", "decltype", "default", "delete", "do", "double", "dynamic_cast", "else", "enum",
      "explicit", "export", "extern", "false", "float", "for", "friend", "goto", "if", "inline",
      "int", "long", "mutable", "namespace", "new", "noexcept", "not", "not_eq", "nullptr",
      "operator", "or", "or_eq", "private", "protected", "public", "register", "reinterpret_cast",
      "requires", "restrict", "return", "short", "signed", "sizeof", "static", "static_assert",
      "static_cast", "struct", "switch", "template", "this", "thread_local", "throw", "true", "try",
      "typedef", "typeid", "typename", "typeof", "union", "unsigned", "using", "virtual", "void",
      "volatile", "wchar_t", "while", "xor", "xor_eq", "linux", "unix"};
  return names;
}

std::string parameterName(StringRef name) {
  return reservedNames().contains(name) ? (name + "_").str() : name.str();
}

std::string axesText(const MixerPlan &mixer, ArrayRef<AxisPlan> axes, bool withoutTokens) {
  std::vector<std::string> names;
  for (const AxisPlan &axis : axes) {
    if (withoutTokens && axis.dim == mixer.tokenDim)
      continue;
    if (axis.dim < 0)
      names.push_back(std::to_string(axis.size));
    else if (axis.div != 1)
      names.push_back(fmt::format("{}/{}", mixer.dims[axis.dim].name, axis.div));
    else
      names.push_back(mixer.dims[axis.dim].name);
  }
  return fmt::format("[{}]", fmt::join(names, ", "));
}

std::string rangeText(const TensorPlan &tensor) {
  if (!std::isfinite(tensor.lo) && !std::isfinite(tensor.hi))
    return "";
  return fmt::format(", in [{:g}, {:g}]", tensor.lo, tensor.hi);
}

class HeaderWriter {
public:
  HeaderWriter(const FamilyPlan &family, raw_ostream &os)
      : family(family), first(family.sizes.front()), os(os) {}

  void write() {
    writeSource();
    writeTensors();
    writeCalls();
    writeQueries();
  }

private:
  void line(const std::string &text) { os << text << '\n'; }

  void writeSource() {
    line("/* ------------------------------------------------------------------------");
    line(fmt::format(" * {}", family.name));
    // A comment in the source must not end this one.
    std::string source = first.source;
    for (size_t at; (at = source.find("*/")) != std::string::npos;)
      source.replace(at, 2, "* /");
    if (!source.empty())
      line(" *");
    for (StringRef text : split(StringRef(source).trim('\n'), '\n'))
      if (!source.empty())
        line(" *     " + text.rtrim().str());
    line(" *");
    for (const MixerPlan &size : family.sizes) {
      std::vector<std::string> sizes;
      for (const DimPlan &dim : size.dims)
        if (dim.kind == SEQ_DIM_FIXED)
          sizes.push_back(fmt::format("{} = {}", dim.name, dim.size));
      line(fmt::format(" * compiled for {}",
                       sizes.empty() ? "any size" : fmt::format("{}", fmt::join(sizes, ", "))));
    }
  }

  void writeTensors() {
    line(" *");
    size_t width = 0;
    for (const TensorPlan &tensor : first.tensors)
      width = std::max(width, tensor.name.size());
    for (const ComponentPlan &part : first.components)
      width = std::max(width, part.name.size());
    for (const TensorPlan &tensor : first.tensors) {
      constexpr const char *roles[] = {"input", "param", "output"};
      line(fmt::format(" * {:6} {:{}}  {} {}{}", roles[tensor.role], tensor.name, width,
                       axesText(first, tensor.axes, false), kDTypes[tensor.dtype],
                       rangeText(tensor)));
    }
    for (auto [number, part] : enumerate(first.components))
      line(fmt::format(" * carry  {:{}}  {} {}, starts from {:g} (component {})", part.name, width,
                       axesText(first, part.axes, false), kDTypes[part.dtype], part.init, number));
    line(" * ------------------------------------------------------------------------ */\n");
  }

  std::string tensorParameters() {
    std::vector<std::string> parameters;
    for (const TensorPlan &tensor : first.tensors) {
      std::string name = parameterName(tensor.name);
      while (is_contained(parameters, "const DLTensor *" + name))
        name += "_out";
      parameters.push_back("const DLTensor *" + name);
    }
    return fmt::format("{}", fmt::join(parameters, ",\n        "));
  }

  std::string batchParameters() {
    std::string text;
    for (const DimPlan &dim : first.dims)
      if (dim.kind == SEQ_DIM_BATCH)
        text += fmt::format("int64_t {}, ", parameterName(dim.name));
    return text;
  }

  void writeCalls() {
    line("/** Whole sequences. Outputs are written; strides count elements and are not negative,");
    line(
        " *  features are contiguous. With options->cu_seqlens the first batch dim of the tensors");
    line(" *  over tokens is 1, that of the carry the number of sequences. Returns SEQ_OK, or a");
    line(" *  status whose text is in seq_last_error(). */");
    line(fmt::format("SEQ_API int {}_forward(\n        {},\n        const seq_options *options);\n",
                     family.name, tensorParameters()));
    if (first.noStep) {
      line(fmt::format("/* There is no {}_step: {}. */\n", family.name, *first.noStep));
      return;
    }
    line("/** One token a batch element: tensors without the token dim,");
    for (const TensorPlan &tensor : first.tensors)
      line(fmt::format(" *    {} {}", tensor.name,
                       axesText(first, tensor.axes, tensor.role != SEQ_ROLE_PARAM)));
    line(fmt::format(" *  `carry` holds {} tensors in the order above and is updated in place. */",
                     first.components.size()));
    line(fmt::format("SEQ_API int {}_step(\n        {},\n        DLTensor *const *carry,\n"
                     "        const seq_options *options);\n",
                     family.name, tensorParameters()));
  }

  void writeQueries() {
    std::string extents;
    for (int32_t dim : workspaceDims(first))
      extents += fmt::format("int64_t {}, ", parameterName(first.dims[dim].name));
    if (!first.device.empty()) {
      line("/** Loads the kernels for a CUDA device, so that no call has to: before a graph is");
      line(" *  captured, say. */");
      line(fmt::format("SEQ_API int {}_prepare(int32_t device);\n", family.name));
    }
    line("/** seq_last_error() of the runtime that this library calls. */");
    line(fmt::format("SEQ_API const char *{}_last_error(void);\n", family.name));
    line("/** Bytes of a workspace that suffices for calls up to these extents (for packed");
    line(" *  sequences: their number, and the longest); `threads` as in the options. */");
    line(fmt::format("SEQ_API int {}_workspace_size({}int32_t threads, size_t *bytes);\n",
                     family.name, extents));
    line(
        "/** Numbers of: components of the carry, sizes in this library, tensors of a call, batch");
    line(" *  dims, run-time lengths that a workspace is asked for with. */");
    line(fmt::format("SEQ_API int32_t {}_carry_count(void);", family.name));
    line(fmt::format("SEQ_API int32_t {}_size_count(void);", family.name));
    line(fmt::format("SEQ_API int32_t {}_tensor_count(void);", family.name));
    line(fmt::format("SEQ_API int32_t {}_batch_count(void);", family.name));
    line(fmt::format("SEQ_API int32_t {}_length_count(void);\n", family.name));
    line("/** Name, type, shape and initial value of a component, for one of the sizes (from 0). "
         "*/");
    line(fmt::format("SEQ_API int {}_carry_component(int32_t size, int32_t component, "
                     "{}seq_component *info);\n",
                     family.name, batchParameters()));
  }

  const FamilyPlan &family;
  const MixerPlan &first;
  raw_ostream &os;
};

} // namespace

void writeHeader(const LibraryPlan &plan, StringRef name, raw_ostream &os) {
  std::string guard = "SEQMIX_LIBRARY_";
  for (char c : name)
    guard += isAlnum(c) ? toUpper(c) : '_';
  guard += "_H";
  os << "/* Written by seqc " << SEQMIX_VERSION << ". Needs dlpack.h; link with the library. */\n\n"
     << "#ifndef " << guard << "\n#define " << guard << "\n\n"
     << kRuntimeHeader << "\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n";
  for (const FamilyPlan &family : plan.mixers)
    HeaderWriter(family, os).write();
  os << "/** The manifest of this library: JSON text. */\nSEQ_API const char "
        "*seqmix_manifest(void);\n"
     << "\n#ifdef __cplusplus\n}\n#endif\n\n#endif /* " << guard << " */\n";
}

} // namespace seqmix
