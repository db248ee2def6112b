/** Sources of `measure --from` that a stranger made: bounded reads, typed errors, no parent followed. */
import { mkdtempSync, openSync, closeSync, ftruncateSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MiB } from '#base';
import { measureCopy, parseCreateOptions } from '#create';
import { readVhdx } from '#formats';
import { openImageFile } from '#host';
import type { ImageFormat, MeasureReport } from '#wire';
import { qemuImg, runTool } from '../support/qemu.ts';
import { readsSince, readsSoFar } from '../support/read-cost.ts';
import { aVdi, MAP_AT } from '../support/vdi-builder.ts';
import { aVhd } from '../support/vhd-builder.ts';
import { aVhdx } from '../support/vhdx-builder.ts';
import { createVhdx, interruptVhdx, writeVhdx } from '../support/vhdx-qemu.ts';
import { aVmdk } from '../support/vmdk-builder.ts';

/** On tmpfs, where a sparse file can be as long as a table wants. */
const root = mkdtempSync('/dev/shm/plimsoll-measure-hostile-');
afterAll(() => rmSync(root, { recursive: true }));

function measured(path: string, sourceFormat?: ImageFormat): Promise<MeasureReport> {
  return measureCopy(path, 'raw', parseCreateOptions('raw', []), sourceFormat === undefined ? {} : { sourceFormat });
}

function written(name: string, bytes: Uint8Array): string {
  const path = join(root, name);
  writeFileSync(path, bytes);
  return path;
}

describe('a source with a hundred thousand blocks, every second one present', () => {
  const blocks = 2 ** 17;
  const path = join(root, 'many.vdi');

  beforeAll(() => {
    const head = aVdi({ capacity: blocks * MiB })
      .withHeader('blocksAllocated', blocks / 2)
      .bytes();
    const map = new DataView(head.buffer, head.byteOffset, head.byteLength);
    for (let block = 0; block < blocks; block += 2) map.setUint32(MAP_AT + block * 4, block / 2, true);
    const fd = openSync(path, 'w');
    writeSync(fd, head);
    ftruncateSync(fd, MAP_AT + blocks * 4 + (blocks / 2) * MiB);
    closeSync(fd);
  });

  it('costs the reading of its table, and counts each block', async () => {
    const before = readsSoFar();
    const { capacity, allocation } = await measured(path, 'vdi');
    const { bytes } = readsSince(before);
    expect([capacity, allocation]).toEqual([blocks * MiB, (blocks / 2) * MiB]);
    expect(bytes).toBeLessThan(2 * blocks * 4 + MiB);
  });

  it('stops between two parts of the table when the signal is aborted', async () => {
    const reason = new Error('no longer wanted');
    let looks = 0;
    const signal = new Proxy(new AbortController().signal, {
      get: (target, name) => {
        if (name === 'throwIfAborted')
          return () => {
            looks += 1;
            if (looks > 3) throw reason;
          };
        return Reflect.get(target, name, target) as unknown;
      },
    });
    const copy = measureCopy(path, 'raw', parseCreateOptions('raw', []), { sourceFormat: 'vdi', signal });
    await expect(copy).rejects.toThrow(reason.message);
    expect(looks).toBe(4);
  });
});

describe('a differencing image as a source', () => {
  const child = aVhdx({ flags: 2 }).withParent([['relative_path', '/etc/shadow']]);
  const sources: readonly (readonly [ImageFormat, Uint8Array, string])[] = [
    ['vhd', aVhd({ diskType: 'differencing' }).withBlock(1, 2).bytes(), 'VHD_DIFFERENCING'],
    ['vdi', aVdi({ imageType: 4 }).withBlock(1, 2).bytes(), 'VDI_DIFFERENCING'],
    ['vhdx', child.bytes(), 'VHDX_DIFFERENCING'],
    ['vmdk', aVmdk().withDescriptorChange('parentCID=ffffffff', 'parentCID=00000001').bytes(), 'VMDK_PARENT'],
  ];

  it.each(sources)('is refused, and its parent not opened: %s', async (format, bytes, code) => {
    const path = written(`child.${format}`, bytes);
    const error = (await measured(path, format).catch((thrown: unknown) => thrown)) as { kind: string; code: string };
    expect(['unsupported', 'refused']).toContain(error.kind);
    expect(error.code).toBe(code);
  });

  it('is measured if all of its blocks are its own', async () => {
    const whole = aVhd({ diskType: 'differencing', capacity: 16_384 }).withBlock(0, 1).withBlock(1, 2).bytes();
    expect(await measured(written('whole.vhd', whole), 'vhd')).toMatchObject({ capacity: 16_384, allocation: 16_384 });
  });
});

describe('a source whose header is ambiguous', () => {
  it('is refused unless its format is declared', async () => {
    const vhd = aVhd().bytes();
    const both = Uint8Array.from(vhd);
    both.set(aVdi().bytes().subarray(64, 68), 64);
    const path = written('both', both);
    await expect(measured(path)).rejects.toMatchObject({
      kind: 'refused',
      code: 'FORMAT_AMBIGUOUS',
      message: expect.stringContaining('-F'),
    });
  });

  it('with two sizes in a VHD is measured by the size that QEMU uses, with a finding', async () => {
    const path = join(root, 'two.vhd');
    await qemuImg(root, 'create', '-q', '-f', 'vpc', 'two.vhd', '24M');
    const { 'virtual-size': capacity } = JSON.parse(await qemuImg(root, 'info', '--output=json', '-f', 'vpc', 'two.vhd')) as {
      'virtual-size': number;
    };
    const report = await measured(path, 'vhd');
    expect(report.capacity).toBe(capacity);
    expect(report.findings.map(({ code }) => code).filter((code) => code !== 'VHD_GEOMETRY_SIZE_MISMATCH')).toEqual([]);
  });
});

describe('a VHDX whose log has not been replayed', () => {
  it('is measured as after the replay, without a change to the file', async () => {
    const path = join(root, 'log.vhdx');
    await createVhdx(path, '16M');
    await writeVhdx(path, ['write -q -P 1 0 1M']);
    const file = await openImageFile(path);
    const { fileOffset } = (await readVhdx(file.device)).facts.regions.bat;
    await file.close();
    const before = await measured(path, 'vhdx');
    await interruptVhdx(path, 'write -P 2 8M 1M', fileOffset);
    const pending = await measured(path, 'vhdx');
    await runTool('qemu-img', ['check', '-q', '-r', 'all', '-f', 'vhdx', path]).catch(() => undefined);
    const replayed = await measured(path, 'vhdx');
    expect(pending.allocation).toBe(replayed.allocation);
    expect(pending.allocation).toBe(before.allocation + MiB);
  });
});
