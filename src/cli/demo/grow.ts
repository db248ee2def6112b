/** Writes slowly to one image of a monitored demonstration, so that the dashboard shows growth. */
import { open, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { GiB, MiB } from '#base';
import { growthFor } from './plan.ts';

const NAME = 'demo-growing.raw';
const CAPACITY = GiB;
const STEP = MiB;
const STEP_MS = 3000;
const PIECE = new Uint8Array(STEP).fill(0x70);

export interface Growing {
  readonly name: string;
  readonly bytesPerMinute: number;
  /** Final size in bytes. */
  readonly most: number;
  /** May be called twice. The file stays. */
  stop(): Promise<void>;
}

/**
 * Makes the image in `directory` and writes it on until it is stopped or as large as it may become. A write that fails,
 * as on a full disk, ends it.
 *
 * Throws: io errors of Node.
 */
export async function startGrowing(directory: string): Promise<Growing> {
  const { bavail, bsize, type } = await statfs(directory);
  const most = growthFor({ availableBytes: bavail * bsize, filesystemType: type });
  const path = join(directory, NAME);
  await makeEmpty(path);
  let offset = 0;
  let writing = Promise.resolve();
  const timer = setInterval(() => {
    const at = offset;
    if (offset >= most) clearInterval(timer);
    else writing = writing.then(() => writePiece(path, at)).catch(() => clearInterval(timer));
    offset = at + STEP;
  }, STEP_MS);
  const stop = (): Promise<void> => {
    clearInterval(timer);
    return writing;
  };
  return { name: NAME, bytesPerMinute: (60_000 / STEP_MS) * STEP, most, stop };
}

async function makeEmpty(path: string): Promise<void> {
  const file = await open(path, 'wx');
  try {
    await file.truncate(CAPACITY);
  } finally {
    await file.close();
  }
}

/** Open only while it writes: a file that stays open would look like that of a running VM. */
async function writePiece(path: string, offset: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.write(PIECE, 0, STEP, offset);
    await file.datasync();
  } finally {
    await file.close();
  }
}
