/** The references of L2 tables, added to the owners of clusters in runs. */
import type { ClusterOwners } from './cluster-owners.ts';
import type { EntryVisitor } from './l2-entries.ts';

export interface TableFindings {
  compressed(fileOffset: number, byteLength: number, entryAt: number, references: number): void;
  unsound(at: number, what: string): void;
}

/** Adds the references of one L2 table after the other, as often as the table itself is referred to. */
export class TableVisitor implements EntryVisitor {
  readonly #owners: ClusterOwners;
  readonly #findings: TableFindings;
  #isActive = false;
  #references = 1;
  #lastCluster = -1;
  /** Neighbours of one sort, not yet added: [start, end). */
  #start = 0;
  #end = 0;
  #isCopied = false;

  constructor(owners: ClusterOwners, findings: TableFindings) {
    this.#owners = owners;
    this.#findings = findings;
  }

  begin(isActive: boolean, references: number): void {
    this.#isActive = isActive;
    this.#references = references;
    this.#lastCluster = -1;
  }

  /** The highest cluster of the table's data, -1 without any; adds what is left. */
  lastCluster(): number {
    this.#flush();
    return this.#lastCluster;
  }

  standard(hostCluster: number, isCopied: boolean): void {
    if (hostCluster !== this.#end || isCopied !== this.#isCopied || this.#start === this.#end) {
      this.#flush();
      this.#start = hostCluster;
      this.#isCopied = isCopied;
    }
    this.#end = hostCluster + 1;
    if (hostCluster > this.#lastCluster) this.#lastCluster = hostCluster;
  }

  following(): void {
    if (this.#end > this.#lastCluster) this.#lastCluster = this.#end;
    this.#end += 1;
  }

  #flush(): void {
    const flag = this.#isActive ? (this.#isCopied ? 'copied' : 'shared') : 'other';
    this.#owners.add(this.#start, this.#end, 'guest data', flag, this.#references);
    this.#start = this.#end;
  }

  compressed(fileOffset: number, byteLength: number, entryAt: number): void {
    this.#findings.compressed(fileOffset, byteLength, entryAt, this.#references);
  }

  unsound(at: number, what: string): void {
    this.#findings.unsound(at, what);
  }
}
