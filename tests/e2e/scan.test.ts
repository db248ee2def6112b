/** `plimsoll scan` and `plimsoll demo` as a user runs them. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import stringWidth from 'string-width';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ScanReport } from '#wire';
import { COMMAND, inTerminal, plimsoll, run, shellWord, start } from '../support/command.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-scan-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));
const at = (name: string): string => join(directory, name);

function sparse(name: string, byteLength: number): void {
  writeFileSync(at(name), '');
  truncateSync(at(name), byteLength);
}

async function scanJson(...words: string[]): Promise<{ code: number | null; report: ScanReport }> {
  const { code, stdout, stderr } = await plimsoll(['scan', '--json', ...words]);
  expect(stderr).toBe('');
  return { code, report: JSON.parse(stdout) as ScanReport };
}

describe('scan', () => {
  it('exits with 0 when every future write fits', async () => {
    sparse('small.raw', 2 ** 20);
    const { code, report } = await scanJson(directory);
    expect(code).toBe(0);
    const [store] = report.stores;
    expect(report.schema).toBe('plimsoll.scan/1');
    const named = 'id mount type size used available allocation commitment residual shared headroom fits images findings'.split(' ');
    for (const field of named) expect(store).toHaveProperty(field);
    expect(store?.fits).toBe(true);
    expect(store?.images.map((image) => image.path)).toEqual([at('small.raw')]);
    for (const field of ['exclusive', 'shared', 'commitment', 'findings']) expect(store?.images[0]).toHaveProperty(field);
    expect(store?.headroom).toBe((store?.available ?? 0) - (store?.residual ?? 0));
  });

  it('exits with 10 and the shortfall when they do not', async () => {
    for (const name of ['a.raw', 'b.raw', 'c.raw']) sparse(name, 8 * 2 ** 40);
    expect((await scanJson(directory)).code).toBe(10);
    const { code, stdout } = await plimsoll(['scan', directory]);
    expect(code).toBe(10);
    expect(stdout).toMatch(/^NOT every future guest write fits: overcommitted by [\d.]+ TiB\.$/m);
  });

  it('exits with 10 when the floor would be violated', async () => {
    sparse('small.raw', 2 ** 20);
    const { code, report } = await scanJson('--floor', '4096T', directory);
    expect(code).toBe(10);
    expect(report.stores[0]?.floor).toBe(2 ** 52);
  });

  it('exits with 11 for an unreadable image, which is a row with an error', async () => {
    sparse('small.raw', 2 ** 20);
    writeFileSync(at('broken.qcow2'), Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), Buffer.from([0, 0, 0, 3]), Buffer.alloc(500)]));
    const { code, report } = await scanJson(directory);
    expect(code).toBe(11);
    expect(report.stores[0]?.fits).toBeNull();
    expect(report.stores[0]?.images.find((image) => image.path === at('broken.qcow2'))?.error?.kind).toBe('corrupt');
    const { stdout } = await plimsoll(['scan', directory]);
    expect(stdout).toContain('Unknown whether every future guest write fits: 1 image could not be');
    expect(stdout).toContain(`CRITICAL  ${at('broken.qcow2')}: `.slice(0, 60));
  });

  it('exits with 11 for a missing directory, reported in both outputs', async () => {
    const { code, report } = await scanJson(at('none'));
    expect(code).toBe(11);
    expect(report.errors.map((error) => [error.path, error.kind])).toEqual([[at('none'), 'not-found']]);
    const { stdout } = await plimsoll(['scan', at('none')]);
    expect(stdout).toContain(at('none'));
  });

  it('counts the links and special files that it did not follow', async () => {
    mkdirSync(at('deep'));
    symlinkSync('/dev/null', at('disk.raw'));
    symlinkSync('nowhere', at('deep/web.qcow2'));
    await run('mkfifo', [at('fifo')]);
    const { code, report } = await scanJson(directory);
    expect(code).toBe(0);
    expect(report.stores[0]?.findings).toEqual([
      expect.objectContaining({
        level: 'info',
        code: 'NOT_FOLLOWED',
        message: expect.stringMatching(/^2 symbolic links and 1 special file \(device, fifo or socket\) were not followed/),
      }),
    ]);
  });

  it('with --never-written backing leaves out backing files that no process may write, in the sums and in their rows', async () => {
    await plimsoll(['create', '-f', 'qcow2', at('base.qcow2'), '20G']);
    await plimsoll(['create', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', at('top.qcow2'), '1G']);
    const { stdout } = await plimsoll(['scan', directory]);
    expect(stdout).toMatch(/base\.qcow2 .* 20\.3\d GiB\n {2}top\.qcow2/);
    expect(stdout).toContain('--never-written');
    chmodSync(at('base.qcow2'), 0o444);
    const frozen = (await plimsoll(['scan', '--never-written', 'backing', directory])).stdout;
    expect(frozen).toMatch(/^ {2}residual +1\.02 GiB/m);
    expect(frozen).toMatch(/top\.qcow2 .* 1\.02 GiB\n {2}base\.qcow2 .* never written$/m);
    expect(frozen).toContain('[NEVER_WRITTEN]');
    expect(frozen).not.toContain('excludes that');
  });

  it('refuses --frozen-backing and names its replacement', async () => {
    const { code, stderr } = await plimsoll(['scan', '--frozen-backing', directory]);
    expect([code, stderr]).toEqual([2, expect.stringContaining('--never-written backing')]);
  });

  it('leaves out files that --exclude matches, and shows the holes of other files', async () => {
    sparse('small.raw', 2 ** 20);
    sparse('vm_VARS.fd', 2 ** 26);
    sparse('broken.qcow2', 2 ** 20);
    const { code, stdout } = await plimsoll(['scan', '--exclude', '*.qcow2', directory]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ {2}other files +6\d\.\d+ MiB/m);
    expect(stdout).toContain('[EXCLUDED]');
    expect((await plimsoll(['scan', '--exclude', '', directory])).code).toBe(2);
  });

  it('counts two directories of one filesystem as one store', async () => {
    mkdirSync(at('one'));
    mkdirSync(at('two'));
    sparse('one/a.raw', 2 ** 20);
    sparse('two/b.raw', 2 ** 20);
    const { report } = await scanJson(at('one'), at('two'), at('one'));
    expect(report.stores).toHaveLength(1);
    expect(report.stores[0]?.images).toHaveLength(2);
  });

  it('sorts by risk, in 80 columns, with any names', async () => {
    const evil = 'evil\u001b[2J\n図図図\u202e.raw';
    sparse('little.raw', 2 ** 20);
    sparse(evil, 3 * 2 ** 30);
    sparse(`${'long'.repeat(50)}.raw`, 2 ** 30);
    symlinkSync('/dev/zero', at('link.raw'));
    const { stdout } = await plimsoll(['scan', directory]);
    const rows = stdout.split('\n').filter((line) => /raw\?/.test(line));
    expect(rows.map((row) => row.slice(2, 6))).toEqual(['evil', 'long', 'litt']);
    // oxlint-disable-next-line no-control-regex
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/);
    for (const line of stdout.split('\n').filter((one) => !one.includes(directory))) expect(stringWidth(line)).toBeLessThanOrEqual(80);
  });

  it('of a file is a usage error, not an empty store: exit code 2', async () => {
    sparse('one.raw', 2 ** 20);
    const { code, stdout, stderr } = await plimsoll(['scan', at('one.raw')]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('plimsoll info');
  });

  it('never answers yes for a store below which a named directory is missing: exit code 11', async () => {
    sparse('one.raw', 2 ** 20);
    const { code, stdout } = await plimsoll(['scan', directory, at('none')]);
    expect(code).toBe(11);
    expect(stdout).not.toContain('Every future guest write fits');
  });

  it('shows progress on a terminal, and clears it', async () => {
    for (let index = 0; index < 3; index += 1) sparse(`${index}.raw`, 2 ** 20);
    const { stdout } = await inTerminal(`${shellWord(process.execPath)} ${shellWord(COMMAND)} scan ${shellWord(directory)}`);
    expect(stdout).toMatch(/\r\u001b\[K\d+ files? seen, \d+ images? read\r\u001b\[K/);
    expect(stdout).toMatch(/\u001b\[32mEvery future guest write fits/);
  });
});

describe('demo', () => {
  it('shows the table and the explanations, scans, and leaves nothing behind', async () => {
    const { code, stdout, stderr } = await plimsoll(['demo', directory]);
    expect([code, stderr]).toEqual([0, '']);
    for (const name of ['sparse.raw', 'on-demand.qcow2', 'metadata.qcow2', 'snapshot.qcow2', 'base.qcow2', 'overlay.qcow2', 'data.raw']) {
      expect(stdout).toMatch(new RegExp(`^  ${name} +\\d`, 'm'));
    }
    expect(stdout).toMatch(/^ {2}on-demand\.qcow2 +40 GiB +192\.63 KiB +196 KiB +40\.7\d GiB$/m);
    expect(stdout).toMatch(/^ {2}metadata\.qcow2 +40 GiB +40\.01 GiB +6\.4\d MiB +40\.7\d GiB$/m);
    expect(stdout).toMatch(/every future guest write fits/i);
    for (const line of stdout.split('\n').filter((one) => !one.includes(directory))) expect(stringWidth(line)).toBeLessThanOrEqual(80);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('keeps the store with --keep', async () => {
    const { stdout } = await plimsoll(['demo', '--keep', directory]);
    const kept = /^Kept: (.*)$/m.exec(stdout)?.[1] ?? '';
    expect(existsSync(join(kept, 'overlay.qcow2'))).toBe(true);
  });

  it('removes the store after an interrupt', async () => {
    const running = start(process.execPath, [COMMAND, 'demo', directory]);
    while (readdirSync(directory).length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    running.kill('SIGINT');
    expect((await running.ended).code).toBe(130);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('reports where it cannot create the store', async () => {
    const { code, stderr } = await plimsoll(['demo', at('none')]);
    expect(code).toBe(12);
    expect(stderr).toContain(`plimsoll: ${at('none')}: Cannot create a directory for the demonstration`);
  });
});
