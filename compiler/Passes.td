//===- Passes.td - the passes of the compiler -----------------------*- tablegen -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_PASSES
#define SEQMIX_COMPILER_PASSES

include "mlir/Pass/PassBase.td"

def UnrollWindows : Pass<"seq-unroll-windows", "::mlir::ModuleOp"> {
  let summary = "write reductions over a short window of tokens as their terms";
  let description = [{
    `sum[w] c[w] * x[t-w]` becomes `c[0]*x[t] + c[1]*x[t-1] + ...` (likewise for the other reductions), when the index runs over at most 64
    elements.

    *Requires*: the seq stage.
    *Produces*: no bound index in the token of a read, but for longer windows.
  }];
  let dependentDialects = ["::mlir::seq::SeqDialect"];
}

def Normalize : Pass<"seq-normalize", "::mlir::ModuleOp"> {
  let summary = "write maps, domains and powers in simpler terms, refuse what has no lowering";
  let description = [{
    Softmax and logsumexp over fixed dims become definitions of their maximum, exponentials and sum; reductions with a domain select their neutral element outside it; equations with a domain select zero; whole
    powers become products.

    *Requires*: the seq stage.
    *Produces*: no `seq.map`, no domains; every read is at this token plus a constant. Pairs of positions and a second
    run-time length are refused with a located error.
  }];
  let dependentDialects = ["::mlir::seq::SeqDialect"];
}

def FindAffine : Pass<"seq-find-affine", "::mlir::ModuleOp"> {
  let summary = "find matrix states with a diagonal plus low-rank transition and write them as seq.affine";
  let description = [{
    A state of two or more dims that is alone in its cycle is expanded into a sum of products. When its coefficient factors into
    rows and columns and everything else that it reads of itself is a sum over its rows, the state becomes a `seq.affine`: decays,
    updates (equal left factors merged) and row reads; all reads of the state become `seq.produced` tensors. Expressions that are not a
    tensor or definition by themselves get definitions.

    *Requires*: `seq-normalize`.
    *Produces*: `seq.affine` for such states. Other states keep their equations and get an attribute `structure.not_affine` that says why.
  }];
  let dependentDialects = ["::mlir::seq::SeqDialect"];
  let options = [
    Option<"minSize", "min-size", "int64_t", "8", "smallest number of rows and of columns for which blocks pay">,
    Option<"lanes", "lanes", "int64_t", "16", "columns over several dims must be multiples of this, and rows have one dim; 0: any shape">];
}

def FormGroups : Pass<"seq-form-groups", "::mlir::ModuleOp"> {
  let summary = "make a seq.recurrence of each cycle of states that is left, with its class and lanes";
  let description = [{
    A group is a strongly connected component over reads at any token. Reductions of a group's states join it as
    definitions when their values are fewer than the state's, so that the state need not be kept for every token.

    *Requires*: `seq-find-affine`.
    *Produces*: every state is in a `seq.affine` or a `seq.recurrence`.
  }];
  let dependentDialects = ["::mlir::seq::SeqDialect"];
}

#endif // SEQMIX_COMPILER_PASSES
