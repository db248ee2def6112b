/**
 * The daemon's reports on its stores: the shapes of the HTTP API, its events and the commands that query it.
 * Bytes are numbers, growth is bytes per second, times are seconds and ISO 8601 in UTC; unknown values are null, with the
 * reason beside them.
 */
import type {
  AdmissionDecisionSchema,
  AdmissionRequestSchema,
  ReservationRefusalSchema,
  ReservationRequestSchema,
  ReservationSchema,
} from './schemas/admission.ts';
import type { ApiErrorSchema } from './schemas/common.ts';
import type { HelloEventSchema, ServeEventSchema } from './schemas/events.ts';
import type { GrowthSchema, ImagePageSchema, ImageSampleSchema, ImageViewSchema, OutlookSchema } from './schemas/images.ts';
import type {
  AlertSchema,
  LevelRuleSchema,
  MovePlanSchema,
  MoveSchema,
  PolicySumSchema,
  StatusReportSchema,
  StoreForecastSchema,
  StoreRulesSchema,
  StoreSampleSchema,
  StoreViewSchema,
} from './schemas/stores.ts';
import type { Shape } from './shape.ts';

/**
 * promise: every future guest write must fit. growth: the expected growth until an administrator can react must fit.
 * entitled: allocation and a share p of the residual must fit; p = 0 counts what is used, p = 1 is the promise.
 */
export const POLICIES = ['promise', 'growth', 'entitled'] as const;
export type Policy = (typeof POLICIES)[number];

/** How fast something grows, from its history. */
export type Growth = Shape<typeof GrowthSchema>;

/** When something is reached. */
export type Outlook = Shape<typeof OutlookSchema>;

export type StoreForecast = Shape<typeof StoreForecastSchema>;

/** A sum that decides: `components` add up to `remaining`; what fits leaves at least 0. */
export type PolicySum = Shape<typeof PolicySumSchema>;

/** The rules of a store: its policy and its alert levels. */
export type StoreRules = Shape<typeof StoreRulesSchema>;

/** A level is reached when one of these is; null: this one is not watched. */
export type LevelRule = Shape<typeof LevelRuleSchema>;

export type Alert = Shape<typeof AlertSchema>;

/** One store as the daemon knows it. */
export type StoreView = Shape<typeof StoreViewSchema>;

/** The alert level of a store. unknown: required information is missing, and a finding names it. */
export type Level = StoreView['level'];

/** One image as the daemon knows it. */
export type ImageView = Shape<typeof ImageViewSchema>;

export type ImagePage = Shape<typeof ImagePageSchema>;

/** A row of history. Between `at` and the next one, for downsampled ones the least and the most that was seen. */
export type StoreSample = Shape<typeof StoreSampleSchema>;

export type ImageSample = Shape<typeof ImageSampleSchema>;

/** A request for space on a store. */
export type AdmissionRequest = Shape<typeof AdmissionRequestSchema>;

export type AdmissionDecision = Shape<typeof AdmissionDecisionSchema>;

export type ReservationRequest = Shape<typeof ReservationRequestSchema>;

export type Reservation = Shape<typeof ReservationSchema>;

/** Images that are moved together: of one machine, or of one backing chain. */
export type Move = Shape<typeof MoveSchema>;

export type MovePlan = Shape<typeof MovePlanSchema>;

/** A page of images, filtered and sorted. */
export interface ImageQuery {
  readonly store?: string;
  /** Part of the path, letter case ignored. */
  readonly search?: string;
  /** risk: unreadable images first, then those soonest at their commitment, then by residual. */
  readonly sort: 'risk' | 'path' | 'capacity' | 'length' | 'allocation' | 'commitment' | 'residual' | 'exclusive' | 'growth';
  readonly descending: boolean;
  readonly offset: number;
  readonly limit: number;
}

/** A range of history, in milliseconds since 1970, downsampled to at most `points` samples. */
export interface HistoryQuery {
  readonly fromMs: number;
  readonly toMs: number;
  readonly points: number;
}

/** The daemon's server-sent events. */
export type ServeEvent = Shape<typeof ServeEventSchema>;

/** `plimsoll status`, and GET /api/v1/status. */
export type StatusReport = Shape<typeof StatusReportSchema>;

/** The one body of every error of the API. */
export type ApiError = Shape<typeof ApiErrorSchema>;

/** The body of a reservation that was refused: the error, and the sum that led there. */
export type ReservationRefusal = Shape<typeof ReservationRefusalSchema>;

/** The first of the events: all stores as they are now. */
export type HelloEvent = Shape<typeof HelloEventSchema>;
