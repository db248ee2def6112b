/** Seen from outside: while an image is judged, of whatever format, its parser opens, connects to and runs nothing. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { aQcow2, COPIED } from '../support/qcow2-builder.ts';
import { callNames, callsOfReadyWorker, callsOutwards } from '../support/strace.ts';
import { aVdi } from '../support/vdi-builder.ts';
import { aVhd, text } from '../support/vhd-builder.ts';
import { aVhdx } from '../support/vhdx-builder.ts';
import { aVmdk } from '../support/vmdk-builder.ts';

const MAIN = join(import.meta.dirname, '..', '..', 'dist', 'main.js');
const directory = mkdtempSync(join(tmpdir(), 'plimsoll-vet-strace-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Sound ones, whose tables are read to their end; and ones that name other files, where the format has names. */
const IMAGES: readonly (readonly [what: string, format: string, bytes: () => Uint8Array])[] = [
  ['a raw disk', 'raw', () => new Uint8Array(2 ** 20)],
  [
    'a qcow2',
    'qcow2',
    () =>
      aQcow2()
        .withL2(0, [COPIED + 5n * 65_536n])
        .withRefcount(5, 1)
        .withLength(6 * 65_536)
        .bytes(),
  ],
  ['a qcow2 with a backing file', 'qcow2', () => aQcow2().withBackingFile('/etc/shadow', 'raw').bytes()],
  ['a qcow2 that connects', 'qcow2', () => aQcow2().withBackingFile('nbd://127.0.0.1:10809/x', 'raw').bytes()],
  ['a VMDK', 'vmdk', () => aVmdk().withGrain(0, new Uint8Array(4096).fill(1)).bytes()],
  [
    'a VMDK that names another file',
    'vmdk',
    () => aVmdk().withDescriptorChange('RW 4176 SPARSE "a.vmdk"', 'RW 4176 FLAT "/etc/shadow" 0').bytes(),
  ],
  ['a VHD', 'vhd', () => aVhd().withBlock(0, 1).bytes()],
  ['a VHD with a parent', 'vhd', () => aVhd({ diskType: 'differencing' }).withParentLocator(0, 'MacX', text('file:///etc/shadow')).bytes()],
  ['a VDI', 'vdi', () => aVdi().withBlock(0, 1).bytes()],
  ['a VDI with a parent', 'vdi', () => aVdi().withHeader('uuidLink', new Uint8Array(16).fill(9)).bytes()],
  ['a VHDX', 'vhdx', () => aVhdx().withBlock(0, aVhdx().blocks).bytes()],
  [
    'a VHDX with a parent',
    'vhdx',
    () =>
      aVhdx({ flags: 2 })
        .withParent([['relative_path', '..\\..\\etc\\shadow']])
        .bytes(),
  ],
];

interface Traced {
  /** Of the worker, once it was ready. */
  readonly calls: readonly string[];
  readonly format: unknown;
  readonly examined: unknown;
}

function vetUnderStrace(words: readonly string[], input: Uint8Array | undefined): Traced {
  const trace = join(directory, 'trace');
  const command = ['-f', '-qq', '-o', trace, process.execPath, MAIN, 'vet', '--json', ...words];
  const { stdout, stderr, error } = spawnSync('strace', command, { encoding: 'utf8', input: input ?? '', maxBuffer: 2 ** 26 });
  if (error !== undefined) throw new Error('Cannot run strace; install the Debian package strace', { cause: error });
  if (stdout === '') throw new Error(`no verdict: ${stderr.slice(0, 500)}`);
  const { images } = JSON.parse(stdout) as { readonly images: readonly Omit<Traced, 'calls'>[] };
  return { format: images[0]?.format, examined: images[0]?.examined, calls: callsOfReadyWorker(readFileSync(trace, 'utf8')) };
}

describe('seen by strace, the parser', () => {
  it.each(IMAGES)('of %s opens nothing', (_, declared, bytes) => {
    const path = join(directory, 'image');
    writeFileSync(path, bytes());
    const { calls, format, examined } = vetUnderStrace(['-f', declared, path], undefined);
    expect([format, examined]).not.toContain('none');
    expect(format).toBe(declared);
    expect(callsOutwards(calls)).toEqual([]);
    // It did read the image: by the descriptor that it received.
    expect(callNames(calls)).toContain('pread64');
  });

  it('of a stream opens nothing, and gets its bytes through the channel', () => {
    const { calls, examined } = vetUnderStrace(['-f', 'qcow2', '-'], aQcow2().bytes());
    expect(examined).toBe('tables');
    expect(calls.length).toBeGreaterThan(10);
    expect(callsOutwards(calls)).toEqual([]);
    expect(callNames(calls)).not.toContain('pread64');
  });
});
