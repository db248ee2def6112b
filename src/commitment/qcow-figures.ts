/**
 * Figures of a qcow image of version 1 by QEMU's rules (7.2, block/qcow.c): a cluster without data, or compressed, takes the next
 * multiple of the cluster size behind the end of the file; so does a missing L2 table. No guest write frees a place: a compressed
 * cluster stays in the file once it is written anew, and is counted with the file's length.
 */
import { roundUp } from '#base';
import type { FileFacts } from '#block';
import type { QcowSurvey } from '#formats';
import { component } from '#wire';
import { growthFigures } from './block-growth.ts';
import { clusterBytes } from './byte-runs.ts';
import type { Figures } from './figures.ts';

const SECTOR = 512;
const ENTRY_BYTES = 8;

export function qcowFigures(survey: QcowSurvey, facts: FileFacts): Figures {
  const { header, clustersToAllocate, missingTables } = survey;
  const { clusterSize, l2Entries, capacity } = header;
  const data = clustersToAllocate * clusterSize;
  const tables = missingTables * roundUp(l2Entries * ENTRY_BYTES, clusterSize);
  const start = roundUp(facts.length, clusterSize);
  const appended = clustersToAllocate === 0 ? undefined : { start, end: start + data + tables };
  // QEMU fills a new cluster of an encrypted image whole.
  const isTailWritten = header.encryption !== 'none' || !survey.isTailUnallocated;
  return growthFigures(facts, {
    capacity,
    inPlace: () => [clusterBytes(survey.dataSectors, SECTOR), clustersToAllocate === 0 ? [] : clusterBytes(survey.metadataSectors, SECTOR)],
    appended,
    parts: [component('guest-data', data), component('l2-tables', tables)],
    neverWritten: isTailWritten ? 0 : roundUp(capacity, clusterSize) - capacity,
    neverWrittenEnd: appended?.end ?? 0,
    wholeBlocks: false,
    blockSize: clusterSize,
  });
}
