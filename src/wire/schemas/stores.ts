/** Stores: figures, rules, levels, forecast. */
import { Type } from 'typebox';
import {
  described,
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
  toFloor: described('Available space down to the floor.', OutlookSchema),
  toFull: described('Available space down to nothing.', OutlookSchema),
});

export const PolicySumSchema = shape('PolicySum', {
  policy: PolicySchema,
  components: Type.Array(ComponentSchema),
  remaining: nullable(Type.Number({ description: 'what the components add up to; what fits leaves at least 0' })),
  unknown: nullable(Type.String({ description: 'which component is not known' })),
});

export const LevelRuleSchema = shape('LevelRule', {
  bytes: described('Maximum of the available bytes above the floor.', nullable(Bytes)),
  percent: described("Maximum of the available share of the store's size, in percent.", nullable(Type.Number())),
  seconds: described('Maximum of the seconds until the floor, at the high growth.', nullable(Seconds)),
});

export const StoreRulesSchema = shape('StoreRules', {
  policy: PolicySchema,
  idleShare: described(
    'The share p of the residual that counts under the policy `entitled`: 0 to 1.',
    Type.Number({ minimum: 0, maximum: 1 }),
  ),
  floor: described('Free bytes that must always remain.', Bytes),
  assume: described("The administrator's declarations about the storage below.", Assumptions),
  neverWritten: described(
    'Patterns of files that are never written, and the word `backing`: they count with their allocation.',
    Type.Array(Type.String()),
  ),
  exclude: described('Patterns of files and directories that are left out.', Type.Array(Type.String())),
  noticeSeconds: described('Seconds until a problem is noticed, and from then until a move has relieved the store.', Seconds),
  relieveSeconds: Seconds,
  warning: LevelRuleSchema,
  critical: LevelRuleSchema,
});

export const AlertSchema = shape('Alert', {
  store: Type.String(),
  level: Type.Enum(['warning', 'critical']),
  by: described(
    'The criteria that were met: bytes, percent, seconds, policy.',
    Type.Array(Type.Enum(['bytes', 'percent', 'seconds', 'policy'])),
  ),
  since: Time,
  message: Type.String(),
});

/** Of a StoreReport and a StoreView. */
const STORE_FIGURES = {
  id: described('Stable id of the filesystem: `uuid:…`, for a network filesystem `net:…`, else `mount:…`.', Type.String()),
  host: HostId,
  mount: Type.String(),
  type: Type.String(),
  size: Bytes,
  used: Bytes,
  available: Bytes,
  allocation: described('Storage of all images found, blocks shared between files counted once.', Bytes),
  commitment: described('The maximum storage the images can ever use together, each file counted once.', nullable(Bytes)),
  residual: described(
    'commitment − allocation: what may still be written, un-sharing and the holes of other files included.',
    nullable(Bytes),
  ),
  otherHoles: described('Of the residual: what the holes of files that are no disk images can come to take.', Bytes),
  mapExcess: described(
    "The sum of the images' mapExcess and that of other files with holes: part of neither commitment nor residual.",
    Bytes,
  ),
  shared: described('Bytes that more than one file uses, counted once.', Bytes),
  floor: described('Free bytes that must remain.', Bytes),
  headroom: described('available − residual − floor.', nullable(SignedBytes)),
  fits: described('Every future guest write fits: yes, no, or null when unknown.', nullable(Type.Boolean())),
  assumed: described("The administrator's declarations that the answer rests on.", Assumptions),
  findings: Type.Array(FindingSchema),
};

export const StoreReportSchema = shape('StoreReport', { ...STORE_FIGURES, images: Type.Array(ScannedImageSchema) });

export const StoreViewSchema = shape('StoreView', {
  ...STORE_FIGURES,
  directories: described('The directories that were configured or given.', Type.Array(Type.String())),
  presence: Type.Enum(['present', 'vanished']),
  imageCount: Count,
  unreadableCount: Count,
  reserved: described('Held for images that are not there yet.', Bytes),
  rules: StoreRulesSchema,
  entitled: described('allocation + idleShare × residual.', nullable(Type.Number())),
  level: Type.Enum(['ok', 'warning', 'critical', 'unknown']),
  alerts: Type.Array(AlertSchema),
  sum: described("The store's own sum, without a request, under its policy. Its headroom here counts reservations.", PolicySumSchema),
  forecast: StoreForecastSchema,
  scannedAt: described('When the last scan of it ended, null before the first.', nullable(Time)),
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
  to: described('null: no target was named.', nullable(Type.String())),
  copied: described('Bytes that have to be copied: all of them, shared ones too.', Bytes),
  freed: described('Bytes that the store regains: those that only these images use.', Bytes),
  relief: described("Bytes by which the result of the store's sum rises.", Type.Number()),
  remainingOnTarget: described('Remaining on the target, by its own policy, after the move.', nullable(Type.Number())),
  inUse: nullable(Type.Boolean()),
  reason: Type.String(),
});

export const MovePlanSchema = shape('MovePlan', {
  store: Type.String(),
  shortfall: described(
    "Bytes missing from the sum now, or to the warning's thresholds where that is more; 0: no move is needed.",
    nullable(Type.Number()),
  ),
  moves: Type.Array(MoveSchema),
  shortfallAfter: described('Bytes missing after all moves; null: unknown.', nullable(Type.Number())),
  remark: described('The reason for a plan without moves or with too few; other remarks on the choice.', nullable(Type.String())),
});
