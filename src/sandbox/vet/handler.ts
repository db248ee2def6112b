/** Vetting as a request of the confined worker. */
import type { Range } from '#base';
import { type ReadableDevice, readUpTo, withPrefix, withReadBudget } from '#block';
import type { HandlerContext } from '#confined';
import { tablePlaces } from '#formats';
import { PREFIX_BYTES } from '#references';
import { flatPlaces } from './answers.ts';
import { type Judgement, judge } from './judge.ts';
import { placesToKeep } from './kept-pieces.ts';
import type { VetPolicy } from './policy.ts';

/** JSON. */
export interface VetParams {
  readonly declared: string | undefined;
  readonly policy: VetPolicy;
  readonly name: string | undefined;
  /** Bytes of metadata that may be read. */
  readonly readBudget: number;
}

/** The role under which a worker requests a stream's retained ends: they have no descriptor. */
export const RETAINED_RANGES = 'retained ends of a stream';

/** Used for one image after the other: fresh memory for each would cost more than reading into it. */
const PREFIX_MEMORY = new Uint8Array(PREFIX_BYTES);

export async function vetHandler(params: unknown, { devices: [device], signal, requestFile }: HandlerContext): Promise<Judgement> {
  const { declared, policy, name, readBudget } = params as VetParams;
  const image = device === undefined ? (await requestFile(new Uint8Array(0), RETAINED_RANGES)).device : withPrefix(device, PREFIX_MEMORY);
  return judge(withReadBudget(image, readBudget), { declared, policy, name, signal });
}

/** The ranges of tables that the beginning of a stream announces. */
export async function vetPlacesHandler(_params: unknown, { requestFile }: HandlerContext): Promise<number[]> {
  const { device } = await requestFile(new Uint8Array(0), RETAINED_RANGES);
  return flatPlaces(await placesIn(device));
}

/** The places to keep, as `head`, the first bytes of a stream, announces them. */
export async function placesIn(head: ReadableDevice): Promise<Range[]> {
  return placesToKeep(tablePlaces(await readUpTo(head, 0, head.byteLength)));
}
