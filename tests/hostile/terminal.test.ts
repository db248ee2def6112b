/** What a stranger named, shown to people: nothing moves the cursor, forges a line, or turns text around. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { scan } from '#pool';
import { examineImage } from '#sandbox';
import type { ScanReport } from '#wire';
import { imageLines } from '../../src/cli/render/image.ts';
import { scanLines } from '../../src/cli/render/store.ts';
import { plainTheme } from '../../src/cli/render/theme.ts';
import { aQcow2 } from '../support/qcow2-builder.ts';

const HARMFUL = /[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;
const NAMES = ['\u001b[2J\u001b[1;1H', 'a\nplimsoll: everything fits', '\u202egnp.exe', '\u009b31m', '\r$ rm -rf', '\u0007bell\u007f'];

let directory: string;
beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'plimsoll-terminal-')));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function expectHarmless(lines: readonly string[]): void {
  expect(lines.length).toBeGreaterThan(3);
  for (const line of lines) expect(line).not.toMatch(HARMFUL);
}

describe.each(NAMES)('the name %j', (name) => {
  it('of an image, its backing file, format, data file, snapshot and bitmap', async () => {
    const images = [
      aQcow2().withBackingFile(name, 'qcow2'),
      aQcow2().withBackingFile(`json:${name}`),
      aQcow2().withBackingFile('base', name.slice(0, 5)),
      aQcow2().withBackingFile(`missing/${name}`, name.slice(0, 5)),
      aQcow2().withDataFile(name),
      aQcow2().withSnapshots([{ name, id: name }]),
      aQcow2().withBitmaps([{ name }]),
      aQcow2().withField('clusterBits', 99),
    ];
    aQcow2().write(join(directory, 'base'));
    for (const image of images) {
      const report = await examineImage(image.write(join(directory, `${name}.qcow2`)));
      expectHarmless(imageLines(report, plainTheme(), { explain: true }));
    }
  });

  it('of files and directories in a scan', async () => {
    mkdirSync(join(directory, name));
    aQcow2({ capacity: 2 ** 40 }).write(join(directory, name, name));
    aQcow2()
      .withBackingFile(name)
      .write(join(directory, `${name}.qcow2`));
    writeFileSync(join(directory, `${name}.vmdk`), 'KDMV');
    let report: ScanReport | undefined;
    for await (const event of scan([directory, join(directory, `${name}-is-not-there`)]))
      if (event.type === 'report') report = event.report;
    expectHarmless(scanLines(report as ScanReport, plainTheme(), { limit: 100 }));
  });
});
