/**
 * What a daemon says of its stores: the shapes of the HTTP API, of its events and of the commands that ask it.
 * Bytes are numbers, growth is bytes per second, times are seconds and ISO 8601 in UTC; what is not known is null, with the
 * reason beside it.
 */
import type { Assumption, SerializedError } from '#base';
import type { Component } from './components.ts';
import type { Finding, ScannedImage, StoreReport } from './reports.ts';

/** How near a store is to trouble. unknown: something that the answer needs is missing, and a finding says what. */
export type Level = 'ok' | 'warning' | 'critical' | 'unknown';

/**
 * promise: every future guest write must fit. growth: what grows until somebody could have relieved the store must fit.
 * entitled: allocation and a share p of the residual must fit; p = 0 counts what is used, p = 1 is the promise.
 */
export const POLICIES = ['promise', 'growth', 'entitled'] as const;
export type Policy = (typeof POLICIES)[number];

/** How fast something grows, from its history. */
export interface Growth {
  /** Bytes per second: growth is not slower, not faster than these by what was seen; null: not known. */
  readonly low: number | null;
  readonly high: number | null;
  /** Samples that the answer rests on, and the time they span. */
  readonly samples: number;
  readonly spanSeconds: number;
  /** Why low and high are null. */
  readonly unknown: string | null;
}

/** When something is reached. */
export interface Outlook {
  /** reached: it is so now. expected: between earliest and latest. never: not even if all is written. unknown: see the reason. */
  readonly outcome: 'reached' | 'expected' | 'never' | 'unknown';
  /** Seconds from now at the high growth, null when not even that leads there. */
  readonly earliest: number | null;
  /** Seconds from now at the low growth, null when that does not lead there. */
  readonly latest: number | null;
  readonly reason: string | null;
}

export interface StoreForecast {
  readonly growth: Growth;
  readonly toWarning: Outlook;
  readonly toCritical: Outlook;
  /** Available space down to the floor. */
  readonly toFloor: Outlook;
  /** Available space down to nothing. */
  readonly toFull: Outlook;
}

/** A sum that decides: `components` add up to `remaining`; what fits leaves at least 0. */
export interface PolicySum {
  readonly policy: Policy;
  readonly components: readonly Component[];
  /** null: a component is not known, `unknown` says which. Below 0 although one is not known: what is known is too much. */
  readonly remaining: number | null;
  /** What is not known; beside a `remaining` of 0 and more: why the sum is still no yes. */
  readonly unknown: string | null;
}

/** What a store must satisfy, and when it is in trouble. */
export interface StoreRules {
  readonly policy: Policy;
  /** The share p of the residual that counts under the policy `entitled`: 0 to 1. */
  readonly idleShare: number;
  /** Free bytes that must always remain. */
  readonly floor: number;
  /** What the administrator declares of the ground below the store. */
  readonly assume: readonly Assumption[];
  /** Patterns of the files that nobody writes any more, and the word `backing`: they count with what they hold now. */
  readonly neverWritten: readonly string[];
  /** Patterns of files and directories that are left out. */
  readonly exclude: readonly string[];
  /** Until trouble is noticed, and from then until a move has relieved the store. */
  readonly noticeSeconds: number;
  readonly relieveSeconds: number;
  readonly warning: LevelRule;
  readonly critical: LevelRule;
}

/** A level is reached when one of these is; null: this one is not watched. */
export interface LevelRule {
  /** Available bytes above the floor, at most so many. */
  readonly bytes: number | null;
  /** Available share of the store's size, at most so many percent. */
  readonly percent: number | null;
  /** Seconds until the floor at the high growth, at most so many. */
  readonly seconds: number | null;
}

export interface Alert {
  readonly store: string;
  readonly level: 'warning' | 'critical';
  /** What reached it: bytes, percent, seconds, policy. */
  readonly by: readonly ('bytes' | 'percent' | 'seconds' | 'policy')[];
  readonly since: string;
  readonly message: string;
}

/** One store as the daemon knows it. */
export interface StoreView extends Omit<StoreReport, 'images'> {
  /** The directories that were configured or given. */
  readonly directories: readonly string[];
  readonly presence: 'present' | 'vanished';
  readonly imageCount: number;
  readonly unreadableCount: number;
  /** Held for images that are not there yet. */
  readonly reserved: number;
  readonly rules: StoreRules;
  /** allocation + idleShare × residual. */
  readonly entitled: number | null;
  readonly level: Level;
  readonly alerts: readonly Alert[];
  /** The store's own sum, without a request, under its policy. Its headroom here counts reservations. */
  readonly sum: PolicySum;
  readonly forecast: StoreForecast;
  /** When the last scan of it ended, null before the first. */
  readonly scannedAt: string | null;
  readonly scanSeconds: number | null;
}

/** One image as the daemon knows it. */
export interface ImageView extends ScannedImage {
  /** Stable as long as the image keeps its name: what its page is called. */
  readonly id: string;
  readonly store: string;
  /** The virtual machine that has it open, by QEMU's own command line; null: none was seen. */
  readonly machine: string | null;
  readonly growth: Growth;
  /** Seconds until it has reached its commitment. */
  readonly toCommitment: Outlook;
}

export interface ImagePage {
  readonly total: number;
  readonly offset: number;
  readonly images: readonly ImageView[];
}

/** A row of history. Between `at` and the next one, for downsampled ones the least and the most that was seen. */
export interface StoreSample {
  readonly at: string;
  readonly size: number;
  readonly available: number;
  readonly allocation: number;
  readonly commitment: number | null;
  readonly residual: number | null;
  readonly reserved: number;
}

export interface ImageSample {
  readonly at: string;
  readonly length: number | null;
  readonly allocation: number;
  readonly commitment: number | null;
}

/** A request for space on a store. */
export interface AdmissionRequest {
  /** The store's id, or a path on it. */
  readonly store: string;
  /** What would be committed, in bytes; or an image to be made, whose commitment is worked out. */
  readonly bytes?: number;
  readonly image?: { readonly format: 'raw' | 'qcow2'; readonly capacity: number; readonly options?: string };
  /** Instead of the store's own. */
  readonly policy?: Policy;
  readonly idleShare?: number;
  /** Declared for this answer, beside what the store's rules declare. */
  readonly assume?: readonly Assumption[];
}

export interface AdmissionDecision {
  readonly schema: 'plimsoll.admission/1';
  /** null: could not be told, `sum.unknown` says why. */
  readonly admitted: boolean | null;
  readonly store: string;
  /** What the request would commit. */
  readonly bytes: number;
  /** The sum with the request in it. */
  readonly sum: PolicySum;
  /** The verdict in a sentence. */
  readonly message: string;
  /** The administrator's declarations that the answer rests on. */
  readonly assumed: readonly Assumption[];
  readonly scannedAt: string;
  readonly reservation: Reservation | null;
}

export interface ReservationRequest extends AdmissionRequest {
  /** The client's own name for it: asked for twice by the same key, it is held once. */
  readonly key: string;
  readonly ttlSeconds: number;
  /** The image it is for; when that appears, it is released. */
  readonly path?: string;
  /** Hold it even if it does not fit. */
  readonly overcommit?: boolean;
}

export interface Reservation {
  readonly key: string;
  readonly store: string;
  readonly bytes: number;
  readonly path: string | null;
  readonly createdAt: string;
  readonly expiresAt: string;
  /** held; or how it ended: released by its key, expired, fulfilled by the image it was for. */
  readonly state: 'held' | 'released' | 'expired' | 'fulfilled';
}

/** Images that are moved together: of one machine, or of one backing chain. */
export interface Move {
  readonly images: readonly { readonly id: string; readonly path: string; readonly allocation: number }[];
  readonly machine: string | null;
  readonly from: string;
  /** null: no target was named. */
  readonly to: string | null;
  /** Bytes that have to be copied: all of them, shared ones too. */
  readonly copied: number;
  /** Bytes that the store gets back: what only these images use. */
  readonly freed: number;
  /** What the store's sum gains. */
  readonly relief: number;
  /** Remaining on the target, by its own policy, after the move. */
  readonly remainingOnTarget: number | null;
  readonly inUse: boolean | null;
  readonly reason: string;
}

export interface MovePlan {
  readonly store: string;
  /** What the sum lacks now, or what lacks to be past the warning's thresholds where that is more; 0: nothing has to be moved. */
  readonly shortfall: number | null;
  readonly moves: readonly Move[];
  /** What lacks when all are made; null: not known. */
  readonly shortfallAfter: number | null;
  /** Why there are none, or not enough; what else is to be known of the choice. */
  readonly remark: string | null;
}

/** What the daemon tells as it happens, by server-sent events. */
export type ServeEvent =
  | { readonly type: 'store'; readonly store: StoreView }
  | { readonly type: 'image'; readonly image: ImageView }
  | { readonly type: 'image-gone'; readonly store: string; readonly id: string; readonly path: string }
  | { readonly type: 'alert'; readonly alert: Alert; readonly state: 'raised' | 'cleared' }
  | { readonly type: 'reservation'; readonly reservation: Reservation }
  | {
      readonly type: 'scan';
      readonly store: string | null;
      readonly filesSeen: number;
      readonly imagesRead: number;
      readonly ended: boolean;
    };

/** `plimsoll status`, and GET /api/v1/status. */
export interface StatusReport {
  readonly schema: 'plimsoll.status/1';
  readonly version: string;
  readonly startedAt: string;
  readonly stores: readonly StoreView[];
  readonly findings: readonly Finding[];
}

/** The one body of every error of the API. */
export interface ApiError {
  readonly error: SerializedError;
}

/** The body of a reservation that was refused: the error, and the sum that led there. */
export interface ReservationRefusal extends ApiError {
  readonly decision: AdmissionDecision;
}

/** The first of the events: all stores as they are now. */
export interface HelloEvent {
  readonly type: 'hello';
  readonly stores: readonly StoreView[];
}
