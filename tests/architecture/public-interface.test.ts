/** The public interface: the names that the package exports, one by one, and nothing by `*`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Node, ROOT, sourceFiles, walk } from './source.ts';

const files = sourceFiles();
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  readonly exports: object;
  readonly bin: object;
  readonly imports: Readonly<Record<string, { readonly source: string }>>;
};

describe('the public interface', () => {
  it('of the package is the library and the command', () => {
    expect([Object.keys(manifest.exports), Object.keys(manifest.bin)]).toEqual([['.'], ['plimsoll']]);
  });

  it('of the library exports these names', () => {
    const library = files.find((file) => file.path === 'src/index.ts');
    const names = [...walk((library as (typeof files)[number]).tree)].flatMap(([node]) => {
      if (node.type !== 'ExportSpecifier') return [];
      const name = String((node['exported'] as Node)['name']);
      return node['exportKind'] === 'type' ? `type ${name}` : name;
    });
    expect(names.sort()).toMatchInlineSnapshot(`
      [
        "DEFAULT_POLICY",
        "DEFINITIONS",
        "DaemonClient",
        "EXIT_CODES",
        "PlimsollError",
        "createImage",
        "examineImage",
        "figures",
        "measureCopy",
        "measureNew",
        "openImage",
        "parseCreateOptions",
        "parsePolicy",
        "scan",
        "socketPath",
        "type AdmissionDecision",
        "type AdmissionRequest",
        "type ChainLink",
        "type Component",
        "type ComponentCode",
        "type CreateOptions",
        "type CreateRequest",
        "type CreatedImage",
        "type ErrorKind",
        "type Extent",
        "type ExtentStatus",
        "type FiguresOptions",
        "type Finding",
        "type ForeignLockReport",
        "type HeldLock",
        "type ImageReport",
        "type LockReport",
        "type LoopUser",
        "type MeasureReport",
        "type OpenImageOptions",
        "type OpenedDisk",
        "type ProcessUser",
        "type ReadOptions",
        "type Reservation",
        "type ReservationRequest",
        "type ScanEvent",
        "type ScanOptions",
        "type ScanReport",
        "type ScannedImage",
        "type StatusReport",
        "type StoreReport",
        "type Unbounded",
        "type UseReport",
        "type UseVerdict",
        "type Verdict",
        "type VetConversion",
        "type VetFormat",
        "type VetIdentity",
        "type VetManyOptions",
        "type VetNext",
        "type VetOptions",
        "type VetOutcome",
        "type VetPolicy",
        "type VetReason",
        "type VetReport",
        "type VetUse",
        "type WhoOptions",
        "vet",
        "vetMany",
        "who",
      ]
    `);
  });

  it('of each layer is its index.ts, in a folder of src/', () => {
    const expected = Object.keys(manifest.imports).map((name) => [name, `./src/${name.slice(1)}/index.ts`]);
    expect(Object.entries(manifest.imports).map(([name, { source }]) => [name, source])).toEqual(expected);
  });

  it('names its exports: no export *', () => {
    const stars = files.filter((file) => [...walk(file.tree)].some(([node]) => node.type === 'ExportAllDeclaration'));
    expect(stars.map((file) => file.path)).toEqual([]);
  });
});
