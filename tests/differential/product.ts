/** The product's side of the comparison: the one place here that calls plimsoll. */
import type { ImageReport } from '#wire';

export type Examine = (path: string, format: 'qcow2' | 'raw') => Promise<ImageReport>;

/** Loads plimsoll; the harness works without it (`--dump`). Throws what plimsoll says when it cannot read an image. */
export async function loadProduct(): Promise<Examine> {
  const { examineImage } = await import('#sandbox');
  return async (path, format) => {
    const report = await examineImage(path, { format });
    if (report.error !== undefined) throw new Error(`plimsoll cannot examine ${path}: ${report.error.message}`);
    return report;
  };
}
