/**
 * Which VMDK files are read: one file that holds its own data and has no parent. Everything else would send its reader to
 * other files (CVE-2022-47951); it is refused by name, and the names it asked for are handed on as data.
 */
import { type PlimsollError, roundUp } from '#base';
import { type Descriptor, hasParent } from './descriptor.ts';
import { DOING } from './descriptor-text.ts';
import { type DescriptorExtent, extentWrong, nameComplaint, type RequestedName } from './extent-line.ts';
import type { Header } from './header.ts';
import { SECTOR } from './layout.ts';
import { vmdkError } from './vmdk-error.ts';

/** A file that the image asks for beside its own. */
export interface VmdkRequest extends RequestedName {
  readonly role: 'extent' | 'parent' | 'change-tracking';
}

const OTHER_FILE = 'its data lie in another file';
const SEVERAL_FILES = 'its data lie in several other files';
const DEVICE = 'it names a device';
const ESX = 'its data lie in another file, in a format of ESX';

const REASONS: ReadonlyMap<string, string> = new Map([
  ['monolithicFlat', OTHER_FILE],
  ['twoGbMaxExtentSparse', SEVERAL_FILES],
  ['twoGbMaxExtentFlat', SEVERAL_FILES],
  ['custom', SEVERAL_FILES],
  ['fullDevice', DEVICE],
  ['partitionedDevice', DEVICE],
  ['vmfs', ESX],
  ['vmfsThin', ESX],
  ['vmfsPreallocated', ESX],
  ['vmfsEagerZeroedThick', ESX],
  ['vmfsSparse', ESX],
  ['seSparse', ESX],
  ['vsanSparse', ESX],
  ['vmfsRDM', DEVICE],
  ['vmfsRDMP', DEVICE],
  ['vmfsRawDeviceMap', DEVICE],
  ['vmfsPassthroughRawDeviceMap', DEVICE],
]);

/** The files that the descriptor asks for; `isOwn`: its extents are said to be the very file. */
export function requestsOf(descriptor: Descriptor, isOwn: boolean): VmdkRequest[] {
  const requests: VmdkRequest[] = [];
  for (const { name } of isOwn ? [] : descriptor.extents) if (name !== undefined) requests.push({ role: 'extent', ...name });
  if (descriptor.parentFileNameHint !== undefined) requests.push({ role: 'parent', ...descriptor.parentFileNameHint });
  if (descriptor.changeTrackPath !== undefined) requests.push({ role: 'change-tracking', ...descriptor.changeTrackPath });
  return requests;
}

/** Why the image is not read; undefined: it is. `header` is absent when the descriptor is a file of its own. */
export function judge(descriptor: Descriptor, header: Header | undefined, at: number): PlimsollError | undefined {
  const { createType } = descriptor;
  const isKnown = createType === 'monolithicSparse' || createType === 'streamOptimized';
  if (!isKnown) return typeRefusal(descriptor, at, REASONS.get(createType) ?? 'no such type is known');
  if (header === undefined) return typeRefusal(descriptor, at, 'in a descriptor of its own it names another file');
  if ((createType === 'streamOptimized') !== (header.kind === 'stream'))
    return typeRefusal(descriptor, at, `the header says ${header.kind === 'stream' ? 'compressed' : 'not compressed'}`);
  if (hasParent(descriptor)) {
    const hint = descriptor.parentFileNameHint;
    const found = `parentCID ${descriptor.parentCid.toString(16)}${hint === undefined ? '' : `, parentFileNameHint ${hint.text}`}`;
    return vmdkError('refused', 'VMDK_PARENT', { doing: DOING, field: 'parent', at }, found, 'no parent');
  }
  return extentRefusal(descriptor, header, at);
}

function typeRefusal(descriptor: Descriptor, at: number, reason: string): PlimsollError {
  const names = descriptor.extents.flatMap(({ name }) => (name === undefined ? [] : [name.text]));
  const found = names.length === 0 ? descriptor.createType : `${descriptor.createType} naming ${names.join(', ')}`;
  const place = { doing: DOING, field: 'createType', at };
  return vmdkError('refused', 'VMDK_CREATE_TYPE', place, found, `monolithicSparse or streamOptimized in one file: ${reason}`);
}

/** One extent, as long as the disk; VirtualBox counts the disk in whole grains in the header only. */
function extentRefusal({ extents }: Descriptor, header: Header, at: number): PlimsollError | undefined {
  const [extent, second] = extents;
  if (extent === undefined) return extentWrong({ number: 1, at }, 'no extent', 'one');
  if (second !== undefined) return extentWrong({ number: second.line, at: second.at }, 'a second extent', 'one');
  const place = { number: extent.line, at: extent.at };
  const isWritable = extent.access === 'RW' || (extent.access === 'RDONLY' && header.kind === 'stream');
  if (!isWritable || extent.type !== 'SPARSE') return extentWrong(place, `${extent.access} ${extent.type}`, 'RW SPARSE');
  const described = extent.sectors * SECTOR;
  if (described !== header.capacity && roundUp(described, header.grainBytes) !== header.capacity)
    return extentWrong(place, `${extent.sectors} sectors`, `${header.capacity / SECTOR} sectors, as the header says`);
  return nameRefusal(extent);
}

function nameRefusal({ name, line, at }: DescriptorExtent): PlimsollError | undefined {
  const complaint = name === undefined ? 'a name' : nameComplaint(name);
  if (complaint === undefined) return undefined;
  return vmdkError('refused', 'VMDK_EXTENT_NAME', { doing: DOING, field: `line ${line}`, at }, name?.text ?? '', complaint);
}
