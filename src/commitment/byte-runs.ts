/** Cluster sets and storage maps as ascending byte ranges. */
import type { Range } from '#base';
import type { StorageMap } from '#block';
import type { ClusterSet } from '#formats';

/** The runs of a cluster set as byte runs. */
export function* clusterBytes(clusters: ClusterSet, clusterSize: number): Generator<Range> {
  for (const { start, end } of clusters.runs()) yield { start: start * clusterSize, end: end * clusterSize };
}

/** The stored ranges of a map as byte runs. */
export function* mapBytes(map: StorageMap): Generator<Range> {
  for (const { fileOffset, byteLength } of map) yield { start: fileOffset, end: fileOffset + byteLength };
}
