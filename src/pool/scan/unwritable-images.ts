/** Images that cannot be written: protected by their filesystem and not open for writing anywhere. */
import { pauseDue } from '#base';
import { isUnwritable } from '#host';
import type { CachedExamination } from './sighting.ts';

/**
 * Identities (`device:inode`) of the examined files that no process can write. Looked up anew each time: a descriptor from before the
 * protection still writes, and the mark of a subvolume or superblock changes without a sign on the file.
 */
export async function unwritableImages(sightings: readonly CachedExamination[]): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const { protection, identity, openForWriting, walked } of sightings) {
    if (protection === undefined || identity === undefined || openForWriting === true) continue;
    const pause = pauseDue();
    if (pause !== undefined) await pause;
    if (await isUnwritable(walked.pathBytes, identity)) found.add(identity);
  }
  return found;
}
