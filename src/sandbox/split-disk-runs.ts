/** Which guest bytes of a flat or split VMDK are data: the runs of its extent files, one behind the other. */
import { PlimsollError } from '#base';
import { type GuestRun, openVmdkExtent, type SplitDisk } from '#formats';
import { type OpenFile, openImageFile } from '#host';
import { extentRuns, storedWithin } from './guest-runs.ts';
import { metadataDevice } from './metadata-device.ts';
import { referencedPath, refusedName } from './references.ts';

export interface ExtentFileAccess {
  /** As the kernel takes it: extent files are named in relation to it. */
  readonly descriptorPath: Buffer;
  /** What the reference policy says of a file that is about to be opened. */
  readonly open: Parameters<typeof openImageFile>[1];
  readonly signal: AbortSignal | undefined;
}

type Piece = SplitDisk['pieces'][number];

/**
 * Runs that cover the disk, ascending. One extent file is open at a time, until its runs have been walked or the generator is
 * closed.
 *
 * Throws: refused, for a disk with a parent, and by the reference policy; not-found, io; corrupt, unsupported, over-budget, for a
 * sparse extent.
 */
export async function* splitDiskRuns(disk: SplitDisk, access: ExtentFileAccess): AsyncGenerator<GuestRun, void> {
  if (disk.parent !== undefined) {
    throw new PlimsollError('refused', 'VMDK_PARENT', {
      doing: 'read guest data',
      found: 'a differencing image',
      expected: 'an image without a parent',
    });
  }
  let start = 0;
  for (const piece of disk.pieces) {
    access.signal?.throwIfAborted();
    for await (const run of runsOfPiece(piece, access)) yield { ...run, start: start + run.start, end: start + run.end };
    start += piece.byteLength;
  }
}

/** Relative to the piece. */
async function* runsOfPiece({ file, byteLength, fileOffset }: Piece, access: ExtentFileAccess): AsyncGenerator<GuestRun, void> {
  if (file === undefined) {
    yield { start: 0, end: byteLength, status: 'zero' };
    return;
  }
  const opened = await openExtentFile(file.name, access);
  try {
    const facts = await opened.facts();
    if (file.kind === 'sparse') {
      const { device } = await openVmdkExtent(metadataDevice(opened.device, facts), access.signal);
      const end = Math.min(byteLength, device.byteLength);
      yield* extentRuns(device.extents(0, end, { signal: access.signal }));
      if (end < byteLength) yield { start: end, end: byteLength, status: 'zero' };
    } else if (facts.map === undefined) yield { start: 0, end: byteLength, status: 'data' };
    else yield* storedWithin(facts.map, fileOffset, byteLength);
  } finally {
    await opened.close();
  }
}

async function openExtentFile({ text, bytes }: { text: string; bytes: Uint8Array }, access: ExtentFileAccess): Promise<OpenFile> {
  const refused = refusedName(text);
  if (refused !== undefined) {
    const expected = `a plain file name: ${refused}`;
    throw new PlimsollError('refused', 'REFERENCE_REFUSED', { doing: 'open extent file', found: text, expected });
  }
  return openImageFile(referencedPath(access.descriptorPath, bytes), access.open);
}
