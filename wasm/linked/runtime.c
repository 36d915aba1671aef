// Calls into engines, and what engines call that is the same for all of them.

#include <setjmp.h>
#include <stdarg.h>

#include "engine.h"

// Why a call has ended, besides wasm_rt_trap_t. linked/call.rs has these numbers, too.
enum { RETURNED = 0, LEFT = 100, TIME_IS_UP = 101 };

// Grows the memory of the running call. The result is memory.grow's. Defined in linked/call.rs.
uint32_t ssr_linked_grow(struct ssr_call *call, uint32_t pages);

// What this thread runs.
static _Thread_local struct ssr_call *current;

static int input(struct ssr_call *call, const struct ssr_engine *engine, void *instance, uint32_t *value) {
  jmp_buf buffer;
  call->leave = &buffer;
  current = call;
  int reason = setjmp(buffer);
  if (reason == RETURNED) *value = engine->input(instance, *value);
  current = NULL;
  return reason;
}

static int render(struct ssr_call *call, const struct ssr_engine *engine, void *instance) {
  jmp_buf buffer;
  call->leave = &buffer;
  current = call;
  int reason = setjmp(buffer);
  if (reason == RETURNED) engine->render(instance);
  current = NULL;
  return reason;
}

static _Noreturn void leave(struct ssr_call *call) { longjmp(call->leave, LEFT); }

static _Noreturn void time_is_up(void) { longjmp(current->leave, TIME_IS_UP); }

_Noreturn void wasm_rt_trap(wasm_rt_trap_t trap) { longjmp(current->leave, trap); }

void wasm_rt_allocate_memory(wasm_rt_memory_t *memory, uint32_t pages, uint32_t max_pages) {
  (void)pages;
  *memory = (wasm_rt_memory_t){.max_pages = max_pages};
}

uint32_t wasm_rt_grow_memory(wasm_rt_memory_t *memory, uint32_t pages) {
  (void)memory;
  return ssr_linked_grow(current, pages);
}

void wasm_rt_free_memory(wasm_rt_memory_t *memory) { (void)memory; }

void wasm_rt_allocate_funcref_table(wasm_rt_funcref_table_t *table, uint32_t size, uint32_t max_size) {
  // Some kilobytes. Like Rust's, an allocation of that size ends the process if it fails.
  table->data = calloc(size, sizeof *table->data);
  if (table->data == NULL) abort();
  table->size = size;
  table->max_size = max_size;
}

void wasm_rt_free_funcref_table(wasm_rt_funcref_table_t *table) { free(table->data); }

// Engines have some hundred types of functions, of few parameters.
enum { MAX_TYPES = 4096, MAX_VALUES = 64 };
static struct {
  uint32_t params, results;
  uint8_t values[MAX_VALUES];
} types[MAX_TYPES];
static uint32_t type_count;

// The host calls it from one thread at a time.
uint32_t wasm_rt_register_func_type(uint32_t params, uint32_t results, ...) {
  if (params > MAX_VALUES || results > MAX_VALUES - params || type_count == MAX_TYPES) abort();
  uint8_t values[MAX_VALUES] = {0};
  va_list list;
  va_start(list, results);
  for (uint32_t i = 0; i < params + results; i++) values[i] = (uint8_t)va_arg(list, wasm_rt_type_t);
  va_end(list);
  for (uint32_t i = 0; i < type_count; i++)
    if (types[i].params == params && types[i].results == results &&
        memcmp(types[i].values, values, sizeof values) == 0)
      return i + 1;
  types[type_count].params = params;
  types[type_count].results = results;
  memcpy(types[type_count].values, values, sizeof values);
  // 0 is what an empty place of a table has.
  return ++type_count;
}

extern const char __start_ssr_engine_text[], __stop_ssr_engine_text[];

const struct ssr_runtime ssr_runtime = {
    input, render, leave, time_is_up, __start_ssr_engine_text, __stop_ssr_engine_text,
};
