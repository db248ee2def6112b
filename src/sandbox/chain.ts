/** The files an image refers to: backing files, one behind the other, and the external data file. */
import { dirname } from 'node:path';
import { asPlimsollError, PlimsollError, quoteForHumans, roundUp } from '#base';
import type { FileFacts } from '#block';
import { hasQcow2Magic, probe, PROBE_BYTES, type Qcow2Header, readQcow2Header } from '#formats';
import { type HostCache, type OpenFile, openImageFileAt, realPlacesOf } from '#host';
import { rawFigures } from '#sizes';
import type { ChainLink, Finding } from '#wire';
import { MAX_CHAIN_DEPTH, permitWithin, refusedName } from './references.ts';

export interface ChainResult {
  readonly links: readonly ChainLink[];
  readonly findings: readonly Finding[];
  /** A chain that loops or is too deep: QEMU could not open the image. */
  readonly error?: PlimsollError;
}

export interface ChainOptions {
  /** Further directories in which references may be followed. */
  readonly allowDirectories: readonly string[];
  readonly cache: HostCache;
  readonly signal?: AbortSignal | undefined;
}

interface Reference {
  readonly role: ChainLink['role'];
  readonly depth: number;
  readonly name: string;
  readonly format: string | null;
}

/** Guest writes to an external data file reach its last cluster's end. */
export function dataFileReach(header: Qcow2Header): number {
  return roundUp(header.capacity, header.clusterSize);
}

/** Follows what `file` refers to, as far as the policy lets it; never throws for what it finds. */
export async function followChain(file: OpenFile, header: Qcow2Header, options: ChainOptions): Promise<ChainResult> {
  const links: ChainLink[] = [];
  const findings: Finding[] = [];
  const seen = new Set([file.identity]);
  const refersToFiles = header.externalDataFile || header.backingFile !== undefined;
  const allowed = refersToFiles ? await realPlacesOf(options.allowDirectories) : [];
  if (header.externalDataFile) {
    const reference = { role: 'data', depth: 1, name: header.dataFileName ?? '', format: 'raw' } as const;
    const { link, facts } = await openLink(file.realPath, reference, options, allowed);
    const reach = dataFileReach(header);
    links.push(facts === undefined ? link : { ...link, capacity: header.capacity, commitment: rawFigures(facts, reach).commitment as number, reach });
    findings.push(...linkFindings(link));
  }
  let next = backingReference(header, 1);
  let from = file.realPath;
  while (next !== undefined) {
    options.signal?.throwIfAborted();
    if (next.depth > MAX_CHAIN_DEPTH) return { links, findings, error: tooDeep(file.path) };
    const { link, header: nextHeader, realPath } = await openLink(from, next, options, allowed);
    if (link.file !== undefined && seen.has(link.file)) return { links: [...links, { ...link, status: 'refused', reason: 'the chain comes back to a file it went through before' }], findings, error: loop(file.path, next) };
    if (link.file !== undefined) seen.add(link.file);
    links.push(link);
    findings.push(...linkFindings(link));
    if (next.format === null) findings.push(undeclared(next));
    next = nextHeader === undefined ? undefined : backingReference(nextHeader, next.depth + 1);
    from = realPath ?? from;
  }
  return { links, findings };
}

function backingReference(header: Qcow2Header, depth: number): Reference | undefined {
  return header.backingFile === undefined || header.backingFile === '' ? undefined : { role: 'backing', depth, name: header.backingFile, format: header.backingFormat ?? null };
}

interface OpenedLink {
  readonly link: ChainLink;
  readonly facts?: FileFacts;
  readonly header?: Qcow2Header;
  readonly realPath?: string;
}

async function openLink(from: string, reference: Reference, options: ChainOptions, allowed: readonly string[]): Promise<OpenedLink> {
  const base = { role: reference.role, depth: reference.depth, name: reference.name, path: null, declaredFormat: reference.format, format: null, capacity: null, length: null, allocation: null };
  const refused = refusedName(reference.name);
  if (refused !== undefined) return { link: { ...base, status: 'refused', reason: refused } };
  let file: OpenFile | undefined;
  try {
    file = await openImageFileAt(dirname(from), reference.name, { cache: options.cache, permit: permitWithin(from, allowed) });
    return await describeLink(file, base, reference);
  } catch (thrown) {
    const error = asPlimsollError(thrown, 'follow a reference of the image');
    const status = error.kind === 'not-found' ? 'missing' : error.kind === 'refused' ? 'refused' : 'error';
    return { link: { ...base, status, reason: error.message, ...(file === undefined ? {} : { path: file.realPath, file: file.identity }) } };
  } finally {
    await file?.close();
  }
}

async function describeLink(file: OpenFile, base: Omit<ChainLink, 'status'>, reference: Reference): Promise<OpenedLink> {
  const facts = await file.facts();
  const opened = { ...base, path: file.realPath, file: file.identity, status: 'opened', length: facts.length, allocation: facts.allocation } as const;
  const prefix = await file.device.read(0, PROBE_BYTES);
  const [evidence] = probe(prefix);
  const format = reference.format ?? evidence?.format ?? 'raw';
  if (format === 'raw') return { link: { ...opened, format, capacity: roundUp(facts.length, 512) }, facts, realPath: file.realPath };
  if (format !== 'qcow2') return { link: { ...opened, format, reason: `${quoteForHumans(format)} is not read` }, realPath: file.realPath };
  if (!hasQcow2Magic(prefix)) throw new PlimsollError('corrupt', 'QCOW2_MAGIC', { doing: 'read qcow2 header', field: 'magic', at: 0, found: 'another signature', expected: '0x514649fb' });
  const header = await readQcow2Header(file.device);
  return { link: { ...opened, format, capacity: header.capacity }, header, realPath: file.realPath };
}

function linkFindings(link: ChainLink): Finding[] {
  const what = link.role === 'data' ? 'external data file' : 'backing file';
  const name = quoteForHumans(link.name, 200);
  if (link.status === 'opened') return [];
  if (link.status === 'refused') return [{ level: 'warning', code: 'REFERENCE_NOT_FOLLOWED', message: `The ${what} "${name}" was not opened: ${link.reason ?? 'refused'}.` }];
  if (link.status === 'missing') return [{ level: 'danger', code: 'REFERENCE_MISSING', message: `The ${what} "${name}" does not exist: the machine cannot start.` }];
  return [{ level: 'danger', code: 'REFERENCE_UNREADABLE', message: `The ${what} "${name}" could not be read: ${link.reason ?? 'unknown reason'}.` }];
}

function undeclared(reference: Reference): Finding {
  return { level: 'warning', code: 'BACKING_FORMAT_UNDECLARED', message: `The image does not say which format its backing file "${quoteForHumans(reference.name, 200)}" has; QEMU would guess, and a guest can forge that. qemu-img rebase -u -F sets it.` };
}

function tooDeep(image: string): PlimsollError {
  return new PlimsollError('refused', 'CHAIN_TOO_DEEP', { doing: 'follow the backing chain', image, found: `more than ${MAX_CHAIN_DEPTH} files`, expected: `at most ${MAX_CHAIN_DEPTH}` });
}

function loop(image: string, reference: Reference): PlimsollError {
  return new PlimsollError('refused', 'CHAIN_LOOP', { doing: 'follow the backing chain', image, field: `backing file at depth ${reference.depth}`, found: reference.name, expected: 'a file the chain has not gone through before' });
}
