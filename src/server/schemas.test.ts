/** The schemas say what the types of wire say: checked by the compiler here, by its values in routes.test.ts. */
import type { Static, TSchema } from 'typebox';
import { describe, expect, it } from 'vitest';
import type { SerializedError } from '#base';
import type * as Wire from '#wire';
import * as schemas from './schemas.ts';

/** Without readonly, all the way down: a schema does not say who may change a value. */
type Plain<T> = T extends readonly (infer E)[] ? Plain<E>[] : T extends object ? { -readonly [K in keyof T]: Plain<T[K]> } : T;
/** The same to the last optional property, which assigning both ways would not tell. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Agrees<S extends TSchema, W> = Same<Plain<Static<S>>, Plain<W>>;

/** A line that does not compile is a schema that says something else than its type. */
const AGREED: {
  readonly ErrorSchema: Agrees<typeof schemas.ErrorSchema, SerializedError>;
  readonly ApiErrorSchema: Agrees<typeof schemas.ApiErrorSchema, Wire.ApiError>;
  readonly FindingSchema: Agrees<typeof schemas.FindingSchema, Wire.Finding>;
  readonly GrowthSchema: Agrees<typeof schemas.GrowthSchema, Wire.Growth>;
  readonly OutlookSchema: Agrees<typeof schemas.OutlookSchema, Wire.Outlook>;
  readonly StoreForecastSchema: Agrees<typeof schemas.StoreForecastSchema, Wire.StoreForecast>;
  readonly ComponentSchema: Agrees<typeof schemas.ComponentSchema, Wire.Component>;
  readonly PolicySumSchema: Agrees<typeof schemas.PolicySumSchema, Wire.PolicySum>;
  readonly LevelRuleSchema: Agrees<typeof schemas.LevelRuleSchema, Wire.LevelRule>;
  readonly StoreRulesSchema: Agrees<typeof schemas.StoreRulesSchema, Wire.StoreRules>;
  readonly AlertSchema: Agrees<typeof schemas.AlertSchema, Wire.Alert>;
  readonly StoreViewSchema: Agrees<typeof schemas.StoreViewSchema, Wire.StoreView>;
  readonly ImageViewSchema: Agrees<typeof schemas.ImageViewSchema, Wire.ImageView>;
  readonly ImagePageSchema: Agrees<typeof schemas.ImagePageSchema, Wire.ImagePage>;
  readonly StoreSampleSchema: Agrees<typeof schemas.StoreSampleSchema, Wire.StoreSample>;
  readonly ImageSampleSchema: Agrees<typeof schemas.ImageSampleSchema, Wire.ImageSample>;
  readonly AdmissionRequestSchema: Agrees<typeof schemas.AdmissionRequestSchema, Wire.AdmissionRequest>;
  readonly ReservationRequestSchema: Agrees<typeof schemas.ReservationRequestSchema, Wire.ReservationRequest>;
  readonly ReservationSchema: Agrees<typeof schemas.ReservationSchema, Wire.Reservation>;
  readonly AdmissionDecisionSchema: Agrees<typeof schemas.AdmissionDecisionSchema, Wire.AdmissionDecision>;
  readonly ReservationRefusalSchema: Agrees<typeof schemas.ReservationRefusalSchema, Wire.ReservationRefusal>;
  readonly MoveSchema: Agrees<typeof schemas.MoveSchema, Wire.Move>;
  readonly MovePlanSchema: Agrees<typeof schemas.MovePlanSchema, Wire.MovePlan>;
  readonly StatusReportSchema: Agrees<typeof schemas.StatusReportSchema, Wire.StatusReport>;
  readonly ServeEventSchema: Agrees<typeof schemas.ServeEventSchema, Wire.ServeEvent>;
  readonly HelloEventSchema: Agrees<typeof schemas.HelloEventSchema, Wire.HelloEvent>;
} = {
  ErrorSchema: true,
  ApiErrorSchema: true,
  FindingSchema: true,
  GrowthSchema: true,
  OutlookSchema: true,
  StoreForecastSchema: true,
  ComponentSchema: true,
  PolicySumSchema: true,
  LevelRuleSchema: true,
  StoreRulesSchema: true,
  AlertSchema: true,
  StoreViewSchema: true,
  ImageViewSchema: true,
  ImagePageSchema: true,
  StoreSampleSchema: true,
  ImageSampleSchema: true,
  AdmissionRequestSchema: true,
  ReservationRequestSchema: true,
  ReservationSchema: true,
  AdmissionDecisionSchema: true,
  ReservationRefusalSchema: true,
  MoveSchema: true,
  MovePlanSchema: true,
  StatusReportSchema: true,
  ServeEventSchema: true,
  HelloEventSchema: true,
};

describe('the schemas', () => {
  it('of what the API gives are all held to a type of wire', () => {
    const given = Object.keys(schemas).filter((name) => /^[A-Z].*Schema$/.test(name) && !/Query|Rescan/.test(name));
    expect(given.sort()).toEqual(Object.keys(AGREED).sort());
  });
});
