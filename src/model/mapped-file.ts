/** Files in memory that the whole process has once: pages come in as they are read, and go again when memory is short. */
import koffi from 'koffi';
import { open } from 'node:fs/promises';
import { loadLibrary, type Pointer } from './native-library.ts';

export interface MappedFile {
  /** Not to be written to. */
  readonly data: Uint8Array;
  /** `data` may no longer be read. */
  release(): void;
}

/** sys/mman.h, alike on Linux and macOS. */
const PROT_READ = 1;
const MAP_SHARED = 1;
const MAP_FAILED = BigInt.asUintN(koffi.sizeof('void *') * 8, -1n);

function openMmap(): {
  map(size: number, fd: number): Pointer;
  unmap(address: Pointer, size: number): void;
} | null {
  if (process.platform === 'win32') return null;
  // That the library goes with this object does not matter: the process has it anyway.
  const libc = loadLibrary(process.platform === 'darwin' ? 'libSystem.B.dylib' : 'libc.so.6');
  const mmap = libc.func('mmap', 'void *', ['void *', 'size_t', 'int', 'int', 'int', 'int64_t']);
  const munmap = libc.func('munmap', 'int', ['void *', 'size_t']);
  return {
    map: (size, fd) => mmap(null, size, PROT_READ, MAP_SHARED, fd, 0) as Pointer,
    unmap: (address, size) => void munmap(address, size),
  };
}

const memory = openMmap();

/** Read where the system cannot map it. Throws what opening and reading throw. */
export async function mapFile(path: string): Promise<MappedFile> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const address = memory === null || size === 0 ? MAP_FAILED : memory.map(size, file.fd);
    if (address === MAP_FAILED) return { data: await file.readFile(), release: () => {} };
    return {
      data: new Uint8Array(koffi.view(address, size)),
      release: () => memory?.unmap(address, size),
    };
  } finally {
    await file.close();
  }
}
