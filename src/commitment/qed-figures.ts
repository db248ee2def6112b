/**
 * Figures of a QED image by QEMU's rules (7.2, block/qed.c): a cluster without data takes the next place behind the last whole
 * cluster of the file and is written whole; a missing L2 table comes so too. A place that was taken is never used for another
 * cluster, and no guest write gives one up: what an interrupted write leaked stays in the file's length, and is counted there.
 */
import { type Range, roundUp } from '#base';
import type { FileFacts } from '#block';
import { type QedCensus, QED_WITHOUT_TABLE } from '#formats';
import { component } from '#wire';
import { growthFigures } from './block-growth.ts';
import { clusterBytes } from './byte-runs.ts';
import type { Figures } from './figures.ts';
import { qedFindings } from './findings-qed.ts';

const SECTOR = 512;
const ENTRY_BYTES = 8;

export function qedFigures(census: QedCensus, facts: FileFacts): Figures {
  const { header, needing, missingTables } = census;
  const { clusterSize, tableBytes, capacity, usedBytes } = header;
  const dataBytes = needing * clusterSize;
  const tables = missingTables * tableBytes;
  const appended = needing === 0 ? undefined : { start: usedBytes, end: usedBytes + dataBytes + tables };
  const figures = growthFigures(facts, {
    capacity,
    inPlace: () => [clusterBytes(census.dataClusters, clusterSize), needing === 0 ? [] : tableRuns(census)],
    appended,
    parts: [component('guest-data', dataBytes), component('l2-tables', tables)],
    neverWritten: 0,
    neverWrittenEnd: appended?.end ?? 0,
    wholeBlocks: true,
    blockSize: clusterSize,
  });
  return { ...figures, findings: [...figures.findings, ...qedFindings(header)] };
}

/** The header, the L1 table, and the L2 tables: sectors of them are written in place. Ascending. */
function tableRuns({ header, l1, entriesOf }: QedCensus): Range[] {
  const { clusterSize, l1Offset, l1Entries } = header;
  const runs: Range[] = [
    { start: 0, end: SECTOR },
    { start: l1Offset, end: l1Offset + roundUp(l1Entries * ENTRY_BYTES, SECTOR) },
  ];
  for (const [index, cluster] of l1.entries()) {
    if (cluster === QED_WITHOUT_TABLE) continue;
    const start = cluster * clusterSize;
    runs.push({ start, end: start + roundUp(entriesOf(index) * ENTRY_BYTES, SECTOR) });
  }
  return runs.sort((a, b) => a.start - b.start);
}
