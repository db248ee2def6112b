/**
 * The figures of one image file: facts in, arithmetic out, no I/O. The definitions are in `wire`; the theory in
 * docs/commitment.md.
 */
import { roundUp } from '#base';
import { type FileFacts, storedBytes } from '#block';
import type { Census, GrowthModel } from '#formats';
import { type Component, component, type Finding, type ImageReport, sumOfComponents } from '#wire';
import { discardFindings } from './findings-discards.ts';
import { censusFindings, unboundedReasons, whyNoSnapshot } from './findings-qcow2.ts';
import { hostFindings, largestFileFindings, mapFindings } from './findings-host.ts';
import { type Growth, hostCharges, mapExcess } from './host-charge.ts';
import { type Bound, boundByMap, boundByStat } from './qcow2-bound.ts';
import { fillAfterSnapshot, fillOnce } from './qcow2-fill.ts';
import { afterSnapshot } from './qcow2-snapshot.ts';
import { type Qcow2State, qcow2State } from './qcow2-state.ts';

/** The part of an image's report that is arithmetic. */
export type Figures = Pick<
  ImageReport,
  | 'capacity'
  | 'length'
  | 'allocation'
  | 'commitment'
  | 'expected'
  | 'residual'
  | 'maxLength'
  | 'method'
  | 'reclaimable'
  | 'mapExcess'
  | 'unbounded'
  | 'nextSnapshot'
  | 'components'
  | 'findings'
>;

/** QEMU counts a disk in sectors: a raw file that ends inside one is extended to its end when that is written. */
const SECTOR = 512;

/**
 * Figures of a raw image, or of any file of which guest writes can reach `reach` bytes (an external data file).
 *
 * Units: bytes.
 */
export function rawFigures(facts: FileFacts, reach = roundUp(facts.length, SECTOR)): Figures {
  const maxLength = Math.max(facts.length, reach);
  const stored = facts.map === undefined ? Math.min(facts.allocation, roundUp(maxLength, facts.fsBlockSize)) : storedBytes(facts.map);
  const unstored = facts.map === undefined ? Math.max(0, roundUp(maxLength, facts.fsBlockSize) - stored) : unstoredBelow(facts, maxLength);
  const components: Component[] = [component('allocated', stored)];
  if (unstored > 0) components.push(component('guest-data', unstored));
  const expected = Math.max(facts.allocation, stored + unstored);
  const growth = { storage: stored + unstored, maxLength, grain: facts.fsBlockSize, scattered: unstored };
  return finish(facts, components, growth, {
    capacity: roundUp(facts.length, SECTOR),
    expected,
    maxLength,
    unbounded: [],
    nextSnapshot: null,
    findings: facts.length % SECTOR === 0 ? [] : [rawTail(facts.length)],
  });
}

function unstoredBelow(facts: FileFacts, end: number): number {
  let stored = 0;
  for (const { fileOffset, byteLength } of facts.map ?? []) stored += Math.max(0, Math.min(end, fileOffset + byteLength) - fileOffset);
  return Math.max(0, roundUp(end, facts.fsBlockSize) - roundUp(stored, facts.fsBlockSize));
}

function rawTail(length: number): Finding {
  return {
    level: 'info',
    code: 'RAW_PARTIAL_SECTOR',
    message: `The file's length ${length} is not a multiple of 512; QEMU shows the guest the whole last sector.`,
  };
}

/** Figures of a qcow2 image from the census of its clusters. */
export function qcow2Figures(census: Census, facts: FileFacts): Figures {
  const state = qcow2State(census, facts);
  const findings = censusFindings(census, state);
  if (census.header.corrupt) return unwritable(facts, census, findings);
  const figures = figuresOf(state);
  return {
    ...figures,
    nextSnapshot: nextSnapshot(state, figures.commitment as number),
    findings: [...findings, ...figures.findings],
  };
}

/** Figures that follow from a growth model alone: those of a planned image, with the facts that its file will have. */
export function plannedQcow2Figures(model: GrowthModel, facts: FileFacts): Figures {
  return figuresOf(qcow2State(model, facts));
}

function figuresOf(state: Qcow2State): Figures {
  const { model, facts } = state;
  const bound = boundOf(state);
  return finish(facts, bound.components, growthOf(state, bound), {
    capacity: model.header.capacity,
    expected: fillOnce(state).allocation ?? null,
    maxLength: bound.maxLength,
    unbounded: unboundedReasons(model),
    nextSnapshot: null,
    findings: discardFindings(bound.savedBytes, state),
  });
}

/** The strict bound of a planned image, without what the filesystem charges and without a replay of the guest's writes. */
export function plannedQcow2Bound(model: GrowthModel, facts: FileFacts): Bound {
  return boundOf(qcow2State(model, facts));
}

/** The strict bound with what the filesystem charges. Units: bytes. */
export function chargedBound(state: Qcow2State): number {
  const bound = boundOf(state);
  return sumOfComponents([...bound.components, ...hostCharges(state.facts, growthOf(state, bound))]);
}

function boundOf(state: Qcow2State): Bound {
  return state.facts.map === undefined ? boundByStat(state) : boundByMap(state, state.facts.map);
}

/** How the file grows to its bound, for what the filesystem charges. */
function growthOf(state: Qcow2State, { components, maxLength }: Bound): Growth {
  const { header } = state.model;
  const storage = sumOfComponents(components);
  const grain = header.extendedL2 ? header.clusterSize / 32 : header.clusterSize;
  return { storage, maxLength, grain, scattered: scatteredBytes(state, storage) };
}

/** QEMU refuses to write an image that is marked corrupt: it does not change until it is repaired. */
function unwritable(facts: FileFacts, { header }: GrowthModel, findings: readonly Finding[]): Figures {
  const growth = { storage: facts.allocation, maxLength: facts.length, grain: facts.fsBlockSize, scattered: 0, isFixed: true };
  const components = [component('allocated', facts.map === undefined ? facts.allocation : storedBytes(facts.map))];
  return finish(facts, components, growth, {
    capacity: header.capacity,
    expected: facts.allocation,
    maxLength: facts.length,
    unbounded: [],
    nextSnapshot: null,
    findings,
  });
}

/** What can still be written at places of its own: everything that is not appended, and the tables in between, which come late. */
function scatteredBytes(state: Qcow2State, storage: number): number {
  const end = state.used.end() * state.geometry.clusterSize;
  const stored = state.facts.map === undefined ? state.facts.allocation : storedBytes(state.facts.map);
  const inPlace = Math.max(0, Math.min(storage, end) - Math.min(stored, end));
  return inPlace + state.model.tablesNeeding * state.geometry.clusterSize;
}

/** By how much the commitment rises when an internal snapshot is taken now; `commitment` is that of the image without it. */
function nextSnapshot(state: Qcow2State, commitment: number): { bytes: number } | null {
  if (whyNoSnapshot(state.model) !== undefined) return null;
  const after = afterSnapshot(state);
  const charged = chargedBound(after) + sharedBlock(state);
  const least = Math.max(charged - oldTableBytes(state), fillAfterSnapshot(state).allocation ?? 0);
  return { bytes: Math.max(0, least - commitment) };
}

/** Where clusters share a block of the host, the pieces of a snapshot can begin one more. */
function sharedBlock({ facts, geometry }: Qcow2State): number {
  return geometry.clusterSize < facts.fsBlockSize ? facts.fsBlockSize : 0;
}

/** Storage of the present snapshot table, which is given back once the new one stands. */
function oldTableBytes({ model, facts, geometry }: Qcow2State): number {
  const { map } = facts;
  if (map === undefined || geometry.clusterSize < facts.fsBlockSize) return 0;
  const start = model.header.snapshotsOffset;
  const end = start + roundUp(model.snapshotTable.byteLength, geometry.clusterSize);
  return map.reduce(
    (sum, range) => sum + Math.max(0, Math.min(end, range.fileOffset + range.byteLength) - Math.max(start, range.fileOffset)),
    0,
  );
}

/** What `finish` cannot derive. */
export type FigureContext = Pick<Figures, 'capacity' | 'expected' | 'maxLength' | 'unbounded' | 'nextSnapshot' | 'findings'>;

/** Adds the host's charges and sees to it that the components sum to a commitment that is never below the allocation. */
export function finish(facts: FileFacts, own: readonly Component[], growth: Growth, rest: FigureContext): Figures {
  const components = [...own, ...hostCharges(facts, growth)];
  const sum = sumOfComponents(components);
  const least = Math.max(facts.allocation, rest.expected ?? 0);
  if (sum < least) components.push(component('allocated-or-expected', least - sum));
  const commitment = Math.max(sum, least);
  const { capacity, expected, maxLength, unbounded, nextSnapshot: next, findings } = rest;
  const excess = mapExcess(facts, growth, components);
  return {
    capacity,
    expected,
    maxLength,
    unbounded,
    nextSnapshot: next,
    length: facts.length,
    allocation: facts.allocation,
    commitment,
    residual: commitment - facts.allocation,
    reclaimable: sumOfComponents(components, 'host-cow-preallocation'),
    mapExcess: excess,
    method: facts.map === undefined ? 'stat' : 'map',
    components,
    findings: [...findings, ...hostFindings(facts), ...mapFindings(facts, excess), ...largestFileFindings(facts, rest)],
  };
}
