/** Which host clusters hold which guest clusters of a preallocated image: three columns, ascending by guest cluster. */

export interface DataRun {
  readonly guestCluster: number;
  readonly hostCluster: number;
  readonly clusterCount: number;
}

/** Columns instead of objects: 128 GiB of 512-byte clusters are four million runs. */
export class DataRuns {
  readonly #guest: number[] = [];
  readonly #host: number[] = [];
  readonly #count: number[] = [];

  get length(): number {
    return this.#guest.length;
  }

  /** Adds the run behind the last one, joined with it where both sides continue. */
  add(guestCluster: number, hostCluster: number, clusterCount: number): void {
    const last = this.#guest.length - 1;
    const lastCount = this.#count[last] ?? 0;
    if (
      last >= 0 &&
      (this.#guest[last] as number) + lastCount === guestCluster &&
      (this.#host[last] as number) + lastCount === hostCluster
    ) {
      this.#count[last] = lastCount + clusterCount;
      return;
    }
    this.#guest.push(guestCluster);
    this.#host.push(hostCluster);
    this.#count.push(clusterCount);
  }

  at(index: number): DataRun {
    return {
      guestCluster: this.#guest[index] as number,
      hostCluster: this.#host[index] as number,
      clusterCount: this.#count[index] as number,
    };
  }

  *[Symbol.iterator](): Generator<DataRun> {
    for (let index = 0; index < this.length; index += 1) yield this.at(index);
  }
}
