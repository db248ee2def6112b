/** The examination of an image as a request of the confined worker. */
import { TableMemory } from '#block';
import type { HandlerContext, RequestFile } from '#confined';
import { type OpenReference, PREFIX_BYTES } from '#references';
import type { KnownGrowth } from './commit-growth.ts';
import { examineContent, type ExaminedContent, type ImageFile } from './examine-content.ts';
import { type FactsFrame, unpackFacts } from './facts-frame.ts';

/** JSON; the packed storage map is the data of the request. */
export interface ExamineParams {
  readonly image: Omit<ImageFile, 'path' | 'facts'> & { readonly path: string; readonly facts: FactsFrame };
  /** The memory that its tables may take. Units: bytes. */
  readonly tableBytes: number;
  /** Of the scan pass: the growth of backing files that is known from another pass is not used. */
  readonly pass: number;
}

/** The role under which a worker requests a reference: the name is the path that was made of it. */
export const REFERENCE = 'reference';

/** JSON for `RequestFile`: of a reference that was opened. */
export interface ReferenceInfo {
  readonly realPath: string;
  readonly facts: FactsFrame;
}

/** JSON: as ExaminedContent, with names as latin1. */
export type ExamineAnswer = Omit<ExaminedContent, 'lookedUp'> & { readonly lookedUp: readonly string[] };

const PREFIX_MEMORY = new Uint8Array(PREFIX_BYTES);
let known: { pass: number; readonly growth: KnownGrowth } = { pass: 0, growth: new Map() };

export async function examineHandler(params: unknown, { devices, data, signal, requestFile }: HandlerContext): Promise<ExamineAnswer> {
  const { image, tableBytes, pass } = params as ExamineParams;
  const [device] = devices;
  if (device === undefined) throw new Error('examine: no device');
  if (known.pass !== pass) known = { pass, growth: new Map() };
  const file: ImageFile = { ...image, path: Buffer.from(image.path, 'latin1'), facts: unpackFacts(image.facts, data) };
  const { lookedUp, ...content } = await examineContent(file, {
    device,
    memory: PREFIX_MEMORY,
    tables: new TableMemory(tableBytes),
    open: openerOf(requestFile),
    knownGrowth: known.growth,
    signal,
  });
  return { ...content, lookedUp: lookedUp.map((name) => name.toString('latin1')) };
}

/** Opens references through the client, which applies the policy. */
export function openerOf(requestFile: RequestFile): OpenReference {
  return async (path) => {
    const { device, info, data } = await requestFile(path, REFERENCE);
    const { realPath, facts: frame } = info as ReferenceInfo;
    const facts = unpackFacts(frame, data);
    return { identity: facts.identity, realPath, device, facts: () => Promise.resolve(facts), close: () => Promise.resolve() };
  };
}
