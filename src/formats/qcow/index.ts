/** qcow version 1: header, tables, the guest's bytes, and the survey that the figures rest on. */
export { openQcow, type QcowImage } from './image.ts';
export type { QcowSurvey } from './survey.ts';
export { type QcowHeader, readQcowHeader } from './header.ts';
