/** The documents of `info`, `measure` and `scan`. */
import { Type } from 'typebox';
import { Bytes, ComponentSchema, described, ErrorSchema, FindingSchema, HostSchema, shape } from './common.ts';
import { ImageReportSchema } from './images.ts';
import { StoreReportSchema } from './stores.ts';

const Definitions = described('The meaning of each figure, in a sentence.', Type.Record(Type.String(), Type.String()));

export const InfoReportSchema = shape('InfoReport', {
  schema: Type.Literal('plimsoll.info/1'),
  host: HostSchema,
  definitions: Definitions,
  images: Type.Array(ImageReportSchema),
});

export const MeasureReportSchema = shape('MeasureReport', {
  schema: Type.Literal('plimsoll.measure/1'),
  definitions: Definitions,
  format: Type.String(),
  capacity: Bytes,
  length: Bytes,
  allocation: Bytes,
  commitment: Bytes,
  expected: Bytes,
  maxLength: Bytes,
  components: Type.Array(ComponentSchema),
  findings: described('Of a copy: what it leaves out of its source, and caveats about that.', Type.Array(FindingSchema)),
});

export const ScanReportSchema = shape('ScanReport', {
  schema: Type.Literal('plimsoll.scan/1'),
  host: HostSchema,
  definitions: Definitions,
  stores: described('Highest risk first, stores and images alike.', Type.Array(StoreReportSchema)),
  errors: described(
    'Errors outside of any store: a missing directory, for example.',
    Type.Array(Type.Object({ ...ErrorSchema.properties, path: Type.String() })),
  ),
});
