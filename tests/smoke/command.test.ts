/** Each command of the built product once, on small images: what a change breaks outright shows within seconds, on any version of Node. */
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { InfoReport, MeasureReport, ScanReport, StatusReport, WhoReport } from '#wire';
import { plimsoll, start, COMMAND } from '../support/command.ts';

const MiB = 2 ** 20;

let directory = '';
let store = '';
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-smoke-'));
  store = join(directory, 'vm');
  mkdirSync(store);
  writeFileSync(join(store, 'disk.raw'), 'x');
  truncateSync(join(store, 'disk.raw'), MiB);
  const { code, stderr } = await plimsoll(['create', '-q', '-f', 'qcow2', 'disk.qcow2', '1G'], { cwd: store });
  if (code !== 0) throw new Error(stderr);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** The JSON document of a command that ends with `code`. */
async function document<T>(words: readonly string[], code = 0): Promise<T> {
  const ended = await plimsoll(words, { cwd: store });
  expect([ended.code, ended.stderr]).toEqual([code, '']);
  return JSON.parse(ended.stdout) as T;
}

describe('the built command', () => {
  it('prints its version and its help', async () => {
    expect((await plimsoll(['--version'])).stdout).toMatch(/^plimsoll \d+\.\d+\.\d+\n$/);
    const help = await plimsoll(['--help']);
    expect([help.code, help.stdout.includes('scan')]).toEqual([0, true]);
  });

  it('reports the figures of a qcow2 and of a raw image', async () => {
    const { images } = await document<InfoReport>(['info', '--json', 'disk.qcow2', 'disk.raw']);
    expect(images.map(({ format, capacity }) => [format, capacity])).toEqual([
      ['qcow2', 1024 * MiB],
      ['raw', MiB],
    ]);
    expect(images[0]?.commitment).toBeGreaterThan(1024 * MiB);
  });

  it('measures a new image', async () => {
    const measured = await document<MeasureReport>(['measure', '--json', '-f', 'qcow2', '--size', '1G']);
    expect(measured.commitment).toBeGreaterThan(1024 * MiB);
  });

  it('scans a store', async () => {
    const { code, stdout } = await plimsoll(['scan', '--json', store]);
    expect([0, 10, 11]).toContain(code);
    expect((JSON.parse(stdout) as ScanReport).stores[0]?.images).toHaveLength(2);
  });

  it('vets an image in the confined worker', async () => {
    const { code, stdout, stderr } = await plimsoll(['vet', '-f', 'qcow2', 'disk.qcow2'], { cwd: store });
    expect([code, stderr, stdout.includes('disk.qcow2')]).toEqual([0, '', true]);
  });

  it('reports the users of an image', async () => {
    const { code, stdout } = await plimsoll(['who', '--json', 'disk.raw'], { cwd: store });
    const [image] = (JSON.parse(stdout) as WhoReport).images;
    // Unknown where other users' processes cannot be inspected.
    expect([
      [0, 'free'],
      [11, 'unknown'],
    ]).toContainEqual([code, image?.verdict]);
  });

  it('ends with a typed error for a file that does not exist', async () => {
    const { code, stdout, stderr } = await plimsoll(['info', 'missing.qcow2'], { cwd: store });
    expect([code, `${stdout}${stderr}`]).toEqual([12, expect.stringContaining('missing.qcow2')]);
  });

  it('serves the status of a store on its socket, and ends on SIGTERM', async () => {
    const socket = join(directory, 'socket');
    const words = ['serve', store, '--state', join(directory, 'state'), '--socket', socket, '--listen', 'off', '--log-level', 'silent'];
    const daemon = start(process.execPath, [COMMAND, ...words]);
    try {
      const status = async (): Promise<StatusReport | undefined> => {
        const { code, stdout } = await plimsoll(['status', '--json'], { env: { PLIMSOLL_SOCKET: socket } });
        return code === 0 || code === 11 || code === 10 ? (JSON.parse(stdout) as StatusReport) : undefined;
      };
      await expect.poll(async () => (await status())?.stores[0]?.imageCount).toBe(2);
    } finally {
      daemon.kill('SIGTERM');
    }
    expect((await daemon.ended).code).toBe(0);
  });
});
