// The boards described on the site. `size` is that of the circuit board in
// millimetres, `ram` the available memory sizes in MB. `systems` lists, for each
// width of operating system that the processor can run, the instruction set and
// the back end that runs the module.
const arm64 = { os: '64-bit', arch: 'aarch64', backend: 'cranelift' };
const armv7 = { os: '32-bit', arch: 'ARMv7', backend: 'pulley' };
const armv6 = { os: '32-bit', arch: 'ARMv6', backend: 'pulley' };

export const boards = [
  {
    id: 'zero-w',
    name: 'Raspberry Pi Zero W',
    short: 'Zero W',
    year: 2017,
    soc: 'BCM2835',
    core: 'ARM1176JZF-S',
    cores: 1,
    clock: '1.0 GHz',
    ram: [512],
    size: [65, 30],
    systems: [armv6],
    note: 'One core, no 64-bit mode, and an instruction set from 2002. A site that runs here runs anywhere.',
  },
  {
    id: 'zero-2-w',
    name: 'Raspberry Pi Zero 2 W',
    short: 'Zero 2 W',
    year: 2021,
    soc: 'BCM2710A1',
    core: 'Cortex-A53',
    cores: 4,
    clock: '1.0 GHz',
    ram: [512],
    size: [65, 30],
    systems: [arm64, armv7],
    note: 'The same size as the Zero W, with four 64-bit cores. On a 64-bit system, Cranelift compiles the module to machine code.',
  },
  {
    id: '1-b-plus',
    name: 'Raspberry Pi 1 Model B+',
    short: '1 B+',
    year: 2014,
    soc: 'BCM2835',
    core: 'ARM1176JZF-S',
    cores: 1,
    clock: '700 MHz',
    ram: [512],
    size: [85, 56],
    systems: [armv6],
    note: 'The oldest board on this list. It has the same processor as the Zero W, at a lower clock.',
  },
  {
    id: '2-b',
    name: 'Raspberry Pi 2 Model B',
    short: '2 B',
    year: 2015,
    soc: 'BCM2836',
    core: 'Cortex-A7',
    cores: 4,
    clock: '900 MHz',
    ram: [1024],
    size: [85, 56],
    systems: [armv7],
    note: 'Four cores, 32-bit only. Revision 1.2 has the BCM2837 of the Pi 3 and can run a 64-bit system.',
  },
  {
    id: '3-a-plus',
    name: 'Raspberry Pi 3 Model A+',
    short: '3 A+',
    year: 2018,
    soc: 'BCM2837B0',
    core: 'Cortex-A53',
    cores: 4,
    clock: '1.4 GHz',
    ram: [512],
    size: [65, 56],
    systems: [arm64, armv7],
    note: 'A Pi 3 B+ with half the memory, one USB port and no Ethernet port.',
  },
  {
    id: '3-b',
    name: 'Raspberry Pi 3 Model B',
    short: '3 B',
    year: 2016,
    soc: 'BCM2837',
    core: 'Cortex-A53',
    cores: 4,
    clock: '1.2 GHz',
    ram: [1024],
    size: [85, 56],
    systems: [arm64, armv7],
    note: 'The first Raspberry Pi with a 64-bit processor. For years its standard system was 32-bit. The installed system determines the back end.',
  },
  {
    id: '3-b-plus',
    name: 'Raspberry Pi 3 Model B+',
    short: '3 B+',
    year: 2018,
    soc: 'BCM2837B0',
    core: 'Cortex-A53',
    cores: 4,
    clock: '1.4 GHz',
    ram: [1024],
    size: [85, 56],
    systems: [arm64, armv7],
    note: 'A Pi 3 B with a higher clock and a metal heat spreader on the processor.',
  },
  {
    id: '4-b',
    name: 'Raspberry Pi 4 Model B',
    short: '4 B',
    year: 2019,
    soc: 'BCM2711',
    core: 'Cortex-A72',
    cores: 4,
    clock: '1.5 GHz',
    ram: [1024, 2048, 4096, 8192],
    size: [85, 56],
    systems: [arm64, armv7],
    note: 'The smallest board on this list where memory is rarely the limit. A common choice for k3s clusters.',
  },
  {
    id: '5',
    name: 'Raspberry Pi 5',
    short: '5',
    year: 2023,
    soc: 'BCM2712',
    core: 'Cortex-A76',
    cores: 4,
    clock: '2.4 GHz',
    ram: [1024, 2048, 4096, 8192, 16384],
    size: [85, 56],
    systems: [arm64],
    note: 'Its standard kernel uses 16 KiB memory pages, which break some programs built for 4 KiB pages. The image contains no native code, so it is not affected.',
  },
];

export const findBoard = (id) => boards.find((board) => board.id === id);

export const backendNames = { cranelift: 'Cranelift', pulley: 'Pulley' };

/** Formats a memory size in MB: "512 MB", "4 GB". */
export const formatRam = (mb) => (mb < 1024 ? `${mb} MB` : `${mb / 1024} GB`);

/** Formats a list of memory sizes as a range: "512 MB", "1 to 8 GB". */
export const formatRamRange = (ram) =>
  ram.length === 1
    ? formatRam(ram[0])
    : `${ram[0] / 1024} to ${ram[ram.length - 1] / 1024} GB`;
