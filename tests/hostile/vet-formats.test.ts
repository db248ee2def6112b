/** Verdicts on the hostile images of every format, as a file and as a stream, inline and confined. */
import { mkdtempSync, rmSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { FORMAT_VECTORS, isRefusedFor } from './format-vectors.ts';
import { waysToVet } from './vet-ways.ts';

// Only tmpfs supports the longest of them.
const directory = mkdtempSync('/dev/shm/plimsoll-vet-formats-');
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const [ofFile, ofStream, confinedFile, confinedStream] = waysToVet(directory);
/** Confined, each image takes a process or two: the vectors of the threat table all run there, of these only some. */
const EVERY = 8;

const WAYS = [
  { way: ofFile, isStream: false, every: 1 },
  { way: ofStream, isStream: true, every: 1 },
  { way: confinedFile, isStream: false, every: EVERY / 2 },
  { way: confinedStream, isStream: true, every: EVERY },
].flatMap(({ way, ...rest }) => (way === undefined ? [] : [{ name: way[0], vet: way[1], ...rest }]));

describe.each(WAYS)('a verdict on a hostile image, $name', ({ vet, isStream, every }) => {
  const vectors = FORMAT_VECTORS.filter(({ fits }, index) => (fits || !isStream) && index % every === 0);
  it.each(vectors)('$name', async ({ declared, image, verdict, code }) => {
    const report = await vet(image(), { declared });
    const codes = report.reasons.map((one) => one.code);
    // None of them is so long that a stream would be judged differently: see vet-streams.test.ts.
    expect(codes).not.toContain('TABLES_NOT_READ');
    expect(codes).not.toContain('STREAM_NOT_KEPT');
    if (verdict === undefined) return;
    expect(report.verdict, JSON.stringify(report.reasons)).toBe(verdict);
    if (code !== undefined) expect(isRefusedFor(code, codes), `${code}: ${codes.join(', ')}`).toBe(true);
  });
});
