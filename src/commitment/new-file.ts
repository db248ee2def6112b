/** The room that a new file needs on a store: its commitment, and the filesystem's own overhead. */
import { MiB } from '#base';
import type { FileFacts, StorageRules } from '#block';
import { type Component, sumOfComponents } from '#wire';
import { hostChargesOfNew } from './host-charge.ts';

/** The extent size hint of images that `qemu-img create` creates on XFS. */
const QEMU_HINT = MiB;

/** A file that is to be created. Units: bytes. */
export interface PlannedFile {
  readonly facts: FileFacts;
  readonly components: readonly Component[];
  readonly maxLength: number;
  /** Of one separate piece of storage at the least. */
  readonly grain: number;
  /** Its storage is preallocated and not written. */
  readonly isUnwritten: boolean;
}

/** The filesystem on which it is to be created. */
export interface NewImagePlace {
  readonly rules: StorageRules;
  /** plimsoll creates it. Otherwise any other tool: the worst is counted. */
  readonly isOwn: boolean;
}

/** The most that the file can ever use on the filesystem of `place`. Units: bytes. */
export function commitmentAt({ facts, components, maxLength, grain, isUnwritten }: PlannedFile, place: NewImagePlace): number {
  const { filesystem, fsBlockSize } = place.rules;
  const { allocation, length } = facts;
  const storage = sumOfComponents(components);
  const scattered = Math.max(0, Math.min(storage, length) - allocation) + sumOfComponents(components, 'l2-tables');
  const chargesWith = (extentSizeHint: number): number =>
    hostChargesOfNew(place.rules, {
      stored: allocation,
      unwritten: isUnwritten ? allocation : 0,
      growth: { storage, maxLength, grain, scattered },
      extentSizeHint,
    });
  // plimsoll sets a hint of one block, which rounds nothing up.
  const plain = chargesWith(fsBlockSize);
  return storage + (place.isOwn || filesystem !== 'xfs' ? plain : Math.max(plain, chargesWith(QEMU_HINT)));
}
