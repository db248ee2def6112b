/** Entries of the snapshot table that QEMU's check calls incomplete. Source: qcow2 spec, "Snapshots". */
import type { Header } from '../header.ts';
import type { SnapshotTable } from '../snapshot.ts';
import type { Unsound } from './check-result.ts';

/** Version 3 demands the wide size of the VM state and the disk's size. */
export function* snapshotFaults({ snapshots }: SnapshotTable, { version, snapshotsOffset }: Header): Generator<Unsound> {
  for (const { diskSize, name } of snapshots) {
    if (version === 3 && diskSize === undefined)
      yield { at: snapshotsOffset, what: `the entry of snapshot ${JSON.stringify(name.slice(0, 40))} does not hold its disk size` };
    else if (diskSize !== undefined && !Number.isSafeInteger(diskSize))
      yield { at: snapshotsOffset, what: `a snapshot has a disk of ${diskSize} bytes` };
  }
}
