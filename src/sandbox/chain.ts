/** The report on the files that an image refers to: its backing chain and its data files. */
import { type PlimsollError, quoteForHumans, roundUp } from '#base';
import { type FileFacts, readUpTo, type TableMemory } from '#block';
import { findDriver, openLuks, openVmdkExtent, probe, PROBE_BYTES, readQcow2Header, readQedHeader } from '#formats';
import { rawFigures, vmdkFigures } from '#commitment';
import {
  failureOf,
  type FileReferences,
  isTooDeep,
  metadataDevice,
  type OpenReference,
  type Reference,
  type ReferenceFailure,
  type ReferencedFile,
  ReferenceResolver,
  referencesOfLayer,
  referencesOfQcow2,
} from '#references';
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

export interface ChainResult {
  readonly links: readonly ChainLink[];
  /** Paths that were looked up, as the kernel got them: the result holds while they lead to the same files. */
  readonly lookedUp: readonly Buffer[];
  readonly findings: readonly Finding[];
  /** A chain that loops or is too deep: QEMU could not open the image. */
  readonly error?: PlimsollError;
  /** The growth of a backing file by a commit is unknown for want of memory for tables. */
  readonly isShortOfMemory?: boolean;
}

export interface ChainOptions {
  /** The name that the image was opened by: its references are relative to it. */
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

/** Follows the references of an image, as far as the policy allows; never throws for what it finds. */
export async function followChain(references: FileReferences, options: ChainOptions): Promise<ChainResult> {
  const resolver = new ReferenceResolver(options, options.open, options.signal);
  const links: ChainLink[] = [];
  const findings: Finding[] = [];
  const ended = (error: PlimsollError, looping?: ChainLink): ChainResult => {
    return { links: looping === undefined ? links : [...links, loopingLink(looping)], lookedUp: resolver.lookedUp, findings, error };
  };
  const walk: Walk = { ...options, resolver };
  let from: Buffer = options.path;
  for (const { name, nameBytes, format, capacity, reach } of references.data) {
    options.signal?.throwIfAborted();
    const reference = { role: 'data', depth: 1, name, nameBytes, format } as const;
    const { link, facts, isLoop } = await openLink(from, reference, walk, 0);
    if (isLoop) return { ...ended(resolver.loop(reference)), links: [loopingLink(link)] };
    const isFlat = facts !== undefined && format === 'raw';
    links.push(isFlat ? { ...link, capacity, commitment: rawFigures(facts, reach).commitment as number, reach } : link);
    findings.push(...linkFindings(link));
  }
  let next = backingReference(references, 1);
  let capacityAbove = references.capacity;
  let isShortOfMemory = false;
  while (next !== undefined) {
    options.signal?.throwIfAborted();
    if (isTooDeep(next)) return ended(resolver.tooDeep());
    const opened = await openLink(from, next, walk, capacityAbove);
    const { link, references: further } = opened;
    if (opened.isLoop) return ended(resolver.loop(next), link);
    links.push(link);
    findings.push(...linkFindings(link), ...commitFindings(link, capacityAbove));
    if (opened.isShortOfMemory === true) isShortOfMemory = true;
    capacityAbove = Math.max(capacityAbove, link.capacity ?? 0);
    if (next.format === null) findings.push(undeclared(next));
    from = opened.path ?? from;
    next = further === undefined ? undefined : backingReference(further, next.depth + 1);
  }
  return { links, lookedUp: resolver.lookedUp, findings, isShortOfMemory };
}

/** Shared by the steps along one chain. */
type Walk = Pick<ChainOptions, 'knownGrowth' | 'tables' | 'signal'> & Pick<CommitTarget, 'resolver'>;

function backingReference({ backing }: FileReferences, depth: number): Reference | undefined {
  return backing === undefined ? undefined : { role: 'backing', depth, ...backing };
}

interface DescribedLink {
  readonly link: ChainLink;
  readonly facts?: FileFacts;
  readonly references?: FileReferences;
  readonly isShortOfMemory?: boolean | undefined;
}

interface OpenedLink extends DescribedLink {
  /** The path that it was opened by. */
  readonly path?: Buffer;
  readonly isLoop: boolean;
}

/** `capacityAbove`: the largest capacity of the images above it in the chain, in bytes. */
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
  const resolution = await walk.resolver.resolve(from, reference);
  if ('failure' in resolution) return { link: { ...base, ...failed(resolution.failure) }, isLoop: false };
  const { path, file, isLoop } = resolution;
  try {
    return { ...(await describeLink(file, base, { reference, walk, path, capacityAbove })), path, isLoop };
  } catch (thrown) {
    walk.signal?.throwIfAborted();
    return { link: { ...base, ...failed(failureOf(thrown)), path: file.realPath, file: file.identity }, path, isLoop };
  } finally {
    await file.close();
  }
}

function failed({ status, reason }: ReferenceFailure): Pick<ChainLink, 'status' | 'reason'> {
  return { status, reason };
}

interface LinkPlace {
  readonly reference: Reference;
  readonly walk: Walk;
  readonly path: Buffer;
  readonly capacityAbove: number;
}

async function describeLink(file: ReferencedFile, base: Omit<ChainLink, 'status'>, place: LinkPlace): Promise<DescribedLink> {
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
  const target: CommitTarget = { ...walk, file, facts, path, depth: reference.depth, capacityAbove };
  const isBacking = reference.role === 'backing';
  if (format === 'raw') {
    const growth = isBacking ? commitGrowthOfRaw(target) : {};
    return { link: { ...opened, format, capacity: roundUp(facts.length, 512), ...growth }, facts };
  }
  if (format === 'qed') {
    const header = await readQedHeader(file.device);
    const { isShortOfMemory, ...growth } = await commitGrowthOfQed(target, header);
    return { link: { ...opened, format, capacity: header.capacity, ...growth }, references: referencesOfLayer(header), isShortOfMemory };
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
  const readLayerHeader = findDriver(format)?.readLayerHeader;
  if (format !== 'qcow2' && readLayerHeader !== undefined) {
    const header = await readLayerHeader(file.device);
    const link = { ...opened, format, capacity: header.capacity, ...commitGrowthOfOther(format) };
    return { link, references: referencesOfLayer(header) };
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

function loopingLink(link: ChainLink): ChainLink {
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
    message: `The image does not declare the format of its backing file "${quoteForHumans(reference.name, 200)}"; QEMU would probe it, and a guest can forge the result. qemu-img rebase -u -F sets it; QED can record raw only, and qcow no format.`,
  };
}
