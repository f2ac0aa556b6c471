//===- Passes.td - the passes of the compiler -----------------------*- tablegen -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_PASSES
#define SEQMIX_COMPILER_PASSES

include "mlir/Pass/PassBase.td"

def FindLinearSums : Pass<"seq-find-linear-sums", "::mlir::ModuleOp"> {
  let summary = "write sums over the tokens before (or after) a token as states where they have low rank";
  let description = [{
    A sum over s whose terms are products of factors of t, factors of s, inner sums of such products over fixed dims, and exponentials that fall with
    the distance becomes a sum of reads of states `NAME.state`: with the domain `s <= t` or `s < t` one that runs forwards, with `s >= t` or `s > t` one
    that runs backwards, with none one each way (`exp(c * |t - s|)` too). Exponentials of sums are taken apart only where no part can overflow alone,
    differences of running sums only in exponents, and where each token is known to lower them. Equal states are one. A sum stays as it is when its
    state would cost more than the pairs of a sequence of 8192 tokens; the mixer's attribute `seq.over_pairs` says why any did, a state's `seq.sum_of`
    whose sum it is.

    *Requires*: the seq stage. Runs as part of the import, so that the oracle and the kernels have the same carry.
    *Produces*: `seq.state` and `seq.next` for such sums. A backward one sets `no_step`.
  }];
  let dependentDialects = ["::mlir::seq::SeqDialect"];
}

def ReassociateProducts : Pass<"seq-reassociate-products", "::mlir::ModuleOp"> {
  let summary = "let sums over positions read the rows that keys and values are made from, where these are fewer bytes";
  let description = [{
    A definition over s that is linear in rows of s, `k[s,n] = sum[r] W[n,r] * c[s,r]` with W free of s, need not be kept for later tokens: a score's
    `sum[n] q[t,n] * k[s,n]` is `sum[r] (sum[n] q[t,n] * W[n,r]) * c[s,r]`, and `sum[s] p[t,s] * k[s,n]` is `sum[r] W[n,r] * (sum[s] p[t,s] * c[s,r])`.
    This is done for all definitions that are made from the same rows, or none: where their rows are fewer bytes a token, with batch dims behind the
    first one (heads) taken to be 8, and a pair takes at most 8 times the products; or where the bytes are equal and the products fewer. When a
    pair then takes more products, a copy of the mixer as it was, `NAME.expanded` with `form_of`, is kept, and `form_products` of both tell the
    runtime which takes fewer for the lengths of a sequence.
    `seq.latent_rows` says in words what was chosen. Definitions that are read otherwise stay.

    *Requires*: the seq stage. Runs as part of the import, before the carry is fixed.
    *Produces*: such sums of products.
  }];
  let dependentDialects = ["::mlir::seq::SeqDialect"];
}

def ReduceTurns : Pass<"seq-reduce-turns", "::mlir::ModuleOp"> {
  let summary = "take angles that are fractions of a turn modulo whole turns";
  let description = [{
    `cos(2*pi * i*j / N)` with integers i, j and N becomes `cos(2*pi * (i*j % N) / N)`, likewise sin: the angle as written has lost its last digits
    before the function sees it.

    *Requires*: `seq-unroll-windows`.
    *Produces*: no cosine or sine of such an angle with two factors or more that is not taken modulo whole turns.
  }];
  let dependentDialects = ["::mlir::seq::SeqDialect"];
}

def UnrollWindows : Pass<"seq-unroll-windows", "::mlir::ModuleOp"> {
  let summary = "write reductions over a short window of tokens as their terms";
  let description = [{
    `sum[w] c[w] * x[t-w]` becomes `c[0]*x[t] + c[1]*x[t-1] + ...` (likewise for the other reductions), when the index runs over at most 64
    elements. A sum over a block of tokens, as of `x[16 * (t // 16) + w]`, stays one.

    *Requires*: the seq stage.
    *Produces*: no bound index in the token of a read, but for longer windows and blocks.
  }];
  let dependentDialects = ["::mlir::seq::SeqDialect"];
}

def FrontPositions : Pass<"seq-front-positions", "::mlir::ModuleOp"> {
  let summary = "put the run-time dim of params in front";
  let description = [{
    A param's dims have any order (`W[p,T]`). Its first run-time dim becomes the first one, in its reads, too; `seq.order` numbers the dims as they are declared, which is
    the order of its strides in a frame.
  }];
  let dependentDialects = ["::mlir::seq::SeqDialect"];
}

def FormPairs : Pass<"seq-form-pairs", "::mlir::ModuleOp"> {
  let summary = "make seq.pairs of reductions over all positions";
  let description = [{
    Values for every pair (t, s) are put where they are used. A reduction over s becomes a produced tensor over t: softmax and logsumexp are a maximum and
    sums of exponentials, a sum of exp(a - g) whose maximum is known one of exp(a - max), factors without s stand outside, conditions with a zero
    side become domains. A sum whose weights depend on t - s alone becomes a `seq.convolution`. What depends on one of t and s only gets a definition. Reductions with one domain and one score share a `seq.pairs`.

    What is restricted to chosen positions reads those alone, and so do blocks of positions unless `gathers-blocks` is off: then all positions are pairs, of
    which those of the chosen blocks count.

    *Requires*: `seq-unroll-windows`.
    *Produces*: no reduction over a run-time dim in equations; what has no such form is refused with a located error.
  }];
  let options = [Option<"gathersBlocks", "gathers-blocks", "bool", "true", "read the positions of chosen blocks alone">];
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
    updates (equal left factors merged) and row reads. Dims over which no read sums and whose indices all factors may have number matrices of
    their own (outer dims). Short sums of products of rows and columns are written out, and rows with a short index of their own become reads; all reads of the state become `seq.produced` tensors. Expressions that are not a
    tensor or definition by themselves get definitions.

    *Requires*: `seq-normalize`.
    *Produces*: `seq.affine` for such states. Other states keep their equations and get an attribute `structure.not_affine` that says why.
  }];
  let dependentDialects = ["::mlir::seq::SeqDialect"];
  let options = [
    Option<"minSize", "min-size", "int64_t", "8", "smallest number of rows and of columns for which blocks pay">,
    Option<"lanes", "lanes", "int64_t", "16", "elements of a vector, for the choice among several forms">];
}

def ShareDefinitions : Pass<"seq-share-definitions", "::mlir::ModuleOp"> {
  let summary = "read what a definition holds instead of computing it again";
  let description = [{
    Factors of several states are often one expression (the keys' feature map in a matrix and in its normaliser, a decay of two states). Where the
    expression of a definition that no state reaches, with a function, a quotient or a reduction in it, occurs in another equation at the same token,
    that equation reads the definition.

    *Requires*: `seq-find-affine`, which makes definitions of factors.
    *Produces*: the same values from fewer calls of functions.
  }];
  let dependentDialects = ["::mlir::seq::SeqDialect"];
}

def FactorPairs : Pass<"seq-factor-pairs", "::mlir::ModuleOp"> {
  let summary = "make exponentials inside of sums for every pair those of one position each";
  let description = [{
    A score, weight or kept value of a `seq.pairs` may have a sum over features of `u * f(x)`, where x is a sum of terms of t and terms of s and f is a
    quotient in an exponential of x: `tanh(x) = 2 / (1 + exp(-2*x)) - 1`, `sigmoid(x)`, `silu(x)`, `1 / (1 + exp(x))`. As `exp(a + b) = exp(a) * exp(b)`, a
    second form of the part needs exponentials of a and of b only, which a kernel makes once a position; a pair costs a product and a share of a
    division. The part as written stays: a kernel takes it where an exponential is too large for a product. `bounded` says that declared ranges prove
    that none is. What f adds without x is summed in a definition `NAME.constant`.

    *Requires*: `seq-form-pairs`.
    *Produces*: `factored` parts.
  }];
  let dependentDialects = ["::mlir::seq::SeqDialect"];
}

def Summarise : Pass<"seq-summarise", "::mlir::ModuleOp"> {
  let summary = "derive for each mixer whose carry is affine the mixer of a segment's summary";
  let description = [{
    When every state follows from the one before by an affine map that is diagonal, or mixes a few states at each index, a segment of tokens
    acts on the carry like one token: by the product of its transitions and the state that it makes from zero. `NAME.summary` has the
    equations of the states alone, from zero, and states for the products; its `seq.transition`s say how they combine.
    Products that grow are no use: a state behind a segment would be a difference of large numbers. Where intervals do not prove that a
    transition has modulus 1 at most, a coefficient is infinite at a token where it has more (for two states that depend on each other: where the
    matrix is longer than 1), and the runtime leaves such a segment and what follows it in one piece. A state's attribute `seq.bound` says which.

    *Requires*: `seq-find-affine`.
    *Produces*: such summaries, each behind its mixer. Other mixers with states get an attribute `seq.unsplit` that says why there is none.
  }];
  let dependentDialects = ["::mlir::seq::SeqDialect"];
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

def ChunksToTiles : Pass<"seq-chunks-to-tiles", "::mlir::ModuleOp"> {
  let summary = "turn the kernel of each mixer into functions of loops on vectors";
  let description = [{
    Each `seq.kernel` becomes `NAME.forward` and, with a shared prologue, `NAME.shared`: functions of the frame's pointer. Gathers and
    scatters become copies between the caller's memory and buffers in scratch memory, evals and loops loops over vectors, solves the block
    form of the canonical recurrence. Reductions carry tiles of rows x vectors of accumulators. The sizes of the scratch, shared and sequence
    regions stand on the functions as attributes.

    *Requires*: `seq.kernel` in each mixer (the chunk stage).
    *Produces*: func, scf, memref, vector, arith, llvm pointers, and `seq.unary` / `seq.binary` on scalars and vectors. The mixers are gone.
  }];
  let options = [
    Option<"level", "level", "std::string", "\"native\"", "instruction set: native, x86-64-v4, x86-64-v3 or baseline">];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::func::FuncDialect", "::mlir::LLVM::LLVMDialect", "::mlir::math::MathDialect",
    "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

def TilesToLlvm : Pass<"seq-tiles-to-llvm", "::mlir::ModuleOp"> {
  let summary = "lower kernels to the llvm dialect";
  let description = [{
    Expands elementary functions for the instruction set (`seq-expand-math`), splits fused multiplications and additions where there is no
    instruction for them, and lowers everything else. Nothing is left that would call a library but the memory functions.

    *Requires*: `seq-chunks-to-tiles`, with the same level.
    *Produces*: the llvm dialect.
  }];
  let options = [
    Option<"level", "level", "std::string", "\"native\"", "instruction set: native, x86-64-v4, x86-64-v3 or baseline">];
}

#endif // SEQMIX_COMPILER_PASSES
