/**
 * The rows of the threat table that a verdict answers for, 1 to 26 and 56 to 59, each with the vectors that try it: those of
 * `vet-vectors.ts` say their row themselves, those of the formats are listed here as `<format>/<name>`.
 */

export interface ThreatRow {
  readonly row: number;
  readonly attack: string;
  /** Beside those of `VET_VECTORS` that name the row. */
  readonly vectors?: readonly string[];
  /** Where an attack is a course of events and no file: the tests of vet.test.ts, by their titles. */
  readonly tests?: readonly string[];
  /** What of the row reading metadata does not meet, and why. */
  readonly notMet?: string;
}

export const THREAT_ROWS: readonly ThreatRow[] = [
  { row: 1, attack: 'qcow2 backing file' },
  { row: 2, attack: 'qcow2 external data file' },
  {
    row: 3,
    attack: 'declared as another format',
    vectors: ['vdi/corrupt--signature', 'vhdx/corrupt--signature', 'vmdk/corrupt--other-magic'],
  },
  {
    row: 4,
    attack: 'VMDK extents that are other files',
    vectors: [
      'vmdk/refused--flat-inside',
      'vmdk/refused--extent-name-0',
      'vmdk/refused--extent-name-1',
      'vmdk/refused--flat-extent-of-a-sparse-image',
    ],
  },
  { row: 5, attack: 'VMDK with a hidden descriptor', vectors: ['vmdk/refused--capacity-0-hidden-descriptor'] },
  {
    row: 6,
    attack: 'VMDK footer against header, parent hints',
    vectors: [
      'vmdk/refused--parent-hint',
      'vmdk/refused--parent-cid',
      'vmdk/refused--parent-in-a-comment',
      'vmdk/corrupt--footer-of-another-capacity',
      'vmdk/corrupt--footer-of-other-flags',
    ],
  },
  {
    row: 7,
    attack: 'VHD and VHDX parents, VDI parent UUID',
    vectors: [
      'vhd/unsupported--differencing',
      'vhdx/refused--differencing',
      'vdi/unsupported--parent-uuid',
      'vdi/unsupported--link-uuid',
      'vdi/unsupported--differencing',
    ],
  },
  {
    row: 8,
    attack: 'OVA',
    notMet: 'Members, links, manifest and XML: an archive is recognised and refused, never unpacked here.',
  },
  { row: 9, attack: 'chains that loop or never end', notMet: 'Mutual reference and depth: a verdict opens no second file.' },
  { row: 10, attack: 'undeclared formats' },
  { row: 11, attack: 'signatures that do not lie in the first sector' },
  { row: 12, attack: 'disc under a qcow2' },
  { row: 13, attack: 'filesystem under a qcow2' },
  { row: 14, attack: 'disc with a partition table' },
  {
    row: 15,
    attack: 'partition tables that disagree',
    notMet: "Entries, checksums, overlaps: a partition table is the guest's data. It is named, and nothing is mounted by it.",
  },
  { row: 16, attack: 'boot sectors that look like partition tables' },
  {
    row: 17,
    attack: 'images inside of images',
    notMet: "The inner image: it is the guest's data, which no verdict reads. Wrappings are refused.",
  },
  { row: 18, attack: 'drivers chosen by a name or a trailer' },
  {
    row: 19,
    attack: 'huge tables in a tiny file',
    vectors: [
      'vmdk/corrupt--capacity-huge-in-tiny-file',
      'vhd/corrupt--table-behind-file',
      'vdi/corrupt--map-behind-file',
      'vhdx/corrupt--capacity-64-tib-in-small-bat',
    ],
  },
  { row: 20, attack: 'tens of thousands of snapshots', vectors: ['qcow2/corrupt--snapshots-65537'] },
  {
    row: 21,
    attack: 'table entries that share a place',
    vectors: [
      'vmdk/corrupt--gd-entries-at-one-table',
      'vhd/corrupt--block-twice',
      'vdi/corrupt--block-twice',
      'vhdx/corrupt--block-twice',
      'qcow2/corrupt--l1-entries-at-one-l2',
    ],
  },
  { row: 22, attack: 'compressed clusters', notMet: "What they hold is not decompressed for a verdict; the readers' own vectors do." },
  {
    row: 23,
    attack: 'impossible sizes',
    vectors: [
      'vmdk/corrupt--capacity-all-ones',
      'vhd/corrupt--size-2-to-53',
      'vdi/corrupt--disk-size-2-to-53',
      'vhdx/corrupt--capacity-all-ones',
    ],
  },
  {
    row: 24,
    attack: 'more memory or time than an image is worth',
    vectors: [
      'qcow2/over-budget--bitmap-table-2-to-20-entries',
      'vmdk/unsupported--capacity-of-too-many-tables',
      'vhd/over-budget--table-entries-all-ones',
      'vdi/over-budget--blocks-all-ones',
      'vhdx/over-budget--log-entries-overlap',
      'vhdx/over-budget--log-zeros-many',
      'vhdx/over-budget--log-65-mib',
    ],
  },
  { row: 25, attack: 'sparse bombs', notMet: 'Copying out: a verdict copies nothing.' },
  { row: 26, attack: 'compressed uploads', notMet: 'Budget of the output: nothing is decompressed.' },
  {
    row: 56,
    attack: 'swapped between verdict and use',
    tests: ['is judged by the object that was opened, whichever file has its name by then', 'is refused while a QEMU writes to it'],
  },
  { row: 57, attack: 'growing upload', tests: ['is refused if it is written meanwhile'] },
  { row: 58, attack: 'reader that is made to wait', tests: ['is never opened when it is a %s'] },
  {
    row: 59,
    attack: 'QEMU changes what it opens',
    vectors: ['vmdk/read--unclean', 'vhd/report--torn-footer-at-end', 'vhdx/read--log-of-one-entry', 'vhdx/corrupt--log-writes-header'],
  },
];
