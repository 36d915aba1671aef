// One engine, in a section that nothing else is in: the time limit has to know whether it runs.
// ENGINE is the name that wasm2c was given, and SOURCE the file that it has made.
#pragma clang section text = "ssr_engine_text"
#include SOURCE
#pragma clang section text = ""

#include "engine.h"

#define JOIN(a, b, c) a##b##c
#define NAME(before, engine, after) JOIN(before, engine, after)
#define INSTANCE NAME(Z_, ENGINE, _instance_t)

static void instantiate(void *instance, struct ssr_call *call) {
  NAME(Z_, ENGINE, _instantiate)(instance, call, call);
}

static void release(void *instance) { NAME(Z_, ENGINE, _free)(instance); }

static wasm_rt_memory_t *memory(void *instance) { return NAME(Z_, ENGINE, Z_memory)(instance); }

static uint32_t input(void *instance, uint32_t length) { return NAME(Z_, ENGINE, Z_ssr_input)(instance, length); }

static void render(void *instance) { NAME(Z_, ENGINE, Z_ssr_render)(instance); }

const struct ssr_engine NAME(ssr_, ENGINE, ) = {
    sizeof(INSTANCE), NAME(Z_, ENGINE, _init_module), instantiate, release, memory, input, render, &ssr_runtime,
};
