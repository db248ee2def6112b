import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { qemuImg } from '../../tests/support/qemu.ts';
import { isWrapping, judgeUnsigned, probe, PROBE_BYTES, probeFooter } from './probe.ts';

const directory = mkdtempSync(join(tmpdir(), 'plimsoll-probe-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('probe()', () => {
  it.each([
    ['qcow2', 'qcow2', []],
    ['qcow2', 'qcow2', ['-o', 'compat=0.10']],
    ['qcow', 'qcow', []],
    ['vmdk', 'vmdk', []],
    ['vmdk', 'vmdk', ['-o', 'subformat=monolithicFlat']],
    ['vhdx', 'vhdx', []],
    ['vpc', 'vhd', []],
    ['vdi', 'vdi', []],
    ['qed', 'qed', []],
    ['parallels', 'parallels', []],
    ['luks', 'luks', ['--object', 'secret,id=s,data=x', '-o', 'key-secret=s,iter-time=10']],
  ] as const)('knows what qemu-img made as %s: %s %j', async (made, format, options) => {
    const path = join(directory, 'made');
    await qemuImg(directory, 'create', '-q', '-f', made, ...options, path, '1M');
    expect(probe(readFileSync(path).subarray(0, PROBE_BYTES)).map((one) => one.format)).toEqual([format]);
  });

  it('knows a fixed VHD by its footer only', async () => {
    const path = join(directory, 'fixed.vhd');
    await qemuImg(directory, 'create', '-q', '-f', 'vpc', '-o', 'subformat=fixed,force_size=on', path, '1M');
    const bytes = readFileSync(path);
    expect(probe(bytes.subarray(0, PROBE_BYTES))).toEqual([]);
    expect(probeFooter(bytes.subarray(-PROBE_BYTES))).toEqual([{ format: 'vhd', at: 0 }]);
  });

  it.each(['gzip', 'xz', 'bzip2'])('knows what %s made', (tool) => {
    const evidence = probe(execFileSync(tool, ['-c'], { input: Buffer.alloc(100_000) }));
    expect(evidence.map((one) => one.format)).toEqual([tool]);
    expect(evidence.every((one) => isWrapping(one.format))).toBe(true);
  });

  it('knows a tar archive by its middle', () => {
    writeFileSync(join(directory, 'member'), 'x');
    expect(probe(execFileSync('tar', ['-cC', directory, 'member']))).toEqual([{ format: 'tar', at: 257 }]);
  });

  it('gives all it finds where two signatures stand in one file', () => {
    const bytes = new Uint8Array(PROBE_BYTES);
    bytes.set(Buffer.from('QFI\xfb\0\0\0\x03', 'latin1'));
    bytes.set(Buffer.from('ustar'), 257);
    expect(probe(bytes).map((one) => one.format)).toEqual(['qcow2', 'tar']);
  });

  it('recognises qcow2 of an unknown version, and nothing in zeros, text or too few bytes', () => {
    expect(probe(Buffer.from('QFI\xfb\0\0\0\x09', 'latin1'))).toEqual([{ format: 'qcow2', at: 0 }]);
    for (const bytes of [new Uint8Array(512), new Uint8Array(0), Buffer.from('QFI'), Buffer.from('hello, world')])
      expect(probe(bytes)).toEqual([]);
  });
});

describe('judgeUnsigned()', () => {
  it.each([
    ['/srv/vm.img', 0, 'raw'],
    ['/srv/VM.RAW', 5, 'raw'],
    ['/srv/vm.qcow2', 2 ** 30, 'container'],
    ['/srv/domain.xml', 2 ** 30, 'other'],
    ['/srv/disk', 2 ** 30, 'raw'],
    ['/srv/disk', 2 ** 30 + 1, 'other'],
    ['/srv/disk', 512, 'other'],
    ['/srv.d/disk', 2 ** 30, 'raw'],
    ['/srv/base.qcow2.snap', 2 ** 30, 'raw'],
    ['/srv/.hidden', 512, 'other'],
  ])('%s of %i bytes: %s', (path, length, verdict) => {
    expect(judgeUnsigned(path, length)).toBe(verdict);
  });
});
