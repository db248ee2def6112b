/**
 * Copies of files that have storage exactly where the original has it: data, holes, and storage that was preallocated
 * and never written. `cp` will not do: it turns written zeroes into holes and loses unwritten storage.
 */
import { closeSync, ftruncateSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { KiB, roundUp } from '#base';
import { runTool } from '../support/qemu.ts';

interface ByteRange {
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

/** Where a file has storage: ascending ranges, disjoint. */
export interface StorageLayout {
  readonly length: number;
  readonly written: readonly ByteRange[];
  readonly unwritten: readonly ByteRange[];
}

/** Storage is given out in pages on tmpfs, in blocks of the same size by every mkfs used here. */
const PAGE = 4 * KiB;

/** The data of `path` as SEEK_DATA tells them; unwritten storage looks like a hole. */
export async function readWritten(path: string): Promise<StorageLayout> {
  const length = statSync(path).size;
  const marks = (await runTool('xfs_io', ['-r', '-c', 'seek -a -r 0', path])).matchAll(/^(DATA|HOLE)\t(\d+)$/gm);
  const written: ByteRange[] = [];
  let from: number | undefined;
  for (const [, kind, offset] of marks) {
    if (kind === 'DATA') from = Number(offset);
    else if (from !== undefined) written.push({ from, to: Number(offset) });
    if (kind === 'HOLE') from = undefined;
  }
  if (from !== undefined) written.push({ from, to: length });
  return { length, written, unwritten: [] };
}

/**
 * The layout with its unwritten storage, found by giving storage to every page of every hole of `expendable`, a twin of
 * the original that is of no use afterwards: where that changes nothing there was storage before.
 */
export async function findUnwritten(layout: StorageLayout, expendable: string): Promise<StorageLayout> {
  const pages = holesOf(layout).flatMap(({ from, to }) => Array.from({ length: (to - from) / PAGE }, (_, index) => from + index * PAGE));
  const before = statSync(expendable).blocks;
  const commands = pages.flatMap((page) => [`falloc -k ${page} ${PAGE}`, 'stat -r']);
  const output = await runTool('xfs_io', [expendable], { input: `${commands.join('\n')}\n` });
  const blocks = [before, ...[...output.matchAll(/^stat\.blocks = (\d+)$/gm)].map(([, count]) => Number(count))];
  if (blocks.length !== pages.length + 1) throw new Error(`xfs_io counted ${blocks.length - 1} times, expected ${pages.length}`);
  const had = pages.filter((_page, index) => blocks[index + 1] === blocks[index]);
  return { ...layout, unwritten: merged(had) };
}

/** Copies `source` to the new file `target` with the storage that `layout` says. */
export async function copyStorage(source: string, target: string, layout: StorageLayout): Promise<void> {
  const input = openSync(source, 'r');
  const output = openSync(target, 'wx');
  try {
    ftruncateSync(output, layout.length);
    for (const range of layout.written) copyRange(input, output, range);
  } finally {
    closeSync(input);
    closeSync(output);
  }
  const commands = layout.unwritten.map(({ from, to }) => `falloc -k ${from} ${to - from}`);
  if (commands.length > 0) await runTool('xfs_io', [target], { input: `${commands.join('\n')}\n` });
}

function copyRange(input: number, output: number, range: ByteRange): void {
  const buffer = Buffer.allocUnsafe(Math.min(range.to - range.from, 1024 * KiB));
  for (let at = range.from; at < range.to; ) {
    const byteLength = readSync(input, buffer, 0, Math.min(buffer.byteLength, range.to - at), at);
    if (byteLength === 0) return;
    writeSync(output, buffer, 0, byteLength, at);
    at += byteLength;
  }
}

/** The whole pages that SEEK_DATA calls a hole, the file's last page included. */
function holesOf(layout: StorageLayout): ByteRange[] {
  const holes: ByteRange[] = [];
  let at = 0;
  for (const { from, to } of [...layout.written, { from: roundUp(layout.length, PAGE), to: layout.length }]) {
    if (from > at) holes.push({ from: at, to: from });
    at = roundUp(to, PAGE);
  }
  return holes;
}

function merged(pages: readonly number[]): ByteRange[] {
  const ranges: ByteRange[] = [];
  for (const page of pages) {
    const last = ranges.at(-1);
    if (last?.to === page) ranges[ranges.length - 1] = { from: last.from, to: page + PAGE };
    else ranges.push({ from: page, to: page + PAGE });
  }
  return ranges;
}
