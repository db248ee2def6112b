/** The places outside its folder that a format touches: the proof that formats are drivers. qcow was the last one added. */
import { describe, expect, it } from 'vitest';
import { sourceFiles } from './source.ts';

/** Why a file of the product may name a format. A format needs the first six; qcow has four more for what it shares with others. */
const PLACES: Readonly<Record<string, string>> = {
  'src/formats/registry.ts': 'its driver',
  'src/formats/index.ts': 'its reader, for figures',
  'src/wire/reports.ts': 'its name in reports, options and schemas',
  'src/commitment/index.ts': 'its figures',
  'src/sandbox/other-formats.ts': 'its figures and details in reports; the compiler requires them',
  'src/sandbox/vet/policy.ts': 'whether vet can accept it; the compiler requires a decision, and an inspector for a yes',
  'src/sandbox/commit-growth.ts': 'QEMU never extends an image of this format when it commits into it',
  'src/formats/qcow2/driver.ts': 'qcow2 images are named .qcow, too',
  'src/formats/probe.ts': 'qcow2 has the same magic, and every other version number',
  'src/sandbox/chain.ts': 'the advice on backing files without a recorded format',
};

describe('a format', () => {
  it('is named in its folder, in its figures, and in the places listed', () => {
    const naming = sourceFiles()
      .filter(({ path, isTest, text }) => !isTest && !path.startsWith('src/formats/qcow/') && /\bqcow\b|Qcow(?!2)/u.test(text))
      .map(({ path }) => path)
      .filter((path) => path !== 'src/commitment/qcow-figures.ts');
    expect(naming.toSorted()).toEqual(Object.keys(PLACES).toSorted());
  });
});
