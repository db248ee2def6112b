/** `plimsoll create` and `plimsoll measure` as a user runs them, judged by qemu-img. */
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type InfoReport, type MeasureReport, component, sumOfComponents } from '#wire';
import { COMMAND, inTerminal, plimsoll, run, shellWord, start } from '../support/command.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-create-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));
const at = (name: string): string => join(directory, name);

async function measured(...words: string[]): Promise<MeasureReport> {
  const { code, stdout, stderr } = await plimsoll(['measure', '--json', ...words]);
  expect([code, stderr]).toEqual([0, '']);
  return JSON.parse(stdout) as MeasureReport;
}

describe('create', () => {
  it.each([
    ['raw', []],
    ['raw', ['-o', 'preallocation=falloc']],
    ['raw', ['-o', 'preallocation=full']],
    ['qcow2', []],
    ['qcow2', ['-o', 'cluster_size=2M,refcount_bits=8', '-o', 'extended_l2=on']],
    ['qcow2', ['-o', 'preallocation=metadata']],
    ['qcow2', ['-o', 'preallocation=full']],
  ])('-f %s %j makes what qemu-img finds nothing wrong with, and says what it has become', async (format, options) => {
    const { code, stdout, stderr } = await plimsoll(['create', '-f', format, ...options, at('image'), '32M']);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(new RegExp(`^${at('image')}: capacity 32 MiB, allocation .*, commitment .*\\n$`));
    await run('qemu-img', ['create', '-q', '-f', format, ...options, at('judge'), '32M']);
    const compared = await run('qemu-img', ['compare', '-f', format, '-F', format, at('image'), at('judge')]);
    expect(compared.stdout).toContain('Images are identical');
    if (format === 'qcow2') expect((await run('qemu-img', ['check', at('image')])).stdout).toContain('No errors were found');
  });

  it('prints an info report with --json, and nothing with --quiet', async () => {
    const { stdout } = await plimsoll(['create', '--json', '-f', 'qcow2', at('a'), '1G']);
    const report = JSON.parse(stdout) as InfoReport;
    expect(report.schema).toBe('plimsoll.info/1');
    expect(report.images[0]).toMatchObject({ path: at('a'), format: 'qcow2', capacity: 2 ** 30 });
    expect(await plimsoll(['create', '-q', '-f', 'raw', at('b'), '1G'])).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it('creates an overlay as large as its base', async () => {
    await plimsoll(['create', '-f', 'qcow2', at('base.qcow2'), '3G']);
    const { code, stdout } = await plimsoll(['create', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', at('overlay.qcow2')]);
    expect([code, stdout]).toEqual([0, expect.stringContaining('capacity 3 GiB')]);
    const { stdout: judged } = await run('qemu-img', ['info', '--output=json', at('overlay.qcow2')]);
    expect(JSON.parse(judged)).toMatchObject({
      'virtual-size': 3 * 2 ** 30,
      'backing-filename': 'base.qcow2',
      'backing-filename-format': 'qcow2',
    });
  });

  it('never overwrites: exit code 19, and the file is unchanged', async () => {
    writeFileSync(at('precious'), 'precious');
    const { code, stderr } = await plimsoll(['create', '-f', 'raw', at('precious'), '1M']);
    expect(code).toBe(19);
    expect(stderr).toBe(`plimsoll: ${at('precious')}: Cannot create file: a file of that name exists\n`);
    expect(readFileSync(at('precious'), 'utf8')).toBe('precious');
  });

  it.each([
    ['SIGINT', 130, 'plimsoll: interrupted\n'],
    ['SIGTERM', 130, 'plimsoll: interrupted\n'],
    ['SIGHUP', 130, 'plimsoll: interrupted\n'],
    ['SIGKILL', null, ''],
  ] as const)('leaves nothing behind after %s', async (signal, code, stderr) => {
    const running = start(process.execPath, [COMMAND, 'create', '-f', 'raw', '-o', 'preallocation=full', at('big.raw'), mostOfTheRoom()]);
    while (usedBytes() < 32 * 2 ** 20) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(existsSync(at('big.raw'))).toBe(false);
    running.kill(signal);
    expect(await running.ended).toEqual({ code, stdout: '', stderr });
    expect(readdirSync(directory)).toEqual([]);
  });

  it.each(['falloc', 'full'])('refuses preallocation=%s that would not fit, before the first byte', async (mode) => {
    const more = String(statfsSync(directory).bavail * statfsSync(directory).bsize * 2);
    const { code, stderr } = await plimsoll(['create', '-f', 'qcow2', '-o', `preallocation=${mode}`, at('big.qcow2'), more]);
    expect(code).toBe(18);
    expect(stderr).toMatch(/big\.qcow2: Cannot preallocate image: \d+ bytes available, expected \d+ bytes\n$/);
    expect(readdirSync(directory)).toEqual([]);
  });

  /** Half of what is available: enough to be interrupted at, and not refused. */
  function mostOfTheRoom(): string {
    const { bavail, bsize } = statfsSync(directory);
    return String(Math.floor((bavail * bsize) / 2 / 512) * 512);
  }

  it('warns of a backing file that is declared raw but has the signature of an image', async () => {
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', at('base.img'), '1M']);
    const { code, stderr } = await plimsoll(['create', '-f', 'qcow2', '-b', 'base.img', '-F', 'raw', at('over.qcow2')]);
    expect(code).toBe(0);
    expect(stderr).toMatch(/declared raw, but its first bytes are those of qcow2.*\[RAW_WITH_SIGNATURE\]\n$/);
  });

  /** What the unfinished file holds, whatever its temporary name; an unnamed one is found through /proc. */
  function usedBytes(): number {
    const named = readdirSync(directory).reduce((sum, name) => sum + statSync(at(name)).blocks * 512, 0);
    return named + unnamedBytes();
  }

  function unnamedBytes(): number {
    let sum = 0;
    for (const process of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        for (const descriptor of readdirSync(`/proc/${process}/fd`)) {
          const path = `/proc/${process}/fd/${descriptor}`;
          const facts = statSync(path);
          if (facts.isFile() && facts.nlink === 0 && facts.dev === statSync(directory).dev) sum += facts.blocks * 512;
        }
      } catch {
        // The process has ended meanwhile, or the descriptor has.
      }
    }
    return sum;
  }

  it('draws a bar on a terminal: percent, amount, rate, time left; and clears it', async () => {
    const line = `${shellWord(process.execPath)} ${shellWord(COMMAND)} create -f raw -o preallocation=full ${shellWord(at('bar.raw'))} 2G`;
    const { code, stdout } = await inTerminal(line);
    expect(code).toBe(0);
    expect(stdout).toMatch(/\r\u001b\[K\[=*> *\] {2} *\d+ % {2}[\d.]+ \wiB of 2 GiB/);
    expect(stdout).toMatch(/\d \wiB\/s {2}\d+ s left/);
    const bars = stdout.split('\r\u001b[K').slice(1, -1);
    for (const bar of bars) expect(bar.length).toBeLessThan(80);
    expect(stdout).toMatch(/\r\u001b\[K[^\r]*bar\.raw: capacity 2 GiB/);
  });

  it('draws no bar if standard error is not a terminal, nor with --quiet', async () => {
    const { stderr } = await plimsoll(['create', '-f', 'raw', '-o', 'preallocation=full', at('plain.raw'), '256M']);
    expect(stderr).toBe('');
    const line = `${shellWord(process.execPath)} ${shellWord(COMMAND)} create -q -f raw -o preallocation=full ${shellWord(at('quiet.raw'))} 256M`;
    expect((await inTerminal(line)).stdout).toBe('');
  });
});

describe('measure', () => {
  it.each([[], ['-o', 'cluster_size=4k,refcount_bits=64'], ['-o', 'preallocation=metadata']])(
    '%j foretells what qemu-img makes',
    async (...options) => {
      const report = await measured('-f', 'qcow2', '--size', '1G', ...options);
      await run('qemu-img', ['create', '-q', '-f', 'qcow2', ...options, at('judge'), '1G']);
      expect(report).toMatchObject({
        schema: 'plimsoll.measure/1',
        format: 'qcow2',
        capacity: 2 ** 30,
        length: statSync(at('judge')).size,
      });
      expect(report.components.reduce((sum, one) => sum + one.bytes, 0)).toBe(report.commitment);
    },
  );

  it('takes the size as an operand too', async () => {
    expect(await measured('-f', 'raw', '1G')).toEqual(await measured('-f', 'raw', '--size', '1G'));
  });

  it('measures a copy of an existing image', async () => {
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', at('old'), '1G']);
    await run('qemu-io', ['-c', 'write 0 5M', at('old')]);
    const report = await measured('-f', 'qcow2', '--from', at('old'), '-F', 'qcow2');
    await run('qemu-img', ['convert', '-O', 'qcow2', at('old'), at('judge')]);
    expect(report.capacity).toBe(2 ** 30);
    expect(report.length).toBe(statSync(at('judge')).size);
    expect(report.components[0]).toEqual(component('allocated-at-creation', report.allocation));
    expect(report.components.reduce((sum, one) => sum + one.bytes, 0)).toBe(report.commitment);
    expect(sumOfComponents(report.components, 'guest-data')).toBe(2 ** 30 - 5 * 2 ** 20);
  });

  it('measures a copy of a VMDK, and a copy by signature', async () => {
    await run('qemu-img', ['create', '-q', '-f', 'vmdk', at('old.vmdk'), '1G']);
    await run('qemu-io', ['-f', 'vmdk', '-c', 'write 0 5M', at('old.vmdk')]);
    const report = await measured('-f', 'qcow2', '--from', at('old.vmdk'), '-F', 'vmdk');
    await run('qemu-img', ['convert', '-f', 'vmdk', '-O', 'qcow2', at('old.vmdk'), at('judge')]);
    expect(report).toMatchObject({ capacity: 2 ** 30, length: statSync(at('judge')).size, findings: [] });
    expect(await measured('-f', 'qcow2', '--from', at('old.vmdk'))).toEqual(report);
  });

  it('names what a copy leaves out of its source', async () => {
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', at('tracked'), '64M']);
    await run('qemu-img', ['bitmap', '--add', at('tracked'), 'changes']);
    const { findings } = await measured('-f', 'qcow2', '--from', at('tracked'), '-F', 'qcow2');
    expect(findings).toMatchObject([{ level: 'warning', code: 'COPY_WITHOUT_BITMAPS' }]);
    const { stdout } = await plimsoll(['measure', '-f', 'raw', '--from', at('tracked'), '-F', 'qcow2']);
    expect(stdout).toMatch(/^ {2}warning {3}The 1 persistent bitmap of the source is not in the figures/m);
  });

  it('exits with 12 for a missing image', async () => {
    const { code, stdout, stderr } = await plimsoll(['measure', '--from', at('none')]);
    expect([code, stdout]).toEqual([12, '']);
    expect(stderr).toContain(at('none'));
  });

  it('shows the figures as text, and a sum with --explain', async () => {
    const { stdout } = await plimsoll(['measure', '-f', 'qcow2', '--size', '40G', '--explain']);
    expect(stdout).toMatch(/^A new qcow2 image would have\n {2}capacity +40 GiB +42,949,672,960\n {2}length +192\.63 KiB +197,248$/m);
    expect(stdout).toContain('The commitment is made of:');
  });
});
