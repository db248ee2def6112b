/** The files an image refers to: backing files, one behind the other, and the external data file. */
import { asPlimsollError, PlimsollError, quoteForHumans, roundUp } from '#base';
import { type FileFacts, readUpTo, type TableMemory } from '#block';
import { openLuks, openVmdkExtent, probe, PROBE_BYTES, readQcow2Header, readQedHeader } from '#formats';
import { rawFigures, vmdkFigures } from '#commitment';
import type { ChainLink, Finding } from '#wire';
import {
  commitFindings,
  commitGrowthOfOther,
  commitGrowthOfQcow2,
  commitGrowthOfLuks,
  commitGrowthOfQed,
  commitGrowthOfRaw,
  type CommitTarget,
  type KnownGrowth,
} from './commit-growth.ts';
import { type FileReferences, referencesOfQcow2, referencesOfQed } from './file-references.ts';
import { metadataDevice } from './metadata-device.ts';
import type { OpenReference, ReferencedFile } from './referenced-file.ts';
import { MAX_CHAIN_DEPTH, referencedPath, refusedName } from './references.ts';

export interface ChainResult {
  readonly links: readonly ChainLink[];
  /** The names that were looked up, as the kernel got them: whoever keeps the result sees by them whether it still holds. */
  readonly lookedUp: readonly Buffer[];
  readonly findings: readonly Finding[];
  /** A chain that loops or is too deep: QEMU could not open the image. */
  readonly error?: PlimsollError;
  /** What a commit adds to a backing file is not known for want of memory for tables. */
  readonly isShortOfMemory?: boolean;
}

export interface ChainOptions {
  /** The name the image was opened by: its references are meant relative to that. */
  readonly path: Buffer;
  /** The same for people. */
  readonly shownPath: string;
  /** As in FileFacts. */
  readonly identity: string;
  readonly open: OpenReference;
  readonly knownGrowth: KnownGrowth;
  /** The memory for tables; the image's own still take theirs. */
  readonly tables?: TableMemory | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Reference {
  readonly role: ChainLink['role'];
  readonly depth: number;
  readonly name: string;
  /** The name as the kernel takes it. */
  readonly nameBytes: Uint8Array;
  readonly format: string | null;
}

/** Follows the references of an image, as far as the policy allows; never throws for what it finds. */
export async function followChain(references: FileReferences, options: ChainOptions): Promise<ChainResult> {
  const links: ChainLink[] = [];
  const findings: Finding[] = [];
  const lookedUp: Buffer[] = [];
  const { identity, shownPath } = options;
  const seen = new Set([identity]);
  const walk: Walk = { ...options, lookedUp };
  let from: Buffer = options.path;
  for (const { name, nameBytes, format, capacity, reach } of references.data) {
    options.signal?.throwIfAborted();
    const reference = { role: 'data', depth: 1, name, nameBytes, format } as const;
    const { link, facts } = await openLink(from, reference, walk, 0);
    if (link.file === identity) return { links: [comesBack(link)], lookedUp, findings, error: loop(shownPath, reference) };
    const isFlat = facts !== undefined && format === 'raw';
    links.push(isFlat ? { ...link, capacity, commitment: rawFigures(facts, reach).commitment as number, reach } : link);
    findings.push(...linkFindings(link));
  }
  let next = backingReference(references, 1);
  let capacityAbove = references.capacity;
  let isShortOfMemory = false;
  while (next !== undefined) {
    options.signal?.throwIfAborted();
    if (next.depth > MAX_CHAIN_DEPTH) return { links, lookedUp, findings, error: tooDeep(shownPath) };
    const opened = await openLink(from, next, walk, capacityAbove);
    const { link, references: further } = opened;
    if (link.file !== undefined && seen.has(link.file))
      return { links: [...links, comesBack(link)], lookedUp, findings, error: loop(shownPath, next) };
    if (link.file !== undefined) seen.add(link.file);
    links.push(link);
    findings.push(...linkFindings(link), ...commitFindings(link, capacityAbove));
    if (opened.isShortOfMemory === true) isShortOfMemory = true;
    capacityAbove = Math.max(capacityAbove, link.capacity ?? 0);
    if (next.format === null) findings.push(undeclared(next));
    from = referencedPath(from, next.nameBytes);
    next = further === undefined ? undefined : backingReference(further, next.depth + 1);
  }
  return { links, lookedUp, findings, isShortOfMemory };
}

/** What the steps along one chain have in common. */
type Walk = Pick<ChainOptions, 'open' | 'knownGrowth' | 'tables' | 'signal'> & Pick<CommitTarget, 'lookedUp'>;

function backingReference({ backing }: FileReferences, depth: number): Reference | undefined {
  return backing === undefined ? undefined : { role: 'backing', depth, ...backing };
}

interface OpenedLink {
  readonly link: ChainLink;
  readonly facts?: FileFacts;
  readonly references?: FileReferences;
  readonly isShortOfMemory?: boolean | undefined;
}

/** `capacityAbove`: the most that the images before it in the chain show their guests, in bytes. */
async function openLink(from: Buffer, reference: Reference, walk: Walk, capacityAbove: number): Promise<OpenedLink> {
  const base = {
    role: reference.role,
    depth: reference.depth,
    name: reference.name,
    path: null,
    declaredFormat: reference.format,
    format: null,
    capacity: null,
    length: null,
    allocation: null,
  };
  const refused = refusedName(reference.name);
  if (refused !== undefined) return { link: { ...base, status: 'refused', reason: refused } };
  let file: ReferencedFile | undefined;
  const path = referencedPath(from, reference.nameBytes);
  walk.lookedUp.push(path);
  try {
    file = await walk.open(path);
    return await describeLink(file, base, { reference, walk, path, capacityAbove });
  } catch (thrown) {
    walk.signal?.throwIfAborted();
    const error = asPlimsollError(thrown, 'follow a reference of the image');
    if (error.kind === 'bug') throw error;
    const status = error.kind === 'not-found' ? 'missing' : error.kind === 'refused' ? 'refused' : 'error';
    return {
      link: { ...base, status, reason: error.message, ...(file === undefined ? {} : { path: file.realPath, file: file.identity }) },
    };
  } finally {
    await file?.close();
  }
}

interface LinkPlace {
  readonly reference: Reference;
  readonly walk: Walk;
  readonly path: Buffer;
  readonly capacityAbove: number;
}

async function describeLink(file: ReferencedFile, base: Omit<ChainLink, 'status'>, place: LinkPlace): Promise<OpenedLink> {
  const { reference, walk, path, capacityAbove } = place;
  const facts = await file.facts();
  const opened = {
    ...base,
    path: file.realPath,
    file: file.identity,
    status: 'opened',
    length: facts.length,
    allocation: facts.allocation,
  } as const;
  const prefix = await readUpTo(file.device, 0, PROBE_BYTES);
  const [evidence] = probe(prefix);
  const format = reference.format ?? evidence?.format ?? 'raw';
  const target: CommitTarget = { ...walk, file, facts, path, capacityAbove };
  const isBacking = reference.role === 'backing';
  if (format === 'raw') {
    const growth = isBacking ? commitGrowthOfRaw(target) : {};
    return { link: { ...opened, format, capacity: roundUp(facts.length, 512), ...growth }, facts };
  }
  if (format === 'qed') {
    const header = await readQedHeader(file.device);
    const { isShortOfMemory, ...growth } = await commitGrowthOfQed(target, header);
    return { link: { ...opened, format, capacity: header.capacity, ...growth }, references: referencesOfQed(header), isShortOfMemory };
  }
  if (format === 'luks') {
    const { capacity, header } = await openLuks(file.device);
    return { link: { ...opened, format, capacity, ...commitGrowthOfLuks(target, header) } };
  }
  if (format === 'vmdk' && reference.role === 'data') {
    const extent = await openVmdkExtent(metadataDevice(file.device, facts, undefined, walk.tables), walk.signal);
    const figures = vmdkFigures(await extent.census(walk.signal), facts);
    const { capacity, commitment, maxLength } = figures;
    return { link: { ...opened, format, capacity, commitment: commitment ?? 0, reach: maxLength ?? facts.length }, facts };
  }
  if (format !== 'qcow2') {
    return {
      link: {
        ...opened,
        format,
        reason: `the chain is not followed through a file of format ${quoteForHumans(format)}`,
        ...commitGrowthOfOther(format),
      },
    };
  }
  const header = await readQcow2Header(file.device);
  const { isShortOfMemory, ...growth } = await commitGrowthOfQcow2(target, header);
  return { link: { ...opened, format, capacity: header.capacity, ...growth }, references: referencesOfQcow2(header), isShortOfMemory };
}

function comesBack(link: ChainLink): ChainLink {
  return { ...link, status: 'refused', reason: 'the chain returns to a file it already contains' };
}

function linkFindings(link: ChainLink): Finding[] {
  const what = link.role === 'data' ? 'external data file' : 'backing file';
  const name = quoteForHumans(link.name, 200);
  // Without it the figures are those of the tables alone.
  const missing = link.role === 'data' ? " It holds the guest's data, which these figures do not include." : '';
  if (link.status === 'opened') return [];
  if (link.status === 'refused')
    return [
      {
        level: 'warning',
        code: 'REFERENCE_NOT_FOLLOWED',
        message: `The ${what} "${name}" was not opened: ${link.reason ?? 'refused'}.${missing}`,
      },
    ];
  if (link.status === 'missing')
    return [{ level: 'critical', code: 'REFERENCE_MISSING', message: `The ${what} "${name}" does not exist: the VM cannot start.` }];
  return [
    {
      level: 'critical',
      code: 'REFERENCE_UNREADABLE',
      message: `The ${what} "${name}" could not be read: ${link.reason ?? 'unknown reason'}.`,
    },
  ];
}

function undeclared(reference: Reference): Finding {
  return {
    level: 'warning',
    code: 'BACKING_FORMAT_UNDECLARED',
    message: `The image does not declare the format of its backing file "${quoteForHumans(reference.name, 200)}"; QEMU would probe it, and a guest can forge the result. qemu-img rebase -u -F sets it; QED can record raw only.`,
  };
}

function tooDeep(image: string): PlimsollError {
  return new PlimsollError('refused', 'CHAIN_TOO_DEEP', {
    doing: 'follow the backing chain',
    image,
    found: `more than ${MAX_CHAIN_DEPTH} files`,
    expected: `at most ${MAX_CHAIN_DEPTH}`,
  });
}

function loop(image: string, reference: Reference): PlimsollError {
  return new PlimsollError('refused', 'CHAIN_LOOP', {
    doing: 'follow the backing chain',
    image,
    field: `${reference.role} file at depth ${reference.depth}`,
    found: reference.name,
    expected: 'a file that the chain does not contain yet',
  });
}
