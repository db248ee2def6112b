/** What backing files come to when real overlays are committed into them, against their commitment and the figure of the commit. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { KiB, MiB } from '#base';
import { examineImage } from '#sandbox';
import type { ImageReport } from '#wire';
import { qemuImg, qemuIo, runTool } from '../support/qemu.ts';

const root = mkdtempSync('/dev/shm/plimsoll-commit-');
afterAll(() => rmSync(root, { recursive: true }));

const BASE = 4 * MiB;
const TOP = 20 * MiB;

interface State {
  readonly name: string;
  /** Makes `base` in the directory. */
  make(directory: string): Promise<unknown>;
  readonly baseFormat?: 'raw' | 'qed';
  /** Capacity of the overlay; TOP without it. */
  readonly capacity?: number;
  readonly overlayOptions?: string;
  /** QEMU refuses the commit. */
  readonly isRefused?: true;
  /** The base's own commitment covers the commit. */
  readonly isCovered?: true;
  /** Committed also with zeros in the overlay, which free clusters of the base. */
  readonly withZeros?: true;
}

function qcow2(options: string, ...commands: string[]): State['make'] {
  return async (directory) => {
    await qemuImg(directory, 'create', '-q', '-f', 'qcow2', '-o', options, 'base', String(BASE));
    if (commands.length > 0) await qemuIo({ path: join(directory, 'base'), format: 'qcow2' }, commands);
  };
}

async function then(make: ReturnType<State['make']>, directory: string, ...commands: (readonly string[])[]): Promise<void> {
  await make;
  for (const command of commands) await qemuImg(directory, ...command);
}

const FILL = `write -q -P 7 0 ${BASE}`;

const STATES: readonly State[] = [
  { name: 'an empty qcow2', make: qcow2('cluster_size=64k'), withZeros: true },
  { name: 'a full qcow2', make: qcow2('cluster_size=64k', FILL) },
  { name: 'a qcow2 with clusters of 512 bytes', make: qcow2('cluster_size=512', FILL) },
  { name: 'a qcow2 with clusters of 4 KiB', make: qcow2('cluster_size=4k', 'write -q 1M 1M') },
  { name: 'a qcow2 with clusters of 2 MiB', make: qcow2('cluster_size=2M', 'write -q 1M 1M') },
  { name: 'a qcow2 with refcounts of 64 bits', make: qcow2('cluster_size=4k,refcount_bits=64', FILL) },
  { name: 'a qcow2 with extended L2 entries', make: qcow2('cluster_size=64k,extended_l2=on', 'write -q 100k 30k'), withZeros: true },
  { name: 'a version 2 image', make: qcow2('compat=0.10', 'write -q 1M 1M') },
  { name: 'a preallocated qcow2', make: qcow2('preallocation=full') },
  { name: 'a qcow2 that ends inside a cluster', make: (at) => qemuImg(at, 'create', '-q', '-f', 'qcow2', 'base', String(BASE + 512)) },
  {
    name: 'a qcow2 with discarded clusters',
    make: qcow2('cluster_size=64k', FILL, 'discard -q 1M 1M', 'discard -q 3M 64k'),
    withZeros: true,
  },
  {
    name: 'a compressed qcow2',
    make: async (at) => {
      await qcow2('cluster_size=64k')(at);
      await qemuIo({ path: join(at, 'base'), format: 'qcow2' }, ['write -q -c -P 3 0 2M', 'write -q 1M 64k']);
    },
    withZeros: true,
  },
  {
    name: 'a qcow2 with an internal snapshot',
    withZeros: true,
    make: (at) => then(qcow2('cluster_size=64k', FILL)(at), at, ['snapshot', '-c', 'one', 'base']),
  },
  {
    name: 'a qcow2 with a persistent bitmap',
    withZeros: true,
    make: (at) => then(qcow2('cluster_size=4k', FILL)(at), at, ['bitmap', '--add', '-g', '512', 'base', 'changes']),
  },
  {
    name: 'a qcow2 with a backing file of its own',
    make: async (at) => {
      await qemuImg(at, 'create', '-q', '-f', 'raw', 'below', String(2 * BASE));
      await qemuIo({ path: join(at, 'below'), format: 'raw' }, [`write -q 0 ${2 * BASE}`]);
      await qemuImg(at, 'create', '-q', '-f', 'qcow2', '-b', 'below', '-F', 'raw', 'base', String(BASE));
    },
  },
  { name: 'a raw file', make: (at) => qemuImg(at, 'create', '-q', '-f', 'raw', 'base', String(BASE)), baseFormat: 'raw', withZeros: true },
  {
    name: 'a preallocated raw file',
    make: (at) => qemuImg(at, 'create', '-q', '-f', 'raw', '-o', 'preallocation=full', 'base', String(BASE)),
    baseFormat: 'raw',
  },
  {
    name: 'a QED file',
    make: async (at) => {
      await qemuImg(at, 'create', '-q', '-f', 'qed', 'base', String(BASE));
      await runTool('qemu-io', ['-f', 'qed', '-c', 'write -q 1M 1M', join(at, 'base')]);
    },
    baseFormat: 'qed',
  },
  { name: 'an overlay with large clusters', make: qcow2('cluster_size=64k'), overlayOptions: 'cluster_size=2M' },
  {
    name: 'a version 2 image with an internal snapshot',
    make: (at) => then(qcow2('compat=0.10', FILL)(at), at, ['snapshot', '-c', 'one', 'base']),
    isRefused: true,
    isCovered: true,
  },
  { name: 'a base of the same capacity', make: qcow2('cluster_size=64k'), capacity: BASE, isCovered: true, withZeros: true },
  { name: 'a larger base', make: qcow2('cluster_size=64k', 'write -q 3M 64k', 'write -q 0 1M'), capacity: BASE / 2, isCovered: true },
  {
    name: 'a snapshot in a base of the same capacity',
    make: (at) => then(qcow2('cluster_size=64k', FILL)(at), at, ['snapshot', '-c', 'one', 'base']),
    capacity: BASE,
    isCovered: true,
  },
];

/** How the overlay is written before the commit, and the base after it. */
const ORDERS: readonly { readonly name: string; overlay(capacity: number): string[]; later(capacity: number): string[] }[] = [
  { name: 'a full overlay', overlay: (capacity) => [`write -q -P 9 0 ${capacity}`], later: () => [] },
  {
    name: 'an overlay of zeros and scattered data, the base written later',
    overlay: (capacity) => [
      `write -q -P 9 0 ${capacity}`,
      'write -q -z 1M 1M',
      'discard -q 3M 512k',
      ...steps(capacity, 192 * KiB).map((at) => `write -q -P 5 ${at} 4k`),
    ],
    later: (capacity) =>
      steps(capacity, 64 * KiB)
        .reverse()
        .map((at) => `write -q -P 6 ${at} ${Math.min(64 * KiB, capacity - at)}`),
  },
];

function steps(end: number, step: number): number[] {
  return Array.from({ length: Math.ceil(end / step) }, (_, index) => index * step);
}

function stored(path: string): number {
  return statSync(path).blocks * 512;
}

async function examined(path: string, format: 'raw' | 'qcow2' | 'qed'): Promise<ImageReport> {
  const report = await examineImage(path, { format });
  expect(report.error).toBeUndefined();
  return report;
}

describe('a commit', () => {
  describe.each(STATES)('into $name', (state) => {
    it.each(ORDERS.slice(0, state.withZeros === true ? 2 : 1))(
      "of $name stays within the base's commitment and the finding's figure",
      async (order) => {
        const { capacity = TOP, baseFormat = 'qcow2', overlayOptions } = state;
        const directory = mkdtempSync(join(root, 'site-'));
        const [base, top] = [join(directory, 'base'), join(directory, 'top')];
        await state.make(directory);
        const options = overlayOptions === undefined ? [] : ['-o', overlayOptions];
        await qemuImg(directory, 'create', '-q', '-f', 'qcow2', ...options, '-b', 'base', '-F', baseFormat, 'top', String(capacity));
        await qemuIo({ path: top, format: 'qcow2' }, order.overlay(capacity), { discard: 'unmap' });

        const own = (await examined(base, baseFormat)).commitment as number;
        const overlay = await examined(top, 'qcow2');
        const growth = overlay.chain[0]?.commitGrowth as number;
        const commit = qemuImg(directory, 'commit', '-q', '-f', 'qcow2', 'top');
        const outcome = await commit.then(
          () => 'committed',
          () => 'refused',
        );
        expect(outcome).toBe(state.isRefused === true ? 'refused' : 'committed');
        if (state.isRefused !== true && baseFormat !== 'qed' && order.later(capacity).length > 0)
          await qemuIo({ path: base, format: baseFormat }, order.later(capacity));

        expect(growth === 0).toBe(state.isCovered === true);
        expect(overlay.findings.some(({ code }) => code === 'COMMIT_GROWS_BASE')).toBe(growth > 0);
        if (growth > 0) expect(stored(base)).toBeGreaterThan(own);
        expect(stored(base)).toBeLessThanOrEqual(own + growth);
        // On a filesystem that charges nothing on top the figure is close.
        expect(own + growth).toBeLessThanOrEqual(1.25 * Math.max(capacity, BASE) + own);
        rmSync(directory, { recursive: true });
      },
    );
  });

  it('into a qcow2 with an external data file extends that file too', async () => {
    const directory = mkdtempSync(join(root, 'site-'));
    await qemuImg(directory, 'create', '-q', '-f', 'qcow2', '-o', 'data_file=data', 'base', String(BASE));
    await qemuImg(directory, 'create', '-q', '-f', 'qcow2', '-b', 'base', '-F', 'qcow2', 'top', String(TOP));
    await qemuIo({ path: join(directory, 'top'), format: 'qcow2' }, [`write -q -P 9 0 ${TOP}`]);
    const base = await examined(join(directory, 'base'), 'qcow2');
    const counted = (base.commitment as number) + (base.chain[0]?.commitment as number);
    const growth = (await examined(join(directory, 'top'), 'qcow2')).chain[0]?.commitGrowth as number;
    await qemuImg(directory, 'commit', '-q', '-f', 'qcow2', 'top');
    const after = stored(join(directory, 'base')) + stored(join(directory, 'data'));
    expect(after).toBeGreaterThan(counted);
    expect(after).toBeLessThanOrEqual(counted + growth);
  });

  it('past an intermediate file extends the base to the capacity of the top image', async () => {
    const directory = mkdtempSync(join(root, 'site-'));
    await qemuImg(directory, 'create', '-q', '-f', 'qcow2', 'base', String(BASE));
    await qemuImg(directory, 'create', '-q', '-f', 'qcow2', '-b', 'base', '-F', 'qcow2', 'mid', String(2 * BASE));
    await qemuImg(directory, 'create', '-q', '-f', 'qcow2', '-b', 'mid', '-F', 'qcow2', 'top', String(TOP));
    await qemuIo({ path: join(directory, 'top'), format: 'qcow2' }, [`write -q -P 9 0 ${TOP}`]);
    const own = (await examined(join(directory, 'base'), 'qcow2')).commitment as number;
    const { chain } = await examined(join(directory, 'top'), 'qcow2');
    expect(chain.map(({ commitGrowth }) => (commitGrowth as number) > 0)).toEqual([true, true]);
    await qemuImg(directory, 'commit', '-q', '-f', 'qcow2', '-b', 'base', 'top');
    expect(stored(join(directory, 'base'))).toBeGreaterThan(own);
    expect(stored(join(directory, 'base'))).toBeLessThanOrEqual(own + (chain[1]?.commitGrowth as number));
  });

  it('into a LUKS volume extends the file after its header', async () => {
    const directory = mkdtempSync(join(root, 'site-'));
    const secret = ['--object', 'secret,id=key,data=word'];
    await qemuImg(directory, 'create', '-q', ...secret, '-f', 'luks', '-o', 'key-secret=key,iter-time=10', 'base', String(BASE));
    await qemuImg(directory, 'create', '-q', '-f', 'qcow2', '-u', '-b', 'base', '-F', 'luks', 'top', String(TOP));
    const backing = 'backing.driver=luks,backing.key-secret=key,backing.file.driver=file,backing.file.filename=base';
    const opened = ['--image-opts', `driver=qcow2,file.filename=top,${backing}`];
    await runTool('qemu-io', [...secret, ...opened, '-c', `write -q 0 ${TOP}`], { cwd: directory });
    const { commitment } = await examineImage(join(directory, 'base'), { format: 'luks' });
    const { commitGrowth } = (await examined(join(directory, 'top'), 'qcow2')).chain[0] ?? {};
    await qemuImg(directory, 'commit', '-q', ...secret, ...opened);
    expect(stored(join(directory, 'base'))).toBeGreaterThan(commitment as number);
    expect(stored(join(directory, 'base'))).toBeLessThanOrEqual((commitment as number) + (commitGrowth as number));
  });

  it.each(['vmdk', 'vdi', 'vpc', 'vhdx'])('into a smaller %s image is refused, and adds nothing', async (format) => {
    const directory = mkdtempSync(join(root, 'site-'));
    await qemuImg(directory, 'create', '-q', '-f', format, 'base', String(BASE));
    await qemuImg(directory, 'create', '-q', '-f', 'qcow2', '-b', 'base', '-F', format, 'top', String(TOP));
    await qemuIo({ path: join(directory, 'top'), format: 'qcow2' }, [`write -q -P 9 0 ${TOP}`]);
    const before = stored(join(directory, 'base'));
    expect((await examined(join(directory, 'top'), 'qcow2')).chain[0]?.commitGrowth).toBe(0);
    await expect(qemuImg(directory, 'commit', '-q', '-f', 'qcow2', 'top')).rejects.toThrow('not supported');
    expect(stored(join(directory, 'base'))).toBe(before);
  });
});

describe('a rebase in safe mode', () => {
  it('writes within the commitment of the overlay', async () => {
    const directory = mkdtempSync(join(root, 'site-'));
    const overlay = join(directory, 'top');
    for (const [name, pattern] of [
      ['old', 1],
      ['new', 2],
    ] as const) {
      await qemuImg(directory, 'create', '-q', '-f', 'qcow2', name, String(BASE));
      await qemuIo({ path: join(directory, name), format: 'qcow2' }, [`write -q -P ${pattern} 0 ${BASE}`]);
    }
    await qemuImg(directory, 'create', '-q', '-f', 'qcow2', '-o', 'cluster_size=4k', '-b', 'old', '-F', 'qcow2', 'top', String(TOP));
    const { commitment, allocation } = await examined(overlay, 'qcow2');
    await qemuImg(directory, 'rebase', '-f', 'qcow2', '-b', 'new', '-F', 'qcow2', 'top');
    expect(stored(overlay)).toBeGreaterThan((allocation as number) + BASE);
    expect(stored(overlay)).toBeLessThanOrEqual(commitment as number);
    await runTool('qemu-io', ['-f', 'qcow2', '-c', `write -q 0 ${TOP}`, overlay]);
    expect(stored(overlay)).toBeLessThanOrEqual(commitment as number);
  });
});
