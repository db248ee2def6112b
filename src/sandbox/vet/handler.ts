/** Vetting as a request of the confined worker. */
import type { Range, SerializedError } from '#base';
import { type ReadableDevice, readUpTo, withPrefix, withReadBudget } from '#block';
import { errorInside, type RequestFile, type TellPart } from '#confined';
import { tablePlaces } from '#formats';
import { PREFIX_BYTES } from '../metadata-device.ts';
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

/** What a stream's kept ends are asked for by: they have no descriptor. */
export const KEPT_ENDS = 'kept ends of a stream';

export async function vetHandler(
  params: unknown,
  [device]: readonly ReadableDevice[],
  signal: AbortSignal,
  requestFile: RequestFile,
): Promise<Judgement> {
  const { declared, policy, name, readBudget } = params as VetParams;
  const image = device ?? (await requestFile(new Uint8Array(0), KEPT_ENDS));
  return judge(withReadBudget(image, readBudget), { declared, policy, name, signal });
}

/** JSON: what several images have in common, and each its own. */
export interface VetManyParams extends Pick<VetParams, 'declared' | 'policy'> {
  /** In the order of the devices. */
  readonly images: readonly Pick<VetParams, 'name' | 'readBudget'>[];
}

/** A part of the answer to `vet-many`: that on the next image, in the order of the request. */
export type VetManyPart = { readonly judgement: Judgement } | { readonly error: SerializedError };

/** Judges one image after the other. What one cannot be judged for keeps none of the others from its verdict. */
export async function vetManyHandler(
  params: unknown,
  devices: readonly ReadableDevice[],
  signal: AbortSignal,
  _requestFile: RequestFile,
  tellPart: TellPart,
): Promise<null> {
  const { declared, policy, images } = params as VetManyParams;
  // Lent to one image after the other: fresh memory for each would cost more than reading into it.
  const memory = new Uint8Array(PREFIX_BYTES);
  for (const [index, device] of devices.entries()) {
    const { name, readBudget } = images[index] as VetManyParams['images'][number];
    tellPart(await partOf(judge(withReadBudget(withPrefix(device, memory), readBudget), { declared, policy, name, signal })));
  }
  return null;
}

async function partOf(judging: Promise<Judgement>): Promise<VetManyPart> {
  try {
    return { judgement: await judging };
  } catch (error) {
    return { error: errorInside(error).toJSON() };
  }
}

/** Where the tables lie that the beginning of a stream announces. */
export async function vetPlacesHandler(
  _params: unknown,
  _devices: unknown,
  _signal: AbortSignal,
  requestFile: RequestFile,
): Promise<number[]> {
  return flatPlaces(await placesIn(await requestFile(new Uint8Array(0), KEPT_ENDS)));
}

/** The places to keep, as `head`, the first bytes of a stream, announces them. */
export async function placesIn(head: ReadableDevice): Promise<Range[]> {
  return placesToKeep(tablePlaces(await readUpTo(head, 0, head.byteLength)));
}
