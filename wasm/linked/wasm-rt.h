// What the C code that wasm2c makes of an engine needs from whoever runs it.
#ifndef SSR_WASM_RT_H
#define SSR_WASM_RT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define wasm_rt_memcpy __builtin_memcpy

// Every access to memory is compared with the memory's size.
#define WASM_RT_MEMCHECK_SIGNAL_HANDLER 0

// A call into an engine. wasm2c passes it to imported functions, as if it were the instance of
// the module that they are imported from.
struct ssr_call {
  // 0 less the lowest address that the engine's frames may reach.
  uintptr_t stack_limit;
  // The jmp_buf to leave by.
  void *leave;
  // What the host knows about the call.
  void *host;
};
#define Z_ssr_v1_instance_t ssr_call
#define Z_wasi_snapshot_preview1_instance_t ssr_call

// wasm2c has every function count how deep calls are, and ends those that are too deep:
//
//   if (++wasm_rt_call_stack_depth > WASM_RT_MAX_CALL_STACK_DEPTH) TRAP(EXHAUSTION);
//   ...
//   --wasm_rt_call_stack_depth;
//
// Frames differ in size. So what is compared is the address of the frame, less than 0 because
// stacks grow downwards, and the counting goes into a value that nobody reads.
#define WASM_RT_USE_STACK_DEPTH_COUNT 1
#define wasm_rt_call_stack_depth ((uintptr_t){-(uintptr_t)__builtin_frame_address(0)})
#define WASM_RT_MAX_CALL_STACK_DEPTH (instance->Z_ssr_v1_instance->stack_limit)

// linked/call.rs has these numbers, too.
typedef enum {
  WASM_RT_TRAP_NONE,
  WASM_RT_TRAP_OOB,
  WASM_RT_TRAP_INT_OVERFLOW,
  WASM_RT_TRAP_DIV_BY_ZERO,
  WASM_RT_TRAP_INVALID_CONVERSION,
  WASM_RT_TRAP_UNREACHABLE,
  WASM_RT_TRAP_CALL_INDIRECT,
  WASM_RT_TRAP_EXHAUSTION,
} wasm_rt_trap_t;

typedef enum {
  WASM_RT_I32,
  WASM_RT_I64,
  WASM_RT_F32,
  WASM_RT_F64,
  WASM_RT_FUNCREF,
  WASM_RT_EXTERNREF,
} wasm_rt_type_t;

typedef void (*wasm_rt_function_ptr_t)(void);

typedef struct {
  uint32_t func_type;
  wasm_rt_function_ptr_t func;
  void *module_instance;
} wasm_rt_funcref_t;

static const wasm_rt_funcref_t wasm_rt_funcref_null_value = {0, NULL, NULL};

typedef void *wasm_rt_externref_t;

static const wasm_rt_externref_t wasm_rt_externref_null_value = NULL;

typedef struct {
  uint8_t *data;
  // Pages of 64 KiB.
  uint32_t pages, max_pages;
  // Bytes.
  uint32_t size;
} wasm_rt_memory_t;

typedef struct {
  wasm_rt_funcref_t *data;
  uint32_t max_size, size;
} wasm_rt_funcref_table_t;

typedef struct {
  wasm_rt_externref_t *data;
  uint32_t max_size, size;
} wasm_rt_externref_table_t;

static inline bool wasm_rt_is_initialized(void) { return true; }

_Noreturn void wasm_rt_trap(wasm_rt_trap_t trap);

// A number for a function's type, equal for equal types. What follows are the types of its
// parameters and results.
uint32_t wasm_rt_register_func_type(uint32_t params, uint32_t results, ...);

// The host gives an instance its memory.
void wasm_rt_allocate_memory(wasm_rt_memory_t *memory, uint32_t pages, uint32_t max_pages);
uint32_t wasm_rt_grow_memory(wasm_rt_memory_t *memory, uint32_t pages);
void wasm_rt_free_memory(wasm_rt_memory_t *memory);

void wasm_rt_allocate_funcref_table(wasm_rt_funcref_table_t *table, uint32_t size, uint32_t max_size);
void wasm_rt_free_funcref_table(wasm_rt_funcref_table_t *table);

#endif
