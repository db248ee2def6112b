/** `plimsoll info` as a user runs it. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ImageReport, InfoReport } from '#wire';
import { COMMAND, inTerminal, plimsoll, run, shellWord, start } from '../support/command.ts';

let directory: string;
let qcow2: string;
let raw: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-info-'));
  qcow2 = join(directory, 'disk.qcow2');
  raw = join(directory, 'disk.raw');
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', qcow2, '40G']);
  await run('qemu-io', ['-c', 'write -P 7 0 3M', qcow2]);
  await run('qemu-img', ['snapshot', '-c', 'before', qcow2]);
  writeFileSync(raw, 'x');
  truncateSync(raw, 2 ** 30);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function infoJson(...words: string[]): Promise<readonly ImageReport[]> {
  const { stdout } = await plimsoll(['info', '--json', ...words]);
  return (JSON.parse(stdout) as InfoReport).images;
}

describe('info --json', () => {
  it('has the fields of plimsoll.info/1, for each image in order', async () => {
    const { code, stdout, stderr } = await plimsoll(['info', '--output', 'json', qcow2, raw]);
    expect([code, stderr]).toEqual([0, '']);
    const report = JSON.parse(stdout) as InfoReport;
    expect(report.schema).toBe('plimsoll.info/1');
    expect(report.definitions['commitment']).toContain('maximum storage');
    expect(report.images.map((image) => image.path)).toEqual([qcow2, raw]);
    const [first] = report.images;
    const named =
      'path format capacity length allocation commitment expected residual maxLength method unbounded nextSnapshot components findings chain'.split(
        ' ',
      );
    for (const field of named) expect(first).toHaveProperty(field);
  });

  it('agrees with stat and qemu-img', async () => {
    const [image] = await infoJson(qcow2);
    const facts = statSync(qcow2);
    expect(image).toMatchObject({ format: 'qcow2', capacity: 40 * 2 ** 30, length: facts.size, allocation: facts.blocks * 512 });
    const { stdout } = await run('qemu-img', ['info', '--output=json', qcow2]);
    expect(JSON.parse(stdout)).toMatchObject({ 'virtual-size': image?.capacity, 'actual-size': image?.allocation });
  });

  it('has components that sum to the commitment, and a residual equal to the difference', async () => {
    for (const image of await infoJson(qcow2, raw)) {
      expect(image.components.reduce((sum, one) => sum + one.bytes, 0)).toBe(image.commitment);
      expect(image.residual).toBe((image.commitment ?? 0) - (image.allocation ?? 0));
    }
  });

  it('reports that the future of an image with a snapshot is unbounded', async () => {
    const [image] = await infoJson(qcow2);
    expect(image?.unbounded.length).toBeGreaterThan(0);
    expect(image?.nextSnapshot?.bytes).toBeGreaterThan(0);
  });

  it('reports a missing image beside the others, with its exit code', async () => {
    const { code, stdout } = await plimsoll(['info', '--json', join(directory, 'none'), raw]);
    expect(code).toBe(12);
    const { images } = JSON.parse(stdout) as InfoReport;
    expect(images.map((image) => image.error?.kind)).toEqual(['not-found', undefined]);
    expect(images[1]?.capacity).toBe(2 ** 30);
  });

  it('exits with the code of the most severe error', async () => {
    const broken = join(directory, 'broken.qcow2');
    writeFileSync(broken, Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), Buffer.from([0, 0, 0, 3]), Buffer.alloc(500)]));
    const { code } = await plimsoll(['info', join(directory, 'none'), broken, raw]);
    expect(code).toBe(13);
  });
});

describe('names on standard input', () => {
  it('are separated by newlines', async () => {
    const { stdout } = await plimsoll(['info', '--json', '-'], { input: `${raw}\n\n${qcow2}` });
    expect((JSON.parse(stdout) as InfoReport).images.map((image) => image.path)).toEqual([raw, qcow2]);
  });

  it('are separated by NUL with -0, and may contain anything else: newlines, bytes that are not UTF-8', async () => {
    const odd = Buffer.concat([Buffer.from(`${directory}/new\nline `), Buffer.from([0xff, 0xfe]), Buffer.from('.raw')]);
    writeFileSync(odd, '');
    truncateSync(odd, 4096);
    const { code, stdout } = await plimsoll(['info', '-0', '--json', '-'], { input: Buffer.concat([odd, Buffer.from(`\0${raw}\0`)]) });
    expect(code).toBe(0);
    expect((JSON.parse(stdout) as InfoReport).images.map((image) => image.length)).toEqual([4096, 2 ** 30]);
  });

  it('bytes that are not UTF-8 are found on the command line too', async () => {
    const script = `printf x > ${shellWord(directory)}/$'\\xe9'.raw; exec ${shellWord(process.execPath)} ${shellWord(COMMAND)} info --json ${shellWord(directory)}/$'\\xe9'.raw`;
    const { code, stdout } = await run('bash', ['-c', script]);
    expect([code, (JSON.parse(stdout) as InfoReport).images[0]?.length]).toEqual([0, 1]);
  });
});

describe('an interrupt', () => {
  it('ends the command at once, even while it waits for names', async () => {
    const line = `(sleep 3600) | { ${shellWord(process.execPath)} ${shellWord(COMMAND)} info - & child=$!; sleep 1; kill -INT $child; wait $child; echo "code $?"; }`;
    const running = start('bash', ['-mc', line]);
    while (!running.stdout().includes('code')) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(running.stdout()).toBe('code 130\n');
    expect(running.stderr()).toContain('plimsoll: interrupted');
    running.kill('SIGKILL');
  });
});

describe('info as text', () => {
  it('shows the figures, and with --explain a sum that adds up', async () => {
    const { stdout } = await plimsoll(['info', '--explain', qcow2]);
    expect(stdout).toMatch(/^ {2}capacity +40 GiB +42,949,672,960$/m);
    const sum =
      stdout
        .split('made of:\n')[1]
        ?.split('\n')
        .filter((line) => /\d/.test(line)) ?? [];
    const numbers = sum.map((line) => (/^ {2}- /.test(line) ? -1 : 1) * Number(/[\d,]+/.exec(line)?.[0].replaceAll(',', '')));
    expect(numbers.length).toBeGreaterThan(2);
    expect(numbers.slice(0, -1).reduce((a, b) => a + b)).toBe(numbers.at(-1));
  });

  it('labels a guess, and accepts a declared format', async () => {
    expect((await plimsoll(['info', raw])).stdout).toContain('raw (a guess');
    expect((await plimsoll(['info', '-f', 'raw', raw])).stdout).toContain('raw (as declared)');
  });

  it('colours a terminal, unless NO_COLOR is set', async () => {
    const line = `${shellWord(process.execPath)} ${shellWord(COMMAND)} info ${shellWord(raw)}`;
    expect((await inTerminal(line)).stdout).toContain(`\u001b[1m${raw}\u001b[0m`);
    expect((await inTerminal(line, { NO_COLOR: '1' })).stdout).not.toContain('\u001b');
  });

  it('accepts the familiar options of qemu-img', async () => {
    expect((await plimsoll(['info', '-U', '--backing-chain', qcow2])).code).toBe(0);
  });
});

describe('the images', () => {
  it('have the same bytes and the same metadata afterwards', async () => {
    const facts = () =>
      [qcow2, raw].map((path) => {
        const { size, blocks, mtimeMs, ctimeMs, mode } = statSync(path);
        return { size, blocks, mtimeMs, ctimeMs, mode, hash: createHash('sha256').update(readFileSync(path)).digest('hex') };
      });
    rmSync(raw);
    writeFileSync(raw, 'x');
    truncateSync(raw, 8 * 2 ** 20);
    const before = facts();
    await plimsoll(['info', '--explain', qcow2, raw]);
    await plimsoll(['scan', directory]);
    expect(facts()).toEqual(before);
  });
});
