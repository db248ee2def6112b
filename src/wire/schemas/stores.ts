/** Stores: figures, rules, levels, forecast. */
import { Type } from 'typebox';
import {
  shape,
  nullable,
  Bytes,
  SignedBytes,
  Seconds,
  Count,
  Time,
  FindingSchema,
  HostId,
  HostSchema,
  ComponentSchema,
  PolicySchema,
  Assumptions,
} from './common.ts';
import { GrowthSchema, OutlookSchema, ScannedImageSchema } from './images.ts';

export const StoreForecastSchema = shape('StoreForecast', {
  growth: GrowthSchema,
  toWarning: OutlookSchema,
  toCritical: OutlookSchema,
  /** Available space down to the floor. */
  toFloor: OutlookSchema,
  /** Available space down to nothing. */
  toFull: OutlookSchema,
});

export const PolicySumSchema = shape('PolicySum', {
  policy: PolicySchema,
  components: Type.Array(ComponentSchema),
  remaining: nullable(Type.Number({ description: 'what the components add up to; what fits leaves at least 0' })),
  unknown: nullable(Type.String({ description: 'which component is not known' })),
});

export const LevelRuleSchema = shape('LevelRule', {
  /** Maximum of the available bytes above the floor. */
  bytes: nullable(Bytes),
  /** Maximum of the available share of the store's size, in percent. */
  percent: nullable(Type.Number()),
  /** Maximum of the seconds until the floor, at the high growth. */
  seconds: nullable(Seconds),
});

export const StoreRulesSchema = shape('StoreRules', {
  policy: PolicySchema,
  /** The share p of the residual that counts under the policy `entitled`: 0 to 1. */
  idleShare: Type.Number({ minimum: 0, maximum: 1 }),
  /** Free bytes that must always remain. */
  floor: Bytes,
  /** The administrator's declarations about the storage below. */
  assume: Assumptions,
  /** Patterns of files that are never written, and the word `backing`: they count with their allocation. */
  neverWritten: Type.Array(Type.String()),
  /** Patterns of files and directories that are left out. */
  exclude: Type.Array(Type.String()),
  /** Seconds until a problem is noticed, and from then until a move has relieved the store. */
  noticeSeconds: Seconds,
  relieveSeconds: Seconds,
  warning: LevelRuleSchema,
  critical: LevelRuleSchema,
});

export const AlertSchema = shape('Alert', {
  store: Type.String(),
  level: Type.Enum(['warning', 'critical']),
  /** The criteria that were met: bytes, percent, seconds, policy. */
  by: Type.Array(Type.Enum(['bytes', 'percent', 'seconds', 'policy'])),
  since: Time,
  message: Type.String(),
});

/** Of a StoreReport and a StoreView. */
const STORE_FIGURES = {
  /** Stable id of the filesystem: `uuid:…`, for a network filesystem `net:…`, else `mount:…`. */
  id: Type.String(),
  host: HostId,
  mount: Type.String(),
  type: Type.String(),
  size: Bytes,
  used: Bytes,
  available: Bytes,
  /** Storage of all images found, blocks shared between files counted once. */
  allocation: Bytes,
  /** The maximum storage the images can ever use together, each file counted once. */
  commitment: nullable(Bytes),
  /** commitment − allocation: what may still be written, un-sharing and the holes of other files included. */
  residual: nullable(Bytes),
  /** Of the residual: what the holes of files that are no disk images can come to take. */
  otherHoles: Bytes,
  /** The sum of the images' mapExcess and that of other files with holes: part of neither commitment nor residual. */
  mapExcess: Bytes,
  /** Bytes that more than one file uses, counted once. */
  shared: Bytes,
  /** Free bytes that must remain. */
  floor: Bytes,
  /** available − residual − floor. */
  headroom: nullable(SignedBytes),
  /** Every future guest write fits: yes, no, or null when unknown. */
  fits: nullable(Type.Boolean()),
  /** The administrator's declarations that the answer rests on. */
  assumed: Assumptions,
  findings: Type.Array(FindingSchema),
};

export const StoreReportSchema = shape('StoreReport', { ...STORE_FIGURES, images: Type.Array(ScannedImageSchema) });

export const StoreViewSchema = shape('StoreView', {
  ...STORE_FIGURES,
  /** The directories that were configured or given. */
  directories: Type.Array(Type.String()),
  presence: Type.Enum(['present', 'vanished']),
  imageCount: Count,
  unreadableCount: Count,
  /** Held for images that are not there yet. */
  reserved: Bytes,
  rules: StoreRulesSchema,
  /** allocation + idleShare × residual. */
  entitled: nullable(Type.Number()),
  level: Type.Enum(['ok', 'warning', 'critical', 'unknown']),
  alerts: Type.Array(AlertSchema),
  /** The store's own sum, without a request, under its policy. Its headroom here counts reservations. */
  sum: PolicySumSchema,
  forecast: StoreForecastSchema,
  /** When the last scan of it ended, null before the first. */
  scannedAt: nullable(Time),
  scanSeconds: nullable(Seconds),
});

export const StoreSampleSchema = shape('StoreSample', {
  at: Time,
  size: Bytes,
  available: Bytes,
  allocation: Bytes,
  commitment: nullable(Bytes),
  residual: nullable(Bytes),
  reserved: Bytes,
});

export const StatusReportSchema = shape('StatusReport', {
  schema: Type.Literal('plimsoll.status/1'),
  version: Type.String(),
  startedAt: Time,
  host: HostSchema,
  stores: Type.Array(StoreViewSchema),
  findings: Type.Array(FindingSchema),
});

export const MoveSchema = shape('Move', {
  images: Type.Array(Type.Object({ id: Type.String(), path: Type.String(), allocation: Bytes })),
  machine: nullable(Type.String()),
  from: Type.String(),
  /** null: no target was named. */
  to: nullable(Type.String()),
  /** Bytes that have to be copied: all of them, shared ones too. */
  copied: Bytes,
  /** Bytes that the store regains: those that only these images use. */
  freed: Bytes,
  /** Bytes by which the result of the store's sum rises. */
  relief: Type.Number(),
  /** Remaining on the target, by its own policy, after the move. */
  remainingOnTarget: nullable(Type.Number()),
  inUse: nullable(Type.Boolean()),
  reason: Type.String(),
});

export const MovePlanSchema = shape('MovePlan', {
  store: Type.String(),
  /** Bytes missing from the sum now, or to the warning's thresholds where that is more; 0: no move is needed. */
  shortfall: nullable(Type.Number()),
  moves: Type.Array(MoveSchema),
  /** Bytes missing after all moves; null: unknown. */
  shortfallAfter: nullable(Type.Number()),
  /** The reason for a plan without moves or with too few; other remarks on the choice. */
  remark: nullable(Type.String()),
});
