// The measured figures that the site quotes. They are copied from the tables in
// bench/results, measured on a two-core x86-64 machine; a test compares them.
// After a new measurement, update them with `node scripts/site-figures.mjs`.
export const figures = {
  // lifecycle.md, "MB of PSS after 1000 pages each".
  /** Memory of one container of the demo site, MB. */
  siteMemory: 13.6,
  /** Memory of each further container of the same image, MB. */
  replicaMemory: 1.1,
  /** Memory of one container that runs the site in Node 20 under runc, MB. */
  nodeMemory: 110.5,

  // lifecycle.md, "MB of PSS, 15 s after the last page".
  /** Memory of one idle container of the demo site, MB. */
  idleSiteMemory: 8.3,

  // lifecycle.md, "many containers".
  /** How many containers of one image were started. */
  manyContainers: 50,
  /** Memory of all of them, after two pages each, MB. */
  manyMemory: 67,

  // render.md, the row `/guide`: processor time for one render of that page, µs.
  /** Size of the page, bytes. */
  pageBytes: 5923,
  /** In Node 20, without isolation between requests. */
  renderNode: 58,
  /** In native QuickJS, without isolation between requests. */
  renderNative: 604,
  /** In a fresh WebAssembly instance for each request. */
  renderInstance: 764,
};

/**
 * Memory of a k3s agent on a Raspberry Pi 4, MB. Not measured here, but by the
 * k3s project: https://docs.k3s.io/reference/resource-profiling
 */
export const k3sMemory = 268;
