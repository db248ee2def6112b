/**
 * The shapes of reports and of the HTTP API as JSON Schema: the source of their types, of the checks of requests and of the OpenAPI
 * document. An entry of its own, `#wire/schemas`, since typebox is not needed for the types.
 */
export {
  ErrorSchema,
  ApiErrorSchema,
  FindingSchema,
  HostSchema,
  ComponentSchema,
} from './common.ts';
export {
  ChainLinkSchema,
  GrowthSchema,
  OutlookSchema,
  ImageReportSchema,
  ScannedImageSchema,
  ImageViewSchema,
  ImagePageSchema,
  ImageSampleSchema,
} from './images.ts';
export {
  StoreForecastSchema,
  PolicySumSchema,
  LevelRuleSchema,
  StoreRulesSchema,
  AlertSchema,
  StoreReportSchema,
  StoreViewSchema,
  StoreSampleSchema,
  StatusReportSchema,
  MoveSchema,
  MovePlanSchema,
} from './stores.ts';
export {
  AdmissionRequestSchema,
  ReservationRequestSchema,
  ReservationSchema,
  AdmissionDecisionSchema,
  ReservationRefusalSchema,
} from './admission.ts';
export { InfoReportSchema, MeasureReportSchema, ScanReportSchema } from './reports.ts';
export {
  HeldLockSchema,
  ForeignLockReportSchema,
  LockReportSchema,
  ProcessUserSchema,
  LoopUserSchema,
  UseReportSchema,
  WhoReportSchema,
} from './who.ts';
export {
  VetReasonSchema,
  VetIdentitySchema,
  VetConversionSchema,
  VetNextSchema,
  VetReportSchema,
  VetDocumentSchema,
} from './vet.ts';
export {
  ServeEventSchema,
  HelloEventSchema,
} from './events.ts';
export {
  IdParameters,
  KeyParameters,
  MAX_IMAGES_OF_PAGE,
  ImageQuerySchema,
  MAX_HISTORY_POINTS,
  HistoryQuerySchema,
  MovesQuerySchema,
  ReservationsQuerySchema,
  RescanRequestSchema,
  RescanAnswerSchema,
} from './queries.ts';
