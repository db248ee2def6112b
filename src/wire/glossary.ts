/**
 * The glossary: one word per concept, each with one definition. `--help`, the manual page, the JSON documents, the metrics, the
 * dashboard and docs/glossary.md all take their definitions from here. Browser-safe.
 */

/** The figures of images and stores, as reports and metrics name them. */
export const DEFINITIONS = {
  capacity: 'size of the disk as the guest sees it',
  length: 'size of the file: its highest byte offset (st_size)',
  allocation: 'storage used now (st_blocks x 512)',
  commitment: 'maximum storage the image can ever use, without a new internal snapshot, bitmap or resize',
  expected: 'storage used after the guest has written every byte once',
  residual: 'commitment - allocation: worst-case further growth',
  exclusive: 'bytes freed if this image were deleted',
  shared: 'bytes shared with other files',
  headroom: 'available - residual - reserved - floor; negative means overcommitted',
} as const;

/** Every word that the dashboard explains: the figures, and the words of stores and policies. */
export const WORDS = {
  ...DEFINITIONS,
  'max length': 'upper bound on the length: the highest byte offset that the file can reach',
  'next snapshot': 'what one more internal snapshot could add to the commitment',
  'growth rate': 'bytes per second: the lowest and the highest rate consistent with the samples',
  size: 'total bytes of the filesystem',
  available: 'bytes an unprivileged process can still write, as df reports them',
  images: 'storage that all images of the store use now; shared blocks count once',
  others: 'storage used by other files and by filesystem metadata',
  kept: 'bytes the filesystem reserves for root and for itself: neither used nor available',
  reserved: 'bytes reserved for images that do not exist yet',
  floor: 'bytes that must always remain free',
  'load line': 'size - floor: the space above it must stay free',
  waterline: 'how full the store will be with everything its policy counts; above the load line it is overcommitted',
  remaining: 'bytes that remain under the policy in force; negative means that it does not fit',
  promise: 'policy: every future guest write must fit',
  growth: 'policy: the expected growth until an administrator can react must fit',
  entitled: 'policy: the allocation and a share of the residual must fit',
} as const;

/** The words for things, processes and states, for docs/glossary.md. */
const CONCEPTS = {
  image: 'a file that holds the disk of a VM, in any of the supported formats',
  store: 'one filesystem that holds images, however many of its directories are scanned',
  guest: 'the operating system inside a VM; the machine that runs the VM is the host',
  'backing file': 'the image that supplies the data an overlay has not stored itself (VHD and VHDX: the parent of a differencing image)',
  overlay: 'an image that stores only its differences from a backing file',
  component: 'one summand of a sum: the components of an image add up to its commitment',
  range: 'an interval of bytes, from an offset and with a length',
  offset: 'a position in a file, in bytes from its start',
  scan: 'one pass over the directories: finds the images and computes the figures of each store',
  monitor: 'the part of the daemon that scans at intervals and whenever files change',
  watch: 'notification by the kernel (inotify) that a directory has changed',
  finding: 'a statement about an image, a store or the daemon that an administrator should know, with a level and a code',
  verdict: 'the result of vetting an untrusted image: attach, convert or refuse, among others',
  'underlying storage': 'the storage below a filesystem: disks, thin pools, loop devices, quotas, and whatever else limits it',
  caveat: 'a reason why the available space of a store is not guaranteed; some are covered by a declaration',
  declaration: 'a fact that plimsoll cannot determine and the administrator vouches for (--assume)',
  admission: 'the decision whether a new or a growing image fits a store under its policy',
  policy: 'the rule by which admission decides: promise, growth or entitled',
  reservation: 'space set aside for an image that does not exist yet',
  held: 'of a reservation: in force',
  released: 'of a reservation: ended by request',
  expired: 'of a reservation: ended because its lifetime was over',
  fulfilled: 'of a reservation: ended because its image exists and counts by itself',
  shortfall: 'bytes that are missing: what must be freed before a request fits',
  overcommitted: 'of a store: its images can grow beyond the space that is available to them',
  unknown: 'not determined, with a finding that gives the reason; never counted as zero',
  worker: 'a confined process that parses untrusted images for another process',
  sandbox: 'the confinement of the process that parses untrusted images: namespaces, resource limits and a seccomp filter',
  quarantine: 'renaming a damaged file, so that it is kept for analysis and no longer used',
} as const;

export interface GlossarySection {
  readonly title: string;
  readonly words: Readonly<Record<string, string>>;
}

const { promise, growth, entitled, ...WORDS_OF_FIGURES } = WORDS;

export const GLOSSARY: readonly GlossarySection[] = [
  { title: 'Figures', words: WORDS_OF_FIGURES },
  { title: 'Policies', words: { promise, growth, entitled } },
  { title: 'Concepts', words: CONCEPTS },
];

/** docs/glossary.md, which a test holds equal to this. */
export function glossaryPage(): string {
  const sections = GLOSSARY.map(({ title, words }) => {
    const rows = Object.entries(words).map(([word, meaning]) => `| **${word}** | ${meaning.replaceAll('|', String.raw`\|`)} |`);
    return [`## ${title}`, '', '| word | meaning |', '|---|---|', ...rows].join('\n');
  });
  const head =
    '# Glossary\n\nOne word per concept. The dashboard, `--help`, the manual page, the JSON documents and the metrics use the same\n' +
    'definitions: all come from `src/wire/glossary.ts`, and so does this page (`npx vitest run tests/architecture/glossary -u`\n' +
    'rewrites it).';
  return `${[head, ...sections].join('\n\n')}\n`;
}
