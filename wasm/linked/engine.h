// What the host knows of an engine that is linked into it. linked/interface.rs describes the same in Rust.
#ifndef SSR_ENGINE_H
#define SSR_ENGINE_H

#include "wasm-rt.h"

struct ssr_engine {
  // Bytes of an instance, in which pointers are aligned.
  size_t instance_size;
  // To be called once, before the first instance.
  void (*init)(void);
  // Makes an instance without a memory. Its imported functions get the call.
  void (*instantiate)(void *instance, struct ssr_call *call);
  void (*free)(void *instance);
  wasm_rt_memory_t *(*memory)(void *instance);
  uint32_t (*input)(void *instance, uint32_t length);
  void (*render)(void *instance);
  // The same for every engine.
  const struct ssr_runtime *runtime;
};

struct ssr_runtime {
  // Makes room for a request of `*value` bytes and puts its address there.
  int (*input)(struct ssr_call *call, const struct ssr_engine *engine, void *instance, uint32_t *value);
  int (*render)(struct ssr_call *call, const struct ssr_engine *engine, void *instance);
  // Ends the running call from within a function that it has called. Does not return.
  void (*leave)(struct ssr_call *call);
  // Ends this thread's call; a signal handler lets it go on here. Does not return.
  void (*time_is_up)(void);
  // Where the machine code of all engines is.
  const char *text_start, *text_end;
};

extern const struct ssr_runtime ssr_runtime;

#endif
