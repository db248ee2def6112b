/** The guest's disk of one image, as requests of the confined worker: the first opens it, later ones of the session read it. */
import { MiB, PlimsollError } from '#base';
import type { Extent, ReadableDevice } from '#block';
import type { HandlerContext } from '#confined';
import { type GuestContent, openContent } from '#references';
import type { ImageFormat } from '#wire';
import { openerOf } from './examine-handler.ts';
import { MAX_ROWS, packExtents } from './extent-rows.ts';
import { type FactsFrame, unpackFacts } from './facts-frame.ts';

/** JSON; the packed storage map is the data of the request. */
export interface OpenContentParams {
  /** As latin1. */
  readonly path: string;
  readonly shownPath: string;
  readonly facts: FactsFrame;
  readonly format: ImageFormat | null;
  readonly snapshot: string | null;
}

export interface OpenContentAnswer {
  readonly format: ImageFormat;
  readonly byteLength: number;
}

/** Of the guest's disk. Units: bytes. */
export interface ContentRange {
  readonly offset: number;
  readonly length: number;
}

/** Bytes that are read and sent at a time. */
const PIECE_BYTES = MiB;
const PIECE = new Uint8Array(PIECE_BYTES);

let content: GuestContent | undefined;

export async function openContentHandler(params: unknown, context: HandlerContext): Promise<OpenContentAnswer> {
  const { path, shownPath, facts: frame, format, snapshot } = params as OpenContentParams;
  const [device] = context.devices;
  if (device === undefined || content !== undefined) throw misuse('open-content without a file, or a second time');
  const facts = unpackFacts(frame, context.data);
  const close = (): Promise<void> => Promise.resolve();
  const file = { identity: facts.identity, realPath: shownPath, device, facts: () => Promise.resolve(facts), close };
  content = await openContent(file, {
    path: Buffer.from(path, 'latin1'),
    shownPath,
    format: format ?? undefined,
    snapshot: snapshot ?? undefined,
    open: openerOf(context.requestFile),
    purpose: 'bytes',
  });
  return { format: content.format, byteLength: content.device.byteLength };
}

/** Sends the bytes of a range in parts, in their order; answers how many there are. */
export async function readContentHandler(params: unknown, { sendPart }: HandlerContext): Promise<number> {
  const { offset, length } = params as ContentRange;
  const device = openDevice();
  let count = 0;
  while (count < length) {
    const read = await device.read(PIECE.subarray(0, Math.min(PIECE_BYTES, length - count)), offset + count);
    if (read === 0) break;
    sendPart(null, PIECE.subarray(0, read));
    count += read;
  }
  return count;
}

/** Sends the first extents of a range as one part; answers where they end. */
export async function contentExtentsHandler(params: unknown, { sendPart }: HandlerContext): Promise<number> {
  const { offset, length } = params as ContentRange;
  const extents: Extent[] = [];
  for await (const extent of openDevice().extents(offset, length)) {
    extents.push(extent);
    if (extents.length === MAX_ROWS) break;
  }
  sendPart(null, packExtents(extents));
  return extents.at(-1)?.end ?? offset;
}

function openDevice(): ReadableDevice {
  if (content === undefined) throw misuse('a read before open-content');
  return content.device;
}

function misuse(found: string): PlimsollError {
  return new PlimsollError('bug', 'WORKER_REQUEST', { doing: 'read guest data', found, expected: 'one open-content, then reads' });
}
