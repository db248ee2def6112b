/** Files as devices: the suite that all devices pass. */
import { closeSync, openSync, writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { memoryDevice, readableConformance } from '#block';
import { loadFfi } from './ffi.ts';
import { fileDevice, holesAsZeros } from './file-device.ts';
import { inheritedDevice } from './inherited.ts';

const content = Uint8Array.from({ length: 150_001 }, (_, index) => (index < 65_536 ? 0 : (index * 11) % 253));
const directory = mkdtempSync(join(tmpdir(), 'plimsoll-devices-'));
const path = join(directory, 'file');
writeFileSync(path, content);
const fd = openSync(path, 'r');
afterAll(() => {
  closeSync(fd);
  rmSync(directory, { recursive: true });
});
const ffi = await loadFfi();
const stored = { fileOffset: 65_536, byteLength: 131_072, physicalOffset: undefined, shared: false, unwritten: false, encoded: false };

const devices = {
  'fileDevice()': () => fileDevice(fd, content.byteLength, path),
  'fileDevice() over the page cache': () => fileDevice(fd, content.byteLength, path, () => ffi),
  'inheritedDevice()': () => inheritedDevice(fd, content.byteLength, path),
  'holesAsZeros()': () => holesAsZeros(memoryDevice(content), [stored]),
};

describe.each(Object.entries(devices))('%s', (_, device) => {
  it.each(readableConformance(() => ({ device: device(), content })))('$name', async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});
