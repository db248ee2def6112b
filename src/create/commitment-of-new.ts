/** What a store has to have room for before an image is made on it. */
import { MiB } from '#base';
import type { StorageRules } from '#block';
import { hostChargesOfNew } from '#commitment';
import { sumOfComponents } from '#wire';
import { type CreateOptions, type NewImageFormat, parseCreateOptions } from './create-options.ts';
import { boundOfNew } from './measure-new.ts';

/** The extent size hint of images that `qemu-img create` makes on XFS. */
const QEMU_HINT = MiB;

/** The filesystem on which an image is to be made. */
export interface NewImagePlace {
  readonly rules: StorageRules;
  /** The image is made by plimsoll. Otherwise by any other tool: the worst is counted. */
  readonly isOwn: boolean;
}

/**
 * The most that a new image and its external data file, if the options name one, can come to consume, with what the
 * filesystem charges on top; without `place`, that is not known and left out.
 *
 * The data file is counted as if it lay on the same store. Units: bytes. Throws: usage.
 */
export function commitmentOfNew(format: NewImageFormat, capacity: number, options: CreateOptions, place?: NewImagePlace): number {
  const own = commitmentOfOne(format, capacity, options, place);
  if (options.format === 'raw' || options.qcow2.dataFile === undefined) return own;
  return own + commitmentOfOne('raw', capacity, parseCreateOptions('raw', []), place);
}

function commitmentOfOne(format: NewImageFormat, capacity: number, options: CreateOptions, place: NewImagePlace | undefined): number {
  const { commitment, allocation, length, maxLength, components } = boundOfNew(format, capacity, options, place?.rules.hostBlock);
  if (place === undefined) return commitment;
  const preallocation = options.format === 'raw' ? options.preallocation : options.qcow2.preallocation;
  const tables = sumOfComponents(components, 'l2-tables');
  const scattered = Math.max(0, Math.min(commitment, length) - allocation) + tables;
  const { filesystem, hostBlock } = place.rules;
  const grain = grainOf(options, hostBlock);
  const chargesWith = (extentSizeHint: number): number =>
    hostChargesOfNew(place.rules, {
      stored: allocation,
      unwritten: preallocation === 'falloc' ? allocation : 0,
      growth: { storage: commitment, maxLength, grain, scattered },
      extentSizeHint,
    });
  // Of one block, as plimsoll sets it: it rounds nothing up.
  const plain = chargesWith(hostBlock);
  return commitment + (place.isOwn || filesystem !== 'xfs' ? plain : Math.max(plain, chargesWith(QEMU_HINT)));
}

function grainOf(options: CreateOptions, hostBlock: number): number {
  if (options.format === 'raw') return hostBlock;
  const { clusterSize, extendedL2 } = options.qcow2;
  return extendedL2 ? clusterSize / 32 : clusterSize;
}
