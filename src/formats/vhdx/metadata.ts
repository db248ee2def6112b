/** The metadata of the disk: its capacity, block and sector sizes, identity and parent. Source: [MS-VHDX] 2.6.2. */
import { isPowerOfTwo } from '#base';
import { type ReadableDevice, readExactly } from '#block';
import { guidText } from './guid.ts';
import {
  FILE_PARAMETERS,
  HAS_PARENT,
  LEAVE_BLOCKS_ALLOCATED,
  LIMITS,
  METADATA_TABLE_BYTES,
  SECTOR_SIZE,
  VIRTUAL_DISK_SIZE,
} from './layout.ts';
import { type ItemName, type MetadataItem, parseMetadataTable } from './metadata-table.ts';
import { type ParentLocator, parseParentLocator } from './parent-locator.ts';
import type { Region } from './region-table.ts';
import { type Place, vhdxError } from './error.ts';

const DOING = 'read VHDX metadata';

export type DiskType = 'dynamic' | 'fixed' | 'differencing';

export interface Metadata {
  readonly type: DiskType;
  /** Bytes; a power of two from 1 MiB to 256 MiB. */
  readonly blockSize: number;
  /** Bytes the guest sees: whole sectors, at most 64 TiB. */
  readonly capacity: number;
  readonly logicalSectorSize: 512 | 4096;
  readonly physicalSectorSize: 512 | 4096;
  /** SCSI page 83 data. */
  readonly virtualDiskId: string;
  /** There if and only if the type is differencing. */
  readonly parentLocator: ParentLocator | undefined;
}

/**
 * The checked metadata.
 *
 * Bounds: reads the table and at most 1 MiB an item. Throws: corrupt, unsupported, io, over-budget.
 */
export async function readMetadata(device: ReadableDevice, region: Region): Promise<Metadata> {
  const items = parseMetadataTable(
    await readExactly(device, region.fileOffset, METADATA_TABLE_BYTES, 'VHDX_TRUNCATED', 'read VHDX metadata table'),
    region,
  );
  const parameters = await readItem(device, region, items, 'fileParameters', FILE_PARAMETERS.byteLength);
  const { blockSize, flags } = FILE_PARAMETERS.read(viewOf(parameters.bytes));
  if (blockSize < LIMITS.minBlockSize || blockSize > LIMITS.maxBlockSize || !isPowerOfTwo(blockSize)) {
    throw vhdxError('corrupt', 'VHDX_BLOCK_SIZE', place('BlockSize', parameters.at), blockSize, 'a power of two from 1 MiB to 256 MiB');
  }
  const logicalSectorSize = await readSectorSize(device, region, items, 'logicalSectorSize');
  const physicalSectorSize = await readSectorSize(device, region, items, 'physicalSectorSize');
  const size = await readItem(device, region, items, 'virtualDiskSize', VIRTUAL_DISK_SIZE.byteLength);
  const { virtualDiskSize } = VIRTUAL_DISK_SIZE.read(viewOf(size.bytes), 0, size.at);
  if (virtualDiskSize > LIMITS.capacity || virtualDiskSize % logicalSectorSize !== 0) {
    const expected = `whole sectors of ${logicalSectorSize} bytes, at most 64 TiB`;
    throw vhdxError('corrupt', 'VHDX_CAPACITY', place('VirtualDiskSize', size.at), virtualDiskSize, expected);
  }
  const { bytes: diskId } = await readItem(device, region, items, 'virtualDiskId', 16);
  const hasParent = Math.floor(flags / HAS_PARENT) % 2 === 1;
  const locator = hasParent ? await readItem(device, region, items, 'parentLocator', undefined) : undefined;
  return {
    type: hasParent ? 'differencing' : flags % 2 === LEAVE_BLOCKS_ALLOCATED ? 'fixed' : 'dynamic',
    blockSize,
    capacity: virtualDiskSize,
    logicalSectorSize,
    physicalSectorSize,
    virtualDiskId: guidText(diskId),
    parentLocator: locator === undefined ? undefined : parseParentLocator(locator.bytes, locator.at),
  };
}

interface ReadItem {
  readonly bytes: Uint8Array;
  readonly at: number;
}

/** The bytes of an item of exactly `byteLength` bytes, or of any length if that is undefined. */
async function readItem(
  device: ReadableDevice,
  region: Region,
  items: ReadonlyMap<ItemName, MetadataItem>,
  name: ItemName,
  byteLength: number | undefined,
): Promise<ReadItem> {
  const item = items.get(name);
  if (item === undefined)
    throw vhdxError('corrupt', 'VHDX_METADATA_ITEM', place(name, region.fileOffset), 'missing', 'an entry in the table');
  if (byteLength !== undefined && item.byteLength !== byteLength) {
    const expected = `${byteLength} bytes`;
    throw vhdxError('corrupt', 'VHDX_METADATA_ITEM', place(name, item.fileOffset), `${item.byteLength} bytes`, expected);
  }
  return { bytes: await readExactly(device, item.fileOffset, item.byteLength, 'VHDX_TRUNCATED', `read VHDX ${name}`), at: item.fileOffset };
}

async function readSectorSize(
  device: ReadableDevice,
  region: Region,
  items: ReadonlyMap<ItemName, MetadataItem>,
  name: 'logicalSectorSize' | 'physicalSectorSize',
): Promise<512 | 4096> {
  const { bytes, at } = await readItem(device, region, items, name, SECTOR_SIZE.byteLength);
  const { sectorSize } = SECTOR_SIZE.read(viewOf(bytes));
  if (sectorSize !== 512 && sectorSize !== 4096) throw vhdxError('corrupt', 'VHDX_SECTOR_SIZE', place(name, at), sectorSize, '512 or 4096');
  return sectorSize;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function place(field: string, at: number): Place {
  return { doing: DOING, field, at };
}
