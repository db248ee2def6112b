import { describe, expect, it } from 'vitest';
import { asPlimsollError, type PlimsollError } from '#base';
import { memoryDevice, readUpTo, withTrace } from '#block';
import { openVmdk } from '#formats';
import { VMDK_VECTORS } from './vmdk-vectors.ts';

/** What reading the whole disk and taking the census reads of the file, and the error it ends in. */
async function readAll(content: Uint8Array): Promise<{ error: PlimsollError | undefined; bytesRead: number }> {
  const inner = memoryDevice(content);
  let bytesRead = 0;
  const traced = withTrace(inner, ({ length }) => {
    bytesRead += length;
  });
  try {
    const { device, census } = await openVmdk(traced);
    for await (const extent of device.extents(0, device.byteLength)) expect(extent.end).toBeGreaterThan(extent.start);
    for (let at = 0; at < device.byteLength; at += 65536) await readUpTo(device, at, 65536);
    await census();
    return { error: undefined, bytesRead };
  } catch (thrown) {
    return { error: asPlimsollError(thrown, 'read'), bytesRead };
  }
}

describe('a hostile VMDK', () => {
  it.each(VMDK_VECTORS)('$name', async ({ name, image, code, at }) => {
    const content = image instanceof Uint8Array ? image : image.bytes();
    const before = content.slice();
    const { error, bytesRead } = await readAll(content);
    expect(Buffer.compare(content, before)).toBe(0);
    expect(bytesRead).toBeLessThan(4 * content.byteLength + 2 ** 21);
    const [kind] = name.split('--');
    if (kind === 'read') return expect(error).toBeUndefined();
    expect(error?.message).toMatch(/^Cannot /);
    expect([error?.kind, error?.code]).toEqual([kind, code]);
    if (at !== undefined) expect(error?.where.at).toBe(at);
  });

  it('has vectors with distinct names', () => {
    const names = VMDK_VECTORS.map((vector) => vector.name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^(corrupt|unsupported|refused|over-budget|read)--[a-z0-9-]+$/);
  });
});
