//===- Import.cpp - from the checked syntax tree to the seq dialect ------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/seq/Import.h"

#include "compiler/seq/CumulativeSums.h"
#include "compiler/seq/ExprImport.h"

#include "mlir/IR/AffineMap.h"
#include "mlir/IR/Verifier.h"
#include "llvm/Support/ErrorHandling.h"

using namespace mlir;

namespace seqmix {
namespace {

class MixerImporter {
public:
  MixerImporter(const ast::File &file, const ast::Mixer &mixer, OpBuilder &builder,
                const ImportOptions &options)
      : file(file), mixer(mixer), builder(builder), options(options) {}

  LogicalResult run();

private:
  Location loc(SourceRange range) { return locationOf(file.source, range, builder.getContext()); }
  FlatSymbolRefAttr symbol(const ast::Decl *decl) {
    return FlatSymbolRefAttr::get(builder.getContext(), decl->name);
  }
  Type storage(ast::DType dtype);
  ArrayAttr dimsOf(const ast::Decl *decl);
  LogicalResult dim(const ast::Dim *dim);
  AffineExpr formula(const ast::Expr *expr, SmallVectorImpl<const ast::Decl *> &of);
  void tensor(const ast::Tensor *tensor);
  void state(const ast::State *state);
  void output(const ast::Output *output);
  void equation(const ast::Equation *equation);

  const ast::File &file;
  const ast::Mixer &mixer;
  OpBuilder &builder;
  const ImportOptions &options;
};

/// The storage type as written, or else the default.
Type MixerImporter::storage(ast::DType dtype) {
  if (dtype == ast::DType::Default)
    dtype = options.defaultDType;
  switch (dtype) {
  case ast::DType::F64:
    return builder.getF64Type();
  case ast::DType::F32:
    return builder.getF32Type();
  case ast::DType::BF16:
    return builder.getBF16Type();
  case ast::DType::F16:
    return builder.getF16Type();
  case ast::DType::I32:
    return builder.getI32Type();
  case ast::DType::Bool:
    return builder.getI1Type();
  case ast::DType::Default:
    break;
  }
  llvm_unreachable("the default is a storage type");
}

ArrayAttr MixerImporter::dimsOf(const ast::Decl *decl) {
  std::vector<ast::Place> places = ast::placesOf(decl);
  SmallVector<Attribute> dims;
  for (unsigned place : dimOrder(decl))
    dims.push_back(symbol(places[place].dim));
  return builder.getArrayAttr(dims);
}

/// The extent of a run-time dim as an affine expression of the dims in `of`; null when it is none.
AffineExpr MixerImporter::formula(const ast::Expr *expr, SmallVectorImpl<const ast::Decl *> &of) {
  MLIRContext *context = builder.getContext();
  if (auto constant = ast::constantValue(expr))
    return constant->isInteger ? getAffineConstantExpr(constant->integer, context) : AffineExpr();
  if (auto *ref = llvm::dyn_cast<ast::RefExpr>(expr)) {
    auto found = llvm::find(of, ref->decl);
    unsigned position = found - of.begin();
    if (found == of.end())
      of.push_back(ref->decl);
    return getAffineDimExpr(position, context);
  }
  auto *binary = llvm::dyn_cast<ast::BinaryExpr>(expr);
  if (!binary)
    return {};
  AffineExpr lhs = formula(binary->lhs, of), rhs = formula(binary->rhs, of);
  if (!lhs || !rhs)
    return {};
  bool positive = isa<AffineConstantExpr>(rhs) && cast<AffineConstantExpr>(rhs).getValue() > 0;
  switch (binary->op) {
  case ast::BinaryOp::Add:
    return lhs + rhs;
  case ast::BinaryOp::Sub:
    return lhs - rhs;
  case ast::BinaryOp::Mul:
    return isa<AffineConstantExpr>(lhs) || isa<AffineConstantExpr>(rhs) ? lhs * rhs : AffineExpr();
  case ast::BinaryOp::FloorDiv:
    return positive ? lhs.floorDiv(rhs) : AffineExpr();
  case ast::BinaryOp::Mod:
    return positive ? lhs % rhs : AffineExpr();
  default:
    return {};
  }
}

LogicalResult MixerImporter::dim(const ast::Dim *dim) {
  Location at = loc(dim->range);
  if (!dim->isRunTime()) {
    seq::DimOp::create(builder, at, dim->name, seq::DimKind::Fixed,
                       builder.getI64IntegerAttr(*dim->size), ArrayAttr(), AffineMapAttr());
    return success();
  }
  ArrayAttr of;
  AffineMapAttr by;
  if (dim->isDerived()) {
    SmallVector<const ast::Decl *> dims;
    AffineExpr extent = formula(dim->sizeExpr, dims);
    if (!extent)
      return emitError(loc(dim->sizeExpr->range))
             << "the extent of a run-time dim must be affine in other dims, with '//' and '%' by "
                "positive constants";
    SmallVector<Attribute> symbols;
    for (const ast::Decl *other : dims)
      symbols.push_back(symbol(other));
    of = builder.getArrayAttr(symbols);
    by = AffineMapAttr::get(AffineMap::get(dims.size(), 0, extent));
  }
  seq::DimOp::create(builder, at, dim->name, seq::DimKind::Runtime, IntegerAttr(), of, by);
  return success();
}

void MixerImporter::tensor(const ast::Tensor *tensor) {
  SmallVector<Attribute> batch;
  for (const ast::BatchUse &use : tensor->batch)
    batch.push_back(seq::BatchAttr::get(builder.getContext(), symbol(use.dim), use.group));
  ArrayAttr range;
  if (tensor->bounds)
    range = builder.getF64ArrayAttr({tensor->bounds->low, tensor->bounds->high});
  seq::TensorOp::create(builder, loc(tensor->range), tensor->name,
                        tensor->isParam() ? seq::Role::Param : seq::Role::Input, dimsOf(tensor),
                        builder.getArrayAttr(batch), storage(tensor->dtype), range);
}

void MixerImporter::state(const ast::State *state) {
  SmallVector<Attribute> dims;
  for (const ast::Place &place : state->places)
    dims.push_back(symbol(place.dim));
  auto direction = state->direction == ast::Direction::Forward ? seq::Direction::Forward
                                                               : seq::Direction::Backward;
  seq::StateOp::create(builder, loc(state->range), state->name, builder.getArrayAttr(dims),
                       llvm::APFloat(state->init), direction);
}

void MixerImporter::output(const ast::Output *output) {
  seq::OutputOp::create(builder, loc(output->range), output->value->name, storage(output->dtype));
}

void MixerImporter::equation(const ast::Equation *equation) {
  Location at = loc(equation->range);
  SmallVector<const ast::Index *> indices;
  SmallVector<Attribute> names;
  for (unsigned place : dimOrder(equation->target)) {
    indices.push_back(equation->indices[place].index);
    names.push_back(builder.getStringAttr(equation->indices[place].index->name));
  }
  ArrayAttr dims = dimsOf(equation->target);
  ArrayAttr nameAttr = builder.getArrayAttr(names);
  ExprImporter expressions(file.source, builder);
  if (auto *definition = llvm::dyn_cast<ast::Definition>(equation->target)) {
    auto define = seq::DefineOp::create(builder, at, definition->name, dims, nameAttr);
    expressions.fillRegion(define.getBody(), indices, at, [&] {
      return definition->type == ast::Type::Real ? expressions.real(equation->rhs)
                                                 : expressions.value(equation->rhs);
    });
    expressions.fillDomain(define.getDomain(), indices, equation->domain);
    return;
  }
  auto next = seq::NextOp::create(builder, at, symbol(equation->target), dims, nameAttr);
  expressions.fillRegion(next.getBody(), indices, at,
                         [&] { return expressions.real(equation->rhs); });
}

LogicalResult MixerImporter::run() {
  Type compute = options.defaultDType == ast::DType::F64 ? Type(builder.getF64Type())
                                                         : Type(builder.getF32Type());
  StringAttr noStep;
  if (mixer.noStep)
    noStep = builder.getStringAttr(mixer.noStep->reason);
  auto op = seq::MixerOp::create(builder, loc(mixer.range), mixer.name, compute, noStep,
                                 /*summary_of=*/FlatSymbolRefAttr(),
                                 /*form_of=*/FlatSymbolRefAttr(),
                                 /*form_products=*/DenseI64ArrayAttr());
  OpBuilder::InsertionGuard guard(builder);
  builder.createBlock(&op.getBody());
  for (const ast::BatchDim *batch : mixer.batchDims)
    seq::DimOp::create(builder, loc(batch->range), batch->name, seq::DimKind::Batch, IntegerAttr(),
                       ArrayAttr(), AffineMapAttr());
  for (const ast::Dim *dim : mixer.dims)
    if (failed(this->dim(dim)))
      return failure();
  for (const ast::Tensor *tensor : mixer.tensors)
    this->tensor(tensor);
  for (const ast::State *state : mixer.states)
    this->state(state);
  for (const ast::Output *output : mixer.outputs)
    this->output(output);
  for (const ast::Equation *equation : mixer.order)
    this->equation(equation);
  expandCumulativeSums(op);
  return success();
}

} // namespace

OwningOpRef<ModuleOp> importFile(const ast::File &file, MLIRContext &context,
                                 const ImportOptions &options) {
  context.loadDialect<seq::SeqDialect>();
  OpBuilder builder(&context);
  Location at = FileLineColRange::get(builder.getStringAttr(file.source.name()), 1, 1);
  OwningOpRef<ModuleOp> module = ModuleOp::create(at);
  builder.setInsertionPointToEnd(module->getBody());
  for (const ast::Mixer *mixer : file.mixers)
    if (failed(MixerImporter(file, *mixer, builder, options).run()))
      return {};
  if (failed(verify(*module)))
    return {};
  return module;
}

} // namespace seqmix
