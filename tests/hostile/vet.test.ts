/** Verdicts: every vector of the threat table, and every hostile qcow2, as a file and as a stream that arrives in pieces. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { DEFAULT_POLICY, vetFile, vetStream } from '#sandbox';
import type { VetReport } from '#wire';
import { VECTORS } from './vectors.ts';
import { VET_VECTORS } from './vet-vectors.ts';

const directory = mkdtempSync(join(tmpdir(), 'plimsoll-vet-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** What a stream keeps of its beginning: tables further on are not examined, and the report says so. */
const KEPT_BYTES = 4 * 2 ** 20;

/** In pieces of all sizes, as a network brings them. */
async function* arriving(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  let step = 1;
  for (let at = 0; at < bytes.byteLength; at += step) {
    step = (step * 7 + 3) % 100_003;
    yield bytes.subarray(at, Math.min(bytes.byteLength, at + step));
  }
}

const WAYS: readonly (readonly [string, (bytes: Uint8Array, options: Parameters<typeof vetFile>[1]) => Promise<VetReport>])[] = [
  [
    'as a file',
    (bytes, options) => {
      const path = join(directory, 'image');
      writeFileSync(path, bytes);
      return vetFile(path, { ...options, sha256: true });
    },
  ],
  ['as a stream', (bytes, options) => vetStream(arriving(bytes), options)],
];

describe.each(WAYS)('a verdict, %s', (_, vet) => {
  it.each(VET_VECTORS)('$name (row $row)', async ({ name, bytes, declared, policy, code, at }) => {
    const report = await vet(bytes(), { declared, policy: { ...DEFAULT_POLICY, ...policy } });
    expect(report.verdict, JSON.stringify(report.reasons)).toBe(name.split('--')[0]);
    expect(report.next === null).toBe(report.verdict !== 'safe');
    if (code === undefined) return;
    const reason = report.reasons.find((one) => one.code === code);
    expect(reason, JSON.stringify(report.reasons)).toBeDefined();
    if (at !== undefined) expect(reason?.at).toBe(at);
  });

  it.each(VECTORS.filter(({ code }) => code !== undefined))('refuses $name', async ({ image, code }) => {
    const report = await vet(image.bytes(), {});
    if (report.path === null && image.length > KEPT_BYTES && report.examined === 'header') {
      expect(report.reasons.map((one) => one.code)).toContain('TABLES_NOT_READ');
      return;
    }
    expect(report.verdict).toBe('refused');
    expect(report.reasons.map((one) => one.code)).toContain(code);
  });
});

describe('both ways', () => {
  it('come to the same verdict and hash', async () => {
    for (const { bytes, declared, policy } of VET_VECTORS) {
      const options = { declared, policy: { ...DEFAULT_POLICY, ...policy } };
      const [file, stream] = await Promise.all(WAYS.map(([, vet]) => vet(bytes(), options)));
      expect(stream?.verdict).toBe(file?.verdict);
      if (stream?.identity.sha256 !== null) expect(stream?.identity.sha256).toBe(file?.identity.sha256);
    }
  });
});

describe('the vectors', () => {
  it('have names of their own', () => {
    const names = VET_VECTORS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^(safe|refused|ambiguous)--[a-z0-9-]+$/);
  });
});
