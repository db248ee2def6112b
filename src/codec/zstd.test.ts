import { describe, expect, it, vi } from 'vitest';
import { type ZstdBlock, zstdFrame } from '../../tests/support/zstd-frames.ts';
import { loadZstd } from './index.ts';
import { parseZstdFrame } from './zstd-frame.ts';

const where = { doing: 'read a test', at: 512 };

const fetchBefore = Object.getOwnPropertyDescriptor(globalThis, 'fetch');
const fetched = vi.fn<() => never>();
Object.defineProperty(globalThis, 'fetch', { get: fetched, configurable: true });
const unzstd = await loadZstd();

/** Made by `zstd -19 --check` 1.5.4 of the text below: Huffman codes, sequences, a checksum. */
const FOREIGN = Buffer.from(
  'KLUv/WTcBN0OAHb9bhSgJYUcAHz7Qoq1QmRL9qvq/V41cXAAZgBlAIwy7rC1F3ZWzMKKtV5sUXK6NUjdmodhVJtqBal2nCPl37hzR5uJaxVelsGRbz09YUrTO5xTwxzG0NWqjl9mpDMu7Pxo5STTsZq4d6LasVhRqQ6XcIIn6DH166aBgIAZGDDQIBQMGGAIBqICggEHAAT0JrMWP1zSiSUczsKKHSf2ecEbJY2s3QO7bT9V+by0mUd2tRoJG2PNYRwb6jBcFfK24Go4W95QRRN37CKHrTNtghujyBjDKNjAxnx36LKHFVLY4ok+rjPyZL51stSiyUxk3CVLvwqbVUsVU1STNwm/UYhppX6VQktNQ6kyTxKKc5gCLX1noZUuU/idihv+qqLJKNwxC6cWnHVhM156eCcGmVv8atVP4h++cIuGd9Syg10tM7Of+rmktYmd3TbTXGLfcE2iJp/QzxPZPlvZ8g5WvLCilmHYhDhNaOEP49AEjZyp+mlzvOBtqipq2MsKya0VO/NF86onsGHq0zyGIsp8dP9SUsYaZehhdbqZcL2CHmZqSVIZpKg0ij7cM6UK1dWj5OwpVD+NNcse9I3Vcag/CQCNV+SlrnYApXJvHCAfLkWN7bcZ5hhBhs3qHAPVUgJJ',
  'base64',
);
const LETTERS = Array.from({ length: 1000 }, (_, i) => String.fromCodePoint(97 + ((i ** 3 % 1009) % 7) * ((i ** 2 % 3) + 1))).join('');
const TEXT = Buffer.from(`${'The load line of a ship. '.repeat(20)}${LETTERS}`);

const BLOCKS: readonly ZstdBlock[] = [
  ['raw', 10, 1],
  ['rle', 100, 2],
];
const PLAIN = Buffer.concat([Buffer.alloc(10, 1), Buffer.alloc(100, 2)]);
const KNOWN = zstdFrame(BLOCKS, { contentBytes: 110 });
const UNKNOWN = zstdFrame(BLOCKS, { windowDescriptor: 0 });

describe('loadZstd()', () => {
  it('touches no fetch, and leaves it in its place', () => {
    expect(Object.getOwnPropertyDescriptor(globalThis, 'fetch')).toHaveProperty('get', fetched);
    Object.defineProperty(globalThis, 'fetch', fetchBefore ?? { value: undefined, configurable: true });
    expect(fetched).not.toHaveBeenCalled();
  });

  it('gives what a foreign compressor compressed, whatever follows it', () => {
    const padded = Buffer.concat([FOREIGN, Buffer.alloc(300, 7)]);
    expect(Buffer.from(unzstd(padded, { ...where, mostBytes: TEXT.length })).equals(TEXT)).toBe(true);
    expect(Buffer.from(unzstd(FOREIGN, { ...where, mostBytes: 2 ** 21 })).equals(TEXT)).toBe(true);
  });

  it.each([
    ['says its size', KNOWN],
    ['does not', UNKNOWN],
  ])('gives what a frame stands for that %s', (_, frame) => {
    expect(Buffer.from(unzstd(frame, { ...where, mostBytes: 110 }))).toEqual(PLAIN);
    expect(Buffer.from(unzstd(frame, { ...where, mostBytes: 5000 }))).toEqual(PLAIN);
  });

  it.each([
    ['longer than allowed, as it says', 'ZSTD_TOO_LONG', KNOWN, 109],
    ['longer than allowed, silently', 'ZSTD', UNKNOWN, 109],
    ['of a larger window than QEMU takes', 'ZSTD_WINDOW', zstdFrame(BLOCKS, { windowDescriptor: 0x89 }), 110],
    ['with another size than it says', 'ZSTD', zstdFrame(BLOCKS, { contentBytes: 111 }), 200],
    ['with a dictionary', 'ZSTD', zstdFrame(BLOCKS, { windowDescriptor: 0, dictionary: 1 }), 200],
    ['cut off', 'ZSTD', FOREIGN.subarray(0, -1), TEXT.length],
    ['cut off in its header', 'ZSTD', FOREIGN.subarray(0, 5), TEXT.length],
    ['with a wrong checksum', 'ZSTD', Buffer.concat([FOREIGN.subarray(0, -1), Uint8Array.of((FOREIGN.at(-1) ?? 0) ^ 1)]), TEXT.length],
    ['of nothing', 'ZSTD', new Uint8Array(), 100],
    ['of zeros', 'ZSTD', new Uint8Array(4096), 100],
    ['of no block', 'ZSTD', zstdFrame([], { windowDescriptor: 0 }), 100],
  ] as const)('refuses a frame %s', (_, code, frame, mostBytes) => {
    expect(() => unzstd(frame, { ...where, mostBytes })).toThrow(expect.objectContaining({ kind: 'corrupt', code }));
  });

  it('is whole again after every refusal', () => {
    for (let at = 0; at < FOREIGN.length; at += 7) {
      const damaged = Buffer.from(FOREIGN);
      damaged[at] = (damaged[at] ?? 0) ^ 0x55;
      expect(() => unzstd(damaged, { ...where, mostBytes: TEXT.length })).toThrow(expect.objectContaining({ kind: 'corrupt' }));
      expect(unzstd(FOREIGN, { ...where, mostBytes: TEXT.length })).toHaveLength(TEXT.length);
    }
  });
});

describe('parseZstdFrame()', () => {
  it('finds end, window and size', () => {
    expect(parseZstdFrame(KNOWN)).toEqual({ byteLength: KNOWN.byteLength, windowBytes: 110, contentBytes: 110 });
    expect(parseZstdFrame(Buffer.concat([UNKNOWN, UNKNOWN]))).toEqual({
      byteLength: UNKNOWN.byteLength,
      windowBytes: 1024,
      contentBytes: undefined,
    });
    expect(parseZstdFrame(FOREIGN)).toMatchObject({ byteLength: FOREIGN.byteLength, contentBytes: TEXT.length });
  });
});
