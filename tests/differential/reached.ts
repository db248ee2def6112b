/** What a file has come to, as the administrator sees it, and as the host's own map of the file counts it. */
import { open } from 'node:fs/promises';
import { runTool } from '../support/qemu.ts';

export interface Reached {
  /** st_size. */
  readonly length: number;
  /** st_blocks × 512. */
  readonly allocation: number;
  /** Bytes that the filesystem maps to storage, without what it charges for the map itself. */
  readonly mapped: number;
}

export const SECTOR = 512;

/** Measures `path` after everything has been written out. tmpfs has no map and charges none. */
export async function measureFile(path: string, hasMap: boolean): Promise<Reached> {
  const file = await open(path, 'r');
  try {
    await file.sync();
    const { size, blocks } = await file.stat();
    const allocation = blocks * SECTOR;
    return { length: size, allocation, mapped: hasMap ? await readMapped(path) : allocation };
  } finally {
    await file.close();
  }
}

/** Lines of `xfs_io fiemap`: `0: [0..127]: 1024..1151` for an extent, `hole` in place of its blocks; unit 512 bytes. */
async function readMapped(path: string): Promise<number> {
  const lines = (await runTool('xfs_io', ['-r', '-c', 'fiemap', path])).split('\n');
  let sectors = 0;
  for (const line of lines) {
    const extent = /\[(\d+)\.\.(\d+)\]: \d+\.\.\d+/.exec(line);
    if (extent !== null) sectors += Number(extent[2]) - Number(extent[1]) + 1;
  }
  return sectors * SECTOR;
}

export function sameFacts(one: Reached, other: Reached): boolean {
  return one.length === other.length && one.allocation === other.allocation && one.mapped === other.mapped;
}
