/**
 * The figures as Prometheus reads them: text exposition format 0.0.4.
 *
 * What is not known has no sample: 0 is a figure. A time that is never reached is +Inf. A store that has vanished, or was
 * not scanned yet, shows no figures of what lies on it, and its images none. Source: prometheus.io/docs/instrumenting/exposition_formats.
 */
import { escapeForTerminal, yieldToEventLoop } from '#base';
import type { StoreService } from '#service';
import { DEFINITIONS, type FindingLevel, type ImageView, type Level, type Outlook, type StatusReport, type StoreView } from '#wire';

export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Images with samples, six each: those with the largest residual first; the others are only counted. */
export const MAX_METRIC_IMAGES = 20_000;
/** Maximum characters of a label. Longer names, which only an attacker creates, are cut, so that a scrape stays bounded. */
export const MAX_LABEL_CHARACTERS = 512;
/** Lines written without a pause: about a millisecond. */
const LINES_PER_PIECE = 1000;
/** Longest time that is written without a pause. */
const TURN_MS = 10;
/** Maximum bytes of a chunk. */
const BYTES_PER_PIECE = 256 * 1024;

const LEVELS: readonly Level[] = ['ok', 'warning', 'critical', 'unknown'];
const FINDING_LEVELS: readonly FindingLevel[] = ['info', 'warning', 'critical'];

type Labels = Readonly<Record<string, string>>;
/** One value of a metric; null: unknown, no sample. */
type Sample = readonly [value: number | null, labels?: Labels];

interface Metric<Subject> {
  readonly name: string;
  readonly help: string;
  readonly samples: (subject: Subject) => readonly Sample[];
}

/** all: every sample; nameless: no samples of images, and no mount points, which are paths. */
export type MetricsScope = 'all' | 'nameless';

/** All samples of this moment. Throws: what `service` throws. */
export async function metricsText(service: StoreService, scope: MetricsScope = 'all'): Promise<string> {
  const { pieces, images, present } = await headPieces(service, scope);
  return [...pieces, ...imagePieces(images, present)].join('');
}

/** The same text piece by piece, and others get their turn between the pieces. The samples are of the moment of the first one. */
export async function* metricsChunks(service: StoreService, scope: MetricsScope = 'all'): AsyncGenerator<Buffer, void, void> {
  const { pieces, images, present } = await headPieces(service, scope);
  yield Buffer.from(pieces.join(''));
  const bytes = await writtenImages(images, present);
  for (let at = 0; at < bytes.length; at += BYTES_PER_PIECE) yield bytes.subarray(at, at + BYTES_PER_PIECE);
}

/** The metrics of the daemon and of stores, and the images with samples. */
async function headPieces(
  service: StoreService,
  scope: MetricsScope,
): Promise<{ pieces: string[]; images: readonly ImageView[]; present: ReadonlySet<string> }> {
  const status = await service.status();
  const { shown, omittedCount } = scope === 'all' ? await imagesOf(service) : { shown: [], omittedCount: null };
  const stores = status.stores.map((store) => [store, labelsText(labelsOf(store, scope))] as const);
  const pieces = [
    ...DAEMON_METRICS.map((metric) => familyOf(metric, [[{ status, omittedCount }, '']])),
    ...STORE_METRICS.map((metric) => familyOf(metric, stores)),
  ];
  return { pieces, images: shown, present: new Set(status.stores.filter(isKnown).map(({ id }) => id)) };
}

function labelsOf({ id, mount }: StoreView, scope: MetricsScope): Labels {
  return scope === 'all' ? { store: id, mount } : { store: id };
}

/** What was written of a list of images, and of which stores: a service gives the same list as long as nothing changes. */
const written = new WeakMap<readonly ImageView[], { readonly stores: string; readonly bytes: Promise<Buffer> }>();

/** Written once for all who scrape, in turns with the rest. */
function writtenImages(images: readonly ImageView[], present: ReadonlySet<string>): Promise<Buffer> {
  const stores = JSON.stringify([...present]);
  const known = written.get(images);
  if (known?.stores === stores) return known.bytes;
  const bytes = writeImages(images, present);
  written.set(images, { stores, bytes });
  return bytes;
}

async function writeImages(images: readonly ImageView[], present: ReadonlySet<string>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let began = performance.now();
  for (const piece of imagePieces(images, present)) {
    if (piece !== '') pieces.push(Buffer.from(piece));
    if (performance.now() - began < TURN_MS) continue;
    await yieldToEventLoop();
    began = performance.now();
  }
  return Buffer.concat(pieces);
}

/** Pieces of the text in order; some are empty, where work was done. */
function* imagePieces(images: readonly ImageView[], present: ReadonlySet<string>): Generator<string, void, void> {
  const ofImages: LabelledImage[] = [];
  for (const slice of slices(images.filter(({ store }) => present.has(store)))) {
    for (const image of slice) ofImages.push(labelled(image));
    yield '';
  }
  for (const metric of IMAGE_METRICS) yield* imageFamilyOf(metric, ofImages);
}

interface ShownImages {
  readonly shown: readonly ImageView[];
  readonly omittedCount: number;
}

/** At most MAX_METRIC_IMAGES of them. */
async function imagesOf(service: StoreService): Promise<ShownImages> {
  const query = { sort: 'residual', descending: true } as const;
  const whole = await service.queryImages({ ...query, offset: 0, limit: MAX_METRIC_IMAGES });
  if (whole.images.length === Math.min(whole.total, MAX_METRIC_IMAGES))
    return { shown: whole.images, omittedCount: whole.total - whole.images.length };
  const seen: ImageView[] = [];
  let total = 0;
  do {
    const limit = MAX_METRIC_IMAGES - seen.length;
    const page = await service.queryImages({ ...query, offset: seen.length, limit });
    total = page.total;
    if (page.images.length === 0) break;
    for (const image of page.images.slice(0, limit)) seen.push(image);
  } while (seen.length < Math.min(total, MAX_METRIC_IMAGES));
  return { shown: seen, omittedCount: total - seen.length };
}

function isKnown(store: StoreView): boolean {
  return store.presence === 'present' && store.scannedAt !== null;
}

/** An image and the text after the name of each of its metrics, up to the value. */
interface LabelledImage {
  readonly image: ImageView;
  readonly behindName: string;
}

/** A name that cannot be shown as it is gets the image's id beside it, so that no two images share their labels. */
function labelled(image: ImageView): LabelledImage {
  const { store, path, machine, id } = image;
  const domain = machine === null ? '' : `,domain="${labelValue(machine)}"`;
  const which = isShownExactly(path) ? '' : `,image="${labelValue(id)}"`;
  return { image, behindName: `{store="${labelValue(store)}",path="${labelValue(path)}"${domain}${which}} ` };
}

// ---- what is told -------------------------------------------------------------------------------------------------------

interface Daemon {
  readonly status: StatusReport;
  /** null: images are not in the scope. */
  readonly omittedCount: number | null;
}

const DAEMON_METRICS: readonly Metric<Daemon>[] = [
  {
    name: 'plimsoll_build_info',
    help: 'the version of plimsoll and the id of its host, if known; always 1',
    samples: ({ status: { version, host } }) => [[1, host.id === null ? { version } : { version, host: host.id }]],
  },
  {
    name: 'plimsoll_start_timestamp_seconds',
    help: 'start time of the daemon, seconds since 1970',
    samples: ({ status }) => [[secondsOf(status.startedAt)]],
  },
  {
    name: 'plimsoll_findings',
    help: 'findings about the daemon and its configuration; listed by `plimsoll status`',
    samples: ({ status }) =>
      FINDING_LEVELS.map((level) => [status.findings.filter((finding) => finding.level === level).length, { level }]),
  },
  {
    name: 'plimsoll_images_omitted',
    help: `images without samples, because there are more than ${MAX_METRIC_IMAGES}; those with the smallest residual`,
    samples: ({ omittedCount }) => [[omittedCount]],
  },
];

const STORE_METRICS: readonly Metric<StoreView>[] = [
  {
    name: 'plimsoll_store_present',
    help: '1 if the filesystem is present, 0 if it has disappeared (figures are the last known)',
    samples: ({ presence }) => [[presence === 'present' ? 1 : 0]],
  },
  ofStore('size_bytes', 'size of the filesystem', ({ size }) => size),
  ofStore('available_bytes', 'bytes an unprivileged process can still write to the filesystem', ({ available }) => available),
  ofStore('allocation_bytes', `${DEFINITIONS.allocation}; all images together, shared blocks once`, ({ allocation }) => allocation),
  ofStore(
    'commitment_bytes',
    `${DEFINITIONS.commitment}; all images together, each file once; absent: unknown or unbounded`,
    ({ commitment }) => commitment,
  ),
  ofStore('residual_bytes', `${DEFINITIONS.residual}; all images together, un-sharing included`, ({ residual }) => residual),
  {
    name: 'plimsoll_store_reserved_bytes',
    help: 'bytes reserved for images that do not exist yet',
    samples: ({ reserved }) => [[reserved]],
  },
  ofStore('shared_bytes', 'bytes shared by more than one file, counted once', ({ shared }) => shared),
  ofStore('headroom_bytes', DEFINITIONS.headroom, ({ headroom }) => headroom),
  {
    name: 'plimsoll_store_floor_bytes',
    help: 'bytes that must always remain free',
    samples: ({ floor }) => [[floor]],
  },
  {
    name: 'plimsoll_store_seconds_to_full',
    help: 'seconds until available space reaches 0: earliest at the high growth estimate, latest at the low one; +Inf: never, even if every image is filled; absent: unknown',
    samples: (store) => (isKnown(store) ? boundsOf(store.forecast.toFull) : []),
  },
  {
    name: 'plimsoll_store_level',
    help: 'alert level of the store: 1 for the current level, 0 for the others',
    samples: (store) => LEVELS.map((level) => [store.level === level ? 1 : 0, { level }]),
  },
  ofStore('images', 'image files found', ({ imageCount }) => imageCount),
  ofStore('unreadable_images', 'image files that could not be read; the sums exclude them', ({ unreadableCount }) => unreadableCount),
  {
    name: 'plimsoll_store_last_scan_timestamp_seconds',
    help: 'end of the last scan of the store, seconds since 1970; absent: not scanned yet',
    samples: ({ scannedAt }) => [[scannedAt === null ? null : secondsOf(scannedAt)]],
  },
  {
    name: 'plimsoll_store_last_scan_duration_seconds',
    help: 'duration of the last scan of the store',
    samples: ({ scanSeconds }) => [[scanSeconds]],
  },
];

interface ImageMetric {
  readonly name: string;
  readonly help: string;
  readonly valueOf: (image: ImageView) => number | null;
}

const IMAGE_METRICS: readonly ImageMetric[] = [
  { name: 'plimsoll_image_capacity_bytes', help: DEFINITIONS.capacity, valueOf: ({ capacity }) => capacity },
  { name: 'plimsoll_image_length_bytes', help: DEFINITIONS.length, valueOf: ({ length }) => length },
  { name: 'plimsoll_image_allocation_bytes', help: DEFINITIONS.allocation, valueOf: ({ allocation }) => allocation },
  { name: 'plimsoll_image_commitment_bytes', help: DEFINITIONS.commitment, valueOf: ({ commitment }) => commitment },
  { name: 'plimsoll_image_residual_bytes', help: DEFINITIONS.residual, valueOf: ({ residual }) => residual },
  { name: 'plimsoll_image_exclusive_bytes', help: DEFINITIONS.exclusive, valueOf: ({ exclusive }) => exclusive },
];

/** A figure of a present store, which only a scan can supply. */
function ofStore(name: string, help: string, valueOf: (store: StoreView) => number | null): Metric<StoreView> {
  return { name: `plimsoll_store_${name}`, help, samples: (store) => [[isKnown(store) ? valueOf(store) : null]] };
}

function boundsOf({ outcome, earliest, latest }: Outlook): readonly Sample[] {
  if (outcome === 'unknown') return [];
  const within = (seconds: number | null): number => (outcome === 'reached' ? 0 : outcome === 'never' ? Infinity : (seconds ?? Infinity));
  return [
    [within(earliest), { bound: 'earliest' }],
    [within(latest), { bound: 'latest' }],
  ];
}

function secondsOf(time: string): number {
  return Date.parse(time) / 1000;
}

// ---- the format ---------------------------------------------------------------------------------------------------------

function familyOf<Subject>({ name, help, samples }: Metric<Subject>, subjects: readonly (readonly [Subject, string])[]): string {
  const lines = subjects.flatMap(([subject, common]) =>
    samples(subject).flatMap(([value, own]) => {
      const labels = own === undefined ? common : [common, labelsText(own)].filter((text) => text !== '').join(',');
      return value === null ? [] : [lineOf(name, labels, value)];
    }),
  );
  return lines.length === 0 ? '' : headOf(name, help) + lines.join('');
}

function* imageFamilyOf({ name, help, valueOf }: ImageMetric, images: readonly LabelledImage[]): Generator<string, void, void> {
  let head = headOf(name, help);
  for (const slice of slices(images)) {
    let lines = '';
    for (const { image, behindName } of slice) {
      const value = valueOf(image);
      if (value !== null) lines += `${name}${behindName}${value}\n`;
    }
    if (lines === '') continue;
    yield head + lines;
    head = '';
  }
}

function* slices<T>(list: readonly T[]): Generator<readonly T[], void, void> {
  for (let first = 0; first < list.length; first += LINES_PER_PIECE) yield list.slice(first, first + LINES_PER_PIECE);
}

function headOf(name: string, help: string): string {
  return `# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n# TYPE ${name} gauge\n`;
}

function lineOf(name: string, labels: string, value: number): string {
  const text = value === Infinity ? '+Inf' : value;
  return labels === '' ? `${name} ${text}\n` : `${name}{${labels}} ${text}\n`;
}

function labelsText(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${labelValue(value)}"`)
    .join(',');
}

/** Printable ASCII without what the format escapes: nearly every name. */
const PLAIN = /^[ !#-[\]-~]*$/;

/**
 * Quotes, backslashes and line ends are escaped as the format wants it and come out as they were. Other control characters
 * and what turns text around, which the format would let through, are shown as `\x1b`: a label ends in terminals and in mails.
 */
function labelValue(text: string): string {
  const cut = text.length <= MAX_LABEL_CHARACTERS ? text : `${text.slice(0, MAX_LABEL_CHARACTERS - 1)}…`;
  if (PLAIN.test(cut)) return cut;
  return Array.from(cut, escapedCharacter).join('');
}

function escapedCharacter(character: string): string {
  if (character === '\n') return '\\n';
  if (character === '"') return '\\"';
  if (character === '\\') return '\\\\';
  return escapeForTerminal(character).replaceAll('\\', '\\\\');
}

/** Whether the label of `text` comes out as `text`. A byte that is not UTF-8 is not. */
function isShownExactly(text: string): boolean {
  if (text.length > MAX_LABEL_CHARACTERS) return false;
  if (PLAIN.test(text)) return true;
  return Array.from(text).every((character) => character === '\n' || character === '\\' || escapeForTerminal(character) === character);
}
