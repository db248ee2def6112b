/**
 * What the HTTP API takes and gives, as JSON Schema: one schema for each shape of `wire/serve-reports.ts`, by which
 * requests are judged and from which the OpenAPI document is made. schemas.test.ts holds each to the type of the same name.
 */
import { type TObject, type TProperties, type TSchema, Type } from 'typebox';
import { ASSUMPTIONS } from '#base';
import { COMPONENT_CODES, IMAGE_FORMATS, LONGEST_TTL_SECONDS, MAX_KEY_LENGTH, POLICIES, SHORTEST_TTL_SECONDS } from '#wire';

/** An object that the OpenAPI document lists under `title`. */
function shape<P extends TProperties>(title: string, properties: P): TObject<P> {
  return Type.Object(properties, { title });
}

function nullable<S extends TSchema>(schema: S) {
  return Type.Union([schema, Type.Null()]);
}

const Bytes = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
/** Sums and what is left of them can be below zero. */
const SignedBytes = Type.Integer({ minimum: -Number.MAX_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER });
/** Nothing need not be held. */
const HeldBytes = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
const Seconds = Type.Number();
const Count = Type.Integer({ minimum: 0 });
const Time = Type.String({ format: 'date-time' });

// Apart from their messages: a test takes the two together for an error that is made.
const ERROR_CODE = { code: Type.String({ description: 'listed in docs/errors.md; never changes its meaning' }) };
const FINDING_CODE = { code: Type.String({ description: 'listed in docs/findings.md; never changes its meaning' }) };

export const ErrorSchema = shape('Error', {
  kind: Type.Enum(['usage', 'not-found', 'corrupt', 'unsupported', 'refused', 'over-budget', 'busy', 'io', 'conflict', 'bug']),
  ...ERROR_CODE,
  message: Type.String(),
  field: Type.Optional(Type.String()),
  at: Type.Optional(Type.Number()),
  found: Type.Optional(Type.Union([Type.String(), Type.Number(), Type.Boolean()])),
  expected: Type.Optional(Type.Union([Type.String(), Type.Number(), Type.Boolean()])),
});

export const ApiErrorSchema = shape('ApiError', { error: ErrorSchema });

export const FindingSchema = shape('Finding', {
  level: Type.Enum(['info', 'warning', 'critical']),
  ...FINDING_CODE,
  message: Type.String(),
});

export const ComponentSchema = shape('Component', {
  code: Type.Enum([...COMPONENT_CODES], { description: 'listed in docs/json.md; never changes its meaning' }),
  name: Type.String(),
  bytes: SignedBytes,
  explanation: Type.Optional(Type.String()),
});

const ChainLinkSchema = shape('ChainLink', {
  role: Type.Enum(['backing', 'data']),
  depth: Count,
  name: Type.String(),
  path: nullable(Type.String()),
  declaredFormat: nullable(Type.String()),
  format: nullable(Type.String()),
  status: Type.Enum(['opened', 'refused', 'missing', 'error']),
  reason: Type.Optional(Type.String()),
  capacity: nullable(Bytes),
  length: nullable(Bytes),
  allocation: nullable(Bytes),
  file: Type.Optional(Type.String()),
  commitGrowth: Type.Optional(nullable(Bytes)),
  commitUnknown: Type.Optional(Type.String()),
  reach: Type.Optional(Bytes),
  commitment: Type.Optional(Bytes),
});

export const GrowthSchema = shape('Growth', {
  low: nullable(Type.Number({ description: 'bytes per second' })),
  high: nullable(Type.Number({ description: 'bytes per second' })),
  samples: Count,
  spanSeconds: Seconds,
  unknown: nullable(Type.String({ description: 'why low and high are null' })),
});

export const OutlookSchema = shape('Outlook', {
  outcome: Type.Enum(['reached', 'expected', 'never', 'unknown']),
  earliest: nullable(Seconds),
  latest: nullable(Seconds),
  reason: nullable(Type.String()),
});

export const StoreForecastSchema = shape('StoreForecast', {
  growth: GrowthSchema,
  toWarning: OutlookSchema,
  toCritical: OutlookSchema,
  toFloor: OutlookSchema,
  toFull: OutlookSchema,
});

const PolicySchema = Type.Enum([...POLICIES]);

export const PolicySumSchema = shape('PolicySum', {
  policy: PolicySchema,
  components: Type.Array(ComponentSchema),
  remaining: nullable(Type.Number({ description: 'what the components add up to; what fits leaves at least 0' })),
  unknown: nullable(Type.String({ description: 'which component is not known' })),
});

export const LevelRuleSchema = shape('LevelRule', {
  bytes: nullable(Bytes),
  percent: nullable(Type.Number()),
  seconds: nullable(Seconds),
});

const Assumptions = Type.Array(Type.Enum([...ASSUMPTIONS]), {
  maxItems: 8,
  description: "the administrator's declarations of what lies below",
});

export const StoreRulesSchema = shape('StoreRules', {
  policy: PolicySchema,
  idleShare: Type.Number({ minimum: 0, maximum: 1 }),
  floor: Bytes,
  assume: Assumptions,
  neverWritten: Type.Array(Type.String()),
  exclude: Type.Array(Type.String()),
  noticeSeconds: Seconds,
  relieveSeconds: Seconds,
  warning: LevelRuleSchema,
  critical: LevelRuleSchema,
});

export const AlertSchema = shape('Alert', {
  store: Type.String(),
  level: Type.Enum(['warning', 'critical']),
  by: Type.Array(Type.Enum(['bytes', 'percent', 'seconds', 'policy'])),
  since: Time,
  message: Type.String(),
});

export const StoreViewSchema = shape('StoreView', {
  id: Type.String(),
  mount: Type.String(),
  type: Type.String(),
  size: Bytes,
  used: Bytes,
  available: Bytes,
  allocation: Bytes,
  commitment: nullable(Bytes),
  residual: nullable(Bytes),
  otherHoles: Bytes,
  mapExcess: Bytes,
  shared: Bytes,
  floor: Bytes,
  headroom: nullable(SignedBytes),
  fits: nullable(Type.Boolean()),
  assumed: Assumptions,
  findings: Type.Array(FindingSchema),
  directories: Type.Array(Type.String()),
  presence: Type.Enum(['present', 'vanished']),
  imageCount: Count,
  unreadableCount: Count,
  reserved: Bytes,
  rules: StoreRulesSchema,
  entitled: nullable(Type.Number()),
  level: Type.Enum(['ok', 'warning', 'critical', 'unknown']),
  alerts: Type.Array(AlertSchema),
  sum: PolicySumSchema,
  forecast: StoreForecastSchema,
  scannedAt: nullable(Time),
  scanSeconds: nullable(Seconds),
});

export const ImageViewSchema = shape('ImageView', {
  path: Type.String(),
  format: nullable(Type.String({ description: `${IMAGE_FORMATS.join(', ')}, or another that was recognised` })),
  formatSource: nullable(Type.Enum(['declared', 'signature', 'guess'])),
  capacity: nullable(Bytes),
  length: nullable(Bytes),
  allocation: nullable(Bytes),
  commitment: nullable(Bytes),
  expected: nullable(Bytes),
  residual: nullable(SignedBytes),
  reclaimable: Bytes,
  mapExcess: nullable(Bytes),
  maxLength: nullable(Bytes),
  method: nullable(Type.Enum(['map', 'stat'])),
  unbounded: Type.Array(Type.Object({ reason: Type.String(), detail: Type.String() })),
  nextSnapshot: nullable(Type.Object({ bytes: Bytes })),
  components: Type.Array(ComponentSchema),
  findings: Type.Array(FindingSchema),
  chain: Type.Array(ChainLinkSchema),
  openForWriting: nullable(Type.Boolean()),
  details: Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()])),
  error: Type.Optional(ErrorSchema),
  exclusive: nullable(Bytes),
  shared: nullable(Bytes),
  aliases: Type.Array(Type.String()),
  backingOf: Type.Array(Type.String()),
  neverWritten: nullable(Type.Enum(['administrator', 'backing', 'content'])),
  id: Type.String(),
  store: Type.String(),
  machine: nullable(Type.String()),
  growth: GrowthSchema,
  toCommitment: OutlookSchema,
});

export const ImagePageSchema = shape('ImagePage', { total: Count, offset: Count, images: Type.Array(ImageViewSchema) });

export const StoreSampleSchema = shape('StoreSample', {
  at: Time,
  size: Bytes,
  available: Bytes,
  allocation: Bytes,
  commitment: nullable(Bytes),
  residual: nullable(Bytes),
  reserved: Bytes,
});

export const ImageSampleSchema = shape('ImageSample', {
  at: Time,
  length: nullable(Bytes),
  allocation: Bytes,
  commitment: nullable(Bytes),
});

/** Of a request for space; strict, so that a misspelt key is not overlooked. */
const REQUEST = {
  store: Type.String({ minLength: 1, maxLength: 4096, description: "the store's id, or a path on it" }),
  bytes: Type.Optional(Bytes),
  image: Type.Optional(
    Type.Object(
      {
        format: Type.Enum(['raw', 'qcow2']),
        capacity: Bytes,
        options: Type.Optional(Type.String({ maxLength: 4096, description: 'as `qemu-img create -o` takes them' })),
      },
      { additionalProperties: false },
    ),
  ),
  policy: Type.Optional(PolicySchema),
  idleShare: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
  assume: Type.Optional(Assumptions),
};

export const AdmissionRequestSchema = Type.Object(REQUEST, {
  title: 'AdmissionRequest',
  description: 'exactly one of bytes and image',
  additionalProperties: false,
});

export const ReservationRequestSchema = Type.Object(
  {
    ...REQUEST,
    bytes: Type.Optional(HeldBytes),
    key: Type.String({
      minLength: 1,
      maxLength: MAX_KEY_LENGTH,
      description: "the client's own name for it; asked for twice, it is held once",
    }),
    ttlSeconds: Type.Number({ minimum: SHORTEST_TTL_SECONDS, maximum: LONGEST_TTL_SECONDS }),
    path: Type.Optional(
      Type.String({ minLength: 1, maxLength: 4096, description: 'the image it is for; when that appears, it is released' }),
    ),
    overcommit: Type.Optional(Type.Boolean()),
  },
  { title: 'ReservationRequest', description: 'exactly one of bytes and image', additionalProperties: false },
);

export const ReservationSchema = shape('Reservation', {
  key: Type.String(),
  store: Type.String(),
  bytes: Bytes,
  path: nullable(Type.String()),
  createdAt: Time,
  expiresAt: Time,
  state: Type.Enum(['held', 'released', 'expired', 'fulfilled']),
});

export const AdmissionDecisionSchema = shape('AdmissionDecision', {
  schema: Type.Literal('plimsoll.admission/1'),
  admitted: nullable(Type.Boolean()),
  store: Type.String(),
  bytes: Bytes,
  sum: PolicySumSchema,
  message: Type.String(),
  assumed: Assumptions,
  scannedAt: Time,
  reservation: nullable(ReservationSchema),
});

export const ReservationRefusalSchema = shape('ReservationRefusal', { error: ErrorSchema, decision: AdmissionDecisionSchema });

export const MoveSchema = shape('Move', {
  images: Type.Array(Type.Object({ id: Type.String(), path: Type.String(), allocation: Bytes })),
  machine: nullable(Type.String()),
  from: Type.String(),
  to: nullable(Type.String()),
  copied: Bytes,
  freed: Bytes,
  relief: Type.Number(),
  remainingOnTarget: nullable(Type.Number()),
  inUse: nullable(Type.Boolean()),
  reason: Type.String(),
});

export const MovePlanSchema = shape('MovePlan', {
  store: Type.String(),
  shortfall: nullable(Type.Number()),
  moves: Type.Array(MoveSchema),
  shortfallAfter: nullable(Type.Number()),
  remark: nullable(Type.String()),
});

export const StatusReportSchema = shape('StatusReport', {
  schema: Type.Literal('plimsoll.status/1'),
  version: Type.String(),
  startedAt: Time,
  stores: Type.Array(StoreViewSchema),
  findings: Type.Array(FindingSchema),
});

/** The data of one server-sent event; `event:` repeats its type. */
export const ServeEventSchema = Type.Union(
  [
    Type.Object({ type: Type.Literal('store'), store: StoreViewSchema }),
    Type.Object({ type: Type.Literal('image'), image: ImageViewSchema }),
    Type.Object({ type: Type.Literal('image-gone'), store: Type.String(), id: Type.String(), path: Type.String() }),
    Type.Object({ type: Type.Literal('alert'), alert: AlertSchema, state: Type.Enum(['raised', 'cleared']) }),
    Type.Object({ type: Type.Literal('reservation'), reservation: ReservationSchema }),
    Type.Object({
      type: Type.Literal('scan'),
      store: nullable(Type.String()),
      filesSeen: Count,
      imagesRead: Count,
      ended: Type.Boolean(),
    }),
  ],
  { title: 'ServeEvent' },
);

/** The first event of every subscription. */
export const HelloEventSchema = shape('HelloEvent', { type: Type.Literal('hello'), stores: Type.Array(StoreViewSchema) });

// What stands in addresses.

const Name = Type.String({ minLength: 1, maxLength: 1024 });

export const IdParameters = Type.Object({ id: Name });
export const KeyParameters = Type.Object({ key: Type.String({ minLength: 1, maxLength: MAX_KEY_LENGTH }) });

export const MOST_IMAGES_OF_PAGE = 500;

export const ImageQuerySchema = Type.Object(
  {
    store: Type.Optional(Name),
    search: Type.Optional(Type.String({ maxLength: 1024, description: 'part of the path, letter case ignored' })),
    sort: Type.Enum(['risk', 'path', 'capacity', 'length', 'allocation', 'commitment', 'residual', 'exclusive', 'growth'], {
      default: 'risk',
    }),
    descending: Type.Optional(Type.Boolean({ description: 'the most first; left out: so for all but paths' })),
    offset: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0 }),
    limit: Type.Integer({ minimum: 1, maximum: MOST_IMAGES_OF_PAGE, default: 50 }),
  },
  { additionalProperties: false },
);

export const MOST_HISTORY_POINTS = 5000;

export const HistoryQuerySchema = Type.Object(
  {
    from: Type.Optional(Type.String({ maxLength: 40, description: 'ISO 8601, or milliseconds since 1970; else a day before `to`' })),
    to: Type.Optional(Type.String({ maxLength: 40, description: 'ISO 8601, or milliseconds since 1970; else now' })),
    points: Type.Integer({ minimum: 2, maximum: MOST_HISTORY_POINTS, default: 500 }),
  },
  { additionalProperties: false },
);

export const MovesQuerySchema = Type.Object({ target: Type.Optional(Name) }, { additionalProperties: false });

export const ReservationsQuerySchema = Type.Object(
  {
    store: Type.Optional(Name),
    ended: Type.Boolean({ default: false, description: 'also those that were released, have expired or were fulfilled' }),
  },
  { additionalProperties: false },
);

export const RescanRequestSchema = Type.Object(
  { store: Type.Optional(Name) },
  { title: 'RescanRequest', description: 'without a store: all of them', additionalProperties: false },
);

export const RescanAnswerSchema = shape('RescanAnswer', { rescanning: Type.Array(Type.String()) });
