/** Judging a reader: its bytes against `qemu-img convert -O raw`, its extents against `qemu-img map`. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect } from 'vitest';
import { type Extent, type ReadableDevice, readableDevice, readUpTo } from '#block';
import { runTool } from '../support/qemu.ts';

export type JudgedFormat = 'vpc' | 'vdi';

/** `task` with a device over the file at `path`, read by nothing of ours. */
export async function withFile<R>(path: string, task: (device: ReadableDevice) => Promise<R>): Promise<R> {
  const fd = openSync(path, 'r');
  try {
    return await task(
      readableDevice({
        byteLength: fstatSync(fd).size,
        read: (target, offset) => Promise.resolve(readSync(fd, target, 0, target.byteLength, offset)),
      }),
    );
  } finally {
    closeSync(fd);
  }
}

export async function capacityByQemu(path: string, format: JudgedFormat): Promise<number> {
  const info = JSON.parse(await runTool('qemu-img', ['info', '-f', format, '--output=json', path])) as { 'virtual-size': number };
  return info['virtual-size'];
}

/** The image's bytes, read in pieces of `piece` bytes (an odd one finds errors at edges), are those of QEMU's raw copy. */
export async function expectSameBytes(image: ReadableDevice, path: string, format: JudgedFormat, piece: number): Promise<void> {
  const raw = `${path}.raw`;
  await runTool('qemu-img', ['convert', '-f', format, '-O', 'raw', path, raw], { cwd: dirname(path) });
  await withFile(raw, async (judge) => {
    expect(image.byteLength).toBe(judge.byteLength);
    for (let at = 0; at < judge.byteLength; at += piece) {
      const ours = await readUpTo(image, at, piece);
      if (Buffer.compare(ours, await readUpTo(judge, at, piece)) !== 0) throw new Error(`${path}: other bytes than QEMU's from ${at} on`);
    }
  });
}

interface QemuExtent {
  readonly start: number;
  readonly length: number;
  readonly data: boolean;
  readonly zero: boolean;
  /** Also set for holes of the file in a disk that is the file. */
  readonly offset?: number;
}

/** The image's extents cover it, are as long as can be, and have data where QEMU has it, at the same offset of the file. */
export async function expectSameExtents(image: ReadableDevice, path: string, format: JudgedFormat): Promise<Extent[]> {
  const judge = JSON.parse(await runTool('qemu-img', ['map', '-f', format, '--output=json', path])) as QemuExtent[];
  const ours: Extent[] = [];
  for await (const extent of image.extents(0, image.byteLength)) ours.push(extent);
  let at = 0;
  for (const [index, extent] of ours.entries()) {
    expect(extent.start).toBe(at);
    expect(extent.end).toBeGreaterThan(extent.start);
    const before = ours[index - 1];
    const continues =
      before !== undefined &&
      before.status === extent.status &&
      before.fileOffset === (extent.fileOffset === undefined ? undefined : extent.fileOffset - (before.end - before.start));
    expect(continues).toBe(false);
    at = extent.end;
  }
  expect(at).toBe(image.byteLength);
  let index = 0;
  for (const { start, length, offset, zero, data } of judge) {
    for (let position = start; position < start + length; ) {
      while ((ours[index] as Extent).end <= position) index += 1;
      const extent = ours[index] as Extent;
      const expected = offset === undefined ? undefined : offset + position - start;
      const found = extent.fileOffset === undefined ? undefined : extent.fileOffset + position - extent.start;
      expect({ position, data: extent.status === 'data', fileOffset: found }).toEqual({
        position,
        data: expected !== undefined,
        fileOffset: expected,
      });
      if (expected === undefined) expect({ zero, data }).toEqual({ zero: true, data: false });
      position = Math.min(extent.end, start + length);
    }
  }
  return ours;
}

/** Writes of random places, sizes and patterns, in sectors, as commands of qemu-io. */
export function randomWrites(random: () => number, capacity: number, count: number): string[] {
  const sectors = Math.floor(capacity / 512);
  return Array.from({ length: count }, () => {
    const start = Math.floor(random() * sectors);
    const length = Math.min(sectors - start, 1 + Math.floor(random() ** 4 * 6000));
    return `write -q -P ${1 + Math.floor(random() * 255)} ${start * 512} ${length * 512}`;
  });
}

/** Runs `commands` in one qemu-io process; none where there are none. */
export async function writeByQemu(path: string, format: JudgedFormat, commands: readonly string[], cache = 'writeback'): Promise<void> {
  if (commands.length === 0) return;
  const said = await runTool('qemu-io', ['-f', format, '-t', cache, ...commands.flatMap((command) => ['-c', command]), path]);
  if (said.trim() !== '') throw new Error(`qemu-io: ${said}`);
}
