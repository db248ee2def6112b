/** Every cluster holds one structure: two that claim the same one are corruption, and writing either destroys the other. */
import { PlimsollError } from '#base';
import { type ChunkBudget, ClusterSet } from '../../clusters/index.ts';

export class MetadataClaims {
  readonly #claimed: ClusterSet;

  constructor(budget: ChunkBudget) {
    this.#claimed = new ClusterSet(budget);
  }

  /** Clusters [start, end) hold `what`. Throws: corrupt, when one of them already holds something. */
  claim(start: number, end: number, what: string, clusterSize: number): void {
    for (let cluster = start; cluster < end; cluster += 1) if (this.#claimed.has(cluster)) throw overlap(what, cluster * clusterSize);
    this.#claimed.addRun(start, end);
  }

  /** The first claimed cluster that holds guest data too. */
  firstWith(data: ClusterSet): number | undefined {
    return data.firstCommon(this.#claimed);
  }

  /** Throws: corrupt, when guest data that is written in place lies in a claimed cluster. */
  refuseData(data: ClusterSet, clusterSize: number): void {
    const common = this.firstWith(data);
    if (common !== undefined) throw overlap('guest data', common * clusterSize);
  }
}

function overlap(what: string, at: number): PlimsollError {
  return new PlimsollError('corrupt', 'QCOW2_OVERLAP', {
    doing: 'read qcow2 tables',
    field: what,
    at,
    found: 'in a cluster that holds another structure',
    expected: 'clusters of its own',
  });
}
