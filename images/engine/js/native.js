// The engine's own functions (src/native.rs), for the web APIs that stand on them.

/** The functions. Set before any site runs. */
export let native;

/** Makes the engine's functions known to the web APIs. */
export function useNative(functions) {
  native = functions;
}
