/** The worker as it is built and shipped. */
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { memoryDevice } from '#block';
import { HANDLERS, runConfined, runUnconfined } from '#sandbox';
import { ROOT } from '../support/command.ts';

const directory = mkdtempSync(join(tmpdir(), 'plimsoll-worker-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('dist/worker.js', () => {
  it('is one file, which imports only Node and koffi', () => {
    const text = readFileSync(join(ROOT, 'dist', 'worker.js'), 'utf8');
    const imported = [...text.matchAll(/\bfrom\s*"([^"]+)"|\bimport\("([^"]+)"\)/g)].map(([, from, dynamic]) => from ?? dynamic ?? '');
    expect(imported).toContain('koffi');
    expect(imported.filter((name) => !name.startsWith('node:') && name !== 'koffi')).toEqual([]);
    expect(readdirSync(join(ROOT, 'dist'))).toContain('worker.js');
  });

  it('is found without configuration, and answers as the same request does unconfined', async () => {
    const content = Buffer.from('plimsoll'.repeat(100_000));
    const image = join(directory, 'image');
    writeFileSync(image, content);
    const fd = openSync(image, 'r');
    const request = { name: 'probe-hash', params: null };
    const confined = await runConfined(request, { files: [{ fd, byteLength: content.byteLength }] });
    closeSync(fd);
    expect(confined).toEqual(await runUnconfined(HANDLERS, request, [memoryDevice(content)]));
    expect(confined).toMatchObject({ byteLength: content.byteLength });
  });
});
