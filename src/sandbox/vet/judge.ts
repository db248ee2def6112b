/**
 * The verdict on an image's bytes. Our parse decides; whatever two parsers could read differently is refused or called
 * ambiguous. Works on any device: a file, the kept parts of a stream, in the confined worker or inline.
 */
import { PlimsollError } from '#base';
import type { ReadableDevice } from '#block';
import { identify, IDENTIFY_HEAD_BYTES, type Sign } from '#formats';
import type { VetReport } from '#wire';
import { type Inspected, inspectorOf } from './inspectors.ts';
import { useOf } from './verdict.ts';
import { VET_FORMATS, type VetFormat, type VetPolicy } from './policy.ts';
import { headerOnlyUnlessKept, Reasons } from './reasons.ts';

export interface JudgeOptions {
  /** The format that the sender declares; without it the signature must be certain. */
  readonly declared?: string | undefined;
  readonly policy: VetPolicy;
  /** The name the file will have: only to warn of names that make tools guess. */
  readonly name?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Of the text of one detail. */
export const MAX_DETAIL_CHARACTERS = 1024;

/** What was found in the bytes. The verdict, the use and the next steps are derived from it: see `conclude`. */
export type Judgement = Pick<VetReport, 'format' | 'declared' | 'examined' | 'capacity' | 'length' | 'reasons' | 'signs' | 'details'>;

/**
 * Judges the bytes of `device`.
 *
 * Throws: io; usage; the signal's reason. What is wrong with the image is in the reasons.
 */
export async function judge(device: ReadableDevice, { declared, policy, name, signal }: JudgeOptions): Promise<Judgement> {
  const reasons = new Reasons();
  const signs = await identify(device);
  if (device.byteLength === 0) reasons.refuse('EMPTY', 'The file is empty.');
  const isGuestsDisk = policy.guestWritten && declared === 'raw';
  if (isGuestsDisk) noteGuestSigns(signs, reasons);
  // The guest owns every byte of a raw disk: a container's sign on it is data.
  const format = chooseFormat(isGuestsDisk ? signs.filter(({ class: kind }) => kind !== 'container') : signs, declared, reasons);
  warnOfName(name, format, reasons);
  let inspected: Inspected | undefined;
  if (format !== null && device.byteLength > 0) {
    try {
      inspected = await inspectorOf(format)(device, { policy, reasons, signs, signal });
    } catch (thrown) {
      signal?.throwIfAborted();
      reasons.error(thrown);
    }
  }
  const foreign = await signsOutsideData(signs, format, inspected, reasons);
  if (!isGuestsDisk)
    refuseOtherReadings(foreign, { format, isDeclared: declared !== undefined, isExamined: inspected?.examined === 'tables' }, reasons);
  const capacity = inspected?.capacity ?? null;
  if (capacity === 0) reasons.note('NO_CAPACITY', 'The guest would see a disk of 0 bytes.');
  if (inspected?.examined === 'header' && ['attach', 'convert'].includes(useOf(reasons.list()) ?? ''))
    reasons.headerOnly('TABLES_NOT_READ', 'Only the header was examined: the tables are in another file or were not read.');
  return {
    format,
    declared: declared ?? null,
    examined: inspected?.examined ?? 'none',
    capacity,
    length: device.byteLength,
    reasons: reasons.list(),
    signs,
    details: boundedDetails(inspected?.details ?? {}),
  };
}

/** Text in details can be the image's own. */
function boundedDetails(details: Judgement['details']): Judgement['details'] {
  const bounded = (value: string | number | boolean): string | number | boolean =>
    typeof value === 'string' ? value.slice(0, MAX_DETAIL_CHARACTERS) : value;
  return Object.fromEntries(Object.entries(details).map(([name, value]) => [name, bounded(value)]));
}

/**
 * What the guest stored in the image's data is the guest's, a container's sign too; only what lies elsewhere makes the file
 * another thing. All places are looked up at once.
 */
async function signsOutsideData(
  signs: readonly Sign[],
  format: VetFormat | null,
  inspected: Inspected | undefined,
  reasons: Reasons,
): Promise<readonly Sign[]> {
  // Most files have no sign but that of their own format.
  const foreign = signs.filter(({ name }) => name !== format);
  if (inspected?.dataAmong === undefined || foreign.length === 0) return signs;
  try {
    const data = await inspected.dataAmong(foreign.map(({ at }) => at));
    return signs.filter((sign) => !foreign.includes(sign) || !data.has(sign.at));
  } catch (thrown) {
    // A table or marker that only this walk reads can be unsound too.
    if (thrown instanceof PlimsollError && thrown.code === 'STREAM_NOT_KEPT') headerOnlyUnlessKept(thrown, reasons);
    else reasons.error(thrown);
    return signs;
  }
}

/** The one format that the file can be judged as; null when there is none. */
function chooseFormat(signs: readonly Sign[], declared: string | undefined, reasons: Reasons): VetFormat | null {
  const containers = [...new Set(signs.filter(({ class: kind }) => kind === 'container').map(({ name }) => name))];
  const wrapping = signs.find(({ class: kind }) => kind === 'wrapping');
  if (wrapping !== undefined && declared === 'raw')
    reasons.note('WRAPPED', `The disk begins like ${wrapping.name}: if it is one, unpack it and vet its contents.`, wrapping.at);
  const isOva = wrapping?.name === 'ova';
  if (wrapping !== undefined && (declared === undefined || declared === wrapping.name || (isOva && declared === 'tar'))) {
    const message = isOva
      ? 'The file is an OVA, an archive of VM disks: extract the disks (the .vmdk files) and vet each of them.'
      : `The file is ${wrapping.name}, not a disk image: unpack it and vet its contents.`;
    reasons.refuse('WRAPPED', message, wrapping.at);
    return null;
  }
  const [only] = containers;
  if (declared !== undefined) return declaredFormat(declared, containers, signs, reasons);
  if (only === undefined) return 'raw';
  return readable(only, signs, reasons);
}

function declaredFormat(declared: string, containers: readonly string[], signs: readonly Sign[], reasons: Reasons): VetFormat | null {
  const wanted = Object.hasOwn(ALIASES, declared) ? (ALIASES[declared] as string) : declared;
  if (declared === 'iso' && !signs.some(({ class: kind }) => kind === 'media'))
    reasons.refuse('FORMAT_MISMATCH', 'Declared ISO, but there is no ISO 9660 volume descriptor.', 0);
  const found = containers.length === 0 ? 'raw' : containers.join(' and ');
  // What is declared must be what every reader finds: a guest can write an image's header on its raw disk.
  if (!containers.includes(wanted) && found !== wanted) {
    const sign = signs.find(({ class: kind }) => kind === 'container');
    const hint = wanted === 'raw' ? ' If a guest wrote them on its own disk, vet it under the policy key guestWritten.' : '';
    reasons.refuse('FORMAT_MISMATCH', `Declared ${wanted}, but the bytes are those of ${found}.${hint}`, sign?.at ?? 0);
  }
  return readable(wanted, signs, reasons);
}

/** Other names that tools use. */
const ALIASES: Readonly<Record<string, string>> = { vpc: 'vhd', iso: 'raw' };

function noteGuestSigns(signs: readonly Sign[], reasons: Reasons): void {
  for (const { name, class: kind, at } of signs)
    if (kind === 'container')
      reasons.note('GUEST_SIGN', `A tool that probes the format detects ${name}: open the disk only with the format raw declared.`, at);
}

function readable(name: string, signs: readonly Sign[], reasons: Reasons): VetFormat | null {
  const known = VET_FORMATS.find((format) => format === name);
  if (known !== undefined) return known;
  reasons.refuse(
    'FORMAT_NOT_READ',
    `A ${name} image is never accepted: convert it at its source.`,
    signs.find((sign) => sign.name === name)?.at,
  );
  return null;
}

/** Container beside container, or a container over a disk that has a life of its own: two guests see two disks. */
function refuseOtherReadings(
  signs: readonly Sign[],
  { format, isDeclared, isExamined }: { format: VetFormat | null; isDeclared: boolean; isExamined: boolean },
  reasons: Reasons,
): void {
  const containers = signs.filter(({ class: kind }) => kind === 'container');
  const names = new Set(containers.map(({ name }) => name));
  if (names.size > 1) {
    const list = containers.map(({ name, at }) => `${name} at byte ${at}`).join(', ');
    reasons.ambiguous('POLYGLOT', `The file is valid in more than one format: ${list}.`, containers.at(-1)?.at);
  }
  if (names.size === 0) return;
  const isFooterOnly = containers.every(({ name, at }) => name === 'vhd' && at > 0);
  if (isFooterOnly) {
    const message = 'Only the last sector has the VHD signature: a tool that probes the beginning detects raw.';
    if (isDeclared && format === 'vhd') reasons.note('FOOTER_ONLY', message, containers[0]?.at);
    else reasons.ambiguous('FOOTER_ONLY', `${message} If the sender declares VHD, vet it as such (-f vhd).`, containers[0]?.at);
    return;
  }
  for (const sign of signs) {
    if (sign.class === 'container' || sign.class === 'wrapping') continue;
    // A copy of the first sectors can lie inside a container's own data at the end.
    if (sign.name === 'gpt-backup') continue;
    // After a table that was not retained, the bytes at the end may be the guest's.
    if (!isExamined && sign.at >= IDENTIFY_HEAD_BYTES) continue;
    reasons.ambiguous(
      'POLYGLOT',
      `The file (${format ?? 'an image'}) also has a valid ${sign.name} at offset ${sign.at}: as raw it would be a different disk.`,
      sign.at,
    );
  }
}

/** QEMU takes its driver for Apple's images by the name alone. */
function warnOfName(name: string | undefined, format: VetFormat | null, reasons: Reasons): void {
  if (name?.toLowerCase().endsWith('.dmg') === true && format === 'raw')
    reasons.note(
      'NAME_SELECTS_DRIVER',
      'The name ends with .dmg, from which QEMU infers another format: always declare raw, or rename the file.',
    );
}
