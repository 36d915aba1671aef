// Measured figures the site quotes, in one place. All of them come from the
// prototype on a two-core x86-64 virtual machine, unless a comment says more.
export const figures = {
  /** Resident memory of a process that holds one site, MB. */
  siteMemory: 11.6,
  /** Resident memory of Node 20's HTTP server right after its start, MB. */
  nodeMemory: 46,
  /** What a k3s agent takes of a Raspberry Pi's memory, MB. */
  k3sMemory: 270,
};
