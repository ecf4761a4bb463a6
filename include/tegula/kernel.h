/* The kernel interface: what a kernel library (a shared object loaded by workers) offers. Plain C; no C++ type crosses
 * it.
 *
 * A library exports one symbol, tegula_kernel_library(), which returns a table that lives as long as the process. It is
 * loaded with RTLD_LOCAL and never closed. Kernels are called from several threads at once, on different tasks.
 *
 * One task runs as: prepare (once per layer and worker; parses and verifies the parameters) -> plan (per task: which
 * outputs, how much scratch) -> run (per task, with every buffer allocated). Functions return 0, or a TEGULA_E* code
 * after writing a message with `fail`. */
#ifndef TEGULA_KERNEL_H_
#define TEGULA_KERNEL_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TEGULA_KERNEL_ABI 1
#define TEGULA_MAX_NDIM 16

/* Error codes: the numbers of tegula::ErrorCode. */
enum {
  TEGULA_OK = 0,
  TEGULA_EVALUE = 1,
  TEGULA_ESHAPE = 2,
  TEGULA_EDTYPE = 4,
  TEGULA_EFILE = 11,
  TEGULA_EFILECHANGED = 12,
  TEGULA_ECANCELLED = 13,
  TEGULA_EFAILED = 15,
  TEGULA_ENOMEM = 18
};

/* An n-d array view. dtype is a tegula::DType number. Strides are in bytes and may be 0 (broadcast) or negative.
 * Outputs are C-contiguous and 64-byte aligned; inputs may have any strides and any alignment of at least one item.
 * data is NULL during plan. */
typedef struct tegula_array {
  void* data;
  int32_t dtype;
  int32_t ndim;
  const int64_t* shape;   /* ndim elements */
  const int64_t* strides; /* bytes; NULL during plan */
} tegula_array;

/* An output as planned: shape written by the kernel, at most TEGULA_MAX_NDIM. */
typedef struct tegula_output_plan {
  int32_t dtype;
  int32_t ndim;
  int64_t shape[TEGULA_MAX_NDIM];
} tegula_output_plan;

/* One output of the layer as its description declares it for this task: the block's shape and the position of its first
 * element in the whole array. A size is -1 where it is unknown until computed. */
typedef struct tegula_block {
  int32_t dtype;
  int32_t ndim;
  const int64_t* shape;
  const int64_t* offset;
} tegula_block;

/* The pieces that one input rule of the layer gave this task: a row-major n-d grid of views. */
typedef struct tegula_input {
  int32_t ndim;              /* of the piece grid, which is the ndim of the input array */
  const int64_t* piece_grid; /* pieces along each dimension; their product is the number of pieces */
  const tegula_array* pieces;
} tegula_input;

typedef struct tegula_task {
  const void* prepared; /* what prepare returned */
  uint64_t index;       /* the task's index in its layer, row-major over the layer's task grid */
  int32_t grid_ndim;
  const int64_t* grid;  /* the layer's task grid */
  const int64_t* block; /* this task's position in it */
  uint32_t n_inputs;
  const tegula_input* inputs; /* one per input rule, in the layer's order */
  uint32_t n_outputs;
  const tegula_block* declared; /* one per output */
  const void* task_params;      /* this task's own parameters (explicit layers), or NULL */
  size_t task_params_size;
} tegula_task;

/* Services of the worker to a running kernel. */
typedef struct tegula_context {
  void* opaque;
  /* Records a message for the failure that the kernel is about to return; copied. Truncated at 4096 bytes. */
  void (*fail)(struct tegula_context* context, const char* message);
  /* Non-zero when the task is no longer wanted; long kernels ask now and then and return TEGULA_ECANCELLED. Cheap. */
  int (*cancelled)(struct tegula_context* context);
} tegula_context;

typedef struct tegula_kernel {
  const char* name; /* "tegula.program" */
  /* Parses and verifies the layer's parameters, which come from another process and may be hostile. *prepared is passed
   * to the calls below and ended with release. */
  int (*prepare)(const void* params, size_t size, void** prepared, tegula_context* context);
  void (*release)(void* prepared);
  /* Fills n_outputs plans (exact shapes, or upper bounds trimmed by run through tegula_array's owner later) and the
   * scratch bytes. */
  int (*plan)(const tegula_task* task, tegula_output_plan* outputs, size_t* scratch_bytes, tegula_context* context);
  /* Computes. outputs[i].data is uninitialised memory of the planned size; scratch is 64-byte aligned. */
  int (*run)(const tegula_task* task, tegula_array* outputs, void* scratch, tegula_context* context);
} tegula_kernel;

typedef struct tegula_library {
  uint32_t abi;      /* TEGULA_KERNEL_ABI */
  const char* name;  /* "cpu" */
  const char* level; /* "portable", "v3", "v4"; "" where there are none */
  uint32_t n_kernels;
  const tegula_kernel* kernels;
} tegula_library;

/* The one exported symbol. Returns NULL when the library cannot run on this machine. */
const tegula_library* tegula_kernel_library(void);
typedef const tegula_library* (*tegula_kernel_library_fn)(void);

#ifdef __cplusplus
}
#endif
#endif
