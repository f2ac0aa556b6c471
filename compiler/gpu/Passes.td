//===- Passes.td - the passes for GPUs ------------------------------*- tablegen -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_PASSES
#define SEQMIX_COMPILER_GPU_PASSES

include "mlir/Pass/PassBase.td"

def TilePipelineCopies : Pass<"tile-pipeline-copies"> {
  let summary = "copy a loop's next tiles while it works on others";
  let description = [{
    In loops with the attribute `tile.pipelined`, tiles that depend on nothing but the iteration's number come by asynchronous copies to a buffer in shared memory,
    as far as vectors of 16 bytes can move them; a choice between such a load and another one (by the alignment that there is at run time) stays one, with the other
    as a copy of single elements. A tile's next copy begins at the first wait behind its last use; so with several tiles each comes while the others are used, and one barrier
    serves for what has come and for what may be overwritten. Loads from memory that the loop may write stay as they are, and what would take more than 64 KiB of buffers.

    *Requires*: tiles without layouts.
    *Produces*: `tile.copy_async`, `tile.commit` and `tile.wait`.
  }];
  let dependentDialects = ["::mlir::tile::TileDialect", "::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect"];
}

def TileExpandSolves : Pass<"tile-expand-solves"> {
  let summary = "find the rows of triangular systems one after the other";
  let description = [{
    A `tile.solve` becomes the sums of its rows in order: each row, times a column of the matrix, is added to all later rows at once. A thread will have columns of the
    right side in registers, and columns of the matrix come from shared memory, where they are from when the matrix is made on. Four rows make a basic block: columns of more of them, loaded ahead of their use,
    would not fit in registers.

    *Requires*: tiles without layouts.
    *Produces*: no `tile.solve`.
  }];
  let dependentDialects = ["::mlir::tile::TileDialect", "::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect"];
}

def TileAssignLayouts : Pass<"tile-assign-layouts"> {
  let summary = "give every tile a layout";
  let description = [{
    Sums of dots get the tensor core's accumulators, with rows split over warps first; what is a factor, its fragments; what is scanned keeps the dim in the
    registers of a thread, with lanes along the last dim; the rest is laid out for accesses of global memory. Tiles that meet in elementwise ops, loops and
    scans have one layout; reductions, broadcasts and transposes carry it on. Elsewhere conversions are inserted. Kernels that have layouts are left as they are.

    *Requires*: kernels on tiles with one or two dims that are powers of two.
    *Produces*: layouts on all tiles, `tile.convert`.
  }];
  let dependentDialects = ["::mlir::tile::TileDialect"];
}

def TileExpandConverts : Pass<"tile-expand-converts"> {
  let summary = "move tiles between warps through shared memory";
  let description = [{
    A `tile.convert` whose elements stay in their warps is left. Others become a store to and a load from a shared tile of their own.

    *Requires*: layouts on all tiles.
    *Produces*: no conversion between warps.
  }];
  let dependentDialects = ["::mlir::tile::TileDialect", "::mlir::arith::ArithDialect"];
}

def TileAllocateShared : Pass<"tile-allocate-shared"> {
  let summary = "give every shared tile its place";
  let description = [{
    Tiles that are in use at the same time lie beside each other, others may share bytes. A tile that is made outside of a loop and used in it is in
    use all through the loop.

    *Requires*: shared tiles that only loads, stores and copies use.
    *Produces*: offsets, and the kernel's `tile.shared_bytes`.
  }];
  let dependentDialects = ["::mlir::tile::TileDialect"];
}

def TileInsertBarriers : Pass<"tile-insert-barriers"> {
  let summary = "let threads wait for each other between accesses of shared memory";
  let description = [{
    A barrier is inserted in front of an access of bytes that another access since the last barrier meets, one of them a write, on any path: the rule by
    which the emulator finds races. A tile that an asynchronous copy may still be filling is an error: `tile.wait` is the author's.

    *Requires*: places of all shared tiles.
    *Produces*: `tile.barrier`.
  }];
  let dependentDialects = ["::mlir::tile::TileDialect"];
}

def TileToNvvm : Pass<"tile-to-nvvm"> {
  let summary = "turn tiles into the registers of a thread, and ops on them into those of NVIDIA's GPUs";
  let description = [{
    A tile becomes one scalar for each register of its layout; an op on it becomes scalar ops of a thread, with shuffles where elements are in other
    lanes. The part of an address that the thread's number gives is made once; what registers add is constant, but for products with strides of run time.
    In kernels with dots that part is made at each access: LLVM would make all of them in front of loops and keep them in registers.

    *Requires*: layouts on all tiles and places of all shared ones.
    *Produces*: arith, scf, llvm and nvvm. The kernel's attributes have its threads and, as `shared_bytes`, what a launch must give it.
  }];
  let dependentDialects = ["::mlir::tile::TileDialect", "::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect"];
}

#endif // SEQMIX_COMPILER_GPU_PASSES
