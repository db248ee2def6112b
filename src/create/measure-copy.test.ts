import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { ImageFormat, MeasureReport } from '#wire';
import { qemuImg, qemuIo, runTool } from '../../tests/support/qemu.ts';
import { type CreateOptions, parseCreateOptions } from './create-options.ts';
import { type CopySource, measureCopy } from './measure-copy.ts';

/** On tmpfs, which charges nothing on top of what a copy stores. */
const root = mkdtempSync('/dev/shm/plimsoll-measure-copy-');
afterAll(() => rmSync(root, { recursive: true }));

const RAW = parseCreateOptions('raw', []);
const QCOW2 = parseCreateOptions('qcow2', []);

interface Source {
  /** Its name for qemu-img. */
  readonly qemu: string;
  readonly format: ImageFormat;
  readonly options?: string;
  /** QEMU does not report which parts of the format are empty. */
  readonly isOpaque?: true;
  /** The file stores a few zeros as data, which qemu-img leaves out of the copy after reading them. */
  readonly storesZeros?: true;
}

const SOURCES: readonly Source[] = [
  { qemu: 'raw', format: 'raw', storesZeros: true },
  { qemu: 'qcow2', format: 'qcow2', options: 'cluster_size=4k' },
  { qemu: 'qed', format: 'qed' },
  { qemu: 'vmdk', format: 'vmdk' },
  { qemu: 'vmdk', format: 'vmdk', options: 'zeroed_grain=on' },
  { qemu: 'vmdk', format: 'vmdk', options: 'subformat=streamOptimized' },
  { qemu: 'vmdk', format: 'vmdk', options: 'subformat=monolithicFlat' },
  { qemu: 'vmdk', format: 'vmdk', options: 'subformat=twoGbMaxExtentFlat' },
  { qemu: 'vmdk', format: 'vmdk', options: 'subformat=twoGbMaxExtentSparse' },
  { qemu: 'vpc', format: 'vhd' },
  { qemu: 'vpc', format: 'vhd', options: 'force_size=on' },
  { qemu: 'vpc', format: 'vhd', options: 'subformat=fixed', storesZeros: true },
  { qemu: 'vdi', format: 'vdi' },
  { qemu: 'vdi', format: 'vdi', options: 'static=on', storesZeros: true },
  { qemu: 'vhdx', format: 'vhdx', options: 'block_size=1M', isOpaque: true },
  { qemu: 'vhdx', format: 'vhdx', options: 'block_size=1M,subformat=fixed', isOpaque: true },
];

/** A descriptor and files of its own for the data. */
const isSplit = ({ options = '' }: Source): boolean => /Flat|twoGb/.test(options);

/** 24 MiB: data in whole blocks of any format, some in the last one. */
async function made(source: Source): Promise<string> {
  const key = `${source.qemu} ${source.options ?? ''}`;
  const original = MADE.get(key) ?? make(source);
  MADE.set(key, original);
  const directory = mkdtempSync(join(root, 'site-'));
  // With its holes: the stored ranges decide the figures of some formats.
  const home = dirname(await original);
  const files = readdirSync(home).filter((name) => name.startsWith('source'));
  await runTool('cp', ['--sparse=always', ...files.map((name) => join(home, name)), directory]);
  return join(directory, 'source');
}

const MADE = new Map<string, Promise<string>>();

async function make({ qemu, options }: Source): Promise<string> {
  const directory = mkdtempSync(join(root, 'site-'));
  await qemuImg(directory, 'create', '-q', '-f', 'raw', 'plain', '24M');
  await qemuIo({ path: join(directory, 'plain'), format: 'raw' }, ['write -q -P 1 2M 4M', 'write -q -P 2 22M 2M']);
  const chosen = options === undefined ? [] : ['-o', options];
  await qemuImg(directory, 'convert', '-f', 'raw', '-O', qemu, ...chosen, 'plain', 'source');
  return join(directory, 'source');
}

function stored(path: string): { length: number; allocation: number } {
  const { size, blocks } = statSync(path);
  return { length: size, allocation: blocks * 512 };
}

function expectWithin(figure: number, reached: number, spare: number): void {
  expect(figure).toBeGreaterThanOrEqual(reached);
  expect(figure).toBeLessThanOrEqual(reached + spare);
}

function measured(path: string, options: CreateOptions, source: CopySource = {}): Promise<MeasureReport> {
  return measureCopy(path, options.format, options, source);
}

describe('measureCopy()', () => {
  it.each(SOURCES)('predicts the copy that qemu-img creates of $qemu with $options', async (source) => {
    const path = await made(source);
    const directory = join(path, '..');
    for (const options of [RAW, QCOW2]) {
      const report = await measured(path, options, { sourceFormat: source.format });
      await qemuImg(directory, 'convert', '-f', source.qemu, '-O', options.format, 'source', 'copy');
      const { 'virtual-size': capacity } = JSON.parse(
        await qemuImg(directory, 'info', '--output=json', '-f', options.format, 'copy'),
      ) as Record<string, number>;
      const { length, allocation } = stored(join(directory, 'copy'));
      const spare = source.storesZeros === true ? 4 * 64 * 1024 : 0;
      expect(report.capacity).toBe(capacity);
      expectWithin(report.length, length, spare);
      expectWithin(report.allocation, allocation, spare);
      expect(report.components.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(report.commitment);
      // With -S 0 every byte is written.
      await qemuImg(directory, 'convert', '-S', '0', '-f', source.qemu, '-O', options.format, 'source', 'copy');
      expect(stored(join(directory, 'copy')).allocation).toBeLessThanOrEqual(report.expected);
      if (source.isOpaque === true) continue;
      const foretold = JSON.parse(
        await qemuImg(directory, 'measure', '--output=json', '-f', source.qemu, '-O', options.format, 'source'),
      ) as Record<string, number>;
      if (options.format === 'qcow2') expect(report.length).toBe(foretold['required']);
    }
  });

  it.each(SOURCES.filter(({ format }) => format !== 'raw'))(
    'detects the format of $qemu with $options by its signature',
    async (source) => {
      const path = await made(source);
      expect(await measured(path, QCOW2)).toEqual(await measured(path, QCOW2, { sourceFormat: source.format }));
    },
  );

  it('reads zeroed grains of a VMDK and zeroed clusters of a qcow2 as zeros', async () => {
    for (const source of SOURCES.filter(({ options }) => options === 'zeroed_grain=on' || options === 'cluster_size=4k')) {
      const path = await made(source);
      const before = await measured(path, RAW, { sourceFormat: source.format });
      const opened = `driver=${source.qemu},file.filename=${path}`;
      await runTool('qemu-io', ['--image-opts', opened, '-c', 'write -q -z 3M 1M']);
      const after = await measured(path, RAW, { sourceFormat: source.format });
      expect(before.allocation - after.allocation).toBe(2 ** 20);
    }
  });

  it('reads an overlay whose backing file has another format', async () => {
    const path = await made({ qemu: 'vpc', format: 'vhd', options: 'force_size=on' });
    const directory = join(path, '..');
    await qemuImg(directory, 'create', '-q', '-f', 'qcow2', '-b', 'source', '-F', 'vpc', 'overlay', '24M');
    await qemuIo({ path: join(directory, 'overlay'), format: 'qcow2' }, ['write -q -P 3 10M 1M', 'write -q -P 3 2M 1M']);
    const report = await measured(join(directory, 'overlay'), RAW, { sourceFormat: 'qcow2' });
    await qemuImg(directory, 'convert', '-f', 'qcow2', '-O', 'raw', 'overlay', 'copy');
    expect(report.allocation).toBe(stored(join(directory, 'copy')).allocation);
  });

  it('reads a QED overlay and its backing file', async () => {
    const path = await made({ qemu: 'qcow2', format: 'qcow2' });
    const directory = join(path, '..');
    await qemuImg(directory, 'create', '-q', '-f', 'qed', '-b', 'source', '-F', 'qcow2', 'overlay', '24M');
    await runTool('qemu-io', ['-f', 'qed', '-c', 'write -q -P 3 10M 1M', join(directory, 'overlay')]);
    const report = await measured(join(directory, 'overlay'), RAW, { sourceFormat: 'qed' });
    await qemuImg(directory, 'convert', '-f', 'qed', '-O', 'raw', 'overlay', 'copy');
    expect(report.allocation).toBe(stored(join(directory, 'copy')).allocation);
  });

  it('reports bitmaps and snapshots of the source, which a copy leaves out', async () => {
    const path = await made({ qemu: 'qcow2', format: 'qcow2' });
    const directory = join(path, '..');
    expect((await measured(path, QCOW2)).findings).toEqual([]);
    await qemuImg(directory, 'bitmap', '--add', 'source', 'one');
    await qemuImg(directory, 'bitmap', '--add', 'source', 'two');
    await qemuImg(directory, 'snapshot', '-c', 'before', 'source');
    const { findings, length } = await measured(path, QCOW2);
    expect(findings).toMatchObject([
      { level: 'warning', code: 'COPY_WITHOUT_BITMAPS', message: expect.stringContaining('2 persistent bitmaps') },
      { level: 'warning', code: 'COPY_WITHOUT_SNAPSHOTS', message: expect.stringContaining('1 internal snapshot ') },
    ]);
    await qemuImg(directory, 'convert', '-f', 'qcow2', '-O', 'qcow2', 'source', 'copy');
    expect(length).toBe(stored(join(directory, 'copy')).length);
    await qemuImg(directory, 'convert', '--bitmaps', '-f', 'qcow2', '-O', 'qcow2', 'source', 'with');
    expect(stored(join(directory, 'with')).length).toBeGreaterThan(length);
  });

  it.each(SOURCES.filter((source) => source.format !== 'raw' && !isSplit(source)))(
    'refuses a truncated $qemu with $options with a typed error',
    async (source) => {
      const path = await made(source);
      truncateSync(path, 700);
      await expect(measured(path, RAW, { sourceFormat: source.format })).rejects.toMatchObject({
        kind: expect.stringMatching(/^(corrupt|unsupported|refused|io)$/u),
        code: expect.stringMatching(/^[A-Z0-9_]+$/u),
      });
    },
  );

  it.each(SOURCES.filter(isSplit))(
    'refuses a VMDK with $options whose extent file is missing or outside of its directory',
    async (source) => {
      const path = await made(source);
      const directory = dirname(path);
      const [extent] = readdirSync(directory).filter((name) => name !== 'source') as [string];
      const text = readFileSync(path, 'utf8');
      writeFileSync(path, text.replace(`"${extent}"`, '"/etc/hostname"'));
      await expect(measured(path, RAW, { sourceFormat: 'vmdk' })).rejects.toMatchObject({ kind: 'refused' });
      writeFileSync(path, text.replace(`"${extent}"`, '"nbd:localhost:1"'));
      await expect(measured(path, RAW, { sourceFormat: 'vmdk' })).rejects.toMatchObject({ kind: 'refused', code: 'REFERENCE_REFUSED' });
      writeFileSync(path, text);
      rmSync(join(directory, extent));
      await expect(measured(path, RAW, { sourceFormat: 'vmdk' })).rejects.toMatchObject({ kind: 'not-found' });
    },
  );

  it.each(['vmdk', 'vhd', 'vhdx', 'vdi', 'qcow2'] as const)('rejects with the reason of an aborted signal, for %s', async (format) => {
    const path = await made(SOURCES.find((source) => source.format === format) as Source);
    const controller = new AbortController();
    controller.abort(new Error('no longer wanted'));
    await expect(measured(path, RAW, { sourceFormat: format, signal: controller.signal })).rejects.toThrow('no longer wanted');
  });

  it('refuses an unsupported source format', async () => {
    const wrong = { sourceFormat: 'floppy' } as unknown as CopySource;
    await expect(measured(join(root, 'none'), RAW, wrong)).rejects.toMatchObject({ kind: 'usage' });
  });
});
