import { describe, expect, it } from 'vitest';
import { memoryDevice, type ReadableDevice, readUpTo, withCache, withPrefix, withReadAhead, withReadBudget, withTrace } from '../index.ts';
import { memoryDisk, overlayDevice, sliceDevice, withFaults } from '../index.ts';
import { readableConformance, writableConformance } from '../testing/conformance.ts';

const content = Uint8Array.from({ length: 200_001 }, (_, index) => (index % 50_000 < 9000 ? 0 : (index * 7) % 251));

const filters: Readonly<Record<string, (device: ReadableDevice) => ReadableDevice>> = {
  'memoryDevice()': (device) => device,
  'withReadBudget()': (device) => withReadBudget(device, 2 ** 40),
  'withPrefix()': (device) => withPrefix(device, new Uint8Array(65_536)),
  'withPrefix() of a whole device': (device) => withPrefix(device, new Uint8Array(2 ** 20)),
  'withCache()': (device) => withCache(device, { blockSize: 4096, blocks: 3 }),
  'withReadAhead()': (device) => withReadAhead(device, 65_536),
  'withTrace()': (device) => withTrace(device, () => undefined),
  'sliceDevice() of the whole': (device) => sliceDevice(device, 0, Infinity),
  'overlayDevice()': (device) => overlayDevice(device),
};

describe.each(Object.entries(filters))('%s', (_, filter) => {
  it.each(readableConformance(() => ({ device: filter(memoryDevice(content)), content })))('$name', async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});

describe('sliceDevice()', () => {
  const slice = { device: sliceDevice(memoryDevice(content), 1000, 70_000), content: content.subarray(1000, 71_000) };
  it.each(readableConformance(() => slice))('$name', async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });

  it('ends where the device ends', () => {
    expect(sliceDevice(memoryDevice(content), 200_000, 70_000).byteLength).toBe(1);
    expect(sliceDevice(memoryDevice(content), 300_000, 70_000).byteLength).toBe(0);
  });
});

describe('overlayDevice(), written', () => {
  const open = () => ({ device: overlayDevice(memoryDevice(content)), content });
  it.each(writableConformance(open))('$name', async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });

  it('leaves the device below as it is', async () => {
    const below = content.slice();
    const overlay = overlayDevice(memoryDevice(below));
    await overlay.write(new Uint8Array(5000).fill(9), 40_000);
    await overlay.writeZeroes(0, 20_000);
    expect(below).toEqual(content);
  });

  it('is longer than the device below by zeros', async () => {
    const longer = new Uint8Array(content.byteLength + 5000);
    longer.set(content);
    for (const { run } of readableConformance(() => ({
      device: overlayDevice(memoryDevice(content), { byteLength: longer.byteLength }),
      content: longer,
    })))
      await expect(run()).resolves.toBeUndefined();
  });

  it('refuses to take more memory than it may', async () => {
    const overlay = overlayDevice(memoryDevice(content), { mostBytes: 8192 });
    await overlay.write(new Uint8Array(8192), 0);
    await expect(overlay.write(new Uint8Array(1), 8192)).rejects.toMatchObject({ kind: 'over-budget', code: 'OVERLAY_MEMORY' });
  });
});

describe('memoryDisk()', () => {
  it.each(writableConformance(() => ({ device: memoryDisk(100_000), content: new Uint8Array(100_000) })))('$name', async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});

describe('withFaults()', () => {
  const open = () => ({ device: withFaults(overlayDevice(memoryDevice(content)), {}), content });
  it.each(writableConformance(open))('$name', async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });

  it('fails the chosen read, and no other', async () => {
    const device = withFaults(memoryDisk(1000), { failingRead: 2 });
    await readUpTo(device, 0, 1);
    await expect(readUpTo(device, 0, 1)).rejects.toThrow('injected fault');
    await readUpTo(device, 0, 1);
  });

  it('tears the chosen write and fails all later ones', async () => {
    const device = withFaults(memoryDisk(1000), { failingWrite: 2, tornBytes: 3 });
    await device.write(Uint8Array.of(1, 1, 1, 1, 1), 0);
    await expect(device.write(Uint8Array.of(2, 2, 2, 2, 2), 0)).rejects.toThrow('injected fault');
    await expect(device.writeZeroes(0, 5)).rejects.toThrow('injected fault');
    await expect(device.flush()).rejects.toThrow('injected fault');
    expect([...(await readUpTo(device, 0, 5))]).toEqual([2, 2, 2, 1, 1]);
  });
});

describe('withCache()', () => {
  it('reads a block once while it is kept, and again after a failure', async () => {
    const reads: number[] = [];
    const flaky = withFaults(overlayDevice(memoryDevice(content)), { failingRead: 1 });
    const device = withCache(
      withTrace(flaky, ({ offset }) => reads.push(offset)),
      { blockSize: 4096, blocks: 2 },
    );
    await expect(readUpTo(device, 0, 1)).rejects.toThrow('injected fault');
    for (const offset of [0, 4000, 5000, 10, 9000, 0]) await readUpTo(device, offset, 10);
    expect(reads).toEqual([0, 0, 4096, 8192]);
  });
});

describe('withReadAhead()', () => {
  it('reads larger pieces while reads are sequential, and no more than asked otherwise', async () => {
    const reads: number[] = [];
    const device = withReadAhead(
      withTrace(memoryDevice(content), ({ length }) => reads.push(length)),
      8192,
    );
    for (let at = 0; at < 40_960; at += 512) await readUpTo(device, at, 512);
    expect(reads.length).toBeLessThan(12);
    reads.length = 0;
    for (const at of [90_000, 3000, 150_000]) await readUpTo(device, at, 512);
    expect(reads).toEqual([512, 512, 512]);
  });
});
